//! One generation of a job: starts its threads, carries the coordinator's actions out until they
//! end, and leaves nothing running.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use pelton_dataflow::clock::monotonic_ns;
use pelton_dataflow::env::Control;
use pelton_dataflow::graph::{Graph, NodeId};
use pelton_dataflow::stats::StatsRegistry;
use pelton_dataflow::time::Epoch;
use pelton_state::checkpoint::log::{Own, StartFrom};
use timely::communication::WorkerGuards;
use tracing::{debug, info, warn};

use super::JobContext;
use super::checkpoints::Checkpoints;
use super::enumerators::Discovery;
use super::outfit::Outfitter;
use super::prepare::InOrder;
use super::reporter::ToDriver;
use super::watchdog::Watchdog;
use super::worker::{self, Crew};
use crate::blocking::manifests::LogKeeper;
use crate::blocking::recovery::{self, Start};
use crate::coordinator::{Action, CheckpointTaken, Coordinator, Event, Outcome};
use crate::error::JobError;
use crate::latency::{Arrived, CommitLatency};
use crate::restart::RestartPolicy;
use crate::status::Phase;

/// The longest that the driver sleeps: counts are looked at so often, and a clock that is set by
/// hand.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How often metrics are published, in milliseconds.
const PUBLISH_MS: i64 = 1_000;

/// Counts are looked at no more often than this, in microseconds: acknowledgements come in
/// bursts.
const LOOK_US: i64 = 5_000;

/// Threads for the prepares of sinks. More would only queue at the disk.
const PREPARE_THREADS: usize = 8;

/// How a generation ended.
pub struct Ended {
    /// The coordinator's verdict.
    pub outcome: Outcome,
    /// Whether records flowed.
    pub has_run: bool,
}

/// Runs one generation of `job`, after those that are `own` to this process.
pub fn run(
    job: &JobContext,
    from: &StartFrom,
    own: &mut Own,
    policy: &mut RestartPolicy,
) -> Result<Ended, JobError> {
    let start = recovery::recover(job.as_ref(), from, own, job.clock.now_ms())?;
    job.board.noted().generation = start.generation;
    if start.is_over {
        info!(job = job.id, "the checkpoint holds the end of all input: there is nothing left to do");
        return Ok(Ended { outcome: Outcome::Completed, has_run: false });
    }
    let (events, heard) = channel();
    let (coordinator, first) = Coordinator::new(start.plan(job.as_ref()), job.clock.now_ms());
    let mut running = Running::start(job, start, events, coordinator)?;
    let outcome = running.drive(first, &heard, policy);
    Ok(Ended { outcome, has_run: running.has_run })
}

/// A generation under way.
struct Running<'a> {
    job: &'a JobContext,
    coordinator: Coordinator,
    /// Held so that the channel never closes while the driver listens.
    _events: Sender<Event>,
    control: Arc<Control>,
    stats: Arc<StatsRegistry>,
    discovery: Discovery,
    checkpoints: Checkpoints,
    crew: Arc<Crew>,
    outfitter: Arc<Outfitter>,
    workers: Option<WorkerGuards<()>>,
    /// Watches until the workers have left.
    _watchdog: Watchdog,
    has_run: bool,
    /// Transactional sinks, with how long their records wait for their commit.
    latencies: BTreeMap<NodeId, (String, CommitLatency)>,
    completed: Epoch,
    committing: Epoch,
    next_publish_ms: i64,
    next_look_us: i64,
}

impl<'a> Running<'a> {
    fn start(
        job: &'a JobContext,
        mut start: Start,
        events: Sender<Event>,
        coordinator: Coordinator,
    ) -> Result<Self, JobError> {
        let discovery = Discovery::start(std::mem::take(&mut start.enumerators), events.clone())?;
        let committers = std::mem::take(&mut start.committers);
        let latencies = transactional(&job.graph, |name| committers.has(name));
        let writers = job.graph.sinks().count() * job.settings.workers;
        let prepares = InOrder::start("pelton-prepare", writers.min(PREPARE_THREADS))?;
        let reporter = Arc::new(ToDriver::new(events.clone(), prepares));
        let control = Arc::new(Control::starting_at(start.first_epoch));
        let stats = Arc::new(StatsRegistry::default());
        {
            let mut noted = job.board.noted();
            noted.stats = stats.clone();
            noted.since_ns = monotonic_ns();
        }
        let watchdog = Watchdog::start(job.id.clone(), stats.clone(), job.settings.stuck_after_ms)?;
        let first_epoch = start.first_epoch;
        let outfitter =
            Outfitter::new(job, &mut start, control.clone(), reporter, stats.clone(), events.clone());
        let keeper = LogKeeper::new(start.log, job.settings.retained_checkpoints);
        let checkpoints = Checkpoints::start(keeper, committers, &events)?;
        let crew =
            Arc::new(Crew { graph: job.graph.clone(), control: control.clone(), events: events.clone() });
        job.wishes.connect(events.clone());
        Ok(Self {
            job,
            coordinator,
            _events: events,
            control,
            stats,
            discovery,
            checkpoints,
            crew,
            outfitter: Arc::new(outfitter),
            workers: None,
            _watchdog: watchdog,
            has_run: false,
            latencies,
            completed: first_epoch,
            committing: first_epoch,
            next_publish_ms: 0,
            next_look_us: 0,
        })
    }

    /// Carries out `first` and everything that follows from it, until the generation is over.
    fn drive(&mut self, first: Vec<Action>, heard: &Receiver<Event>, policy: &mut RestartPolicy) -> Outcome {
        let mut actions = first;
        loop {
            for action in actions {
                if let Some(outcome) = self.act(action, policy) {
                    return self.stop(outcome);
                }
            }
            let now_ms = self.job.clock.now_ms();
            let until_tick = self.coordinator.next_tick_ms().saturating_sub(now_ms).max(1);
            let wait = Duration::from_millis(until_tick.unsigned_abs()).min(LONGEST_WAIT);
            let event = match heard.recv_timeout(wait) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => Event::Tick,
                Err(RecvTimeoutError::Disconnected) => unreachable!("the driver holds a sender itself"),
            };
            self.watch(&event);
            actions = self.coordinator.on(self.job.clock.now_ms(), event);
        }
    }

    fn act(&mut self, action: Action, policy: &mut RestartPolicy) -> Option<Outcome> {
        match action {
            Action::Discover(source) => self.discovery.discover(source),
            Action::StartWorkers => {
                let workers = self.job.settings.workers;
                match worker::start(workers, &self.crew, &self.outfitter) {
                    Ok(threads) => self.workers = Some(threads),
                    Err(error) => return Some(Outcome::Failed(error.to_string())),
                }
            }
            Action::HoldSources => self.control.hold_sources(),
            Action::OpenEpoch(epoch) => {
                debug!(epoch = epoch.0, "epoch opens");
                self.control.open_epoch(epoch);
            }
            Action::Assign { source, worker, split } => {
                debug!(source = source.0, worker, split = split.info.id.0, "split assigned");
                self.control.assign(source, worker, split);
            }
            Action::EndSource(source) => self.control.end_source(source),
            Action::AppendManifest(manifest) => self.checkpoints.append(manifest),
            Action::CheckpointCompleted(taken) => {
                policy.checkpoint_completed();
                self.completed(taken);
            }
            Action::CheckpointAbandoned { epoch, problem } => {
                warn!(job = self.job.id, epoch = epoch.0, problem, "checkpoint abandoned");
                self.job.board.noted().checkpoints_abandoned += 1;
            }
            Action::Commit(parts) => {
                self.committing = self.completed;
                self.checkpoints.commit(parts);
            }
            Action::CollectGarbage => self.checkpoints.collect_garbage(),
            Action::StopWorkers(outcome) => return Some(outcome),
        }
        None
    }

    fn completed(&mut self, taken: CheckpointTaken) {
        debug!(
            epoch = taken.epoch.0,
            sequence = taken.sequence,
            duration_ms = taken.duration_ms,
            bytes = taken.bytes,
            "checkpoint completed"
        );
        self.completed = taken.epoch;
        self.job.metrics.checkpoint(&taken);
        let mut noted = self.job.board.noted();
        noted.checkpoints_completed += 1;
        noted.last_checkpoint = Some(taken);
    }

    /// Looks at what passes, for those who watch.
    fn watch(&mut self, event: &Event) {
        let (now_us, now_ms) = (self.job.clock.now_us(), self.job.clock.now_ms());
        if now_us >= self.next_look_us {
            self.look_at_sinks(now_us);
        }
        match event {
            Event::OperatorAcked(ack) if self.latencies.contains_key(&ack.operator) => {
                // What has arrived by now is of the epoch that has ended, and is counted with it.
                self.look_at_sinks(now_us);
                if let Some((_, latency)) = self.latencies.get_mut(&ack.operator) {
                    latency.ended(ack.epoch, now_us);
                }
            }
            Event::Committed => self.note_commit(now_us),
            _ => {}
        }
        if self.coordinator.is_running() {
            self.has_run = true;
            let phase = if self.job.wishes.is_stopping() { Phase::Stopping } else { Phase::Running };
            self.job.board.noted().phase = phase;
        }
        if now_ms >= self.next_publish_ms {
            self.next_publish_ms = now_ms + PUBLISH_MS;
            self.job.metrics.publish(&self.job.board.status(), now_ms);
        }
    }

    fn look_at_sinks(&mut self, now_us: i64) {
        self.next_look_us = now_us + LOOK_US;
        if self.latencies.is_empty() {
            return;
        }
        let all = self.stats.all();
        for (sink, (_, latency)) in &mut self.latencies {
            let mut arrived = Arrived::default();
            all.iter().filter(|stats| stats.node == *sink).for_each(|stats| arrived.add(stats));
            latency.look(now_us, arrived);
        }
    }

    fn note_commit(&mut self, now_us: i64) {
        for (name, latency) in self.latencies.values_mut() {
            latency.committed(self.committing, now_us);
            self.job.board.noted().committed.insert(name.clone(), latency.latencies().clone());
        }
    }

    /// Publishes the last figures.
    fn stop(&mut self, outcome: Outcome) -> Outcome {
        if matches!(outcome, Outcome::Completed | Outcome::Stopped | Outcome::Aborted) {
            self.control.end();
        }
        self.join_workers();
        if self.has_run {
            self.job.metrics.publish(&self.job.board.status(), self.job.clock.now_ms());
        }
        outcome
    }

    fn join_workers(&mut self) {
        self.control.stop();
        if let Some(workers) = self.workers.take() {
            // They catch their panics and have told of them.
            drop(workers.join());
        }
    }
}

/// Leaves nothing running but an enumerator in the middle of a call, however the driver leaves:
/// workers would wait for ever for one that has panicked.
impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.join_workers();
    }
}

fn transactional(
    graph: &Graph,
    has_committer: impl Fn(&str) -> bool,
) -> BTreeMap<NodeId, (String, CommitLatency)> {
    let sinks = graph.sinks().filter(|(node, _)| has_committer(&node.name));
    sinks.map(|(node, _)| (node.id, (node.name.clone(), CommitLatency::default()))).collect()
}
