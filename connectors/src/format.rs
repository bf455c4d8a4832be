//! How one record is written as bytes and read from them: JSON, bincode, raw.
//!
//! Owns the choice of parser. Where a record begins and ends is left to files and the shard log.

use std::marker::PhantomData;

use bincode::Options;
use pelton_dataflow::record::Data;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Reads a record from the bytes that are it.
pub trait Decode<T>: Clone + Send + Sync + 'static {
    /// The value in `bytes`, or what is wrong with them. The bytes alone decide: what it says is not
    /// asked a second time, but sent to the dead letters or, without them, the job's end.
    ///
    /// # Errors
    /// The bytes are no such record.
    fn decode(&self, bytes: &[u8]) -> Result<T, String>;

    /// The format's name, for `explain`.
    fn name(&self) -> &'static str;
}

/// Writes a record as bytes.
pub trait Encode<T>: Clone + Send + Sync + 'static {
    /// Appends the bytes of `value` to `bytes`.
    ///
    /// # Errors
    /// The format has no way to write the value.
    fn encode(&self, value: &T, bytes: &mut Vec<u8>) -> Result<()>;
}

/// One JSON value, without line breaks.
///
/// Of `serde_json`, `sonic-rs` and `simd-json`, the first is fastest at parsing small objects into
/// structs, and needs no `unsafe` beyond its own few lines (`docs/decisions/0004-serde-json-reads-records.md`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: DeserializeOwned> Decode<T> for Json {
    #[inline]
    fn decode(&self, bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|error| json_problem(&error))
    }
    fn name(&self) -> &'static str {
        "JSON"
    }
}

/// What the parser says. It counts lines within the record, which nearly always is one: only its column is of use, beside the
/// place of the record.
fn json_problem(error: &serde_json::Error) -> String {
    let (line, column, text) = (error.line(), error.column(), error.to_string());
    let Some(problem) = text.strip_suffix(&format!(" at line {line} column {column}")) else { return text };
    match (line, column) {
        (..=1, 0) => problem.to_owned(),
        (..=1, _) => format!("{problem} at its byte {column}"),
        _ => format!("{problem} in its line {line} at byte {column}"),
    }
}

impl<T: Serialize> Encode<T> for Json {
    #[inline]
    fn encode(&self, value: &T, bytes: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(bytes, value).map_err(|error| Error::Encode {
            type_name: std::any::type_name::<T>(),
            format: "JSON",
            reason: error.to_string(),
        })
    }
}

/// Bincode 1 with its default settings: fixed-width little-endian numbers, the struct's fields in
/// order. Compact to parse, but both ends must have the same type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bincode;

impl<T: DeserializeOwned> Decode<T> for Bincode {
    #[inline]
    fn decode(&self, bytes: &[u8]) -> Result<T, String> {
        // The limit keeps a length that was made up from asking for its memory. Bytes that are left over
        // are those of another type.
        let mut rest = bytes;
        let options = bincode::DefaultOptions::new().with_fixint_encoding().allow_trailing_bytes();
        let options = options.with_limit(bytes.len() as u64);
        let value = options.deserialize_from(&mut rest).map_err(|error| error.to_string())?;
        if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes are left over", rest.len())) }
    }
    fn name(&self) -> &'static str {
        "bincode"
    }
}

impl<T: Serialize> Encode<T> for Bincode {
    #[inline]
    fn encode(&self, value: &T, bytes: &mut Vec<u8>) -> Result<()> {
        bincode::serialize_into(bytes, value).map_err(|error| Error::Encode {
            type_name: std::any::type_name::<T>(),
            format: "bincode",
            reason: error.to_string(),
        })
    }
}

/// The bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Decode<Vec<u8>> for Raw {
    #[inline]
    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(bytes.to_vec())
    }
    fn name(&self) -> &'static str {
        "raw"
    }
}

impl Encode<Vec<u8>> for Raw {
    #[inline]
    fn encode(&self, value: &Vec<u8>, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.extend_from_slice(value);
        Ok(())
    }
}

/// A format of the user's: a function from bytes to a value.
///
/// ```
/// use pelton_connectors::{Decode, DecodeWith};
///
/// let lengths = DecodeWith::new(|bytes: &[u8]| Ok(bytes.len()));
/// assert_eq!(lengths.decode(b"abc"), Ok(3));
/// ```
pub struct DecodeWith<T, F>(F, PhantomData<fn() -> T>);

impl<T: Data, F: Fn(&[u8]) -> Result<T, String> + Clone + Send + Sync + 'static> DecodeWith<T, F> {
    /// Reads records with `decode`; its error is the reason of the rejection.
    pub fn new(decode: F) -> Self {
        Self(decode, PhantomData)
    }
}

impl<T, F: Clone> Clone for DecodeWith<T, F> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<T: Data, F: Fn(&[u8]) -> Result<T, String> + Clone + Send + Sync + 'static> Decode<T>
    for DecodeWith<T, F>
{
    #[inline]
    fn decode(&self, bytes: &[u8]) -> Result<T, String> {
        (self.0)(bytes)
    }
    fn name(&self) -> &'static str {
        "custom"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_round_trip_and_say_what_is_wrong() {
        let mut bytes = Vec::new();
        Json.encode(&(7u8, "x"), &mut bytes).unwrap();
        assert_eq!(bytes, b"[7,\"x\"]");
        assert_eq!(Json.decode(&bytes), Ok((7u8, "x".to_owned())));
        let wrong: Result<(u8, String), _> = Json.decode(b"[7]");
        assert_eq!(wrong.unwrap_err(), "invalid length 1, expected a tuple of size 2 at its byte 3");

        bytes.clear();
        Bincode.encode(&7u32, &mut bytes).unwrap();
        assert_eq!(Bincode.decode(&bytes), Ok(7u32));
        let wrong: Result<u16, _> = Bincode.decode(&bytes);
        assert_eq!(wrong.unwrap_err(), "2 bytes are left over");
        let wrong: Result<String, _> = Bincode.decode(&[0xff; 16]);
        assert!(wrong.is_err(), "a length without its bytes");

        bytes.clear();
        Raw.encode(&b"ab".to_vec(), &mut bytes).unwrap();
        assert_eq!(Raw.decode(&bytes), Ok(b"ab".to_vec()));
    }
}
