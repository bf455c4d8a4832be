//! What can be seen of a job from outside while it runs: a read model, cheap to take.
//!
//! Owns the figures and how they are put together. Who shows them (status line, metrics
//! endpoint) is elsewhere.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pelton_dataflow::clock::monotonic_ns;
use pelton_dataflow::graph::Graph;
use pelton_dataflow::stats::{Latencies, OperatorStats, SinkLatencies, StatsRegistry};
use pelton_dataflow::time::EventTime;
use serde::Serialize;

use crate::coordinator::CheckpointTaken;

mod channels;

pub use channels::{ChannelStatus, EdgeStatus};

/// The shortest time that a rate is taken over, in nanoseconds: shorter ones jump about.
const RATE_WINDOW_NS: u64 = 500_000_000;

/// What a job is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is being recovered, its splits are looked for, its workers build their dataflows.
    Starting,
    /// Records flow.
    Running,
    /// It takes a last checkpoint.
    Stopping,
    /// It failed and waits for its next start.
    Restarting,
    /// It is over.
    Over,
}

/// A job at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct JobStatus {
    /// The job's id.
    pub job: String,
    /// What it is at.
    pub phase: Phase,
    /// Its generation; 0 before the first.
    pub generation: u64,
    /// How often it was started again after a failure.
    pub restarts: u32,
    /// The operators, in the order of the graph. Their counts are of this generation.
    pub operators: Vec<OperatorStatus>,
    /// The channels between them, with what is in flight and who waits for whom.
    pub channels: Vec<ChannelStatus>,
    /// Checkpoints completed since the job was started here.
    pub checkpoints_completed: u64,
    /// Checkpoints abandoned since then.
    pub checkpoints_abandoned: u64,
    /// The newest that completed.
    pub last_checkpoint: Option<CheckpointTaken>,
    /// What ended the last generation, if a failure did.
    pub last_failure: Option<String>,
    /// Calls of operators that have not returned for longer than the settings allow.
    pub stuck: Vec<StuckCall>,
}

/// A call of user code that has not returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StuckCall {
    /// The operator, source or sink that was called.
    pub operator: String,
    /// The worker that stands still by it.
    pub worker: usize,
    /// How long it has taken so far, in milliseconds.
    pub for_ms: u64,
    /// When it began, by the monotonic clock.
    #[serde(skip)]
    pub since_ns: u64,
}

impl StuckCall {
    /// Whether both are the same call, seen at different times.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.since_ns, self.worker) == (other.since_ns, other.worker)
    }
}

/// The calls that are under way at `now_ns` since `stuck_after_ms` or longer.
pub(crate) fn stuck_calls(stats: &StatsRegistry, stuck_after_ms: u64, now_ns: u64) -> Vec<StuckCall> {
    let all = stats.all();
    let calls = all.iter().filter_map(|stats| {
        let since_ns = stats.called_since_ns()?;
        let for_ms = now_ns.saturating_sub(since_ns) / 1_000_000;
        let (operator, worker) = (stats.name.clone(), stats.worker);
        (for_ms >= stuck_after_ms).then_some(StuckCall { operator, worker, for_ms, since_ns })
    });
    calls.collect()
}

/// An operator, over all workers.
#[derive(Clone, Debug, Serialize)]
pub struct OperatorStatus {
    /// Its name.
    pub name: String,
    /// `map`, `key_by`, `sink`.
    pub kind: &'static str,
    /// Whether it reads splits.
    pub is_source: bool,
    /// Whether it writes.
    pub is_sink: bool,
    /// Records taken.
    pub records_in: u64,
    /// Records given, over all ports.
    pub records_out: u64,
    /// Records given per port, with the port's label.
    pub ports: Vec<(&'static str, u64)>,
    /// Records taken a second, of late.
    pub in_per_s: f64,
    /// Records given a second, of late.
    pub out_per_s: f64,
    /// The least watermark over the workers, in milliseconds since the Unix epoch; `None` before
    /// the first and after the end.
    pub watermark_ms: Option<i64>,
    /// Whether every worker has seen the end of its input.
    pub has_ended: bool,
    /// Time spent working, in nanoseconds.
    pub busy_ns: u64,
    /// Time spent waiting for credit downstream, in nanoseconds.
    pub backpressured_ns: u64,
    /// Splits that a source does not read now because they are ahead of the others that they are
    /// aligned with.
    pub held_splits: u64,
    /// Time spent neither way, in nanoseconds.
    pub idle_ns: u64,
    /// A sink's latencies from the read of a record to its arrival.
    pub processed: Option<LatencySummary>,
    /// A sink's latencies from the read of a record to the commit of its epoch.
    pub committed: Option<LatencySummary>,
    /// As `processed`, from when the record came into being (was appended to its log, was due in its
    /// generator), if its source knows.
    pub processed_since_creation: Option<LatencySummary>,
    /// As `committed`, from there.
    pub committed_since_creation: Option<LatencySummary>,
}

/// Percentiles of latencies, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LatencySummary {
    /// How many records.
    pub count: u64,
    /// Half of them were faster.
    pub p50_us: u64,
    /// 99 of 100 were faster.
    pub p99_us: u64,
    /// 999 of 1,000 were faster.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl LatencySummary {
    /// The percentiles of `latencies`, or `None` if there are none.
    #[must_use]
    pub fn of(latencies: &Latencies) -> Option<Self> {
        let latencies = latencies.histogram();
        (!latencies.is_empty()).then(|| Self {
            count: latencies.len(),
            p50_us: latencies.value_at_quantile(0.5),
            p99_us: latencies.value_at_quantile(0.99),
            p999_us: latencies.value_at_quantile(0.999),
            max_us: latencies.max(),
        })
    }
}

/// Where the driver notes what a status is made of.
pub(crate) struct StatusBoard {
    job: String,
    graph: Arc<Graph>,
    stuck_after_ms: u64,
    noted: Mutex<Noted>,
    rates: Mutex<Rates>,
}

/// What the driver has noted.
pub(crate) struct Noted {
    pub phase: Phase,
    pub generation: u64,
    pub restarts: u32,
    pub stats: Arc<StatsRegistry>,
    /// When the counters of `stats` began.
    pub since_ns: u64,
    pub checkpoints_completed: u64,
    pub checkpoints_abandoned: u64,
    pub last_checkpoint: Option<CheckpointTaken>,
    pub last_failure: Option<String>,
    /// By sink, over all generations.
    pub committed: BTreeMap<String, SinkLatencies>,
}

#[derive(Default)]
struct Rates {
    at_ns: u64,
    counts: BTreeMap<String, (u64, u64)>,
    per_s: BTreeMap<String, (f64, f64)>,
}

impl StatusBoard {
    pub fn new(job: &str, graph: Arc<Graph>, stuck_after_ms: u64) -> Self {
        let noted = Noted {
            phase: Phase::Starting,
            generation: 0,
            restarts: 0,
            stats: Arc::default(),
            since_ns: monotonic_ns(),
            checkpoints_completed: 0,
            checkpoints_abandoned: 0,
            last_checkpoint: None,
            last_failure: None,
            committed: BTreeMap::new(),
        };
        let (job, noted) = (job.to_owned(), Mutex::new(noted));
        Self { job, graph, stuck_after_ms, noted, rates: Mutex::default() }
    }

    pub fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn status(&self) -> JobStatus {
        let noted = self.noted();
        let all = noted.stats.all();
        let mut operators = Vec::new();
        for node in self.graph.nodes() {
            let of_node: Vec<_> = all.iter().filter(|stats| stats.node == node.id).collect();
            if of_node.is_empty() {
                continue;
            }
            let mut status = sum(&of_node);
            status.name.clone_from(&node.name);
            status.kind = node.kind;
            status.is_source = self.graph.sources().any(|(source, _)| source.id == node.id);
            status.is_sink = self.graph.sinks().any(|(sink, _)| sink.id == node.id);
            for (port, output) in node.outputs.iter().enumerate() {
                let count = |stats: &&Arc<OperatorStats>| {
                    stats.port_records.get(port).map_or(0, |count| count.load(Ordering::Relaxed))
                };
                status.ports.push((output.label, of_node.iter().map(count).sum()));
            }
            let passed_ns = monotonic_ns().saturating_sub(noted.since_ns) * of_node.len() as u64;
            status.idle_ns = passed_ns.saturating_sub(status.busy_ns + status.backpressured_ns);
            if let Some(latencies) = noted.committed.get(&node.name) {
                status.committed = LatencySummary::of(&latencies.since_read);
                status.committed_since_creation = LatencySummary::of(&latencies.since_creation);
            }
            operators.push(status);
        }
        let status = JobStatus {
            job: self.job.clone(),
            phase: noted.phase,
            generation: noted.generation,
            restarts: noted.restarts,
            operators,
            channels: channels::channels(&self.graph, &noted.stats, monotonic_ns()),
            checkpoints_completed: noted.checkpoints_completed,
            checkpoints_abandoned: noted.checkpoints_abandoned,
            last_checkpoint: noted.last_checkpoint.clone(),
            last_failure: noted.last_failure.clone(),
            stuck: stuck_calls(&noted.stats, self.stuck_after_ms, monotonic_ns()),
        };
        drop(noted);
        self.with_rates(status)
    }

    fn with_rates(&self, mut status: JobStatus) -> JobStatus {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ns = monotonic_ns();
        let passed_ns = now_ns.saturating_sub(rates.at_ns);
        if rates.at_ns == 0 || passed_ns >= RATE_WINDOW_NS {
            let counts: BTreeMap<_, _> = status
                .operators
                .iter()
                .map(|op| (op.name.clone(), (op.records_in, op.records_out)))
                .collect();
            let seconds = passed_ns as f64 / 1e9;
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
            let previous = std::mem::replace(&mut rates.counts, counts);
            if rates.at_ns > 0 {
                rates.per_s = rates
                    .counts
                    .iter()
                    .map(|(name, now)| {
                        let then = previous.get(name).copied().unwrap_or_default();
                        (name.clone(), (rate(now.0, then.0), rate(now.1, then.1)))
                    })
                    .collect();
            }
            rates.at_ns = now_ns;
        }
        for operator in &mut status.operators {
            (operator.in_per_s, operator.out_per_s) =
                rates.per_s.get(&operator.name).copied().unwrap_or_default();
        }
        status
    }
}

/// One operator's counters over all workers.
fn sum(workers: &[&Arc<OperatorStats>]) -> OperatorStatus {
    let total = |count: fn(&OperatorStats) -> u64| workers.iter().map(|stats| count(stats)).sum();
    let watermark = workers.iter().map(|stats| stats.watermark_ms.load(Ordering::Relaxed)).min();
    let watermark = EventTime(watermark.unwrap_or(EventTime::MIN.0));
    let is_known = watermark != EventTime::MIN && watermark != EventTime::END;
    let mut latencies = SinkLatencies::default();
    for one in workers.iter().filter_map(|stats| stats.latencies()) {
        latencies.since_read.add(&one.since_read);
        latencies.since_creation.add(&one.since_creation);
    }
    OperatorStatus {
        name: String::new(),
        kind: "",
        is_source: false,
        is_sink: false,
        records_in: total(|stats| stats.records_in.load(Ordering::Relaxed)),
        records_out: total(|stats| stats.records_out.load(Ordering::Relaxed)),
        ports: Vec::new(),
        in_per_s: 0.0,
        out_per_s: 0.0,
        watermark_ms: is_known.then_some(watermark.0),
        has_ended: watermark == EventTime::END,
        busy_ns: total(|stats| stats.busy_ns.load(Ordering::Relaxed)),
        backpressured_ns: total(|stats| stats.backpressured_ns.load(Ordering::Relaxed)),
        held_splits: total(|stats| stats.held_splits.load(Ordering::Relaxed)),
        idle_ns: 0,
        processed: LatencySummary::of(&latencies.since_read),
        committed: None,
        processed_since_creation: LatencySummary::of(&latencies.since_creation),
        committed_since_creation: None,
    }
}
