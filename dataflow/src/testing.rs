//! Running a whole graph in one thread, to its end: for doctests and tests of operators.
//!
//! No recovery and no second worker; that is what the runtime is for. Epochs pass all the same,
//! and transactional sinks commit at the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::worker::Worker;

use crate::clock::{Clock, SystemClock};
use crate::env::{Control, Intake, OperatorAck, Reporter, WorkerEnv};
use crate::error::{Failure, OpError};
use crate::graph::{Graph, NodeId, Role};
use crate::key::KeyGroups;
use crate::lower::{lower, new_worker};
use crate::operator::Resources;
use crate::settings::Settings;
use crate::sink::{Committable, Committer, SinkContext};
use crate::source::{SplitId, SplitState};
use crate::stats::StatsRegistry;
use crate::time::{Epoch, EventTime};
use crate::watermarks::WatermarkBoard;

const JOB: &str = "test";
const GENERATION: u64 = 1;

/// What went wrong in a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An operator failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// A source's enumerator or a sink's committer failed.
    #[error("{0}")]
    Connector(OpError),
    /// The graph has a source without end.
    #[error("source `{0}` has no end: only bounded sources can be run to their end")]
    Unbounded(String),
}

impl From<OpError> for RunError {
    fn from(error: OpError) -> Self {
        Self::Connector(error)
    }
}

/// The only worker of a job, stepped by hand. Dropping it drops its dataflow.
pub struct LoneWorker(Worker);

impl LoneWorker {
    /// Builds `graph`.
    ///
    /// # Errors
    /// An operator could not be built.
    pub fn start(graph: &Graph, env: Rc<WorkerEnv>) -> Result<Self, Failure> {
        let mut worker = new_worker(Allocator::Thread(Thread::default()));
        lower(graph, &mut worker, env)?;
        Ok(Self(worker))
    }

    /// Runs what is to be run, or waits a moment for something.
    pub fn step(&mut self) {
        self.0.step_or_park(Some(Duration::from_millis(1)));
    }
}

impl Drop for LoneWorker {
    fn drop(&mut self) {
        for dataflow in self.0.installed_dataflows() {
            self.0.drop_dataflow(dataflow);
        }
    }
}

#[derive(Default)]
struct Heard {
    acks: Vec<OperatorAck>,
    finished: HashSet<(NodeId, SplitId)>,
    failure: Option<Failure>,
}

#[derive(Default)]
struct Ear(Mutex<Heard>);

impl Ear {
    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Ear {
    fn frozen(&self, ack: OperatorAck) {
        self.heard().acks.push(ack);
    }
    fn split_finished(&self, source: NodeId, _worker: usize, split: SplitId, _epoch: Epoch) {
        self.heard().finished.insert((source, split));
    }
    fn failed(&self, failure: Failure) {
        self.heard().failure = Some(failure);
    }
}

/// Runs `graph` until all its sources have ended and the end has passed through every operator.
///
/// # Errors
/// An operator failed, or a source has no end.
pub fn run_to_end(graph: &Graph, resources: Resources) -> Result<(), RunError> {
    run_with(graph, resources, Arc::new(SystemClock), Settings::default())
}

/// As [`run_to_end`], with a clock and settings.
///
/// # Errors
/// As [`run_to_end`].
pub fn run_with(
    graph: &Graph,
    resources: Resources,
    clock: Arc<dyn Clock>,
    settings: Settings,
) -> Result<(), RunError> {
    let ear = Arc::new(Ear::default());
    let control = Arc::new(Control::starting_at(Epoch(0)));
    let splits = assign_all(graph, &control)?;
    let committers = open_committers(graph)?;
    let env = Rc::new(WorkerEnv {
        worker: 0,
        workers: 1,
        job: JOB.to_owned(),
        generation: GENERATION,
        first_epoch: Epoch(0),
        groups: KeyGroups::default(),
        clock,
        settings,
        resources,
        restored: HashMap::new(),
        control: control.clone(),
        reporter: ear.clone(),
        board: Arc::new(WatermarkBoard::new(graph, 1)),
        stats: Arc::new(StatsRegistry::default()),
        intake: Intake::Open.into(),
    });
    let mut worker = LoneWorker::start(graph, env)?;
    let result = drive(graph, &mut worker, &control, &ear, splits);
    control.stop();
    drop(worker);
    commit(committers, result?)
}

/// Gives every split of every source to the one worker; returns how many each source has.
fn assign_all(graph: &Graph, control: &Control) -> Result<BTreeMap<NodeId, usize>, RunError> {
    let mut counts = BTreeMap::new();
    for (node, source) in graph.sources() {
        let mut enumerator = source.enumerator()?;
        let splits = enumerator.discover()?;
        if !enumerator.is_complete() {
            return Err(RunError::Unbounded(node.name.clone()));
        }
        counts.insert(node.id, splits.len());
        for split in splits {
            control.assign(node.id, 0, SplitState::fresh(split));
        }
    }
    Ok(counts)
}

/// Steps until the end has passed; returns what every operator left in every epoch.
fn drive(
    graph: &Graph,
    worker: &mut LoneWorker,
    control: &Control,
    ear: &Ear,
    splits: BTreeMap<NodeId, usize>,
) -> Result<Vec<OperatorAck>, RunError> {
    let operators =
        graph.nodes().iter().filter(|node| !matches!(node.role, Role::Exchange(_) | Role::Union)).count();
    let mut running = splits;
    let mut all = Vec::new();
    loop {
        worker.step();
        let mut heard = ear.heard();
        if let Some(failure) = heard.failure.take() {
            return Err(failure.into());
        }
        running.retain(|source, count| {
            let finished = heard.finished.iter().filter(|(node, _)| node == source).count();
            if finished == *count {
                control.end_source(*source);
            }
            finished < *count
        });
        if running.is_empty() && control.epoch() == Epoch(0) {
            control.open_epoch(Epoch(1));
        }
        if heard.acks.len() == operators {
            let ended = heard.acks.iter().all(|ack| ack.watermark == EventTime::END);
            all.append(&mut heard.acks);
            if ended {
                return Ok(all);
            }
            control.open_epoch(control.epoch().next());
        }
    }
}

type Committers = BTreeMap<NodeId, Box<dyn Committer>>;

fn open_committers(graph: &Graph) -> Result<Committers, OpError> {
    let mut committers = Committers::new();
    for (node, sink) in graph.sinks() {
        let cx = SinkContext { job: JOB.to_owned(), operator: node.name.clone() };
        if let Some(mut committer) = sink.committer(&cx)? {
            committer.recover(GENERATION, &[])?;
            committers.insert(node.id, committer);
        }
    }
    Ok(committers)
}

fn commit(mut committers: Committers, acks: Vec<OperatorAck>) -> Result<(), RunError> {
    let mut listed: BTreeMap<NodeId, Vec<Committable>> = BTreeMap::new();
    for ack in acks {
        if let Some(prepare) = ack.deferred
            && let Some(bytes) = prepare()?
        {
            let committable = Committable { epoch: ack.epoch, worker: ack.worker, bytes };
            listed.entry(ack.operator).or_default().push(committable);
        }
    }
    for (sink, listed) in listed {
        if let Some(committer) = committers.get_mut(&sink) {
            committer.commit(&listed)?;
        }
    }
    Ok(())
}
