//! Structural fingerprints of types, found out by driving their `Deserialize`.
//!
//! A state's fingerprint lies in the manifest beside its schema version, so that a changed type is
//! found when a job is restored, by name, before anything runs. It is readable: it shows field and
//! variant names and primitive types as serde reports them. Names of structs are not part of it,
//! and newtypes are what they wrap: neither shows in the bytes.
//!
//! A type whose `Deserialize` refuses the made-up values (a validated string, an address) or asks
//! its bytes what they are cannot be traced; its state has to say a version. That two fields of
//! one type have swapped their *meaning* cannot be found.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use serde::de::DeserializeOwned;

use crate::error::StateError;

mod read_back;
mod sample;
mod tracer;

pub use read_back::{key_reads_back, reads_back};

/// Each pass explores one more variant of an enum; a type of more variants than this is a table.
const MAX_PASSES: usize = 4_096;

/// The shape of a type as it is serialized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fingerprint of `T` as text; the name of a type that cannot be traced, where nobody states a version for it.
#[must_use]
pub fn shape_or_name<T: DeserializeOwned>() -> String {
    fingerprint::<T>().map_or_else(|_| std::any::type_name::<T>().to_owned(), |shape| shape.to_string())
}

/// The fingerprint of `T`.
///
/// # Errors
/// `T` cannot be traced.
pub fn fingerprint<T: DeserializeOwned>() -> Result<Fingerprint, StateError> {
    let untraceable =
        |reason: String| StateError::Untraceable { type_name: std::any::type_name::<T>(), reason };
    let mut shape = Shape::Unknown;
    let known = RefCell::new(HashMap::new());
    for _ in 0..MAX_PASSES {
        match T::deserialize(tracer::Tracer::root(&mut shape, &known)) {
            Ok(_) if shape.is_explored() => return Ok(Fingerprint(shape.to_string())),
            Ok(_) | Err(tracer::Stop::Again) => {}
            Err(tracer::Stop::Recursive) => return Err(untraceable("it contains itself".to_owned())),
            Err(tracer::Stop::Refused(reason)) => return Err(untraceable(reason)),
        }
    }
    Err(untraceable(format!("it has more than {MAX_PASSES} variants")))
}

/// What is known of a type.
#[derive(Debug)]
enum Shape {
    Unknown,
    Primitive(&'static str),
    Option(Box<Self>, Cut),
    Sequence(Box<Self>, Cut),
    Map(Box<(Self, Self)>, Cut),
    Tuple(Vec<Self>),
    Struct(Vec<(&'static str, Self)>),
    Enum(Vec<Variant>),
    /// A type within itself.
    Again(&'static str),
}

/// Whether going into the contents has led to the type itself, so that they are left out.
type Cut = bool;

#[derive(Debug)]
struct Variant {
    name: &'static str,
    shape: Shape,
    explored: bool,
    /// How often it has led to its own enum before another variant was known to end.
    failed: u8,
}

impl Shape {
    fn is_explored(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Primitive(_) | Self::Again(_) => true,
            Self::Option(inner, cut) | Self::Sequence(inner, cut) => *cut || inner.is_explored(),
            Self::Map(inner, cut) => *cut || (inner.0.is_explored() && inner.1.is_explored()),
            Self::Tuple(parts) => parts.iter().all(Self::is_explored),
            Self::Struct(fields) => fields.iter().all(|(_, field)| field.is_explored()),
            Self::Enum(variants) => variants.iter().all(Variant::is_explored),
        }
    }
}

impl Variant {
    fn is_explored(&self) -> bool {
        self.failed > 1 || (self.explored && self.shape.is_explored())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("?"),
            Self::Primitive(name) => f.write_str(name),
            Self::Again(name) => write!(f, "@{name}"),
            Self::Option(inner, _) => write!(f, "option<{inner}>"),
            Self::Sequence(inner, _) => write!(f, "[{inner}]"),
            Self::Map(inner, _) => write!(f, "map<{}, {}>", inner.0, inner.1),
            Self::Tuple(parts) => list(f, '(', ')', parts, |f, part| write!(f, "{part}")),
            Self::Struct(fields) => {
                list(f, '{', '}', fields, |f, (name, field)| write!(f, "{name}: {field}"))
            }
            Self::Enum(variants) => {
                f.write_str("enum")?;
                list(f, '{', '}', variants, |f, variant| match &variant.shape {
                    Self::Primitive("()") => f.write_str(variant.name),
                    shape => write!(f, "{}: {shape}", variant.name),
                })
            }
        }
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    open: char,
    close: char,
    parts: &[T],
    show: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{open}")?;
    for (i, part) in parts.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        show(f, part)?;
    }
    write!(f, "{close}")
}

#[cfg(test)]
#[expect(dead_code, reason = "the types are traced and never made")]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Cents(i64);

    #[derive(Deserialize)]
    struct Card {
        probed_at: Option<i64>,
        spent: Cents,
        seen: Vec<(u8, String)>,
    }

    #[derive(Deserialize)]
    enum Rule {
        Off,
        Above(Cents),
        Either { left: Side, right: Side },
    }

    #[derive(Deserialize)]
    enum Side {
        Low,
        High(u8, bool),
    }

    #[derive(Deserialize)]
    enum Tree {
        Node(Box<Tree>, Side),
        Leaf(u32),
    }

    #[derive(Deserialize)]
    struct Chain {
        value: char,
        next: Option<Box<Chain>>,
        others: BTreeMap<String, Chain>,
    }

    fn shape<T: DeserializeOwned>() -> String {
        fingerprint::<T>().unwrap().to_string()
    }

    /// Fingerprints lie in manifests: these must not change.
    #[test]
    fn shapes_read_as_types_do() {
        assert_eq!(shape::<Card>(), "{probed_at: option<i64>, spent: i64, seen: [(u8, str)]}");
        let side = "enum{Low, High: (u8, bool)}";
        assert_eq!(shape::<Side>(), side);
        assert_eq!(
            shape::<Rule>(),
            format!("enum{{Off, Above: i64, Either: {{left: {side}, right: {side}}}}}")
        );
        assert_eq!(shape::<()>(), "()");
    }

    #[test]
    fn types_within_themselves_come_to_an_end() {
        assert_eq!(shape::<Tree>(), "enum{Node: (@Tree, enum{Low, High: (u8, bool)}), Leaf: u32}");
        assert_eq!(shape::<Chain>(), "{value: char, next: option<@Chain>, others: map<str, @Chain>}");
    }

    #[test]
    fn swapped_fields_are_a_schema_change() {
        #[derive(Deserialize)]
        struct Before {
            first: u64,
            last: u64,
        }
        #[derive(Deserialize)]
        struct After {
            last: u64,
            first: u64,
        }
        assert_ne!(shape::<Before>(), shape::<After>());
    }

    #[test]
    fn a_type_that_validates_has_to_state_its_version() {
        let refused = fingerprint::<IpAddr>();
        assert!(refused.is_ok(), "addresses are plain in binary formats: {refused:?}");
        #[derive(Debug)]
        struct Even;
        impl<'de> Deserialize<'de> for Even {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                match u8::deserialize(from)? % 2 {
                    0 => Ok(Self),
                    _ => Err(serde::de::Error::custom("an odd number")),
                }
            }
        }
        let refused = fingerprint::<Even>().unwrap_err().to_string();
        assert!(refused.contains("Even") && refused.contains("an odd number"), "{refused}");
    }
}
