//! The bytes of a split's position, as checkpoints keep them.
//!
//! | byte | what |
//! | --- | --- |
//! | 0 | what it is the position of: 1 an index, 2 a file, 3 a shard |
//! | 1 | format version of its kind: 1 of an index, 2 of a file and of a shard |
//! | 2.. | the fields, each a `u64`, little endian |
//!
//! Fields: of an index the next index; of a file the offset after the last record, the number
//! of lines before it, and the CRC-32C of the 256 bytes before it, or of as many as there are; of a shard the least sequence number of the next record, the last one
//! that is to be read, `u64::MAX` if there is none, and the id of the stream: one that was deleted
//! and created anew counts from 1 again. Version 1 of a shard's position was without the stream, that of a file's
//! without the checksum.

use pelton_dataflow::source::SplitId;

use crate::error::{Error, Result};

/// What a position is of; the number is its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Index = 1,
    File = 2,
    Shard = 3,
}

impl Kind {
    fn version(self) -> u8 {
        match self {
            Self::Index => 1,
            Self::File | Self::Shard => 2,
        }
    }

    fn of_tag(tag: u8) -> Option<Self> {
        [Self::Index, Self::File, Self::Shard].into_iter().find(|kind| *kind as u8 == tag)
    }

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
    bytes.extend([kind as u8, kind.version()]);
    for field in fields {
        bytes.extend(field.to_le_bytes());
    }
    bytes
}

/// A position as its source would say it; `None` if the bytes are no position of a source of this
/// crate, or of a newer version.
///
/// ```
/// let bytes = b"\x01\x01\x2a\0\0\0\0\0\0\0";
/// assert_eq!(pelton_connectors::describe_position(bytes).as_deref(), Some("next is index 42"));
/// assert_eq!(pelton_connectors::describe_position(b"of another source"), None);
/// ```
#[must_use]
pub fn describe(bytes: &[u8]) -> Option<String> {
    let [tag, version, fields @ ..] = bytes else { return None };
    let kind = Kind::of_tag(*tag).filter(|kind| kind.version() == *version)?;
    let (words, []) = fields.as_chunks::<8>() else { return None };
    let fields: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    Some(match (kind, &fields[..]) {
        (Kind::Index, [next]) => format!("next is index {next}"),
        (Kind::File, [offset, 1, _]) => format!("byte {offset}, after 1 line"),
        (Kind::File, [offset, lines, _]) => format!("byte {offset}, after {lines} lines"),
        (Kind::Shard, [next, u64::MAX, _]) => format!("next is sequence number {next}"),
        (Kind::Shard, [next, end, _]) if next > end => format!("read to its end, sequence number {end}"),
        (Kind::Shard, [next, end, _]) => format!("next is sequence number {next}, of up to {end}"),
        _ => return None,
    })
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
    if *version != kind.version() {
        let known = kind.version();
        return Err(wrong(format!("it has format version {version}, this version reads {known}")));
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
        fn positions_come_back(index: [u64; 1], file: [u64; 3], shard: [u64; 3]) {
            prop_assert_eq!(decode(Kind::Index, &encode(Kind::Index, index), &split()).unwrap(), index);
            prop_assert_eq!(decode(Kind::File, &encode(Kind::File, file), &split()).unwrap(), file);
            prop_assert_eq!(decode(Kind::Shard, &encode(Kind::Shard, shard), &split()).unwrap(), shard);
        }
    }

    /// Positions as the first release writes them, which must be read for ever.
    #[test]
    fn positions_of_these_versions_are_read() {
        assert_eq!(decode(Kind::Index, b"\x01\x01\x2a\0\0\0\0\0\0\0", &split()).unwrap(), [42]);
        assert_eq!(
            decode(Kind::File, b"\x02\x02\0\x01\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0", &split())
                .unwrap(),
            [256, 7, 9]
        );
        let shard =
            b"\x03\x02\x2a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(decode(Kind::Shard, shard, &split()).unwrap(), [42, u64::MAX, 0x0807_0605_0403_0201]);
    }

    #[test]
    fn positions_are_said_as_their_sources_would() {
        for (bytes, said) in [
            (encode(Kind::Index, [7]), "next is index 7"),
            (encode(Kind::File, [256, 7, 9]), "byte 256, after 7 lines"),
            (encode(Kind::File, [12, 1, 9]), "byte 12, after 1 line"),
            (encode(Kind::Shard, [1001, u64::MAX, 9]), "next is sequence number 1001"),
            (encode(Kind::Shard, [1001, 5000, 9]), "next is sequence number 1001, of up to 5000"),
            (encode(Kind::Shard, [5001, 5000, 9]), "read to its end, sequence number 5000"),
        ] {
            assert_eq!(describe(&bytes).as_deref(), Some(said));
        }
        for unknown in [
            &b""[..],
            b"\x01",
            b"\x01\x02\x2a\0\0\0\0\0\0\0",
            b"\x04\x01\x2a\0\0\0\0\0\0\0",
            &encode(Kind::Index, [7, 8]),
            &encode(Kind::Shard, [7, 8]),
            b"\x03\x01\x2a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            &[&encode(Kind::File, [7, 8, 9])[..], b"x"].concat(),
        ] {
            assert_eq!(describe(unknown), None, "{unknown:?}");
        }
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
