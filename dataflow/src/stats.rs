//! Counters of operators, written by one worker each and read by anyone. Those of channels are in
//! [`channels`].
//!
//! Plain atomics with relaxed order: a reader wants figures, not an instant. The runtime turns
//! them into metrics and the status line.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use crate::clock::Clock;
use crate::graph::NodeId;
use crate::record::Origin;
use crate::time::EventTime;

pub mod channels;

use channels::ChannelStats;

/// The counters of one operator on one worker.
#[derive(Debug)]
pub struct OperatorStats {
    /// The operator.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The worker.
    pub worker: usize,
    /// Records taken.
    pub records_in: AtomicU64,
    /// Records given, over all ports.
    pub records_out: AtomicU64,
    /// Records given per port.
    pub port_records: Vec<AtomicU64>,
    /// Its watermark, in milliseconds.
    pub watermark_ms: AtomicI64,
    /// Time spent working, in nanoseconds.
    pub busy_ns: AtomicU64,
    /// Time spent waiting for credit downstream, in nanoseconds.
    pub backpressured_ns: AtomicU64,
    /// Splits of a source that are not read now because they are ahead of others.
    pub held_splits: AtomicU64,
    /// When the call of the operator that is under way began, in monotonic nanoseconds; 0 between
    /// calls.
    called_ns: AtomicU64,
    /// How old records are when they arrive here; kept by sinks.
    latencies: Option<Mutex<SinkLatencies>>,
}

/// How old records are when they arrive at a sink, on one worker.
#[derive(Clone, Debug, Default)]
pub struct SinkLatencies {
    /// Since their sources read them.
    pub since_read: Latencies,
    /// Since they came into being, of those whose sources know.
    pub since_creation: Latencies,
}

/// Latencies, in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    sum_us: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new(3).expect("three significant digits are in range");
        Self { histogram, sum_us: 0 }
    }
}

impl Latencies {
    /// Notes that `count` records took `us` microseconds.
    pub fn record(&mut self, us: u64, count: u64) {
        // The histogram grows as it must; saturating instead would keep it at its first bound.
        let _ = self.histogram.record_n(us, count);
        self.sum_us = self.sum_us.saturating_add(us.saturating_mul(count));
    }

    /// Adds what `other` has noted.
    pub fn add(&mut self, other: &Self) {
        // Both grow as they must, so that adding cannot fail.
        let _ = self.histogram.add(&other.histogram);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// How they are spread.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// All of them together.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

impl OperatorStats {
    /// Zero everywhere.
    #[must_use]
    pub fn new(node: NodeId, name: String, worker: usize, ports: usize, keeps_latency: bool) -> Self {
        Self {
            node,
            name,
            worker,
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            port_records: (0..ports).map(|_| AtomicU64::new(0)).collect(),
            watermark_ms: AtomicI64::new(EventTime::MIN.0),
            busy_ns: AtomicU64::new(0),
            backpressured_ns: AtomicU64::new(0),
            held_splits: AtomicU64::new(0),
            called_ns: AtomicU64::new(0),
            latencies: keeps_latency.then(Mutex::default),
        }
    }

    /// Notes `count` records given at `port`.
    pub fn gave(&self, port: usize, count: usize) {
        self.records_out.fetch_add(count as u64, Ordering::Relaxed);
        if let Some(records) = self.port_records.get(port) {
            records.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Runs `call` of the operator, noting that it is under way since `now_ns`, so that one which
    /// does not return can be named.
    pub fn calling<R>(&self, now_ns: u64, call: impl FnOnce() -> R) -> R {
        self.called_ns.store(now_ns, Ordering::Relaxed);
        let result = call();
        self.called_ns.store(0, Ordering::Relaxed);
        result
    }

    /// When the call that is under way began, in monotonic nanoseconds, if there is one.
    #[must_use]
    pub fn called_since_ns(&self) -> Option<u64> {
        Some(self.called_ns.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    /// Notes that `count` records of `origin` have arrived, if this is kept here.
    pub fn arrived(&self, origin: &Origin, count: usize, clock: &dyn Clock) {
        let Some(latencies) = &self.latencies else { return };
        if origin.read_at_us == i64::MAX {
            return;
        }
        let now_us = clock.now_us();
        let since = |then_us: i64| now_us.saturating_sub(then_us).max(0).unsigned_abs();
        let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
        latencies.since_read.record(since(origin.read_at_us), count as u64);
        if origin.created_at_us != i64::MAX {
            latencies.since_creation.record(since(origin.created_at_us), count as u64);
        }
    }

    /// How old records were when they arrived, if this is kept here.
    pub fn latencies(&self) -> Option<MutexGuard<'_, SinkLatencies>> {
        Some(self.latencies.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The counters of all operators and channels of a generation, of all workers in this process.
#[derive(Debug, Default)]
pub struct StatsRegistry {
    operators: Mutex<Vec<Arc<OperatorStats>>>,
    channels: Mutex<Vec<Arc<ChannelStats>>>,
}

impl StatsRegistry {
    /// Adds the counters of one operator.
    pub fn register(&self, stats: Arc<OperatorStats>) {
        self.operators.lock().unwrap_or_else(PoisonError::into_inner).push(stats);
    }

    /// Adds the counters of the sending end of one channel.
    pub fn register_channel(&self, stats: Arc<ChannelStats>) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).push(stats);
    }

    /// All counters of operators there are.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<OperatorStats>> {
        self.operators.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All counters of channels there are.
    #[must_use]
    pub fn channels(&self) -> Vec<Arc<ChannelStats>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
