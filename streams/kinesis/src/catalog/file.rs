//! The layout of a file of the catalog, all numbers little-endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 8 | magic `PELTKINE` |
//! | u32 | version, 1 |
//! | u32 | length of the body |
//! | n | body, JSON |
//! | u32 | crc32c of everything before |
//!
//! The body is JSON, because members are added to it more often than to anything else on disk: one that is
//! absent has its default, so older files go on to be read.

use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: &[u8; 8] = b"PELTKINE";
const VERSION: u32 = 1;
const HEAD: usize = 16;

pub(super) fn encode<T: Serialize>(content: &T) -> Vec<u8> {
    let body = serde_json::to_vec(content).expect("what the catalog holds can be written as JSON");
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let (sealed, sum) = bytes.split_last_chunk().ok_or("it is cut short")?;
    if crc32c::crc32c(sealed) != u32::from_le_bytes(*sum) {
        return Err("its checksum does not match".to_owned());
    }
    let rest = sealed.strip_prefix(MAGIC).ok_or("it is no file of the catalog")?;
    let (version, rest) = rest.split_first_chunk().ok_or("it is cut short")?;
    if u32::from_le_bytes(*version) != VERSION {
        return Err(format!(
            "it has version {}, this is for version {VERSION}",
            u32::from_le_bytes(*version)
        ));
    }
    let (length, body) = rest.split_first_chunk().ok_or("it is cut short")?;
    if u32::from_le_bytes(*length) as usize != body.len() || sealed.len() < HEAD {
        return Err("its length does not match".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::StreamRecord;

    #[test]
    fn each_flipped_bit_and_each_cut_is_seen() {
        let bytes = encode(&StreamRecord::new("payments", 1_000));
        assert_eq!(decode::<StreamRecord>(&bytes).unwrap(), StreamRecord::new("payments", 1_000));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<StreamRecord>(&bytes).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode::<StreamRecord>(&bytes[..len]).is_err(), "cut to {len}");
        }
    }
}
