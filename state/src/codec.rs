//! The codec of everything that is persisted: bincode 1.3 with options that never change.
//!
//! This is the only place that names bincode, so that the bytes of values have one home. Integers
//! are written in fixed width, little endian; lengths as `u64`; variants as `u32`. Keys of rows are
//! written in another way that keeps their order: see [`crate::ordered`].

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(Box<bincode::ErrorKind>);

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_little_endian().reject_trailing_bytes()
}

/// Appends `value` to `out`.
///
/// # Errors
/// The type's own `Serialize` refuses, or it has a sequence of unknown length.
#[inline]
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    options().serialize_into(out, value).map_err(CodecError)
}

/// The bytes of `value`.
///
/// # Errors
/// As [`encode_into`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// The value that `bytes` hold, all of them.
///
/// # Errors
/// They are not the bytes of a `T`. Lengths in them are bounded by how many bytes there are, so
/// that damaged bytes cannot ask for more memory than they have.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    options().with_limit(bytes.len() as u64).deserialize(bytes).map_err(CodecError)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_bytes_are_fixed() {
        let value = (7u32, Some("ab".to_owned()), vec![1u8]);
        let bytes = encode(&value).unwrap();
        let fixed = b"\x07\0\0\0\x01\x02\0\0\0\0\0\0\0ab\x01\0\0\0\0\0\0\0\x01";
        assert_eq!(bytes, fixed);
        assert_eq!(decode::<(u32, Option<String>, Vec<u8>)>(fixed).unwrap(), value);
    }

    #[test]
    fn damaged_bytes_are_errors() {
        assert!(decode::<u32>(&[1, 0, 0]).is_err(), "too short");
        assert!(decode::<u32>(&[1, 0, 0, 0, 0]).is_err(), "too long");
        assert!(decode::<Vec<u64>>(&[0xff; 16]).is_err(), "a length without its elements");
    }
}
