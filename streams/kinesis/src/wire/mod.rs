//! Bodies: JSON 1.1 and CBOR 1.1 of AWS, read into a [`Value`] as the model's shapes ask, and written from
//! one. Neither reads more than the body allows: lists and nesting are bounded, and nothing is reserved on
//! the word of a length.
//!
//! * `scalar`: what a plain value of the body becomes under a shape, and what is said where it cannot
//! * [`envelope`]: which operation a request asks for, and in which encoding
//! * `json`, `cbor`: the two encodings
//! * [`Writer`]: bodies of many records, written piece by piece
//! * [`scan`]: bodies gone through without a value of each piece; [`put_records`]: the short way of the request
//!   that there are most of

mod cbor;
pub mod envelope;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod put;
mod scalar;
pub mod scan;
mod writer;

use bytes::Bytes;

pub use put::{PutRecord, PutRecords, put_records};
pub use scan::Data;
pub use writer::Writer;

use crate::error::{Error, ErrorCode, Result};
use crate::model::{Kind, Model, Operation, ShapeId};
use crate::value::Value;

/// More than any list or map of the model may have: what has more is not read to its end.
const MOST_ITEMS: usize = 16_384;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-amz-json-1.1`
    Json,
    /// `application/x-amz-cbor-1.1`
    Cbor,
}

impl Encoding {
    /// The encoding that a `Content-Type` names; parameters behind a semicolon do not matter.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Json, Self::Cbor]
            .into_iter()
            .find(|encoding| essence.eq_ignore_ascii_case(encoding.content_type()))
    }

    /// Its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// Whether a body is of this encoding, as far as that is looked at before its sender is known: for JSON alone, in
    /// which case it is an object or a list.
    #[must_use]
    pub fn may_be_read(self, body: &[u8]) -> bool {
        let is_nested = || body.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'['));
        self == Self::Cbor || (is_nested() && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok())
    }

    /// Reads the request of an operation. Members that the model does not know are passed over, and what is
    /// null is absent. Whether it keeps the model's constraints is for [`validate`](crate::model::validate).
    ///
    /// # Errors
    /// `SerializationException`: without a message if the body is not of this encoding, with AWS's if a
    /// value is not of its member's type.
    pub fn read(self, model: &'static Model, operation: &Operation, body: &Bytes) -> Result<Value> {
        self.read_as(model, operation.input, body)
    }

    /// Reads a body of this shape, which is a structure: a request, or for a client an answer.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_as(self, model: &'static Model, shape: ShapeId, body: &Bytes) -> Result<Value> {
        let shape = model.shape(shape);
        debug_assert!(matches!(shape.kind, Kind::Structure(_)));
        let value = match self {
            Self::Json => json::read(model, shape, body),
            Self::Cbor => cbor::read(model, shape, body),
        };
        match value {
            Ok(Value::Null) => Err(Error::new(ErrorCode::Serialization, "")),
            Ok(value) => Ok(value),
            Err(refusal) => Err(Error::new(ErrorCode::Serialization, refusal.unwrap_or_default())),
        }
    }

    /// Writes a body behind what is in `out`. Members that are null are left out.
    pub fn write(self, value: &Value, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write(value, out),
            Self::Cbor => cbor::write(value, out),
        }
    }

    /// Writes an error as the service does: its code and its message, if it has one.
    pub fn write_error(self, error: &Error, out: &mut Vec<u8>) {
        let mut members = vec![("__type".into(), Value::Text(error.code().name().to_owned()))];
        if !error.message().is_empty() {
            // What cannot be read is told by another layer of the service than all else.
            let name = if error.code() == ErrorCode::Serialization { "Message" } else { "message" };
            members.push((name.into(), Value::Text(error.message().to_owned())));
        }
        self.write(&Value::Map(members), out);
    }
}

/// Why a body is refused: AWS's words, or none where it is not of its encoding.
type Refusal = Option<String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_go_by_content_type() {
        for (text, encoding) in [
            ("application/x-amz-json-1.1", Some(Encoding::Json)),
            ("  application/x-amz-json-1.1   ;whatever", Some(Encoding::Json)),
            ("application/x-amz-cbor-1.1", Some(Encoding::Cbor)),
            ("application/x-amz-json-1.0", None),
            ("application/x-amz-json-1.1asdf", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(Encoding::of_content_type(text), encoding, "{text}");
        }
    }

    #[test]
    fn errors_are_written_as_the_service_does() {
        let written = |error| {
            let mut out = Vec::new();
            Encoding::Json.write_error(&error, &mut out);
            String::from_utf8(out).unwrap()
        };
        let error = Error::new(ErrorCode::ResourceNotFound, "Stream \"x\" not found.");
        assert_eq!(
            written(error),
            r#"{"__type":"ResourceNotFoundException","message":"Stream \"x\" not found."}"#
        );
        let error = Error::new(ErrorCode::Serialization, "Expected null");
        assert_eq!(written(error), r#"{"__type":"SerializationException","Message":"Expected null"}"#);
        let error = Error::new(ErrorCode::Serialization, "");
        assert_eq!(written(error), r#"{"__type":"SerializationException"}"#);
    }
}
