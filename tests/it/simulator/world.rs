//! A world: a seed decides which process does what next, what fails, who is killed, paused or overtaken by
//! another, when input comes and when its shards are split and merged. The same seed gives the same run.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton::connectors::Json;
use pelton::connectors::shard_log::LogSource;
use pelton::dataflow::graph::{Graph, NodeId, Role};
use pelton::dataflow::key::KeyGroups;
use pelton::operators::{Job, Watermarks};
use pelton::runtime::coordinator::Plan;
use pelton::state::checkpoint::store::CheckpointStore;
use pelton::streams::clock::ManualClock;
use pelton::streams::storage::MemoryStorage;
use pelton::streams::{Options, ShardLog};

use super::faults::{Fault, Faults};
use super::ledger::Ledger;
use super::process::Process;
use super::random::Random;
use super::sink::{self, Batch, FlakySink, Out};
use super::source::{self, Live, Rec};
use super::store;

/// The job's id.
pub const JOB: &str = "sim";

/// From this step on nothing fails any more, so that every run ends.
const CALM_AFTER: u64 = 3_000;
const MAX_STEPS: u64 = 60_000;

/// Processes at a time.
const MOST_PROCESSES: usize = 4;

/// What has happened in runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub generations: u64,
    pub checkpoints: u64,
    pub abandoned: u64,
    pub lost_answers: u64,
    pub lost_messages: u64,
    pub commits_failed: u64,
    pub failed_starts: u64,
    pub failures: u64,
    pub stops: u64,
    pub aborts: u64,
    pub kills: u64,
    pub pauses: u64,
    pub takeovers: u64,
    pub lost_jobs: u64,
    pub kept_from_returning: u64,
    pub children: u64,
}

impl Seen {
    /// Each thing that can happen, by name.
    pub fn counts(&self) -> [(&'static str, u64); 16] {
        [
            ("generations", self.generations),
            ("checkpoints", self.checkpoints),
            ("abandoned", self.abandoned),
            ("lost answers", self.lost_answers),
            ("lost messages", self.lost_messages),
            ("commits failed", self.commits_failed),
            ("failed starts", self.failed_starts),
            ("failures", self.failures),
            ("stops", self.stops),
            ("aborts", self.aborts),
            ("kills", self.kills),
            ("pauses", self.pauses),
            ("takeovers", self.takeovers),
            ("lost jobs", self.lost_jobs),
            ("kept from returning", self.kept_from_returning),
            ("children", self.children),
        ]
    }

    pub fn add(&mut self, other: &Self) {
        self.generations += other.generations;
        self.checkpoints += other.checkpoints;
        self.abandoned += other.abandoned;
        self.lost_answers += other.lost_answers;
        self.lost_messages += other.lost_messages;
        self.commits_failed += other.commits_failed;
        self.failed_starts += other.failed_starts;
        self.failures += other.failures;
        self.stops += other.stops;
        self.aborts += other.aborts;
        self.kills += other.kills;
        self.pauses += other.pauses;
        self.takeovers += other.takeovers;
        self.lost_jobs += other.lost_jobs;
        self.kept_from_returning += other.kept_from_returning;
        self.children += other.children;
    }
}

/// The job, wired: a graph for the coordinator's side, sources and sink for the workers'.
pub struct Wired {
    pub graph: Graph,
    pub live: Live,
    pub logged: LogSource<Rec, Json>,
    pub sink: FlakySink,
    pub live_node: NodeId,
    pub sink_node: NodeId,
    pub sources: Vec<NodeId>,
    /// Those that acknowledge, in order.
    pub operators: Vec<NodeId>,
}

impl Wired {
    fn new(log: &ShardLog, live: Live, faults: &Faults) -> Self {
        let mut job = Job::new();
        let of_live = job.source("live", live.clone()).watermarks(Watermarks::none());
        let of_log = job.source("logged", source::logged(log)).watermarks(Watermarks::none());
        let all = of_live.union([of_log]);
        let counted =
            all.key_by(|rec: &Rec| rec.split.clone()).fold("count", |count: &mut u64, _| *count += 1);
        let nobody = Batch { generation: 0, epoch: 0, worker: 0 };
        let out = counted.map(move |(split, number)| Out { split, number, batch: nobody.clone() });
        out.sink("out", FlakySink::new(log, faults.clone()));
        let graph = job.finish().unwrap();
        let named = |name: &str| graph.nodes().iter().find(|node| node.name == name).unwrap().id;
        let (live_node, sink_node) = (named("live"), named("out"));
        let sources = graph.nodes().iter().filter(|node| matches!(node.role, Role::Source(_)));
        Self {
            live,
            logged: source::logged(log),
            sink: FlakySink::new(log, faults.clone()),
            live_node,
            sink_node,
            sources: sources.map(|node| node.id).collect(),
            operators: Plan::operators_of(&graph).into_iter().map(|operator| operator.id).collect(),
            graph,
        }
    }
}

/// All of a world but its processes.
pub struct Sim {
    pub random: Random,
    pub now_ms: i64,
    pub is_calm: bool,
    /// Whether acknowledgements may get lost.
    pub loses: bool,
    pub faults: Faults,
    pub store: CheckpointStore,
    pub wired: Wired,
    pub groups: KeyGroups,
    pub ledger: Ledger,
    pub seen: Seen,
    log: ShardLog,
    /// Records of the shards of the log.
    logged: BTreeMap<String, u64>,
}

impl Sim {
    pub fn random_fault(&mut self) -> Fault {
        [Fault::Before, Fault::Half, Fault::After][self.random.below(3) as usize]
    }

    /// Holds what anyone can see against what may be, after a call of generation `by`.
    pub fn look(&mut self, by: u64) {
        self.look_at_log();
        self.ledger.read_output(&self.log, &self.wired.live, by);
    }

    pub fn look_at_log(&mut self) {
        self.ledger.read_log(&self.store);
    }

    /// Retention has left what counts.
    pub fn check_retained(&self) {
        self.ledger.check_files(&self.store);
    }

    /// Whether everything has been read, and all of it is visible.
    pub fn is_done(&self) -> bool {
        let Some(mut lengths) = self.wired.live.lengths() else { return false };
        lengths.extend(self.logged.clone());
        self.ledger.has_final() && self.ledger.shows_all(&lengths)
    }
}

pub struct World {
    sim: Sim,
    /// Nothing goes wrong but that acknowledgements get lost, and no checkpoints are taken from time to time: nothing
    /// else then helps a job on that waits for one.
    only_loses: bool,
    step: u64,
    processes: Vec<Process>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let faults = Faults::default();
        let (disk, clock) = (Arc::new(MemoryStorage::new()), Arc::new(ManualClock::at(1_000_000)));
        let log = ShardLog::open_with("/log", &Options::create(), disk, clock).unwrap();
        let logged = source::fill(&log, &mut random);
        let live = Live::new(&mut random, faults.clone());
        let sim = Sim {
            random,
            now_ms: 0,
            is_calm: false,
            loses: true,
            store: store::flaky(faults.clone()),
            wired: Wired::new(&log, live, &faults),
            faults,
            groups: KeyGroups::default(),
            ledger: Ledger::default(),
            seen: Seen::default(),
            log,
            logged,
        };
        Self { sim, only_loses: false, step: 0, processes: Vec::new() }
    }

    /// One in which acknowledgements get lost, and all else goes well.
    pub fn that_only_loses(seed: u64) -> Self {
        Self { only_loses: true, ..Self::new(seed) }
    }

    /// Runs to the end of all input, however often it has to be started. Gives what has happened, and how
    /// many steps it took.
    pub fn run(mut self) -> (Seen, u64) {
        while !(self.processes.is_empty() && self.sim.is_done()) {
            self.step += 1;
            let Self { sim, only_loses, step, .. } = &mut self;
            assert!(*step < MAX_STEPS, "the job does not end: {:?}", sim.ledger.newest());
            sim.loses = *step <= CALM_AFTER;
            sim.is_calm = *only_loses || !sim.loses;
            if !sim.loses || sim.random.one_in(8) {
                sim.wired.live.go_on(&mut sim.random, !sim.loses);
            }
            self.disturb();
            self.one_step();
        }
        // Once more, when there is nothing left to do.
        self.processes.push(Process::new(&mut self.sim.random));
        self.sim.is_calm = true;
        self.one_step();
        assert!(self.processes.is_empty(), "it goes on after the end");
        assert!(self.sim.is_done());
        let open = self.sim.log.open_transactions(sink::STREAM).unwrap();
        assert!(open.is_empty(), "left open: {open:?}");
        (self.sim.seen, self.step)
    }

    /// Starts, kills and pauses processes.
    fn disturb(&mut self) {
        let Self { sim, only_loses, step, processes } = self;
        let random = &mut sim.random;
        if processes.is_empty() {
            let process = Process::new(random);
            processes.push(if *only_loses { process.without_checkpoints() } else { process });
        } else if !sim.is_calm && processes.len() < MOST_PROCESSES && random.one_in(700) {
            sim.seen.takeovers += 1;
            processes.push(Process::new(random));
        }
        if sim.is_calm {
            processes.iter_mut().for_each(|process| process.wakes_at = 0);
            return;
        }
        let Some(chosen) = random.index(processes.len()) else { return };
        if random.one_in(900) {
            sim.seen.kills += 1;
            processes.swap_remove(chosen);
        } else if random.one_in(400) {
            sim.seen.pauses += 1;
            processes[chosen].wakes_at = *step + random.below(1_500);
        }
    }

    /// Has one of the processes that are not paused do something.
    fn one_step(&mut self) {
        let Self { sim, step, processes, .. } = self;
        let mut awake: Vec<_> = processes.iter_mut().filter(|process| process.wakes_at <= *step).collect();
        if let Some(chosen) = sim.random.index(awake.len()) {
            awake[chosen].step(sim);
        }
        processes.retain(|process| !process.is_over);
    }
}
