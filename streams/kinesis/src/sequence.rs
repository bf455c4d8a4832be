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

    /// It in chunks of 19 decimal digits, the highest first.
    fn chunks(&self) -> [u64; 3] {
        let (high, low) = self.limbs();
        let mut limbs = [high, (low >> 64) as u64, low as u64];
        let mut chunks = [0; 3];
        for chunk in chunks.iter_mut().rev() {
            for limb in &mut limbs {
                let value = u128::from(*chunk) << 64 | u128::from(*limb);
                *limb = (value / u128::from(CHUNK)) as u64;
                *chunk = (value % u128::from(CHUNK)) as u64;
            }
        }
        chunks
    }

    /// Appends its digits to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_digits(self.chunks(), out);
    }
}

fn write_digits(chunks: [u64; 3], out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let [high, rest @ ..] = chunks;
    // The lead makes the highest chunk more than nothing.
    out.extend_from_slice(buffer.format(high).as_bytes());
    for chunk in rest {
        let digits = buffer.format(chunk).as_bytes();
        out.extend_from_slice(&[b'0'; CHUNK_DIGITS][digits.len()..]);
        out.extend_from_slice(digits);
    }
}

/// Writes sequence numbers one after the other. One that follows the last within its shard and its second differs
/// from it by the same sum always, which is added in decimal: to divide 188 bits takes ten times as long.
#[derive(Debug, Default)]
pub struct SequenceWriter {
    last: Option<(Sequence, [u64; 3])>,
}

impl SequenceWriter {
    /// Appends the digits of `sequence` to `out`.
    pub fn write(&mut self, sequence: Sequence, out: &mut Vec<u8>) {
        let follows = |last: &Sequence| Sequence { number: last.number + 1, ..*last } == sequence;
        let chunks = match &self.last {
            Some((last, chunks)) if follows(last) => plus_one_number(*chunks),
            _ => sequence.chunks(),
        };
        write_digits(chunks, out);
        self.last = Some((sequence, chunks));
    }
}

/// Adds what a number that is one more adds: 2^80.
fn plus_one_number([high, middle, low]: [u64; 3]) -> [u64; 3] {
    const STEP: [u64; 2] = [120_892, 5_819_614_629_174_706_176];
    let carried = |sum: u64| if sum >= CHUNK { (sum - CHUNK, 1) } else { (sum, 0) };
    // A chunk and a step are less than 1.6 * 10^19, which is less than 2^64.
    let (low, carry) = carried(low + STEP[1]);
    let (middle, carry) = carried(middle + STEP[0] + carry);
    [high + carry, middle, low]
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
        fn a_writer_writes_each_as_it_is(
            created_s in 1_400_000_000_u64..10_000_000_000, shard: u32, number in 0..LAST_NUMBER - 300,
            steps in prop::collection::vec((1_u64..4, 0_u64..5), 1..200),
        ) {
            let mut sequence = Sequence { created_s, shard, number, arrived_s: created_s };
            let mut writer = SequenceWriter::default();
            for (numbers, seconds) in steps {
                let mut written = Vec::new();
                writer.write(sequence, &mut written);
                prop_assert_eq!(String::from_utf8(written).unwrap(), sequence.to_string());
                prop_assert_eq!(Sequence::parse(&sequence.to_string()), Some(sequence));
                // Mostly the next number; sometimes a gap, or another second.
                sequence.number += if numbers < 3 { 1 } else { numbers };
                sequence.arrived_s += seconds / 4;
            }
        }

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
