//! A request or response body without its encoding. JSON and CBOR are read into it and written from it;
//! what its members mean is for the model and the operations.

use std::borrow::Cow;

use bytes::Bytes;

/// The name of a member: borrowed from the model, or a key that the client chose.
pub type Name = Cow<'static, str>;

/// A piece of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing; a member that is null counts as absent, and is not written.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number: `integer` and `long` of the model.
    Int(i64),
    /// A time in ms since the Unix epoch: seconds with a fraction in JSON, tagged milliseconds in CBOR.
    Time(i64),
    /// Text.
    Text(String),
    /// Bytes: base64 in JSON, a byte string in CBOR.
    Blob(Bytes),
    /// A list, in order.
    List(Vec<Value>),
    /// A structure or map, with its members in the order in which they stood.
    Map(Vec<(Name, Value)>),
}

impl Value {
    /// The member `name` of a map, unless it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        let member = members.iter().find(|(key, _)| key == name);
        member.map(|(_, value)| value).filter(|value| **value != Self::Null)
    }

    /// Takes the member `name` out of a map, unless it is absent or null.
    pub fn take(&mut self, name: &str) -> Option<Self> {
        let Self::Map(members) = self else { return None };
        let (_, value) = members.iter_mut().find(|(key, _)| key == name)?;
        Some(std::mem::replace(value, Self::Null)).filter(|value| *value != Self::Null)
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }
}
