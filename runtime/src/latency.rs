//! How long records take from their read until their output is visible, estimated.
//!
//! A sink counts arrivals and how long each was under way; what becomes visible is an epoch, at
//! its commit. Between the two lies the wait for the commit. It is measured by looking at a sink's
//! count often: records that arrived between two looks are taken to have arrived at the later
//! one's middle, and to have been under way for the median of that sink. The error is half the
//! time between two looks, small against the time between two checkpoints.

use std::collections::VecDeque;

use hdrhistogram::Histogram;
use pelton_dataflow::time::Epoch;

/// More looks than this between two commits are thinned out: for a checkpoint that takes hours.
const MAX_LOOKS: usize = 16_384;

/// The commit latencies of one sink.
#[derive(Debug)]
pub struct CommitLatency {
    seen: u64,
    last_look_us: i64,
    /// Arrivals not yet known to be visible: when, and how many.
    looks: VecDeque<(i64, u64)>,
    /// When each ended epoch was acknowledged by the sink's last worker, oldest first.
    ended: VecDeque<(Epoch, i64)>,
    /// In microseconds.
    latencies: Histogram<u64>,
}

impl Default for CommitLatency {
    fn default() -> Self {
        Self {
            seen: 0,
            last_look_us: i64::MIN,
            looks: VecDeque::new(),
            ended: VecDeque::new(),
            latencies: Histogram::new(3).expect("three significant digits are in range"),
        }
    }
}

impl CommitLatency {
    /// Notes that `count` records have arrived so far, at `now_us`.
    pub fn look(&mut self, now_us: i64, count: u64) {
        let news = count.saturating_sub(self.seen);
        let since = self.last_look_us.max(now_us - 1_000_000);
        self.last_look_us = now_us;
        self.seen = count;
        if news == 0 {
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

    /// Notes that everything up to `epoch` is visible at `now_us`; `under_way_us` is what records
    /// take to the sink.
    pub fn committed(&mut self, epoch: Epoch, now_us: i64, under_way_us: u64) {
        let mut until = None;
        while self.ended.front().is_some_and(|(ended, _)| *ended <= epoch) {
            until = self.ended.pop_front().map(|(_, at)| at);
        }
        let Some(until) = until else { return };
        while let Some((at, count)) = self.looks.front().copied().filter(|(at, _)| *at <= until) {
            self.looks.pop_front();
            let waited = u64::try_from(now_us - at).unwrap_or(0);
            // The histogram grows as it must, so that this cannot fail.
            let _ = self.latencies.record_n(waited + under_way_us, count);
        }
    }

    /// The latencies so far, in microseconds.
    pub fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }

    /// Joins neighbours.
    fn thin_out(&mut self) {
        let looks: Vec<_> = self.looks.drain(..).collect();
        self.looks = looks
            .chunks(2)
            .map(|pair| (pair[pair.len() - 1].0, pair.iter().map(|(_, count)| count).sum()))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_wait_for_the_commit_of_their_own_epoch() {
        let mut sink = CommitLatency::default();
        sink.look(0, 0);
        sink.look(100_000, 10);
        sink.ended(Epoch(1), 110_000);
        sink.look(200_000, 15);
        sink.committed(Epoch(1), 250_000, 1_000);
        assert_eq!(sink.latencies().len(), 10, "the five later ones are of epoch 2");
        let at = |value: u64, low: u64, high: u64| assert!((low..=high).contains(&value), "{value}");
        at(sink.latencies().max(), 200_500, 201_500);

        sink.ended(Epoch(2), 300_000);
        sink.committed(Epoch(2), 350_000, 1_000);
        assert_eq!(sink.latencies().len(), 15);
        sink.committed(Epoch(2), 360_000, 1_000);
        assert_eq!(sink.latencies().len(), 15, "a commit counts once");
    }

    #[test]
    fn a_long_wait_keeps_every_record() {
        let mut sink = CommitLatency::default();
        for look in 0..40_000 {
            sink.look(look * 1_000, look as u64);
        }
        sink.ended(Epoch(1), 40_000_000);
        sink.committed(Epoch(1), 40_000_000, 0);
        assert_eq!(sink.latencies().len(), 39_999);
    }
}
