//! Counters of channels: who has how many batches on their way to whom, and who waits for whom.
//!
//! One [`ChannelStats`] belongs to the sending end of a channel on one worker, which alone writes
//! it; each receiver has an [`EdgeStats`] there. They cost a few plain stores a batch, and a look at
//! the clock when a wait begins and when it ends.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::graph::{NodeId, PortRef};

/// The counters of the sending end of one channel on one worker.
#[derive(Debug)]
pub struct ChannelStats {
    /// The output that the channel carries.
    pub from: PortRef,
    /// The node at its other end.
    pub to: NodeId,
    /// The input there.
    pub input: usize,
    /// The worker that sends.
    pub sender: usize,
    /// How many batches may be in flight to each receiver.
    pub limit: usize,
    edges: Vec<EdgeStats>,
}

/// What one worker sends to another on one channel.
#[derive(Debug, Default)]
pub struct EdgeStats {
    batches: AtomicU64,
    returned: AtomicU64,
    waits: AtomicU64,
    waited_ns: AtomicU64,
    /// When the wait under way began, in monotonic nanoseconds; 0 if there is none.
    waits_since_ns: AtomicU64,
}

/// An [`EdgeStats`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeCounts {
    /// Batches sent.
    pub batches: u64,
    /// Batches sent whose credits have not come back: not processed, or not yet heard of.
    pub in_flight: u64,
    /// How often a batch had to wait for credit.
    pub waits: u64,
    /// How long batches have waited for credit, in nanoseconds, a wait under way included.
    pub waited_ns: u64,
    /// Whether one waits now.
    pub is_waiting: bool,
}

impl ChannelStats {
    /// Zero everywhere, to `receivers` workers.
    #[must_use]
    pub fn new(
        from: PortRef,
        to: NodeId,
        input: usize,
        sender: usize,
        receivers: usize,
        limit: usize,
    ) -> Self {
        let edges = (0..receivers).map(|_| EdgeStats::default()).collect();
        Self { from, to, input, sender, limit, edges }
    }

    /// The counters of each receiver, by worker.
    #[must_use]
    pub fn edges(&self) -> &[EdgeStats] {
        &self.edges
    }
}

impl EdgeStats {
    /// Notes that a batch was sent.
    pub(crate) fn sent(&self) {
        add(&self.batches, 1);
    }

    /// Notes that `count` credits have come back at `now_ns`: whoever waited waits no more.
    pub(crate) fn came_back(&self, count: usize, now_ns: impl FnOnce() -> u64) {
        add(&self.returned, count as u64);
        let since = self.waits_since_ns.load(Ordering::Relaxed);
        if since > 0 {
            add(&self.waited_ns, now_ns().saturating_sub(since));
            self.waits_since_ns.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that a batch waits for credit since `now_ns`, if none did before.
    pub(crate) fn waits(&self, now_ns: impl FnOnce() -> u64) {
        if self.waits_since_ns.load(Ordering::Relaxed) == 0 {
            add(&self.waits, 1);
            self.waits_since_ns.store(now_ns().max(1), Ordering::Relaxed);
        }
    }

    /// What has been counted at `now_ns`.
    #[must_use]
    pub fn counts(&self, now_ns: u64) -> EdgeCounts {
        // Read in this order, a batch that is sent and comes back meanwhile is not counted below zero.
        let returned = self.returned.load(Ordering::Relaxed);
        let batches = self.batches.load(Ordering::Relaxed);
        let since = self.waits_since_ns.load(Ordering::Relaxed);
        let under_way = if since > 0 { now_ns.saturating_sub(since) } else { 0 };
        EdgeCounts {
            batches,
            in_flight: batches.saturating_sub(returned),
            waits: self.waits.load(Ordering::Relaxed),
            waited_ns: self.waited_ns.load(Ordering::Relaxed) + under_way,
            is_waiting: since > 0,
        }
    }
}

/// Adds to a counter that only this thread writes: cheaper than an atomic addition.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_lasts_from_the_first_batch_that_waits_until_credit_comes_back() {
        let edge = EdgeStats::default();
        edge.sent();
        edge.sent();
        edge.waits(|| 100);
        edge.waits(|| panic!("the wait has begun"));
        let waiting = EdgeCounts { batches: 2, in_flight: 2, waits: 1, waited_ns: 50, is_waiting: true };
        assert_eq!(edge.counts(150), waiting);
        edge.came_back(2, || 180);
        edge.came_back(0, || panic!("nobody waits"));
        let over = EdgeCounts { in_flight: 0, waited_ns: 80, is_waiting: false, ..waiting };
        assert_eq!(edge.counts(500), over);
        edge.waits(|| 600);
        assert_eq!(edge.counts(601), EdgeCounts { waits: 2, waited_ns: 81, is_waiting: true, ..over });
    }
}
