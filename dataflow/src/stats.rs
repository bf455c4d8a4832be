//! Counters of operators and channels: written by one worker each, read by anyone.
//!
//! Plain atomics with relaxed order: a reader wants figures, not an instant. The runtime turns
//! them into metrics and the status line.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;

use crate::graph::NodeId;
use crate::time::EventTime;

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
    /// When the call of the operator that is under way began, in monotonic nanoseconds; 0 between
    /// calls.
    called_ns: AtomicU64,
    /// Time from a record's read to its arrival here, in microseconds; kept by sinks.
    pub latency_us: Option<Mutex<Histogram<u64>>>,
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
            called_ns: AtomicU64::new(0),
            latency_us: keeps_latency
                .then(|| Mutex::new(Histogram::new(3).expect("three significant digits are in range"))),
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

    /// Notes that `count` records arrived `latency_us` microseconds after they were read.
    pub fn record_latency(&self, latency_us: u64, count: usize) {
        if let Some(latency) = &self.latency_us {
            let mut latency = latency.lock().unwrap_or_else(PoisonError::into_inner);
            // The histogram grows as it must; saturating instead would keep it at its first bound.
            let _ = latency.record_n(latency_us, count as u64);
        }
    }
}

/// The counters of all operators of a generation, of all workers in this process.
#[derive(Debug, Default)]
pub struct StatsRegistry(Mutex<Vec<Arc<OperatorStats>>>);

impl StatsRegistry {
    /// Adds the counters of one operator.
    pub fn register(&self, stats: Arc<OperatorStats>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(stats);
    }

    /// All counters there are.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<OperatorStats>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
