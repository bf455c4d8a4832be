//! The coordinator in a simulated world: a seed decides when messages arrive, what fails, who
//! crashes, when the job is stopped and with how many workers it goes on. The same seed gives the
//! same run. At the end every record of every split is visible exactly once.
//!
//! `PELTON_SEED=n` replays one run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, Hasher};

use pelton_dataflow::graph::NodeId;
use pelton_dataflow::source::{SplitId, SplitInfo, SplitState, SplitStatus};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_runtime::coordinator::{Action, Coordinator, Event, OperatorAcked, Outcome, Plan};
use pelton_state::checkpoint::manifest::{Manifest, SinkPart};

use super::coordinator::{SINK, SOURCE, keyed, plan};

/// Runs of each kind. They take a few seconds together.
const FIXED_SEEDS: u64 = 1_500;
const FRESH_SEEDS: u64 = 500;

/// From this step on nothing fails any more, so that every run ends.
const CALM_AFTER: u64 = 4_000;
const MAX_STEPS: u64 = 60_000;

#[test]
fn every_record_is_visible_once_whatever_happens() {
    if let Ok(seed) = std::env::var("PELTON_SEED") {
        return World::new(seed.parse().expect("PELTON_SEED is a number")).run();
    }
    let mut seen = Seen::default();
    for seed in 0..FIXED_SEEDS {
        println!("seed {seed}");
        let mut world = World::new(seed);
        world.run();
        seen.add(&world.seen);
    }
    println!("{seen:?}");
    let Seen {
        generations,
        checkpoints,
        abandoned,
        lost_answers,
        commits_failed,
        kills,
        stops,
        failures,
        children,
    } = seen;
    // What the runs are worth: each thing that can go wrong has gone wrong often.
    for count in
        [generations, checkpoints, abandoned, lost_answers, commits_failed, kills, stops, failures, children]
    {
        assert!(count >= 100, "{seen:?}");
    }
}

#[test]
fn every_record_is_visible_once_with_fresh_seeds() {
    let fresh = std::hash::RandomState::new().build_hasher().finish();
    for number in 0..FRESH_SEEDS {
        let seed = fresh.wrapping_add(number);
        println!("replay with PELTON_SEED={seed}");
        World::new(seed).run();
    }
}

/// What has happened in runs.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    generations: u64,
    checkpoints: u64,
    abandoned: u64,
    lost_answers: u64,
    commits_failed: u64,
    kills: u64,
    stops: u64,
    failures: u64,
    children: u64,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.generations += other.generations;
        self.checkpoints += other.checkpoints;
        self.abandoned += other.abandoned;
        self.lost_answers += other.lost_answers;
        self.commits_failed += other.commits_failed;
        self.kills += other.kills;
        self.stops += other.stops;
        self.failures += other.failures;
        self.children += other.children;
    }
}

struct Random(u64);

impl Random {
    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A record: its split and its number in it.
type Record = (String, u64);

/// What a sink has prepared: who, when, and the records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Transaction {
    generation: u64,
    epoch: u64,
    worker: usize,
    records: Vec<Record>,
}

/// What outlives generations.
struct World {
    random: Random,
    step: u64,
    now_ms: i64,
    generation: u64,
    /// Splits with their lengths; children come to be known when their parents have been read.
    splits: BTreeMap<String, (SplitInfo, u64)>,
    read_to_end: BTreeSet<String>,
    log: Vec<Manifest>,
    prepared: Vec<Transaction>,
    aborted: BTreeSet<usize>,
    visible: BTreeSet<usize>,
    seen: Seen,
}

/// A worker of the generation under way.
#[derive(Default)]
struct Worker {
    epoch: u64,
    splits: Vec<SplitState>,
    assigned: VecDeque<SplitState>,
    buffer: Vec<Record>,
    has_end: bool,
}

/// Where messages keep their order.
type Lane = (&'static str, usize, usize);

struct Generation {
    coordinator: Coordinator,
    workers: Vec<Worker>,
    lanes: BTreeMap<Lane, VecDeque<Event>>,
    /// Asked of the store and the sinks, in order.
    wishes: VecDeque<Action>,
    target: u64,
    has_ended: bool,
    is_held: bool,
    /// Ended epochs that are neither complete nor abandoned.
    unresolved: BTreeSet<u64>,
    given: BTreeSet<String>,
    finished: BTreeMap<String, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut splits = BTreeMap::new();
        let roots = 1 + random.below(3);
        for root in 0..roots {
            let name = format!("s{root}");
            splits.insert(name.clone(), (SplitInfo::root(name), random.below(60)));
        }
        for child in 0..random.below(5) {
            let known: Vec<String> = splits.keys().cloned().collect();
            let parents =
                (0..=random.below(2)).map(|_| known[random.below(known.len() as u64) as usize].clone());
            let parents: BTreeSet<String> = parents.collect();
            let info = SplitInfo {
                id: SplitId(format!("t{child}")),
                parents: parents.into_iter().map(SplitId).collect(),
            };
            splits.insert(info.id.0.clone(), (info, random.below(60)));
        }
        Self {
            random,
            step: 0,
            now_ms: 0,
            generation: 0,
            splits,
            read_to_end: BTreeSet::new(),
            log: Vec::new(),
            prepared: Vec::new(),
            aborted: BTreeSet::new(),
            visible: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    fn run(&mut self) {
        loop {
            if self.log.last().is_some_and(|manifest| manifest.is_final) {
                self.recover_sinks();
                break;
            }
            match self.generation() {
                Some(Outcome::Completed) => break,
                None => self.seen.kills += 1,
                Some(Outcome::Stopped) => self.seen.stops += 1,
                Some(Outcome::Failed(_)) => self.seen.failures += 1,
                Some(outcome) => panic!("{outcome:?}"),
            }
        }
        self.check_output();
    }

    /// Runs one generation until it is over (`Some`) or killed (`None`).
    fn generation(&mut self) -> Option<Outcome> {
        self.generation += 1;
        self.seen.generations += 1;
        self.recover_sinks();
        let workers = 1 + self.random.below(3) as usize;
        let interval = if self.random.one_in(4) { None } else { Some(1 + self.random.below(400) as i64) };
        let base = self.log.last();
        let plan = Plan {
            generation: self.generation,
            first_epoch: base.map_or(Epoch(1), |manifest| manifest.epoch.next()),
            interval_ms: interval,
            timeout_ms: 200 + self.random.below(1_000) as i64,
            tolerated_failures: self.random.below(5) as u32,
            sources: base.map(|manifest| manifest.sources.clone()).unwrap_or_default(),
            ..plan(workers)
        };
        let first_epoch = plan.first_epoch.0;
        let (coordinator, actions) = Coordinator::new(plan, self.now_ms);
        let worker = || Worker { epoch: first_epoch, ..Worker::default() };
        let mut running = Generation {
            coordinator,
            workers: (0..workers).map(|_| worker()).collect(),
            lanes: BTreeMap::new(),
            wishes: VecDeque::new(),
            target: first_epoch,
            has_ended: false,
            is_held: false,
            unresolved: BTreeSet::new(),
            given: BTreeSet::new(),
            finished: BTreeMap::new(),
        };
        let mut outcome = self.act(&mut running, actions);
        while outcome.is_none() {
            self.step += 1;
            assert!(self.step < MAX_STEPS, "the job does not end: {:?}", running.coordinator);
            let is_calm = self.step > CALM_AFTER;
            if !is_calm && self.random.one_in(700) {
                return None;
            }
            let event = self.next_event(&mut running, is_calm);
            if let Some(event) = event {
                let actions = running.coordinator.on(self.now_ms, event);
                outcome = self.act(&mut running, actions);
            }
        }
        outcome
    }

    /// Lets something happen; gives what the coordinator hears of it.
    fn next_event(&mut self, running: &mut Generation, is_calm: bool) -> Option<Event> {
        match self.random.below(10) {
            0 => {
                self.now_ms += self.random.below(60) as i64;
                Some(Event::Tick)
            }
            1..=3 => {
                let lanes: Vec<Lane> = running
                    .lanes
                    .iter()
                    .filter(|(_, lane)| !lane.is_empty())
                    .map(|(name, _)| *name)
                    .collect();
                let lane = *lanes.get(self.random.below(lanes.len().max(1) as u64) as usize)?;
                running.lanes.get_mut(&lane)?.pop_front()
            }
            4 => {
                self.serve(running, is_calm);
                None
            }
            5 if !is_calm && self.random.one_in(150) => {
                Some(Event::Failed { message: "a worker failed".into() })
            }
            5 if !is_calm && self.random.one_in(80) => Some(Event::StopRequested),
            _ => {
                let worker = self.random.below(running.workers.len() as u64) as usize;
                self.work(running, worker, is_calm);
                None
            }
        }
    }

    /// One turn of a worker.
    fn work(&mut self, running: &mut Generation, index: usize, is_calm: bool) {
        let (target, has_ended) = (running.target, running.has_ended);
        let worker = &mut running.workers[index];
        match self.random.below(4) {
            0 => {
                if let Some(split) = worker.assigned.pop_front() {
                    worker.splits.push(split);
                }
            }
            1 if worker.epoch < target => self.freeze(running, index, is_calm),
            2 if has_ended => worker.has_end = true,
            _ if running.is_held => {}
            _ => {
                let open = worker.splits.iter_mut().filter(|split| split.status != SplitStatus::Finished);
                let mut open: Vec<_> = open.collect();
                let count = open.len().max(1) as u64;
                let Some(split) = open.get_mut(self.random.below(count) as usize) else { return };
                let name = split.info.id.0.clone();
                let length = self.splits[&name].1;
                let from =
                    split.position.as_ref().map_or(0, |at| u64::from_le_bytes(at[..].try_into().unwrap()));
                let to = (from + self.random.below(8)).min(length);
                split.position = Some(to.to_le_bytes().to_vec());
                worker.buffer.extend((from..to).map(|number| (name.clone(), number)));
                if to == length {
                    split.status = SplitStatus::Finished;
                    self.read_to_end.insert(name.clone());
                    running.finished.insert(name.clone(), worker.epoch);
                    let event = Event::SplitFinished {
                        source: SOURCE,
                        split: SplitId(name),
                        epoch: Epoch(worker.epoch),
                    };
                    running.lanes.entry(("operator", SOURCE.0, index)).or_default().push_back(event);
                }
            }
        }
    }

    /// A worker ends its epoch.
    fn freeze(&mut self, running: &mut Generation, index: usize, is_calm: bool) {
        let worker = &mut running.workers[index];
        let epoch = worker.epoch;
        worker.epoch += 1;
        let records = std::mem::take(&mut worker.buffer);
        let committable = (!records.is_empty()).then(|| {
            let generation = self.generation;
            self.prepared.push(Transaction { generation, epoch, worker: index, records });
            (self.prepared.len() - 1).to_le_bytes().to_vec()
        });
        let watermark = if worker.has_end { EventTime::END } else { EventTime::MIN };
        for operator in [SOURCE, NodeId(1), SINK] {
            let event = Event::OperatorAcked(OperatorAcked {
                epoch: Epoch(epoch),
                operator,
                worker: index,
                watermark,
                bytes: Vec::new(),
                splits: if operator == SOURCE { worker.splits.clone() } else { Vec::new() },
                committable: committable.clone().filter(|_| operator == SINK),
                alignment_us: 0,
            });
            // A prepare takes its time; an epoch without records has none, and overtakes it.
            let prepares = committable.is_some() && operator == SINK;
            let lane = if prepares { "prepare" } else { "operator" };
            running.lanes.entry((lane, operator.0, index)).or_default().push_back(event);
        }
        let keyed = if !is_calm && self.random.one_in(25) {
            Event::KeyedFailed { worker: index, message: "disk full".into() }
        } else {
            Event::KeyedAcked(keyed(index, epoch))
        };
        running.lanes.entry(("keyed", 0, index)).or_default().push_back(keyed);
    }

    /// The store and the sinks do what they were asked, or fail to.
    fn serve(&mut self, running: &mut Generation, is_calm: bool) {
        let Some(wish) = running.wishes.pop_front() else { return };
        let fails = !is_calm && self.random.one_in(12);
        let event = match wish {
            Action::AppendManifest(manifest) => {
                let epoch = manifest.epoch;
                // A failure may leave the manifest or not.
                if !fails || self.random.one_in(2) {
                    self.append(*manifest);
                }
                let message = "connection lost".into();
                if fails {
                    self.seen.lost_answers += 1;
                    Event::ManifestFailed { epoch, message }
                } else {
                    Event::ManifestAppended { epoch, sequence: self.log.len() as u64 }
                }
            }
            Action::Commit(parts) => {
                let keep = if fails { self.random.below(3) as usize } else { usize::MAX };
                self.commit(&parts, keep);
                self.seen.commits_failed += u64::from(fails);
                if fails { Event::CommitFailed { message: "unreachable".into() } } else { Event::Committed }
            }
            other => unreachable!("{other:?}"),
        };
        running.lanes.entry(("store", 0, 0)).or_default().push_back(event);
    }

    fn append(&mut self, manifest: Manifest) {
        if let Some(last) = self.log.last() {
            assert!(manifest.epoch > last.epoch, "epochs of manifests grow");
        }
        self.log.push(manifest);
    }

    /// Makes up to `most` transactions visible.
    fn commit(&mut self, parts: &[SinkPart], most: usize) {
        let mut epochs = BTreeMap::new();
        for committable in parts.iter().flat_map(|part| &part.committables).take(most) {
            let id = usize::from_le_bytes(committable.bytes[..].try_into().unwrap());
            assert!(!self.aborted.contains(&id), "committed after its abort: {:?}", self.prepared[id]);
            let listed = self.log.iter().flat_map(|manifest| &manifest.committables);
            assert!(
                listed.flat_map(|part| &part.committables).any(|listed| listed == committable),
                "committed before a manifest lists it: {:?}",
                self.prepared[id]
            );
            let last = epochs.insert(committable.worker, committable.epoch);
            assert!(last.is_none_or(|last| last <= committable.epoch), "committed out of order");
            self.visible.insert(id);
        }
    }

    /// What a sink does first in a generation.
    fn recover_sinks(&mut self) {
        let listed = self.log.last().map(|manifest| manifest.committables.clone()).unwrap_or_default();
        let keep: BTreeSet<usize> = listed
            .iter()
            .flat_map(|part| &part.committables)
            .map(|one| usize::from_le_bytes(one.bytes[..].try_into().unwrap()))
            .collect();
        let gone = (0..self.prepared.len()).filter(|id| !keep.contains(id) && !self.visible.contains(id));
        self.aborted.extend(gone);
        self.commit(&listed, usize::MAX);
    }

    fn act(&mut self, running: &mut Generation, actions: Vec<Action>) -> Option<Outcome> {
        for action in actions {
            match action {
                Action::Discover(source) => {
                    let event = self.discover(source);
                    running.lanes.entry(("enumerator", 0, 0)).or_default().push_back(event);
                }
                Action::StartWorkers => {
                    for worker in 0..running.workers.len() {
                        let event = Event::WorkerReady { worker };
                        running.lanes.entry(("ready", 0, worker)).or_default().push_back(event);
                    }
                }
                Action::HoldSources => running.is_held = true,
                Action::OpenEpoch(epoch) => {
                    assert_eq!(epoch.0, running.target + 1, "epochs open one by one");
                    assert!(running.unresolved.is_empty(), "two are open at most: {:?}", running.unresolved);
                    running.unresolved.insert(running.target);
                    running.target = epoch.0;
                }
                Action::Assign { worker, split, .. } => {
                    self.seen.children += u64::from(!split.info.parents.is_empty());
                    Self::assign(running, worker, split);
                }
                Action::EndSource(_) => running.has_ended = true,
                wish @ (Action::AppendManifest(_) | Action::Commit(_)) => running.wishes.push_back(wish),
                Action::CheckpointCompleted(taken) => {
                    self.seen.checkpoints += 1;
                    running.unresolved.retain(|epoch| *epoch > taken.epoch.0);
                }
                Action::CheckpointAbandoned { epoch, .. } => {
                    self.seen.abandoned += 1;
                    running.unresolved.remove(&epoch.0);
                }
                Action::CollectGarbage => {}
                Action::StopWorkers(outcome) => {
                    let is_good = matches!(outcome, Outcome::Stopped | Outcome::Completed);
                    let lost = running.workers.iter().any(|worker| !worker.buffer.is_empty());
                    assert!(!is_good || !lost, "records came after the last checkpoint");
                    return Some(outcome);
                }
            }
        }
        None
    }

    fn assign(running: &mut Generation, worker: usize, split: SplitState) {
        assert!(running.given.insert(split.info.id.0.clone()), "{} is given out twice", split.info.id);
        for parent in &split.info.parents {
            if let Some(finished_in) = running.finished.get(&parent.0) {
                let epoch = running.workers[worker].epoch;
                assert!(
                    epoch > *finished_in,
                    "{} starts in epoch {epoch} of its parent's end",
                    split.info.id
                );
            }
        }
        running.workers[worker].assigned.push_back(split);
    }

    fn discover(&self, source: NodeId) -> Event {
        let is_known =
            |info: &SplitInfo| info.parents.iter().all(|parent| self.read_to_end.contains(&parent.0));
        let known: Vec<SplitInfo> =
            self.splits.values().map(|(info, _)| info.clone()).filter(is_known).collect();
        let complete = known.len() == self.splits.len();
        Event::Discovered { source, splits: known, complete }
    }

    fn check_output(&self) {
        let mut seen: BTreeMap<Record, u64> = BTreeMap::new();
        let mut epochs: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for id in &self.visible {
            let transaction = &self.prepared[*id];
            for record in &transaction.records {
                *seen.entry(record.clone()).or_default() += 1;
                let range = epochs.entry(&record.0).or_insert((transaction.epoch, transaction.epoch));
                *range = (range.0.min(transaction.epoch), range.1.max(transaction.epoch));
            }
        }
        for (name, (info, length)) in &self.splits {
            for number in 0..*length {
                let times = seen.remove(&(name.clone(), number)).unwrap_or(0);
                assert_eq!(times, 1, "record {number} of {name} is visible {times} times");
            }
            for parent in &info.parents {
                if let (Some(parent), Some(child)) =
                    (epochs.get(parent.0.as_str()), epochs.get(name.as_str()))
                {
                    assert!(parent.1 < child.0, "{name} began before its parent's last epoch was over");
                }
            }
        }
        assert!(seen.is_empty(), "records that no split has: {seen:?}");
    }
}
