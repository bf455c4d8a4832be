//! Sequence numbers as Kinesis writes them: 56 digits that increase in a shard and from a shard to its
//! children. What the log numbers within a shard stands in the middle of them.
//!
//! The layout is that of AWS's "version 2", from the highest bit on:
//!
//! | bits | field |
//! | --- | --- |
//! | 4 | 2 |
//! | 36 | when the shard was created, s |
//! | 4 | the lowest bits of the shard |
//! | 64 | the record's number in the shard, at most 2^63 - 1 |
//! | 8 | 0 |
//! | 36 | when the record arrived, s |
//! | 32 | the shard |
//! | 4 | the version, 2 |
//!
//! A shard counts as created at least a second after each of its parents, so that its numbers are above theirs.

use std::fmt;

/// The number in the shard that the end of a closed shard has: above every record's.
pub const LAST_NUMBER: u64 = i64::MAX as u64;

const LEAD: u64 = 2;
const VERSION: u128 = 2;
/// What fits into one step of writing in decimal.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 19;
const SECONDS: u64 = (1 << 36) - 1;

/// A sequence number, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// When its shard counts as created, in seconds since the Unix epoch.
    pub created_s: u64,
    /// Its shard.
    pub shard: u32,
    /// The record's number in its shard.
    pub number: u64,
    /// When the record arrived, in seconds since the Unix epoch.
    pub arrived_s: u64,
}

impl Sequence {
    /// Reads a number as text; `None` if it is none of this layout.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut high, mut low) = (0_u64, 0_u128);
        if text.is_empty() || text.len() > 57 {
            return None;
        }
        for digit in text.bytes() {
            let digit = u128::from(digit.wrapping_sub(b'0'));
            if digit > 9 {
                return None;
            }
            // low * 10 + digit, in two halves, so that what does not fit goes up.
            let bottom = (low & u128::from(u64::MAX)) * 10 + digit;
            let top = (low >> 64) * 10 + (bottom >> 64);
            low = (top << 64) | (bottom & u128::from(u64::MAX));
            high = high.checked_mul(10)?.checked_add((top >> 64) as u64)?;
        }
        let number = (high << 48) | (low >> 80) as u64;
        let sequence = Self {
            created_s: (high >> 20) & SECONDS,
            shard: (low >> 4) as u32,
            number,
            arrived_s: (low >> 36) as u64 & SECONDS,
        };
        let holds = high >> 56 == LEAD && low & 0xf == VERSION && number <= LAST_NUMBER;
        (holds && sequence.limbs() == (high, low)).then_some(sequence)
    }

    /// The highest 60 bits, and the 128 below.
    fn limbs(&self) -> (u64, u128) {
        let low = VERSION
            | u128::from(self.shard) << 4
            | u128::from(self.arrived_s & SECONDS) << 36
            | u128::from(self.number) << 80;
        let high = self.number >> 48
            | u64::from(self.shard & 0xf) << 16
            | (self.created_s & SECONDS) << 20
            | LEAD << 56;
        (high, low)
    }

    /// Its decimal digits.
    fn digits(&self) -> [u8; 3 * CHUNK_DIGITS] {
        let (high, low) = self.limbs();
        let mut limbs = [high, (low >> 64) as u64, low as u64];
        let mut digits = [b'0'; 3 * CHUNK_DIGITS];
        for chunk in digits.rchunks_exact_mut(CHUNK_DIGITS) {
            let mut rest = 0_u64;
            for limb in &mut limbs {
                let value = u128::from(rest) << 64 | u128::from(*limb);
                *limb = (value / u128::from(CHUNK)) as u64;
                rest = (value % u128::from(CHUNK)) as u64;
            }
            for digit in chunk.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        digits
    }

    /// Appends its digits to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let digits = self.digits();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        out.extend_from_slice(&digits[zeros..]);
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::with_capacity(56);
        self.write(&mut digits);
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_aws_gave_are_read_and_written_as_they_were() {
        // From the examples of the API reference (`PutRecord`, `PutRecords`).
        for (text, shard) in [
            ("49543463076548007577105092703039560359975228518395019266", 0),
            ("49543463076570308322303623326179887152428262250726293522", 1),
            ("49546986683135544286507457936321625675700192471156785154", 0),
        ] {
            let sequence = Sequence::parse(text).unwrap();
            assert_eq!((sequence.shard, sequence.to_string()), (shard, text.to_owned()), "{sequence:?}");
        }
    }

    #[test]
    fn what_is_no_such_number_is_refused() {
        let good = Sequence { created_s: 1_500_000_000, shard: 3, number: 7, arrived_s: 1_500_000_001 };
        let good = good.to_string();
        assert_eq!(good.len(), 56);
        for bad in
            ["", "0", "1", "-1", "x", &good[1..], &format!("{good}0"), &format!("{good}00"), &"9".repeat(129)]
        {
            assert_eq!(Sequence::parse(bad), None, "{bad}");
        }
        // Another version in the last bits.
        let other = format!("{}{}", &good[..55], (good.as_bytes()[55] - b'0' + 1) % 10);
        assert_eq!(Sequence::parse(&other), None);
    }

    proptest! {
        #[test]
        fn they_survive_and_sort_by_shard_then_number(
            created_s in 1_400_000_000_u64..10_000_000_000, shard: u32, number in 0..=LAST_NUMBER,
            arrived_s in 1_400_000_000_u64..10_000_000_000, later in 1_u64..1000,
        ) {
            let one = Sequence { created_s, shard, number, arrived_s };
            prop_assert_eq!(Sequence::parse(&one.to_string()), Some(one));
            prop_assert_eq!(one.to_string().len(), 56);
            let child = Sequence { created_s: created_s + later, shard: shard ^ 1, number: 0, arrived_s: 0 };
            prop_assert!(one.to_string() < child.to_string());
            if number < LAST_NUMBER {
                let next = Sequence { number: number + 1, arrived_s: 0, ..one };
                prop_assert!(one.to_string() < next.to_string());
            }
        }
    }
}
