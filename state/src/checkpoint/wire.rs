//! The bytes of a manifest log entry, version 1.
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! |      0 |    8 | `PELTONMF` |
//! |      8 |    2 | format version, 1 |
//! |     10 |    1 | kind: 1 checkpoint, 2 takeover |
//! |     11 |    1 | zero |
//! |     12 |    4 | CRC32C of bytes 8 to 11 and of everything from 16 on |
//! |     16 |    8 | length of the payload |
//! |     24 |      | payload |
//!
//! All numbers are little endian. The payload is a [`Manifest`] or a [`Takeover`] in the engine's
//! [`codec`], which is why a change of those types is a new format version. The
//! header is the same in every version, so that an older program can tell a newer file from a
//! damaged one.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::manifest::{Entry, Manifest, Takeover};
use crate::codec;
use crate::error::StateError;

const MAGIC: &[u8; 8] = b"PELTONMF";
/// The version that is written.
pub const FORMAT_VERSION: u16 = 1;
const KIND_CHECKPOINT: u8 = 1;
const KIND_TAKEOVER: u8 = 2;
const HEADER_BYTES: usize = 24;
const CRC_AT: usize = 12;
const LENGTH_AT: usize = 16;

/// The bytes of a checkpoint's entry.
///
/// # Errors
/// Never for a manifest of a job that runs; an encoder's error otherwise.
pub fn encode_checkpoint(manifest: &Manifest) -> Result<Bytes, StateError> {
    encode(KIND_CHECKPOINT, manifest)
}

/// The bytes of a takeover's entry.
///
/// # Errors
/// As [`encode_checkpoint`].
pub fn encode_takeover(takeover: &Takeover) -> Result<Bytes, StateError> {
    encode(KIND_TAKEOVER, takeover)
}

/// The entry in `bytes`, which were read from `file`.
///
/// # Errors
/// They are not what was written, or a newer version wrote them; the message names `file`.
pub fn decode(file: &str, bytes: &[u8]) -> Result<Entry, StateError> {
    let damaged = |problem: &str| StateError::Damaged { file: file.to_owned(), problem: problem.to_owned() };
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(damaged("it is shorter than the header of a manifest"));
    };
    if &header[..8] != MAGIC {
        return Err(damaged("it does not begin like a manifest"));
    }
    if array::<8>(header, LENGTH_AT) != (payload.len() as u64).to_le_bytes() {
        return Err(damaged("it has another length than its header says"));
    }
    if array::<4>(header, CRC_AT) != checksum(header, payload).to_le_bytes() {
        return Err(damaged("its checksum does not match"));
    }
    let version = u16::from_le_bytes(array(header, 8));
    if version != FORMAT_VERSION {
        return Err(StateError::NewerFormat { file: file.to_owned(), version, known: FORMAT_VERSION });
    }
    match header[10] {
        KIND_CHECKPOINT => Ok(Entry::Checkpoint(payload_of(file, payload)?)),
        KIND_TAKEOVER => Ok(Entry::Takeover(payload_of(file, payload)?)),
        kind => Err(damaged(&format!("it is of the unknown kind {kind}"))),
    }
}

fn encode<T: Serialize>(kind: u8, value: &T) -> Result<Bytes, StateError> {
    let payload = codec::encode(value)
        .map_err(|error| StateError::Unencodable { what: "a manifest", problem: error.to_string() })?;
    Ok(enveloped(kind, &payload))
}

/// `payload` behind a header that fits it.
pub(crate) fn enveloped(kind: u8, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[kind, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(payload);
    let (header, payload) = bytes.split_at(HEADER_BYTES);
    let crc = checksum(header, payload);
    bytes[CRC_AT..LENGTH_AT].copy_from_slice(&crc.to_le_bytes());
    bytes.into()
}

fn payload_of<T: DeserializeOwned>(file: &str, payload: &[u8]) -> Result<T, StateError> {
    codec::decode(payload)
        .map_err(|error| StateError::Damaged { file: file.to_owned(), problem: error.to_string() })
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&header[8..CRC_AT]);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &header[LENGTH_AT..]), payload)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}
