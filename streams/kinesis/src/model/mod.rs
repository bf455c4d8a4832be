//! The service model: which operations there are, and what shape their bodies have. It is AWS's own, as
//! botocore ships it, without documentation (`model/README.md`).
//!
//! * [`Model`], [`Operation`], [`Shape`], [`Kind`]: the model, loaded once
//! * `pattern`: its regular expressions, as Java reads them
//! * `order`: in which order the service looks at members
//! * [`validate()`]: every constraint that a body breaks, in AWS's words
//! * `bad_input`: for every constraint, a body that breaks it

#[cfg(any(test, feature = "fuzzing"))]
pub mod bad_input;
mod load;
mod order;
mod pattern;
mod validate;

use std::collections::HashMap;
use std::sync::LazyLock;

use pattern::Pattern;

pub use validate::validate;

/// The service and its shapes.
#[derive(Debug)]
pub struct Model {
    target: &'static str,
    operations: Vec<Operation>,
    by_name: HashMap<&'static str, usize>,
    shapes: Vec<Shape>,
}

/// An operation of the service.
#[derive(Debug)]
pub struct Operation {
    /// Its name: what stands in `X-Amz-Target` behind the dot.
    pub name: &'static str,
    /// The shape of its request.
    pub input: ShapeId,
    /// The shape of its response, if that has one.
    pub output: Option<ShapeId>,
    /// The errors of its own; those of the protocol come on top.
    pub errors: Vec<&'static str>,
}

/// Names a shape in its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShapeId(u32);

/// What a piece of a body has to look like.
#[derive(Debug)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// What it is made of.
    pub kind: Kind,
}

/// The kinds of shapes.
#[derive(Debug)]
pub enum Kind {
    /// Named members.
    Structure(Structure),
    /// A list of one shape.
    List {
        /// What it lists.
        member: ShapeId,
        /// How many.
        length: Bounds,
    },
    /// A map from text.
    Map {
        /// The shape of its keys.
        key: ShapeId,
        /// The shape of its values.
        value: ShapeId,
        /// How many entries.
        length: Bounds,
    },
    /// Text.
    Text(Text),
    /// A whole number; `long` says that it may take 64 bits.
    Integer {
        /// Least and greatest.
        value: Bounds,
        /// Whether it has 64 bits rather than 32.
        long: bool,
    },
    /// `true` or `false`.
    Boolean,
    /// Bytes.
    Blob {
        /// How many.
        length: Bounds,
    },
    /// A point in time.
    Timestamp,
}

/// What a structure is made of.
#[derive(Debug)]
pub struct Structure {
    /// Its members, as the model lists them.
    pub members: Vec<Member>,
    /// Indices of the members, in the order in which the service complains of them.
    pub(crate) order: Vec<usize>,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its name in messages: with a small first letter.
    pub label: String,
    /// Its shape.
    pub shape: ShapeId,
    /// Whether it has to be there.
    pub required: bool,
}

/// What text has to look like.
#[derive(Debug)]
pub struct Text {
    /// How many UTF-16 units, as Java counts.
    pub length: Bounds,
    /// What the whole of it has to match.
    pub(crate) pattern: Option<Pattern>,
    /// What it has to be one of, if any.
    pub one_of: Vec<&'static str>,
}

/// A least and a greatest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: Option<i64>,
    /// The greatest.
    pub max: Option<i64>,
}

/// The model, made on first use.
static MODEL: LazyLock<Model> =
    LazyLock::new(|| load::load(include_str!("../../model/kinesis-2013-12-02.json")));

impl Model {
    /// The model of the service.
    #[must_use]
    pub fn kinesis() -> &'static Self {
        &MODEL
    }

    /// What stands in `X-Amz-Target` before the dot.
    #[must_use]
    pub fn target(&self) -> &'static str {
        self.target
    }

    /// Every operation, by name.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation `name`, if there is one.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.by_name.get(name).map(|&index| &self.operations[index])
    }

    /// The shape of this id.
    #[must_use]
    pub fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[id.0 as usize]
    }

    /// The shape `name`, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ShapeId> {
        let index = self.shapes.binary_search_by(|shape| shape.name.cmp(name)).ok()?;
        u32::try_from(index).ok().map(ShapeId)
    }
}

impl Structure {
    /// The member of this name on the wire.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// A name as messages have it: only the first letter is made small, so `StreamARN` is `streamARN`.
fn label(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
