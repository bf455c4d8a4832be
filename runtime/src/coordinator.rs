//! The coordinator: decides what one generation of a job does, and does none of it itself.
//!
//! A pure state machine, [`Coordinator::on`]: an event and the time go in, actions come out. It
//! has no threads, no clock and no disk; the driver gives it those, and tests give it a seeded
//! world instead. In reading order:
//! * `event`: what it hears and what it asks for;
//! * `splits`: which splits there are, who reads them, and when children may start;
//! * `epochs`: the epochs that have ended and wait for their acknowledgements;
//! * `commits`: what sinks have prepared and is not known to be visible.
//!
//! The rules it keeps:
//! * An epoch is ended only when the one before it is complete or abandoned: two are open at most.
//! * An abandoned epoch loses nothing: its frozen layers are in the next acknowledgement of the
//!   state, its committables in the next manifest.
//! * A child starts after the epoch in which its last parent ended, whether or not that checkpoint
//!   completes.
//! * The job is over when a checkpoint has been committed that holds the end of all input.

use std::collections::BTreeSet;

use pelton_dataflow::graph::NodeId;
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::checkpoint::manifest::{Manifest, OperatorPart};

mod commits;
mod epochs;
mod event;
mod splits;

pub use event::{Action, CheckpointTaken, Event, OperatorAcked, OperatorPlan, Outcome, Plan};

use commits::Commits;
use epochs::{Ended, Epochs, Progress};
use splits::{Splits, Wait};

/// The first wait for the end of time to pass through the graph, before the epoch is ended that
/// shall hold it. Each further one doubles: firing every window may take long.
const FIRST_END_DELAY_MS: i64 = 10;
const LONGEST_END_DELAY_MS: i64 = 2_000;

/// How often a commit is tried before the generation fails: the recovery then tries again.
const COMMIT_ATTEMPTS: u32 = 10;
/// The wait before a commit is tried again, times the number of attempts so far.
const COMMIT_RETRY_MS: i64 = 200;

/// What the generation is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Looking for the splits of all sources.
    Discovering,
    /// The workers are building their dataflows.
    Starting,
    /// Records flow.
    Running,
    /// It is over.
    Over,
}

/// The state machine of one generation.
#[derive(Debug)]
pub struct Coordinator {
    plan: Plan,
    phase: Phase,
    ready: BTreeSet<usize>,
    splits: Splits,
    epochs: Epochs,
    commits: Commits,
    now_ms: i64,
    next_periodic_ms: i64,
    next_discovery_ms: i64,
    stop_requested: bool,
    /// When to end the epoch that may hold the end of all input, and the wait after it.
    end_check: Option<(i64, i64)>,
    failures_in_a_row: u32,
    /// The epoch whose commit ends the job, and how.
    last: Option<(Epoch, Outcome)>,
}

impl Coordinator {
    /// The coordinator of `plan`, and what it asks for first.
    #[must_use]
    pub fn new(plan: Plan, now_ms: i64) -> (Self, Vec<Action>) {
        let splits = Splits::new(&plan);
        let mut coordinator = Self {
            phase: Phase::Discovering,
            ready: BTreeSet::new(),
            epochs: Epochs::new(&plan),
            commits: Commits::new(plan.committables.clone()),
            now_ms,
            next_periodic_ms: i64::MAX,
            next_discovery_ms: now_ms.saturating_add(plan.discovery_interval_ms),
            stop_requested: false,
            end_check: None,
            failures_in_a_row: 0,
            last: None,
            splits,
            plan,
        };
        let mut actions: Vec<Action> = coordinator.splits.sources().map(Action::Discover).collect();
        coordinator.start_if_discovered(&mut actions);
        (coordinator, actions)
    }

    /// Takes in `event` at `now_ms`; answers with what is to be done, in order.
    pub fn on(&mut self, now_ms: i64, event: Event) -> Vec<Action> {
        self.now_ms = self.now_ms.max(now_ms);
        let mut actions = Vec::new();
        if self.phase != Phase::Over {
            self.take(event, &mut actions);
        }
        if self.phase != Phase::Over {
            self.decide(&mut actions);
        }
        actions
    }

    /// Whether the workers run and no end is in sight.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// When it wants a [`Event::Tick`] next.
    #[must_use]
    pub fn next_tick_ms(&self) -> i64 {
        let for_epochs = if self.may_end_epoch() {
            let for_answers = match self.splits.wait_for(self.epochs.current()) {
                Some(Wait::Acknowledgement) => self.epochs.answers_until_ms(),
                _ => i64::MAX,
            };
            self.next_periodic_ms.min(for_answers).min(self.end_check.map_or(i64::MAX, |(at, _)| at))
        } else {
            i64::MAX
        };
        let times =
            [self.next_discovery_ms, for_epochs, self.epochs.next_timeout_ms(), self.commits.retry_at_ms()];
        times.into_iter().min().unwrap_or(i64::MAX)
    }

    /// The epoch that sources are in, or on their way to.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epochs.current()
    }

    fn take(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Discovered { source, splits, complete } => {
                self.splits.discovered(source, splits, complete);
                self.start_if_discovered(actions);
            }
            Event::WorkerReady { worker } => {
                self.ready.insert(worker);
                if self.phase == Phase::Starting && self.ready.len() == self.plan.workers {
                    self.phase = Phase::Running;
                    self.schedule_periodic();
                }
            }
            Event::OperatorAcked(ack) => {
                self.splits.acknowledged(&ack);
                if let Some(problem) = self.epochs.operator_acked(ack) {
                    self.over(Outcome::Failed(problem), actions);
                }
            }
            Event::KeyedAcked(ack) => self.epochs.keyed_acked(ack),
            Event::KeyedFailed { worker, message } => {
                if let Some(epoch) = self.epochs.keyed_failed(worker) {
                    self.abandon(epoch, &format!("state of worker {worker}: {message}"), actions);
                }
            }
            Event::SplitFinished { source, split, epoch } => {
                if self.splits.finished(source, &split, epoch) {
                    actions.push(Action::Discover(source));
                }
            }
            Event::ManifestAppended { epoch, sequence } => self.appended(epoch, sequence, actions),
            Event::ManifestFailed { epoch, message } => self.abandon(epoch, &message, actions),
            Event::ManifestLost { message } => self.over(Outcome::Lost(message), actions),
            Event::Committed => {
                self.commits.committed();
            }
            Event::CommitFailed { message } => {
                let attempts = self.commits.failed(self.now_ms, COMMIT_RETRY_MS);
                if attempts >= COMMIT_ATTEMPTS {
                    let problem = format!("a commit failed {attempts} times, the last time: {message}");
                    self.over(Outcome::Failed(problem), actions);
                }
            }
            Event::Failed { message } => self.over(Outcome::Failed(message), actions),
            Event::OperatorFailed(failure) => self.over(Outcome::OperatorFailed(failure), actions),
            Event::Panicked { worker, message } => self.over(Outcome::Panicked { worker, message }, actions),
            Event::StopRequested => self.stop_requested = true,
            Event::AbortRequested => self.over(Outcome::Aborted, actions),
        }
    }

    /// Does what has become possible or due.
    fn decide(&mut self, actions: &mut Vec<Action>) {
        if self.stop_requested && self.phase == Phase::Discovering {
            // No worker has been started, so nothing has been read that a checkpoint could hold.
            self.over(Outcome::Stopped, actions);
            return;
        }
        if self.now_ms >= self.next_discovery_ms {
            self.next_discovery_ms = self.now_ms.saturating_add(self.plan.discovery_interval_ms);
            actions.extend(self.splits.incomplete().map(Action::Discover));
        }
        if let Some(epoch) = self.epochs.timed_out(self.now_ms) {
            let missing = self.epochs.missing(epoch);
            let problem = format!("not complete after {} ms: {missing}", self.plan.timeout_ms);
            self.abandon(epoch, &problem, actions);
        }
        if self.phase == Phase::Over {
            return;
        }
        self.complete(actions);
        if self.phase != Phase::Discovering {
            self.splits.assign(self.epochs.current(), actions);
        }
        self.end_sources(actions);
        self.end_epoch_if_due(actions);
        if let Some(parts) = self.commits.next(self.now_ms) {
            actions.push(Action::Commit(parts));
        }
        self.finish(actions);
    }

    fn start_if_discovered(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Discovering && self.splits.all_discovered() {
            self.phase = Phase::Starting;
            // The first splits are there before a worker looks, so that no source starts idle.
            self.splits.assign(self.epochs.current(), actions);
            actions.push(Action::StartWorkers);
        }
    }

    fn end_sources(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Discovering {
            return;
        }
        actions.extend(self.splits.take_ended().into_iter().map(Action::EndSource));
        if self.end_check.is_none() && self.phase == Phase::Running && self.splits.have_all_ended() {
            self.end_check = Some((self.now_ms + FIRST_END_DELAY_MS, FIRST_END_DELAY_MS * 2));
        }
    }

    /// Whether the current epoch may be ended, if there is a reason to.
    fn may_end_epoch(&self) -> bool {
        self.phase == Phase::Running && self.epochs.may_end() && self.last.is_none()
    }

    fn end_epoch_if_due(&mut self, actions: &mut Vec<Action>) {
        if !self.may_end_epoch() {
            return;
        }
        let children_need_it = match self.splits.wait_for(self.epochs.current()) {
            Some(Wait::EndOfEpoch) => true,
            // What has not been heard by now has got lost, and nothing else may open an epoch.
            Some(Wait::Acknowledgement) => self.now_ms >= self.epochs.answers_until_ms(),
            None => false,
        };
        let ends_input = self.end_check.is_some_and(|(at, _)| self.now_ms >= at);
        let is_due = (self.now_ms >= self.next_periodic_ms && !self.epochs.ends_stopped())
            || ends_input
            || (self.stop_requested && !self.epochs.ends_stopped())
            || children_need_it;
        if !is_due {
            return;
        }
        if let Some((at, delay)) = self.end_check.filter(|_| ends_input) {
            let next = at.max(self.now_ms) + delay;
            self.end_check = Some((next, (delay * 2).min(LONGEST_END_DELAY_MS)));
        }
        if self.stop_requested {
            actions.push(Action::HoldSources);
        }
        let next = self.epochs.end_current(self.now_ms, self.plan.timeout_ms, self.stop_requested);
        self.schedule_periodic();
        actions.push(Action::OpenEpoch(next));
    }

    fn schedule_periodic(&mut self) {
        let interval = self.plan.interval_ms.unwrap_or(i64::MAX);
        self.next_periodic_ms = self.now_ms.saturating_add(interval);
    }

    /// Appends the manifest of the epoch that has everything it needs.
    fn complete(&mut self, actions: &mut Vec<Action>) {
        let Some(epoch) = self.epochs.take_completed() else { return };
        let ended = self.epochs.ended(epoch);
        let mut manifest =
            Manifest::empty(&self.plan.job, self.plan.generation, epoch, self.plan.groups, self.plan.workers);
        manifest.started_ms = ended.started_ms;
        manifest.completed_ms = self.now_ms;
        manifest.names = self.plan.names.clone();
        manifest.keyed = ended.keyed_acks();
        manifest.operators = self.operator_parts(ended);
        manifest.sources = self.splits.parts(ended);
        manifest.committables = self.commits.listed_with(&self.plan, self.epochs.up_to(epoch));
        manifest.is_final = self.splits.have_all_ended()
            && ended.acks().all(|ack| ack.watermark == EventTime::END)
            && manifest.sources.iter().all(splits::is_read_to_its_end);
        let taken = CheckpointTaken {
            epoch,
            sequence: 0,
            started_ms: ended.started_ms,
            duration_ms: self.now_ms - ended.started_ms,
            bytes: manifest.total_bytes(),
            new_bytes: manifest.new_bytes(),
            alignment_us: ended.acks().map(|ack| ack.alignment_us).max().unwrap_or(0),
            is_final: manifest.is_final,
        };
        self.epochs.appending(epoch, taken);
        actions.push(Action::AppendManifest(Box::new(manifest)));
    }

    fn operator_parts(&self, ended: &Ended) -> Vec<OperatorPart> {
        let parts = ended.acks().map(|ack| OperatorPart {
            operator: self.plan.operator(ack.operator).name.clone(),
            worker: ack.worker,
            groups: self.plan.groups.range(ack.worker, self.plan.workers),
            watermark: ack.watermark,
            bytes: ack.bytes.clone(),
        });
        parts.collect()
    }

    fn appended(&mut self, epoch: Epoch, sequence: u64, actions: &mut Vec<Action>) {
        let Some((taken, ended)) = self.epochs.appended(epoch) else { return };
        self.failures_in_a_row = 0;
        let for_stop = ended.iter().any(|one| one.for_stop && one.epoch == epoch);
        self.commits.appended(&self.plan, &ended);
        if taken.is_final {
            self.last = Some((epoch, Outcome::Completed));
        } else if for_stop {
            self.last = Some((epoch, Outcome::Stopped));
        }
        actions.push(Action::CheckpointCompleted(CheckpointTaken { sequence, ..taken }));
        // What this one lists and is not committed yet needs no older one.
        actions.push(Action::CollectGarbage);
    }

    fn abandon(&mut self, epoch: Epoch, problem: &str, actions: &mut Vec<Action>) {
        if !self.epochs.abandon(epoch) {
            return;
        }
        self.failures_in_a_row += 1;
        actions.push(Action::CheckpointAbandoned { epoch, problem: problem.to_owned() });
        if self.failures_in_a_row > self.plan.tolerated_failures {
            let count = self.failures_in_a_row;
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times in a row") };
            self.over(Outcome::Failed(format!("checkpoints failed {times}, the last: {problem}")), actions);
        }
    }

    fn finish(&mut self, actions: &mut Vec<Action>) {
        if self.commits.is_empty()
            && let Some((_, outcome)) = self.last.take()
        {
            self.over(outcome, actions);
        }
    }

    fn over(&mut self, outcome: Outcome, actions: &mut Vec<Action>) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            actions.push(Action::StopWorkers(outcome));
        }
    }

    /// Whether `epoch` was given up; for tests and messages.
    #[must_use]
    pub fn is_abandoned(&self, epoch: Epoch) -> bool {
        self.epochs.progress(epoch) == Some(Progress::Abandoned)
    }

    /// The nodes that acknowledge each epoch on each worker.
    #[must_use]
    pub fn operators(&self) -> Vec<NodeId> {
        self.plan.operators.iter().map(|operator| operator.id).collect()
    }
}
