//! A request or response body without its encoding. JSON and CBOR are read into it and written from it;
//! what its members mean is for the model and the operations.

use bytes::Bytes;

/// A piece of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing; a member that is null counts as absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number: `integer` and `long` of the model.
    Int(i64),
    /// A number with a fraction; timestamps are seconds since the Unix epoch.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes: base64 in JSON, a byte string in CBOR.
    Blob(Bytes),
    /// A list, in order.
    List(Vec<Value>),
    /// A structure or map, with its members in the order in which they stood.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The member `name` of a map, unless it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        let member = members.iter().find(|(key, _)| key == name);
        member.map(|(_, value)| value).filter(|value| **value != Self::Null)
    }
}
