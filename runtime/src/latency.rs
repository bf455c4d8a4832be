//! How long records take until their output is visible, estimated: from their read, and from when they
//! came into being.
//!
//! A sink counts arrivals and how old the records are; what becomes visible is an epoch, at
//! its commit. Between the two lies the wait for the commit. It is measured by looking at a sink's
//! counts often: records that arrived between two looks are taken to have arrived at the
//! middle between them, and to have been as old as they were on average. The error is half the
//! time between two looks, small against the time between two checkpoints.

use std::collections::VecDeque;
use std::ops::{AddAssign, Sub};
use std::sync::atomic::Ordering;

use pelton_dataflow::stats::{Latencies, OperatorStats, SinkLatencies};
use pelton_dataflow::time::Epoch;

/// More looks than this between two commits are thinned out: for a checkpoint that takes hours.
const MAX_LOOKS: usize = 16_384;

/// What has arrived at a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// All records, what timers and windows made included.
    pub records: u64,
    /// Those that a source has read: how many, and their ages together.
    pub since_read: Ages,
    /// Those of which it is known when they came into being.
    pub since_creation: Ages,
}

/// Ages of records on their arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// How many records.
    pub count: u64,
    /// Their ages together, in microseconds.
    pub sum_us: u64,
}

impl Ages {
    fn of(latencies: &Latencies) -> Self {
        Self { count: latencies.histogram().len(), sum_us: latencies.sum_us() }
    }

    fn mean_us(self) -> u64 {
        self.sum_us / self.count.max(1)
    }
}

impl Sub for Ages {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let count = self.count.saturating_sub(before.count);
        Self { count, sum_us: self.sum_us.saturating_sub(before.sum_us) }
    }
}

impl AddAssign for Ages {
    fn add_assign(&mut self, more: Self) {
        self.count += more.count;
        self.sum_us = self.sum_us.saturating_add(more.sum_us);
    }
}

impl Arrived {
    /// Adds what `stats`, of one worker, have counted.
    pub fn add(&mut self, stats: &OperatorStats) {
        // Ages are counted after records, and looked at before them.
        if let Some(latencies) = stats.latencies() {
            self.since_read += Ages::of(&latencies.since_read);
            self.since_creation += Ages::of(&latencies.since_creation);
        }
        self.records += stats.records_in.load(Ordering::Relaxed);
    }
}

impl Sub for Arrived {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            records: self.records.saturating_sub(before.records),
            since_read: self.since_read - before.since_read,
            since_creation: self.since_creation - before.since_creation,
        }
    }
}

impl AddAssign for Arrived {
    fn add_assign(&mut self, more: Self) {
        self.records += more.records;
        self.since_read += more.since_read;
        self.since_creation += more.since_creation;
    }
}

/// The commit latencies of one sink.
#[derive(Debug)]
pub struct CommitLatency {
    seen: Arrived,
    last_look_us: i64,
    /// Arrivals not yet known to be visible: when, and how many.
    looks: VecDeque<(i64, Arrived)>,
    /// When each ended epoch was acknowledged by the sink's last worker, oldest first.
    ended: VecDeque<(Epoch, i64)>,
    latencies: SinkLatencies,
}

impl Default for CommitLatency {
    fn default() -> Self {
        Self {
            seen: Arrived::default(),
            last_look_us: i64::MIN,
            looks: VecDeque::new(),
            ended: VecDeque::new(),
            latencies: SinkLatencies::default(),
        }
    }
}

impl CommitLatency {
    /// Notes what has arrived so far, at `now_us`.
    pub fn look(&mut self, now_us: i64, arrived: Arrived) {
        let news = arrived - self.seen;
        let since = self.last_look_us.max(now_us - 1_000_000);
        self.last_look_us = now_us;
        self.seen = arrived;
        if news.records == 0 {
            return;
        }
        if self.looks.len() >= MAX_LOOKS {
            self.thin_out();
        }
        self.looks.push_back((since + (now_us - since) / 2, news));
    }

    /// Notes that the sink has ended `epoch` at `now_us`.
    pub fn ended(&mut self, epoch: Epoch, now_us: i64) {
        match self.ended.back_mut() {
            Some(last) if last.0 == epoch => last.1 = now_us,
            _ => self.ended.push_back((epoch, now_us)),
        }
    }

    /// Notes that everything up to `epoch` is visible at `now_us`.
    pub fn committed(&mut self, epoch: Epoch, now_us: i64) {
        let mut until = None;
        while self.ended.front().is_some_and(|(ended, _)| *ended <= epoch) {
            until = self.ended.pop_front().map(|(_, at)| at);
        }
        let Some(until) = until else { return };
        while let Some((at, arrived)) = self.looks.front().copied().filter(|(at, _)| *at <= until) {
            self.looks.pop_front();
            let waited = u64::try_from(now_us - at).unwrap_or(0);
            let Arrived { records, since_read, since_creation } = arrived;
            self.latencies.since_read.record(waited.saturating_add(since_read.mean_us()), records);
            if since_creation.count > 0 {
                let age_us = waited.saturating_add(since_creation.mean_us());
                self.latencies.since_creation.record(age_us, since_creation.count);
            }
        }
    }

    /// The latencies so far.
    pub fn latencies(&self) -> &SinkLatencies {
        &self.latencies
    }

    /// Joins neighbours.
    fn thin_out(&mut self) {
        let looks: Vec<_> = self.looks.drain(..).collect();
        let joined = looks.chunks(2).map(|pair| {
            let mut arrived = Arrived::default();
            pair.iter().for_each(|(_, one)| arrived += *one);
            (pair[pair.len() - 1].0, arrived)
        });
        self.looks = joined.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `records` that took a millisecond since their read; the first `created` of them came into being
    /// a second before.
    fn arrived(records: u64, created: u64) -> Arrived {
        Arrived {
            records,
            since_read: Ages { count: records, sum_us: records * 1_000 },
            since_creation: Ages { count: created, sum_us: created * 1_001_000 },
        }
    }

    #[test]
    fn records_wait_for_the_commit_of_their_own_epoch() {
        let mut sink = CommitLatency::default();
        sink.look(0, Arrived::default());
        sink.look(100_000, arrived(10, 7));
        sink.ended(Epoch(1), 110_000);
        sink.look(200_000, arrived(15, 7));
        sink.committed(Epoch(1), 250_000);
        let read = |sink: &CommitLatency| sink.latencies().since_read.histogram().clone();
        assert_eq!(read(&sink).len(), 10, "the five later ones are of epoch 2");
        let at = |value: u64, low: u64, high: u64| assert!((low..=high).contains(&value), "{value}");
        at(read(&sink).max(), 200_500, 201_500);
        let created = sink.latencies().since_creation.histogram();
        assert_eq!(created.len(), 7);
        at(created.min(), 1_200_000, 1_202_000);

        sink.ended(Epoch(2), 300_000);
        sink.committed(Epoch(2), 350_000);
        assert_eq!(read(&sink).len(), 15);
        sink.committed(Epoch(2), 360_000);
        assert_eq!(read(&sink).len(), 15, "a commit counts once");
        assert_eq!(sink.latencies().since_creation.histogram().len(), 7);
    }

    #[test]
    fn a_long_wait_keeps_every_record() {
        let mut sink = CommitLatency::default();
        for look in 0..40_000 {
            sink.look(look * 1_000, arrived(look as u64, look as u64 / 2));
        }
        sink.ended(Epoch(1), 40_000_000);
        sink.committed(Epoch(1), 40_000_000);
        assert_eq!(sink.latencies().since_read.histogram().len(), 39_999);
        assert_eq!(sink.latencies().since_creation.histogram().len(), 39_999 / 2);
    }
}
