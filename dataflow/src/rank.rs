//! Ranks: the order of records that have the same event time.
//!
//! A rank is a byte string that compares as records shall be ordered: where a record comes from, as
//! a name, then numbers that lead from there to the record. Of two records of one stream with
//! the same event time no two have the same rank. Ranks stand beside the records of a batch, and only
//! between a source and an operator that puts records in event order: see
//! `docs/decisions/0009-event-order-is-a-rank-and-a-buffer-with-steps.md`.
//!
//! | part | bytes |
//! | --- | --- |
//! | where from: source and split, or operator | UTF-8, each `00` as `00 ff`, then `00 01` |
//! | of an operator's timer: the key | as its rows have it, self-delimiting |
//! | each number | how many bytes follow, 0 to 8; big endian without leading zeros |
//!
//! Ranks are the keys of rows that wait to be put in order: these bytes are persisted and must never
//! change.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The place of a record among those of its event time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    bytes: Vec<u8>,
    /// It came later than its own split had promised.
    is_late: bool,
}

impl Rank {
    /// Before all others.
    pub const FIRST: Self = Self { bytes: Vec::new(), is_late: false };

    /// The beginning of the ranks of what comes from `name`: of a split, or of an operator.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut bytes = Vec::with_capacity(name.len() + 12);
        for byte in name.bytes() {
            bytes.push(byte);
            if byte == 0 {
                bytes.push(0xff);
            }
        }
        bytes.extend([0, 1]);
        Self { bytes, is_late: false }
    }

    /// The rank of what comes from here as `number`.
    #[must_use]
    pub fn then(&self, number: u64) -> Self {
        let mut next = Self { bytes: Vec::with_capacity(self.bytes.len() + 9), is_late: self.is_late };
        next.bytes.extend_from_slice(&self.bytes);
        next.push(number);
        next
    }

    /// The rank of what comes from here for a key, given as self-delimiting bytes.
    #[must_use]
    pub fn of_key(&self, key: &[u8]) -> Self {
        Self { bytes: [&self.bytes, key].concat(), is_late: self.is_late }
    }

    /// Goes on to what comes from here as `number`.
    pub fn push(&mut self, number: u64) {
        let digits = number.to_be_bytes();
        let zeros = (number.leading_zeros() / 8) as usize;
        self.bytes.push((digits.len() - zeros) as u8);
        self.bytes.extend_from_slice(&digits[zeros..]);
    }

    /// The same for a record that came later than its split had promised.
    #[must_use]
    pub fn late(mut self, is_late: bool) -> Self {
        self.is_late |= is_late;
        self
    }

    /// Whether the record came later than its split had promised, or was made from one that had.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.is_late
    }

    /// The bytes that compare.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// As bytes: what is late is not kept anywhere.
impl Serialize for Rank {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for Rank {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Rank;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a rank")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Rank, E> {
                self.visit_byte_buf(bytes.to_vec())
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Rank, E> {
                Ok(Rank { bytes, is_late: false })
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rank(from: &str, numbers: &[u64]) -> Rank {
        numbers.iter().fold(Rank::of(from), |rank, number| rank.then(*number))
    }

    proptest! {
        /// First by where they come from, then number by number; what was made from a record comes after it.
        #[test]
        fn ranks_compare_as_their_parts(
            a in ("[a\0b]{0,3}", prop::collection::vec(prop_oneof![0u64..3, any::<u64>()], 0..4)),
            b in ("[a\0b]{0,3}", prop::collection::vec(prop_oneof![0u64..3, any::<u64>()], 0..4)),
        ) {
            prop_assert_eq!(rank(&a.0, &a.1).cmp(&rank(&b.0, &b.1)), a.cmp(&b));
        }
    }

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_bytes_are_fixed() {
        assert_eq!(rank("in/0", &[0, 7, 0x0102]).as_bytes(), b"in/0\0\x01\0\x01\x07\x02\x01\x02");
        assert_eq!(
            Rank::of("a\0").of_key(b"k").then(u64::MAX).as_bytes(),
            b"a\0\xff\0\x01k\x08\xff\xff\xff\xff\xff\xff\xff\xff"
        );
    }

    #[test]
    fn what_is_made_of_a_late_record_is_late() {
        let late = Rank::of("in/0").late(true);
        assert!(late.then(3).is_late() && late.of_key(b"k").is_late() && !Rank::of("in/0").is_late());
    }
}
