//! A process that runs the job: begins generations and carries out what the coordinator asks for, a step
//! at a time. It may be paused for long, lose the job meanwhile, and go on as a zombie.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pelton::dataflow::graph::NodeId;
use pelton::dataflow::source::SplitState;
use pelton::dataflow::time::Epoch;
use pelton::runtime::blocking::JobRef;
use pelton::runtime::blocking::commits::Committers;
use pelton::runtime::blocking::enumerators::Enumerators;
use pelton::runtime::blocking::manifests::LogKeeper;
use pelton::runtime::blocking::recovery::{Start, recover};
use pelton::runtime::coordinator::{Action, Coordinator, Event, Outcome};
use pelton::runtime::{CheckpointInterval, JobError, JobSettings};
use pelton::state::StateError;
use pelton::state::checkpoint::log::{Own, StartFrom};
use pelton::state::checkpoint::manifest::{Manifest, SinkPart};
use pelton::state::files::KeyedAck;

use super::faults::{Call, Fault};
use super::random::Random;
use super::worker::{Lane, Steering, Tallies, Worker, add};
use super::world::{JOB, Sim};

/// A process that has failed so often gives the job up.
const MOST_RESTARTS: u32 = 4;

pub struct Process {
    /// The generations that it knows to be its own.
    own: Own,
    /// The newest generation that it has truly begun.
    begun: u64,
    has_run: bool,
    restarts: u32,
    settings: JobSettings,
    generation: Option<Generation>,
    /// The step from which on it goes on.
    pub wakes_at: u64,
    pub is_over: bool,
}

/// A generation under way.
struct Generation {
    coordinator: Coordinator,
    keeper: LogKeeper,
    committers: Committers,
    enumerators: Enumerators,
    workers: Vec<Worker>,
    restores: Vec<KeyedAck>,
    first_epoch: u64,
    steering: Steering,
    lanes: BTreeMap<Lane, VecDeque<Event>>,
    /// What is asked of the thread of the log: a manifest to append, or garbage to collect.
    of_log: VecDeque<Option<Box<Manifest>>>,
    of_commits: VecDeque<Vec<SinkPart>>,
    of_enumerators: VecDeque<NodeId>,
    /// Ended epochs that are neither complete nor abandoned.
    unresolved: BTreeSet<u64>,
    given: BTreeSet<String>,
    /// Splits given out before there are workers.
    early: Vec<(usize, NodeId, SplitState)>,
    /// What the restored checkpoint says that the state holds, until it is checked.
    expected: Option<Tallies>,
}

impl Process {
    pub fn new(random: &mut Random) -> Self {
        let interval = 1 + random.below(400);
        let settings = JobSettings {
            workers: 1 + random.below(3) as usize,
            checkpoint_interval: match random.below(4) {
                0 => CheckpointInterval::Off,
                _ => CheckpointInterval::EveryMs(interval),
            },
            checkpoint_timeout_ms: 200 + random.below(1_000),
            tolerated_checkpoint_failures: random.below(5) as u32,
            retained_checkpoints: 1 + random.below(3) as usize,
            discovery_interval_ms: 20 + random.below(500),
            ..JobSettings::default()
        };
        Self {
            own: Own::default(),
            begun: 0,
            has_run: false,
            restarts: 0,
            settings,
            generation: None,
            wakes_at: 0,
            is_over: false,
        }
    }

    pub fn without_checkpoints(mut self) -> Self {
        self.settings.checkpoint_interval = CheckpointInterval::Off;
        self
    }

    /// Does one thing.
    pub fn step(&mut self, sim: &mut Sim) {
        let Some(generation) = &mut self.generation else { return self.begin(sim) };
        let outcome = generation.step(sim);
        self.has_run |= generation.coordinator.is_running();
        let Some(outcome) = outcome else { return };
        let number = generation.steering.generation;
        generation.check_end(&outcome);
        self.generation = None;
        self.is_over = true;
        match outcome {
            Outcome::Completed => assert!(sim.is_done(), "completed, and not all is visible"),
            Outcome::Stopped => {
                sim.seen.stops += 1;
                if sim.ledger.newest_generation() == number {
                    sim.ledger.check_settled();
                }
            }
            Outcome::Aborted => sim.seen.aborts += 1,
            Outcome::Lost(_) => {
                sim.seen.lost_jobs += 1;
                assert!(sim.ledger.newest_generation() > number, "lost to nobody");
            }
            Outcome::Failed(_) => {
                sim.seen.failures += 1;
                self.restarts += 1;
                self.is_over = !self.has_run || self.restarts > MOST_RESTARTS;
            }
            Outcome::OperatorFailed(_) | Outcome::Panicked { .. } => unreachable!("{outcome:?}"),
        }
    }

    fn begin(&mut self, sim: &mut Sim) {
        if !sim.is_calm && sim.random.one_in(8) {
            let call = [Call::Put, Call::Recover][sim.random.below(2) as usize];
            let fault = sim.random_fault();
            sim.faults.arm(call, fault);
        }
        sim.now_ms += 1;
        let before = sim.ledger.newest_generation();
        let begun = self.begun;
        let job = JobRef { id: JOB, graph: &sim.wired.graph, settings: &self.settings, store: &sim.store };
        let started = recover(job, &StartFrom::Newest, &mut self.own, sim.now_ms);
        sim.faults.disarm();
        // What it has shown, it has shown as the generation that it has just begun, if it has.
        sim.look_at_log();
        if sim.ledger.newest_generation() > before {
            self.begun = sim.ledger.newest_generation();
            let kept = begun == 0 || begun == before;
            assert!(kept, "it began {begun}, lost the job to {before}, and has taken it back");
        }
        sim.look(self.begun);
        match started {
            Ok(start) if start.is_over => {
                sim.ledger.took_over(start.generation);
                self.is_over = true;
            }
            Ok(start) => {
                assert_eq!(
                    start.generation,
                    sim.ledger.newest_generation(),
                    "a generation that is in no log"
                );
                sim.ledger.took_over(start.generation);
                sim.seen.generations += 1;
                let plan = start.plan(job_ref(&self.settings, sim));
                let (coordinator, actions) = Coordinator::new(plan, sim.now_ms);
                let mut generation = Generation::new(start, coordinator, &self.settings, sim);
                assert_eq!(generation.act(actions, sim), None, "it is over before it has begun");
                self.generation = Some(generation);
            }
            Err(JobError::State(StateError::Fenced { .. })) => {
                assert!(before > self.begun, "fenced by nobody");
                sim.seen.kept_from_returning += 1;
                self.is_over = true;
            }
            Err(_) => {
                sim.seen.failed_starts += 1;
                self.restarts += 1;
                self.is_over = !self.has_run || self.restarts > MOST_RESTARTS;
            }
        }
    }
}

fn job_ref<'a>(settings: &'a JobSettings, sim: &'a Sim) -> JobRef<'a> {
    JobRef { id: JOB, graph: &sim.wired.graph, settings, store: &sim.store }
}

impl Generation {
    fn new(start: Start, coordinator: Coordinator, settings: &JobSettings, sim: &Sim) -> Self {
        let splits = || start.sources.iter().flat_map(|source| &source.splits);
        let finished = splits().filter(|split| split.finished_in.is_some());
        let steering = Steering {
            generation: start.generation,
            workers: settings.workers,
            target: start.first_epoch.0,
            ends: finished.map(|split| (split.state.info.id.0.clone(), 0)).collect(),
            ..Steering::default()
        };
        Self {
            coordinator,
            expected: Some(sim.ledger.positions_of(&start.sources)),
            keeper: LogKeeper::new(start.log, settings.retained_checkpoints),
            committers: start.committers,
            enumerators: start.enumerators,
            workers: Vec::new(),
            restores: start.keyed,
            first_epoch: start.first_epoch.0,
            steering,
            lanes: BTreeMap::new(),
            // What earlier generations left more than is kept goes first.
            of_log: VecDeque::from([None]),
            of_commits: VecDeque::new(),
            of_enumerators: VecDeque::new(),
            unresolved: BTreeSet::new(),
            given: BTreeSet::new(),
            early: Vec::new(),
        }
    }

    /// Lets something happen.
    fn step(&mut self, sim: &mut Sim) -> Option<Outcome> {
        let event = match sim.random.below(14) {
            0 => {
                let due = self.coordinator.next_tick_ms();
                if due < i64::MAX && sim.random.one_in(8) {
                    sim.now_ms = sim.now_ms.max(due);
                }
                sim.now_ms += sim.random.below(60) as i64;
                Some(Event::Tick)
            }
            1..=4 => self.deliver(sim),
            5 => self.serve_log(sim),
            6 => self.serve_commits(sim),
            7 => self.serve_enumerators(sim),
            8 if !sim.is_calm && sim.random.one_in(40) => Some(match sim.random.below(8) {
                0 => Event::AbortRequested,
                1..=4 => Event::StopRequested,
                _ => Event::Failed { message: "a worker failed".into() },
            }),
            _ => {
                let worker = sim.random.index(self.workers.len())?;
                let heard = self.workers[worker].turn(&mut self.steering, sim);
                heard.into_iter().for_each(|(lane, event)| self.send(lane, event, sim));
                self.check_restored();
                None
            }
        };
        let actions = self.coordinator.on(sim.now_ms, event?);
        self.act(actions, sim)
    }

    /// Puts an event on its way, on which acknowledgements may get lost.
    fn send(&mut self, lane: Lane, event: Event, sim: &mut Sim) {
        let can_be_lost = matches!(event, Event::OperatorAcked(_) | Event::KeyedAcked(_));
        if can_be_lost && sim.loses && sim.random.one_in(150) {
            sim.seen.lost_messages += 1;
            return;
        }
        self.lanes.entry(lane).or_default().push_back(event);
    }

    fn deliver(&mut self, sim: &mut Sim) -> Option<Event> {
        let mut lanes: Vec<_> = self.lanes.values_mut().filter(|lane| !lane.is_empty()).collect();
        let chosen = sim.random.index(lanes.len())?;
        lanes[chosen].pop_front()
    }

    fn serve_log(&mut self, sim: &mut Sim) -> Option<Event> {
        let wish = self.of_log.pop_front()?;
        let fails = !sim.is_calm && sim.random.one_in(10);
        let answer = match wish {
            Some(manifest) => {
                if fails {
                    let fault = sim.random_fault();
                    sim.faults.arm(Call::Put, fault);
                }
                Some(self.keeper.append(&manifest))
            }
            None => {
                if fails {
                    sim.faults.arm(Call::Delete, Fault::Before);
                }
                self.keeper.collect_garbage();
                None
            }
        };
        sim.faults.disarm();
        sim.look(self.steering.generation);
        sim.check_retained();
        let answer = answer?;
        sim.seen.lost_answers += u64::from(matches!(answer, Event::ManifestFailed { .. }));
        self.send(("store", 0, 0), answer, sim);
        None
    }

    fn serve_commits(&mut self, sim: &mut Sim) -> Option<Event> {
        let parts = self.of_commits.pop_front()?;
        if !sim.is_calm && sim.random.one_in(8) {
            let fault = sim.random_fault();
            sim.faults.arm(Call::Commit, fault);
        }
        let answer = self.committers.commit(&parts);
        sim.faults.disarm();
        sim.look(self.steering.generation);
        sim.seen.commits_failed += u64::from(matches!(answer, Event::CommitFailed { .. }));
        self.send(("commits", 0, 0), answer, sim);
        None
    }

    fn serve_enumerators(&mut self, sim: &mut Sim) -> Option<Event> {
        let source = self.of_enumerators.pop_front()?;
        if !sim.is_calm && sim.random.one_in(20) {
            sim.faults.arm(Call::Enumerate, Fault::Before);
        }
        let answer = self.enumerators.ask(source);
        sim.faults.disarm();
        self.send(("enumerators", 0, 0), answer?, sim);
        None
    }

    fn act(&mut self, actions: Vec<Action>, sim: &mut Sim) -> Option<Outcome> {
        for action in actions {
            match action {
                Action::Discover(source) => self.of_enumerators.push_back(source),
                Action::StartWorkers => self.start_workers(),
                Action::HoldSources => self.steering.is_held = true,
                Action::OpenEpoch(Epoch(epoch)) => {
                    let target = self.steering.target;
                    assert_eq!(epoch, target + 1, "epochs open one by one");
                    assert!(self.unresolved.is_empty(), "two are open at most: {:?}", self.unresolved);
                    self.unresolved.insert(target);
                    self.steering.target = epoch;
                }
                Action::Assign { source, worker, split } => self.assign(source, worker, split, sim),
                Action::EndSource(source) => {
                    assert!(self.steering.ended.insert(source), "an end is said once");
                }
                Action::AppendManifest(manifest) => self.of_log.push_back(Some(manifest)),
                Action::CollectGarbage => self.of_log.push_back(None),
                Action::Commit(parts) => {
                    assert!(self.of_commits.is_empty(), "one commit at a time");
                    self.of_commits.push_back(parts);
                }
                Action::CheckpointCompleted(taken) => {
                    sim.seen.checkpoints += 1;
                    self.unresolved.retain(|epoch| *epoch > taken.epoch.0);
                }
                Action::CheckpointAbandoned { epoch, .. } => {
                    sim.seen.abandoned += 1;
                    assert!(self.unresolved.remove(&epoch.0), "abandoned, and not under way: {epoch}");
                }
                Action::StopWorkers(outcome) => return Some(outcome),
            }
        }
        None
    }

    fn start_workers(&mut self) {
        let Steering { workers, .. } = self.steering;
        let worker = |index| Worker::new(index, self.first_epoch, workers, &self.restores);
        self.workers = (0..workers).map(worker).collect();
        for (worker, source, split) in self.early.drain(..) {
            self.workers[worker].assign(source, split);
        }
    }

    fn assign(&mut self, source: NodeId, worker: usize, split: SplitState, sim: &mut Sim) {
        let id = &split.info.id;
        assert!(self.given.insert(id.0.clone()), "{id} is given out twice");
        sim.seen.children += u64::from(!split.info.parents.is_empty());
        let epoch = self.workers.get(worker).map_or(self.first_epoch, Worker::epoch);
        for parent in &split.info.parents {
            let ended = self.steering.ends.get(&parent.0);
            let is_over = ended.is_some_and(|ended| *ended < epoch);
            assert!(is_over, "{id} starts in epoch {epoch}, its parent {parent} ended in {ended:?}");
        }
        match self.workers.get_mut(worker) {
            Some(worker) => worker.assign(source, split),
            None => self.early.push((worker, source, split)),
        }
    }

    /// Once all workers have fetched their state, it must hold what the positions say.
    fn check_restored(&mut self) {
        if self.expected.is_none() || self.workers.is_empty() {
            return;
        }
        let mut held = Tallies::new();
        for worker in &self.workers {
            let Some(restored) = worker.restored() else { return };
            add(&mut held, restored);
        }
        let expected = self.expected.take();
        assert_eq!(Some(held), expected, "restored state and positions differ");
    }

    /// A generation that ends well leaves nothing behind.
    fn check_end(&self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Stopped | Outcome::Completed) {
            assert!(!self.workers.iter().any(Worker::owes), "records came after the last checkpoint");
            assert!(self.of_log.iter().all(Option::is_none) && self.of_commits.is_empty());
        }
    }
}
