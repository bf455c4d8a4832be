//! A record inside a frame's payload. Layout (`FORMAT.md`, "Record"): data length u32, key length u16,
//! flags u16, [event time i64], [explicit hash key u128], key, data. Number and arrival time come from the
//! frame.

use crate::error::{Error, Result};
use crate::hash::HashKey;
use crate::types::limits;

/// Bytes before the optional fields.
pub(crate) const RECORD_HEADER: usize = 8;
/// An event time follows the header.
const HAS_EVENT_TIME: u16 = 1;
/// An explicit hash key follows the event time, or its place.
const HAS_HASH_KEY: u16 = 2;

/// One record's fields, borrowed from a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawRecord<'a> {
    pub event_time_ms: Option<i64>,
    /// The hash key that stands in for the one of the partition key.
    pub hash_key: Option<HashKey>,
    pub key: &'a [u8],
    pub data: &'a [u8],
    /// Bytes that the record takes in the payload.
    pub len: usize,
}

impl RawRecord<'_> {
    /// The hash key that decides the record's shard.
    pub fn routed_by(&self) -> HashKey {
        self.hash_key.unwrap_or_else(|| HashKey::of(self.key))
    }
}

/// Checks the sizes of a record before it is encoded.
pub(crate) fn check(key: &[u8], data: &[u8]) -> Result<()> {
    if key.len() > limits::MAX_PARTITION_KEY_BYTES {
        let limit = limits::MAX_PARTITION_KEY_BYTES;
        return Err(Error::InvalidArgument(format!(
            "the partition key has {} bytes, more than the limit of {limit}",
            key.len()
        )));
    }
    if data.len() > limits::MAX_RECORD_BYTES {
        let limit = limits::MAX_RECORD_BYTES;
        return Err(Error::InvalidArgument(format!(
            "the record has {} bytes, more than the limit of {limit}; split it, or store it elsewhere and send a reference",
            data.len()
        )));
    }
    Ok(())
}

/// Appends a record that [`check`] has passed.
#[inline]
pub(crate) fn encode(
    buffer: &mut Vec<u8>,
    key: &[u8],
    data: &[u8],
    event_time_ms: Option<i64>,
    hash_key: Option<HashKey>,
) {
    let timed = if event_time_ms.is_some() { HAS_EVENT_TIME } else { 0 };
    let flags = timed | if hash_key.is_some() { HAS_HASH_KEY } else { 0 };
    buffer.reserve(RECORD_HEADER + 24 + key.len() + data.len());
    // The lengths are within limits that fit these types.
    let header = data.len() as u64 | (key.len() as u64) << 32 | u64::from(flags) << 48;
    buffer.extend_from_slice(&header.to_le_bytes());
    if let Some(time) = event_time_ms {
        buffer.extend_from_slice(&time.to_le_bytes());
    }
    if let Some(HashKey(hash_key)) = hash_key {
        buffer.extend_from_slice(&hash_key.to_le_bytes());
    }
    buffer.extend_from_slice(key);
    buffer.extend_from_slice(data);
}

/// The first record of `payload`; `None` if its lengths do not fit.
#[inline]
pub(crate) fn decode(payload: &[u8]) -> Option<RawRecord<'_>> {
    let header = u64::from_le_bytes(*payload.first_chunk::<RECORD_HEADER>()?);
    let (data_len, key_len) = (header as u32 as usize, (header >> 32) as u16 as usize);
    let flags = (header >> 48) as u16;
    if flags & !(HAS_EVENT_TIME | HAS_HASH_KEY) != 0 {
        return None;
    }
    let (mut event_time_ms, mut hash_key) = (None, None);
    let mut at = RECORD_HEADER;
    if flags & HAS_EVENT_TIME != 0 {
        event_time_ms = Some(i64::from_le_bytes(*payload.get(at..)?.first_chunk()?));
        at += 8;
    }
    if flags & HAS_HASH_KEY != 0 {
        hash_key = Some(HashKey(u128::from_le_bytes(*payload.get(at..)?.first_chunk()?)));
        at += 16;
    }
    let len = at + key_len + data_len;
    let (key, data) = payload.get(at..len)?.split_at(key_len);
    Some(RawRecord { event_time_ms, hash_key, key, data, len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_1_still_reads() {
        let mut bytes = Vec::new();
        encode(&mut bytes, b"card-7", b"{\"amount\":12}", None, None);
        encode(&mut bytes, b"", b"", Some(-1), None);
        encode(&mut bytes, b"k", b"", None, Some(HashKey(u128::MAX - 1)));
        let fixture = crate::format::check_fixture("record.bin", &bytes);
        let first = decode(&fixture).unwrap();
        assert_eq!(
            (first.key, first.data, first.event_time_ms),
            (&b"card-7"[..], &b"{\"amount\":12}"[..], None)
        );
        let second = decode(&fixture[first.len..]).unwrap();
        assert_eq!((second.key, second.data, second.event_time_ms), (&b""[..], &b""[..], Some(-1)));
        let third = decode(&fixture[first.len + second.len..]).unwrap();
        assert_eq!((third.key, third.hash_key), (&b"k"[..], Some(HashKey(u128::MAX - 1))));
        assert_eq!(third.routed_by(), HashKey(u128::MAX - 1));
        assert_eq!(first.routed_by(), HashKey::of(b"card-7"));
    }

    proptest! {
        #[test]
        fn round_trip(key: Vec<u8>, data: Vec<u8>, time: Option<i64>, hash: Option<u128>, rest: Vec<u8>) {
            let (mut bytes, hash_key) = (Vec::new(), hash.map(HashKey));
            encode(&mut bytes, &key, &data, time, hash_key);
            let len = bytes.len();
            bytes.extend_from_slice(&rest);
            let record = decode(&bytes).unwrap();
            prop_assert_eq!(record, RawRecord { event_time_ms: time, hash_key, key: &key, data: &data, len });
            for cut in 0..len {
                prop_assert!(decode(&bytes[..cut]).is_none());
            }
        }
    }
}
