//! W4: what it reads, and what must come out by a plain loop.
//!
//! Record *i* is of event time *i*, so that no two are of one time; a key has one every `--keys` milliseconds
//! in the mean, and the range is so long that `--range-records` of them are in it.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::args::Args;
use crate::generator::{Event, event};
use crate::verify::Checksum;

/// The count, sum and maximum in the range, and the sum in a tenth of it.
pub type Results = (u64, i64, i64, i64);

/// What a run is given.
#[derive(Clone, Copy, Debug)]
pub struct OverInput {
    pub events: u64,
    pub keys: u64,
    range_ms: u64,
}

/// Record `index`.
#[inline]
pub fn over_event(index: u64, keys: u64) -> Event {
    Event { time: index as i64, ..event(index, keys) }
}

impl OverInput {
    pub fn of(args: &Args) -> Self {
        Self { events: args.events(), keys: args.keys, range_ms: args.range_records() * args.keys }
    }

    /// The range.
    pub fn long(self) -> Duration {
        Duration::from_millis(self.range_ms.max(1))
    }

    /// A tenth of it.
    pub fn short(self) -> Duration {
        Duration::from_millis((self.range_ms / 10).max(1))
    }

    /// Fails unless `found` is right.
    pub fn check(self, found: Checksum) -> Result<()> {
        let expected = self.expected();
        if found != expected {
            bail!("`over` gave a wrong result: {found:?}, but it should be {expected:?}");
        }
        Ok(())
    }

    fn expected(self) -> Checksum {
        let mut sum = Checksum::default();
        let mut keys = vec![InRange::default(); usize::try_from(self.keys).expect("keys fit in memory")];
        let (long, short) = (self.long().as_millis() as i64, self.short().as_millis() as i64);
        for index in 0..self.events {
            let Event { key, value, time } = over_event(index, self.keys);
            let results = keys[key as usize].add(time, value, long, short);
            sum.ranged(key, time, results);
        }
        sum
    }
}

/// The values of one key that are in range, with what can be subtracted as integers can.
#[derive(Clone, Default)]
struct InRange {
    values: VecDeque<(i64, i64)>,
    sum: i64,
    /// Each less than those before it.
    greatest: VecDeque<(i64, i64)>,
    /// Of `values`, so many at the end are in the short range.
    in_short: usize,
    short_sum: i64,
}

impl InRange {
    fn add(&mut self, time: i64, value: i64, long: i64, short: i64) -> Results {
        self.values.push_back((time, value));
        self.sum += value;
        self.in_short += 1;
        self.short_sum += value;
        while let Some((at, gone)) = self.values.get(self.values.len().wrapping_sub(self.in_short)) {
            if *at > time - short {
                break;
            }
            self.short_sum -= gone;
            self.in_short -= 1;
        }
        while let Some((_, gone)) = self.values.pop_front_if(|(at, _)| *at <= time - long) {
            self.sum -= gone;
        }
        while self.greatest.pop_back_if(|(_, other)| *other <= value).is_some() {}
        self.greatest.push_back((time, value));
        while self.greatest.pop_front_if(|(at, _)| *at <= time - long).is_some() {}
        (self.values.len() as u64, self.sum, self.greatest[0].1, self.short_sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_loop_is_the_definition() {
        let (mut in_range, mut all) = (InRange::default(), Vec::new());
        for index in 0..2_000u64 {
            let Event { key, value, time } = over_event(index, 3);
            if key != 1 {
                continue;
            }
            all.push((time, value));
            let within = |length: i64| {
                let near = all.iter().filter(move |(at, _)| *at > time - length);
                near.map(|(_, value)| *value).collect::<Vec<i64>>()
            };
            let (long, short) = (within(12), within(4));
            let max = long.iter().copied().max().unwrap();
            let expected = (long.len() as u64, long.iter().sum(), max, short.iter().sum());
            assert_eq!(in_range.add(time, value, 12, 4), expected);
        }
    }
}
