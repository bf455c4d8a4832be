//! What a source remembers of its splits in a checkpoint, besides where they were read to.
//!
//! Each instance leaves one piece, and a new one is given the pieces of all old ones: a split may
//! have been another worker's. Byte 0 is the format version, 1; what follows is a list of splits,
//! each its id and its [`SplitMemory`], in the engine's codec. No bytes at all are an empty list.

use std::collections::HashMap;

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::RestoredPart;
use pelton_dataflow::source::SplitId;
use pelton_dataflow::time::EventTime;
use pelton_state::codec;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// What is remembered of one split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SplitMemory {
    /// How many records were read of it.
    pub read: u64,
    /// Its watermark.
    pub watermark: EventTime,
    /// Its watermark generator's state, in the engine's codec; none if it follows from the latest time.
    pub generator: Option<Vec<u8>>,
}

/// As a checkpoint keeps it.
pub(super) fn encode(splits: &[(SplitId, SplitMemory)]) -> Result<Vec<u8>, OpError> {
    if splits.is_empty() {
        return Ok(Vec::new());
    }
    let mut bytes = vec![VERSION];
    bytes.extend(codec::encode(splits)?);
    Ok(bytes)
}

/// What all old instances have left.
pub(super) fn decode(parts: &[RestoredPart]) -> Result<HashMap<SplitId, SplitMemory>, OpError> {
    let mut memories = HashMap::new();
    for part in parts {
        match part.bytes.split_first() {
            None => {}
            Some((&VERSION, bytes)) => memories.extend(codec::decode::<Vec<(SplitId, SplitMemory)>>(bytes)?),
            Some((version, _)) => {
                let known = format!("it was kept in format {version}, this version reads {VERSION}");
                return Err(format!("what is remembered of its splits cannot be read: {known}").into());
            }
        }
    }
    Ok(memories)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str, watermark: i64, generator: Option<&[u8]>) -> (SplitId, SplitMemory) {
        let generator = generator.map(<[u8]>::to_vec);
        (SplitId(name.to_owned()), SplitMemory { read: 3, watermark: EventTime(watermark), generator })
    }

    fn part(bytes: Vec<u8>) -> RestoredPart {
        RestoredPart { groups: 0..1, watermark: EventTime::MIN, bytes }
    }

    #[test]
    fn the_pieces_of_all_instances_come_back() {
        let (a, b) = (split("a", 5, None), split("b", -7, Some(&[1, 2])));
        let pieces = [vec![a.clone()], vec![], vec![b.clone()]].map(|piece| part(encode(&piece).unwrap()));
        assert_eq!(decode(&pieces).unwrap(), HashMap::from([a, b]));
    }

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_bytes_are_fixed() {
        let bytes = encode(&[split("a", 5, Some(&[9]))]).unwrap();
        let expected: &[u8] = b"\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0a\x03\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0\0\x09";
        assert_eq!(bytes, expected);
        let refused = decode(&[part(vec![2])]).unwrap_err().to_string();
        assert!(refused.ends_with("it was kept in format 2, this version reads 1"), "{refused}");
    }
}
