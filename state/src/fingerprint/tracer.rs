//! The deserializer that makes up values and notes what it was asked for.
//!
//! One pass makes one value, so an enum shows one variant a pass; passes are repeated until all
//! are explored. A type that contains itself is met by leaving out the contents of an option or a
//! collection, or by a variant that is known to end; that takes a pass too, as a visitor cannot be
//! asked twice.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::{Shape, Variant};

/// Why a pass has not come to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// A type was met within itself; whoever can leave out contents shall do so.
    Recursive,
    /// Someone will do so in the next pass.
    Again,
    /// The type does not take made-up values.
    Refused(String),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Recursive | Self::Again => f.write_str("a type within itself"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Refused(message.to_string())
    }
}

/// Variants of enums that are known to end.
type Known = RefCell<HashMap<&'static str, usize>>;

/// The names of the structs and enums that are being traced, innermost first.
#[derive(Clone, Copy)]
struct Path<'a>(Option<&'a (&'static str, Path<'a>)>);

impl Path<'_> {
    fn contains(self, name: &str) -> bool {
        self.0.is_some_and(|(found, rest)| *found == name || rest.contains(name))
    }
}

pub(super) struct Tracer<'a> {
    shape: &'a mut Shape,
    path: Path<'a>,
    known: &'a Known,
}

impl<'a> Tracer<'a> {
    pub(super) fn root(shape: &'a mut Shape, known: &'a Known) -> Self {
        Self { shape, path: Path(None), known }
    }

    fn primitive(self, name: &'static str) {
        *self.shape = Shape::Primitive(name);
    }
}

/// What to do about a type within itself: leave out these contents from the next pass on.
fn cut<T>(result: Result<T, Stop>, cut: &mut bool) -> Result<T, Stop> {
    result.map_err(|stop| match stop {
        Stop::Recursive => {
            *cut = true;
            Stop::Again
        }
        other => other,
    })
}

macro_rules! primitives {
    ($($method:ident $visit:ident $name:literal $value:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            self.primitive($name);
            visitor.$visit($value)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Tracer<'_> {
    type Error = Stop;

    // One, because there are types that refuse zero.
    primitives! {
        deserialize_bool visit_bool "bool" false;
        deserialize_i8 visit_i8 "i8" 1;
        deserialize_i16 visit_i16 "i16" 1;
        deserialize_i32 visit_i32 "i32" 1;
        deserialize_i64 visit_i64 "i64" 1;
        deserialize_i128 visit_i128 "i128" 1;
        deserialize_u8 visit_u8 "u8" 1;
        deserialize_u16 visit_u16 "u16" 1;
        deserialize_u32 visit_u32 "u32" 1;
        deserialize_u64 visit_u64 "u64" 1;
        deserialize_u128 visit_u128 "u128" 1;
        deserialize_f32 visit_f32 "f32" 1.0;
        deserialize_f64 visit_f64 "f64" 1.0;
        deserialize_char visit_char "char" 'a';
        deserialize_str visit_str "str" "";
        deserialize_string visit_string "str" String::new();
        deserialize_bytes visit_bytes "bytes" &[];
        deserialize_byte_buf visit_byte_buf "bytes" Vec::new();
    }
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop::Refused("it asks its bytes what they are".to_owned()))
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_any(visitor)
    }
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_any(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if !matches!(self.shape, Shape::Option(..)) {
            *self.shape = Shape::Option(Box::new(Shape::Unknown), false);
        }
        match self.shape {
            Shape::Option(inner, left_out) if !*left_out => {
                let tracer = Tracer { shape: inner, path: self.path, known: self.known };
                cut(visitor.visit_some(tracer), left_out)
            }
            _ => visitor.visit_none(),
        }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.primitive("()");
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_unit(visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if !matches!(self.shape, Shape::Sequence(..)) {
            *self.shape = Shape::Sequence(Box::new(Shape::Unknown), false);
        }
        let Tracer { shape: Shape::Sequence(inner, left_out), path, known } = self else {
            return Err(Stop::Again);
        };
        let left = usize::from(!*left_out);
        let shapes = &mut std::iter::once(&mut **inner);
        cut(visitor.visit_seq(Fields { shapes, left, path, known }), left_out)
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        if !matches!(self.shape, Shape::Tuple(parts) if parts.len() == len) {
            *self.shape = Shape::Tuple((0..len).map(|_| Shape::Unknown).collect());
        }
        let Tracer { shape: Shape::Tuple(parts), path, known } = self else { return Err(Stop::Again) };
        visitor.visit_seq(Fields { shapes: &mut parts.iter_mut(), left: len, path, known })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if self.path.contains(name) {
            *self.shape = Shape::Again(name);
            return Err(Stop::Recursive);
        }
        let step = (name, self.path);
        Tracer { shape: self.shape, path: Path(Some(&step)), known: self.known }
            .deserialize_tuple(len, visitor)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if !matches!(self.shape, Shape::Map(..)) {
            *self.shape = Shape::Map(Box::new((Shape::Unknown, Shape::Unknown)), false);
        }
        let Tracer { shape: Shape::Map(inner, left_out), path, known } = self else {
            return Err(Stop::Again);
        };
        let left = if *left_out { 0 } else { 2 };
        let shapes = &mut [&mut inner.0, &mut inner.1].into_iter();
        cut(visitor.visit_map(Fields { shapes, left, path, known }), left_out)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if !name.is_empty() && self.path.contains(name) {
            *self.shape = Shape::Again(name);
            return Err(Stop::Recursive);
        }
        if !matches!(self.shape, Shape::Struct(_)) {
            *self.shape = Shape::Struct(fields.iter().map(|field| (*field, Shape::Unknown)).collect());
        }
        let step = (name, self.path);
        let Tracer { shape: Shape::Struct(parts), known, .. } = self else { return Err(Stop::Again) };
        let shapes = &mut parts.iter_mut().map(|(_, shape)| shape);
        visitor.visit_seq(Fields { shapes, left: fields.len(), path: Path(Some(&step)), known })
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let Tracer { shape, path, known } = self;
        if path.contains(name) {
            *shape = Shape::Again(name);
            let Some(index) = known.borrow().get(name).copied() else { return Err(Stop::Recursive) };
            let mut unseen = Shape::Unknown;
            return visitor.visit_enum(Chosen { index, tracer: Tracer { shape: &mut unseen, path, known } });
        }
        if !matches!(shape, Shape::Enum(_)) {
            let unknown =
                |name: &&'static str| Variant { name, shape: Shape::Unknown, explored: false, failed: 0 };
            *shape = Shape::Enum(variants.iter().map(unknown).collect());
        }
        let Shape::Enum(parts) = shape else { return Err(Stop::Again) };
        // Variants that have failed once come last: others may turn out to end meanwhile.
        let open = |failed: u8| {
            parts.iter().position(move |variant| variant.failed == failed && !variant.is_explored())
        };
        let ends = || known.borrow().get(name).copied();
        let Some(index) = open(0).or_else(|| open(1)).or_else(ends) else { return Err(Stop::Recursive) };
        let step = (name, path);
        let tracer = Tracer { shape: &mut parts[index].shape, path: Path(Some(&step)), known };
        let made = visitor.visit_enum(Chosen { index, tracer });
        match made {
            Ok(value) => {
                parts[index].explored = true;
                known.borrow_mut().entry(name).or_insert(index);
                Ok(value)
            }
            Err(Stop::Recursive) => {
                parts[index].failed += 1;
                Err(Stop::Again)
            }
            Err(other) => Err(other),
        }
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Fields<'a, 'i> {
    shapes: &'i mut dyn Iterator<Item = &'a mut Shape>,
    left: usize,
    path: Path<'a>,
    known: &'a Known,
}

impl<'a> Fields<'a, '_> {
    fn next(&mut self) -> Option<Tracer<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(Tracer { shape: self.shapes.next()?, path: self.path, known: self.known })
    }
}

impl<'de> de::SeqAccess<'de> for Fields<'_, '_> {
    type Error = Stop;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        self.next().map(|tracer| seed.deserialize(tracer)).transpose()
    }
}

impl<'de> de::MapAccess<'de> for Fields<'_, '_> {
    type Error = Stop;
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        self.next().map(|tracer| seed.deserialize(tracer)).transpose()
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Stop> {
        let tracer = self.next().ok_or_else(|| Stop::Refused("it reads a map's values twice".to_owned()))?;
        seed.deserialize(tracer)
    }
}

struct Chosen<'a> {
    index: usize,
    tracer: Tracer<'a>,
}

impl<'a, 'de> de::EnumAccess<'de> for Chosen<'a> {
    type Error = Stop;
    type Variant = Tracer<'a>;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Tracer<'a>), Stop> {
        let index = u32::try_from(self.index).map_err(de::Error::custom)?;
        let variant = seed.deserialize(IntoDeserializer::<Stop>::into_deserializer(index))?;
        Ok((variant, self.tracer))
    }
}

impl<'de> de::VariantAccess<'de> for Tracer<'_> {
    type Error = Stop;
    fn unit_variant(self) -> Result<(), Stop> {
        self.primitive("()");
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        de::Deserializer::deserialize_tuple(self, len, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        // A struct without a name: it cannot be met within itself but through its enum.
        de::Deserializer::deserialize_struct(self, "", fields, visitor)
    }
}
