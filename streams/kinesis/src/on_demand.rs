//! How many shards an on-demand stream has: what it has room for follows the peak of what it took, as with Amazon,
//! which keeps room for twice the peak of thirty days. Here:
//!
//! * A shard that took more than half of what a shard may take, on average since the last look, is split in its middle.
//! * So that a single key that is all the load does not split its shard for ever, there are never more than four
//!   times as many shards as the whole load needs, or twice as many as the stream has at least.
//! * Two neighbours which together took less than a quarter of what a shard may take, in each look of a whole day, are
//!   merged, as long as there are more than the stream has at least: four, or what it is kept warm for.
//!
//! Peaks are kept in memory: after a start, a day has to pass before anything is merged. It decides only; the
//! doing is for `upkeep`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use pelton_streams::ShardId;

use crate::limits::{BYTES_IN, RECORDS_IN};
use crate::service::{DAY_MS, HOUR_MS};

/// Shards that an on-demand stream has at least.
pub const LEAST_SHARDS: u32 = 4;
/// A look at what was taken is at least so long after the last one: a burst of a second splits nothing.
const LOOK_MS: u64 = 60_000;
/// A shard that takes more than this share of what it may is split.
const SPLIT_ABOVE: f64 = 0.5;
/// Neighbours that together take less than this share of one are merged.
const MERGE_BELOW: f64 = 0.25;
/// Shards for each that the load would fill.
const MOST_FOR_LOAD: f64 = 4.0;

/// An open shard, and what it has taken since it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The shard.
    pub shard: ShardId,
    /// Its least hash key.
    pub first_hash: u128,
    /// Its greatest hash key.
    pub last_hash: u128,
    /// Bytes, keys included.
    pub bytes: u64,
    /// Records.
    pub records: u64,
}

/// What is to be done with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is split; the second of the two begins at this hash key.
    Split(ShardId, u128),
    /// It is merged with its upper neighbour.
    Merge(ShardId, ShardId),
}

/// What is known of a shard from earlier looks.
#[derive(Debug, Default)]
struct Seen {
    since_ms: u64,
    bytes: u64,
    records: u64,
    /// The greatest share of each of the last hours in which there was a look, by the hour.
    peaks: VecDeque<(u64, f64)>,
}

impl Seen {
    fn take_in(&mut self, share: f64, now_ms: u64) {
        let hour = now_ms / HOUR_MS;
        match self.peaks.back_mut() {
            Some((of, peak)) if *of == hour => *peak = peak.max(share),
            _ => self.peaks.push_back((hour, share)),
        }
        // The hour in which the day began counts as a whole.
        while self.peaks.front().is_some_and(|(of, _)| of + DAY_MS / HOUR_MS < hour) {
            self.peaks.pop_front();
        }
    }

    fn peak(&self) -> f64 {
        self.peaks.iter().fold(0.0, |most, (_, peak)| peak.max(most))
    }
}

/// The looks at one stream.
#[derive(Debug, Default)]
struct History {
    looked_ms: u64,
    shards: BTreeMap<ShardId, Seen>,
}

/// The looks at all on-demand streams.
#[derive(Debug, Default)]
pub struct OnDemand(Mutex<HashMap<u64, History>>);

impl OnDemand {
    /// Looks at a stream's open shards, in order of their hash keys. `warm` is how many shards it is to have whatever
    /// its load.
    #[must_use]
    pub fn look(&self, log_id: u64, open: &[Taken], warm: u32, now_ms: u64) -> Vec<Change> {
        let mut histories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histories.entry(log_id).or_default().look(open, warm as usize, now_ms)
    }

    /// Forgets all streams but those whose logs `are_there`.
    pub fn retain(&self, are_there: impl Fn(u64) -> bool) {
        let mut histories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histories.retain(|log_id, _| are_there(*log_id));
    }
}

impl History {
    fn look(&mut self, open: &[Taken], warm: usize, now_ms: u64) -> Vec<Change> {
        let passed_ms = now_ms.saturating_sub(self.looked_ms);
        if passed_ms < LOOK_MS {
            return Vec::new();
        }
        let is_first = std::mem::replace(&mut self.looked_ms, now_ms) == 0;
        let mut shares = Vec::with_capacity(open.len());
        let mut seen = BTreeMap::new();
        for taken in open {
            // One that was not there at the last look has counted from nothing since.
            let mut before =
                self.shards.remove(&taken.shard).unwrap_or(Seen { since_ms: now_ms, ..Seen::default() });
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 * 1_000.0 / passed_ms as f64;
            let (bytes, records) = (rate(taken.bytes, before.bytes), rate(taken.records, before.records));
            let share = if is_first { 0.0 } else { f64::max(bytes / BYTES_IN, records / RECORDS_IN) };
            before.take_in(share, now_ms);
            (before.bytes, before.records) = (taken.bytes, taken.records);
            seen.insert(taken.shard, before);
            shares.push(share);
        }
        self.shards = seen;
        let least = warm.max(LEAST_SHARDS as usize);
        let splits = splits(open, &shares, warm, least);
        if splits.is_empty() { self.merges(open, least, now_ms) } else { splits }
    }

    fn merges(&self, open: &[Taken], least: usize, now_ms: u64) -> Vec<Change> {
        let is_idle = |pair: &[Taken]| {
            let seen = pair.iter().filter_map(|taken| self.shards.get(&taken.shard));
            let seen: Vec<&Seen> = seen.collect();
            seen.iter().all(|seen| now_ms >= seen.since_ms.saturating_add(DAY_MS))
                && seen.iter().map(|seen| seen.peak()).sum::<f64>() < MERGE_BELOW
        };
        let mut pairs: Vec<&[Taken]> = open.windows(2).filter(|pair| is_idle(pair)).collect();
        // The narrowest first, so that shards come to be of a size.
        pairs.sort_by_key(|pair| pair[1].last_hash - pair[0].first_hash);
        let mut merged: Vec<ShardId> = Vec::new();
        let mut changes = Vec::new();
        for pair in pairs {
            let [one, other] = [pair[0].shard, pair[1].shard];
            if open.len() - changes.len() > least && !merged.contains(&one) && !merged.contains(&other) {
                merged.extend([one, other]);
                changes.push(Change::Merge(one, other));
            }
        }
        changes
    }
}

/// The splits that `shares`, those of the `open` shards, ask for.
fn splits(open: &[Taken], shares: &[f64], warm: usize, least: usize) -> Vec<Change> {
    let needed = (MOST_FOR_LOAD * shares.iter().sum::<f64>()).ceil() as usize;
    let most = needed.max(2 * least);
    let mut asked: Vec<(&Taken, f64)> = open.iter().zip(shares.iter().copied()).collect();
    // The fullest first; among those that are not full, the widest.
    let width = |taken: &Taken| taken.last_hash - taken.first_hash;
    asked.sort_by(|(one, share), (other, others)| {
        let full = |share: f64| if share > SPLIT_ABOVE { share } else { 0.0 };
        full(*others).total_cmp(&full(*share)).then(width(other).cmp(&width(one)))
    });
    let mut count = open.len();
    let mut changes = Vec::new();
    for (taken, share) in asked {
        let is_wanted = (share > SPLIT_ABOVE && count < most) || count < warm;
        // What is so narrow holds a key or two.
        if is_wanted && width(taken) > 3 {
            changes.push(Change::Split(taken.shard, taken.first_hash + width(taken) / 2 + 1));
            count += 1;
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that takes so many records a second into each shard, in order of hash keys.
    struct Stream {
        on_demand: OnDemand,
        open: Vec<Taken>,
        next: u32,
        now_ms: u64,
        warm: u32,
    }

    impl Stream {
        fn of(shards: u32, warm: u32) -> Self {
            let width = u128::MAX / u128::from(shards);
            let shard = |id: u32| Taken {
                shard: ShardId(id),
                first_hash: width * u128::from(id),
                last_hash: width * u128::from(id) + (width - 1),
                bytes: 7,
                records: 7,
            };
            let (open, now_ms) = ((0..shards).map(shard).collect(), 1_800_000_000_000);
            let mut stream = Self { on_demand: OnDemand::default(), open, next: shards, now_ms, warm };
            assert!(warm > 0 || stream.look().is_empty(), "nothing is known at the first look");
            stream
        }

        fn look(&mut self) -> Vec<Change> {
            self.on_demand.look(1, &self.open, self.warm, self.now_ms)
        }

        /// What it comes to after a minute with this many records a second and bytes a record.
        fn minute(&mut self, rates: &[u64], bytes: u64) -> usize {
            self.now_ms += 60_000;
            for (taken, rate) in self.open.iter_mut().zip(rates) {
                taken.records += 60 * rate;
                taken.bytes += 60 * rate * bytes;
            }
            for change in self.look() {
                let mut child = |first_hash, last_hash| {
                    self.next += 1;
                    Taken { shard: ShardId(self.next), first_hash, last_hash, bytes: 0, records: 0 }
                };
                let at = |shard: ShardId| self.open.iter().position(|taken| taken.shard == shard).unwrap();
                match change {
                    Change::Split(shard, middle) => {
                        let at = at(shard);
                        let Taken { first_hash, last_hash, .. } = self.open[at];
                        let children = [child(first_hash, middle - 1), child(middle, last_hash)];
                        self.open.splice(at..=at, children);
                    }
                    Change::Merge(one, other) => {
                        let (low, high) = (at(one), at(other));
                        assert_eq!(low + 1, high);
                        let merged = child(self.open[low].first_hash, self.open[high].last_hash);
                        self.open.splice(low..=high, [merged]);
                    }
                }
            }
            self.open.len()
        }

        /// As many minutes as a day has, without load.
        fn day(&mut self) -> usize {
            (0..24 * 60).map(|_| self.minute(&[], 0)).last().unwrap()
        }
    }

    #[test]
    fn room_is_kept_for_twice_what_is_taken() {
        let mut stream = Stream::of(4, 0);
        assert_eq!(stream.minute(&[500; 4], 10), 4);
        assert_eq!(stream.minute(&[501; 4], 10), 8);
        assert_eq!(stream.minute(&[251; 8], 10), 8);
        // By bytes: half a mebibyte a second is 524,288.
        let mut stream = Stream::of(4, 0);
        assert_eq!(stream.minute(&[0, 0, 52], 10_000), 4);
        assert_eq!(stream.minute(&[0, 0, 53], 10_000), 5);
    }

    #[test]
    fn a_burst_shorter_than_a_look_splits_nothing() {
        let mut stream = Stream::of(4, 0);
        stream.now_ms += 30_000;
        stream.open[0].records += 20_000;
        assert_eq!(stream.look(), []);
        assert_eq!(stream.minute(&[], 0), 4);
    }

    #[test]
    fn a_key_that_is_all_the_load_does_not_split_for_ever() {
        let mut stream = Stream::of(4, 0);
        let counts: Vec<usize> = (0..9).map(|_| stream.minute(&[900], 10)).collect();
        assert_eq!(counts, [5, 6, 7, 8, 8, 8, 8, 8, 8]);
        // More than a shard may take, where nobody is held to limits: up to four times what it needs.
        let counts: Vec<usize> = (0..9).map(|_| stream.minute(&[3_000], 10)).collect();
        assert_eq!(counts, [9, 10, 11, 12, 12, 12, 12, 12, 12]);
    }

    #[test]
    fn after_a_day_without_load_it_is_half_as_many_and_never_fewer_than_at_first() {
        let mut stream = Stream::of(4, 0);
        stream.minute(&[999; 4], 10);
        assert_eq!(stream.minute(&[999; 8], 10), 16);
        for count in [8, 4, 4] {
            assert_eq!(stream.minute(&[], 0), stream.open.len());
            assert_eq!(stream.day(), count);
        }
    }

    #[test]
    fn a_peak_holds_for_a_day() {
        let mut stream = Stream::of(4, 0);
        assert_eq!(stream.minute(&[999; 4], 10), 8);
        for _ in 0..3 {
            // Each pair takes a quarter once a day.
            assert_eq!(stream.minute(&[130; 8], 10), 8);
            (0..23 * 60).for_each(|_| assert_eq!(stream.minute(&[], 0), 8));
        }
        assert_eq!(stream.day(), 4);
    }

    #[test]
    fn what_is_kept_warm_is_there_without_load() {
        let mut stream = Stream::of(4, 7);
        assert_eq!(stream.minute(&[], 0), 7);
        assert_eq!(stream.day(), 7);
        stream.warm = 0;
        assert_eq!(stream.day(), 4);
    }
}
