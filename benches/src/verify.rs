//! What must come out of a workload: checksums that sinks keep, and what they have to be.
//!
//! A checksum takes a multiplication or two per record, so that verifying does not become what is
//! measured, and is a sum, so that the order of the output does not matter. A count that is
//! missing, repeated, wrong, or under another key changes it.

use std::ops::{Add, AddAssign, Range};
use std::thread;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::args::Workload;
use crate::generator::{Event, SLIDING_MS, WINDOW_MS, event};

/// A running checksum over the output of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checksum {
    /// How many results there were.
    pub results: u64,
    /// Their wrapping sum, each weighted by its key.
    pub sum: u64,
}

impl Checksum {
    /// Adds what W0 gives for a record.
    #[inline]
    pub fn mapped(&mut self, value: i64) {
        self.results += 1;
        self.sum = self.sum.wrapping_add(value as u64);
    }

    /// Adds an update of W1: `key` has been seen `count` times.
    #[inline]
    pub fn counted(&mut self, key: u64, count: u64) {
        self.results += 1;
        self.sum = self.sum.wrapping_add(weight(key).wrapping_mul(count));
    }

    /// Adds a result of W2: the values of `key` in the window from `start` on add up to `sum`.
    #[inline]
    pub fn summed(&mut self, key: u64, start: i64, sum: i64) {
        self.results += 1;
        self.sum = self.sum.wrapping_add(window_weight(key, start).wrapping_mul(sum as u64));
    }

    /// Adds a result of W4: what is in range of the record of `key` at `time`.
    #[inline]
    pub fn ranged(&mut self, key: u64, time: i64, (count, sum, max, short): crate::over::Results) {
        self.results += 1;
        let mixed = [sum as u64, max as u64, short as u64].into_iter().fold(count, |mixed, part| {
            mixed.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(17).wrapping_add(part)
        });
        self.sum = self.sum.wrapping_add(window_weight(key, time).wrapping_mul(mixed));
    }
}

impl AddAssign for Checksum {
    fn add_assign(&mut self, other: Self) {
        self.results += other.results;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl Add for Checksum {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

/// The map of W0.
#[inline]
pub fn w0_map(event: Event) -> Event {
    Event { value: event.value.wrapping_mul(3) + 1, ..event }
}

/// The start of the window of W2 that `time` falls into.
#[inline]
pub fn window_start(time: i64) -> i64 {
    time - time.rem_euclid(WINDOW_MS)
}

#[inline]
fn weight(key: u64) -> u64 {
    let mixed = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[inline]
fn window_weight(key: u64, start: i64) -> u64 {
    weight(key ^ (start as u64).wrapping_mul(0xd6e8_feb8_6659_fd93))
}

/// What a workload was given.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Records.
    pub events: u64,
    /// Distinct keys.
    pub keys: u64,
    /// Maps that move a record to the next key, in W1.
    pub maps: u32,
    /// Windows that a record is in, in `sliding-sum`.
    pub slides: u32,
}

/// Fails unless `found` is what `workload` gives for `input`.
pub fn check(workload: Workload, input: &Input, found: Checksum) -> Result<()> {
    let Input { events, keys, .. } = *input;
    let expected = expected(workload, input);
    if found != expected {
        bail!(
            "{workload} gave a wrong result for {events} events over {keys} keys: \
             {} results with checksum {:016x}, but it should be {} with {:016x}",
            found.results,
            found.sum,
            expected.results,
            expected.sum
        );
    }
    Ok(())
}

/// The checksum that a workload has to come to, from a plain loop over its input.
fn expected(workload: Workload, input: &Input) -> Checksum {
    let Input { events, keys, .. } = *input;
    match workload {
        Workload::Passthrough => in_parallel(events, &|range| {
            let mut sum = Checksum::default();
            range.for_each(|index| sum.mapped(w0_map(event(index, keys)).value));
            sum
        }),
        Workload::TumblingSum => expected_sums(events, keys),
        Workload::SlidingSum => expected_sliding_sums(input, SLIDING_MS),
        _ => expected_counts(input),
    }
}

/// Of a key seen *n* times W1 gives 1, 2, ... *n*.
fn expected_counts(&Input { events, keys, maps, .. }: &Input) -> Checksum {
    let mut counts = vec![0u32; usize::try_from(keys).expect("keys fit in memory")];
    (0..events).for_each(|index| counts[event(index, keys).key as usize] += 1);
    let mut sum = Checksum { results: events, sum: 0 };
    for (key, count) in (0u64..).zip(counts) {
        let count = u64::from(count);
        let updates = count * (count + 1) / 2;
        let mapped = (key + u64::from(maps)) % keys;
        sum.sum = sum.sum.wrapping_add(weight(mapped).wrapping_mul(updates));
    }
    sum
}

/// The weighted sum of W2 is that of its records; its results are the distinct (window, key).
fn expected_sums(events: u64, keys: u64) -> Checksum {
    let mut sum = Checksum::default();
    let mut seen_in = vec![i64::MIN; usize::try_from(keys).expect("keys fit in memory")];
    for index in 0..events {
        let Event { key, value, time } = event(index, keys);
        let start = window_start(time);
        sum.sum = sum.sum.wrapping_add(window_weight(key, start).wrapping_mul(value as u64));
        if seen_in[key as usize] != start {
            seen_in[key as usize] = start;
            sum.results += 1;
        }
    }
    sum
}

/// The weighted sum of `sliding-sum` is that of its records in all their windows; its results are the distinct (window, key): of
/// a key that was in a window before, only those windows that it was not in.
fn expected_sliding_sums(&Input { events, keys, slides, .. }: &Input, size_ms: i64) -> Checksum {
    let slides = i64::from(slides);
    let slide_ms = size_ms / slides;
    let mut sum = in_parallel(events, &|range| {
        let mut sum = Checksum::default();
        for Event { key, value, time } in range.map(|index| event(index, keys)) {
            let last = time - time.rem_euclid(slide_ms);
            for start in (0..slides).map(|back| last - back * slide_ms) {
                let weighted = window_weight(key, start).wrapping_mul(value as u64);
                sum.sum = sum.sum.wrapping_add(weighted);
            }
        }
        sum
    });
    let mut seen_in = vec![-slides; usize::try_from(keys).expect("keys fit in memory")];
    for Event { key, time, .. } in (0..events).map(|index| event(index, keys)) {
        let slice = time / slide_ms;
        let before = std::mem::replace(&mut seen_in[key as usize], slice);
        sum.results += (slice - before).min(slides).unsigned_abs();
    }
    sum
}

/// Adds up `part` over the input, cut into two: the least that any machine has.
fn in_parallel(events: u64, part: &(dyn Fn(Range<u64>) -> Checksum + Sync)) -> Checksum {
    thread::scope(|scope| {
        let first = scope.spawn(|| part(0..events / 2));
        let second = part(events / 2..events);
        first.join().expect("a plain loop does not panic") + second
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const EVENTS: u64 = 30_000;
    const KEYS: u64 = 100;
    const INPUT: Input = Input { events: EVENTS, keys: KEYS, maps: 0, slides: 4 };

    fn counts() -> Vec<(u64, u64)> {
        let mut counts = BTreeMap::new();
        (0..EVENTS)
            .map(|index| {
                let key = event(index, KEYS).key;
                let count = counts.entry(key).or_insert(0);
                *count += 1;
                (key, *count)
            })
            .collect()
    }

    fn checksum(updates: &[(u64, u64)]) -> Checksum {
        let mut sum = Checksum::default();
        updates.iter().for_each(|&(key, count)| sum.counted(key, count));
        sum
    }

    #[test]
    fn a_right_count_passes_in_any_order() {
        let mut updates = counts();
        updates.reverse();
        check(Workload::KeyedCount, &INPUT, checksum(&updates)).unwrap();
    }

    #[test]
    fn a_lost_repeated_or_misplaced_update_does_not_pass() {
        let fails = |change: fn(&mut Vec<(u64, u64)>)| {
            let mut updates = counts();
            change(&mut updates);
            assert!(check(Workload::KeyedCount, &INPUT, checksum(&updates)).is_err());
        };
        fails(|updates| updates.truncate(updates.len() - 1));
        fails(|updates| updates.push(updates[5]));
        fails(|updates| updates[7].1 += 1);
        fails(|updates| updates[7].0 += 1);
        // Two wrongs that a plain sum would let pass.
        fails(|updates| {
            updates[7].1 += 1;
            updates[8].1 -= 1;
        });
    }

    #[test]
    fn maps_move_counts_to_other_keys() {
        let moved = |by: u64| {
            let mut updates = counts();
            updates.iter_mut().for_each(|update| update.0 = (update.0 + by) % KEYS);
            check(Workload::KeyedCount, &Input { maps: 3, ..INPUT }, checksum(&updates))
        };
        moved(3).unwrap();
        assert!(moved(2).is_err(), "a map that is left out shows");
    }

    #[test]
    fn window_sums_are_checked_per_window_and_key() {
        let mut sums: BTreeMap<(i64, u64), i64> = BTreeMap::new();
        for event in (0..EVENTS).map(|index| event(index, KEYS)) {
            *sums.entry((window_start(event.time), event.key)).or_default() += event.value;
        }
        let mut right = Checksum::default();
        sums.iter().for_each(|(&(start, key), &sum)| right.summed(key, start, sum));
        check(Workload::TumblingSum, &INPUT, right).unwrap();

        let mut wrong = Checksum::default();
        sums.iter().for_each(|(&(start, key), &sum)| wrong.summed(key, start + WINDOW_MS, sum));
        assert!(check(Workload::TumblingSum, &INPUT, wrong).is_err());
    }
    #[test]
    fn sliding_sums_are_those_of_all_windows() {
        // Keys leave windows, and come back.
        let (input, size_ms, slide_ms) = (Input { events: 200_000, keys: 10_000, ..INPUT }, 20, 5);
        let mut sums: BTreeMap<(i64, u64), i64> = BTreeMap::new();
        for event in (0..input.events).map(|index| event(index, input.keys)) {
            let last = event.time - event.time.rem_euclid(slide_ms);
            (0..4).for_each(|n| *sums.entry((last - n * slide_ms, event.key)).or_default() += event.value);
        }
        let mut right = Checksum::default();
        sums.iter().for_each(|(&(start, key), &sum)| right.summed(key, start, sum));
        assert_eq!(expected_sliding_sums(&input, size_ms), right);
    }
}
