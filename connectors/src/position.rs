//! The bytes of a split's position, as checkpoints keep them.
//!
//! | byte | what |
//! | --- | --- |
//! | 0 | what it is the position of: 1 an index, 2 a file, 3 a shard |
//! | 1 | format version, 1 |
//! | 2.. | the fields, each a `u64`, little endian |
//!
//! Fields: of an index the next index; of a file the offset after the last record and the number
//! of lines before it; of a shard the least sequence number of the next record and the last one
//! that is to be read, `u64::MAX` if there is none.

use pelton_dataflow::source::SplitId;

use crate::error::{Error, Result};

const VERSION: u8 = 1;

/// What a position is of; the number is its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Index = 1,
    File = 2,
    Shard = 3,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Index => "position of a counted split",
            Self::File => "position in a file",
            Self::Shard => "position in a shard",
        }
    }
}

/// The bytes of a position.
pub(crate) fn encode<const N: usize>(kind: Kind, fields: [u64; N]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + 8 * N);
    bytes.extend([kind as u8, VERSION]);
    for field in fields {
        bytes.extend(field.to_le_bytes());
    }
    bytes
}

/// The fields of the position of `split`.
pub(crate) fn decode<const N: usize>(kind: Kind, bytes: &[u8], split: &SplitId) -> Result<[u64; N]> {
    let wrong = |reason: String| Error::Position { split: split.clone(), expected: kind.name(), reason };
    let [tag, version, fields @ ..] = bytes else {
        return Err(wrong(format!("it has {} bytes", bytes.len())));
    };
    if *tag != kind as u8 {
        return Err(wrong(format!("it is of kind {tag}")));
    }
    if *version != VERSION {
        return Err(wrong(format!("it has format version {version}, this version reads {VERSION}")));
    }
    let (words, rest) = fields.as_chunks::<8>();
    if words.len() != N || !rest.is_empty() {
        return Err(wrong(format!("it has {} bytes instead of {}", bytes.len(), 2 + 8 * N)));
    }
    let mut values = [0; N];
    for (value, word) in values.iter_mut().zip(words) {
        *value = u64::from_le_bytes(*word);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split() -> SplitId {
        SplitId("a".to_owned())
    }

    proptest! {
        #[test]
        fn positions_come_back(fields: [u64; 2]) {
            prop_assert_eq!(decode::<2>(Kind::File, &encode(Kind::File, fields), &split()).unwrap(), fields);
        }
    }

    /// Positions as version 1 wrote them, which must be read for ever.
    #[test]
    fn positions_of_version_1_are_read() {
        assert_eq!(decode(Kind::Index, b"\x01\x01\x2a\0\0\0\0\0\0\0", &split()).unwrap(), [42]);
        assert_eq!(
            decode(Kind::File, b"\x02\x01\0\x01\0\0\0\0\0\0\x07\0\0\0\0\0\0\0", &split()).unwrap(),
            [256, 7]
        );
        assert_eq!(
            decode(Kind::Shard, b"\x03\x01\xff\xff\xff\xff\xff\xff\xff\xff", &split()).unwrap(),
            [u64::MAX]
        );
    }

    #[test]
    fn wrong_bytes_are_named() {
        let good = encode(Kind::Index, [7]);
        for (bytes, reason) in [
            (&b""[..], "it has 0 bytes"),
            (&encode(Kind::File, [7]), "it is of kind 2"),
            (&[1, 9], "format version 9"),
            (&good[..good.len() - 1], "9 bytes instead of 10"),
            (&[&good[..], b"x"].concat(), "11 bytes instead of 10"),
        ] {
            let message = decode::<1>(Kind::Index, bytes, &split()).unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains("split `a`"), "{message}");
        }
    }
}
