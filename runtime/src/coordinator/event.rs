//! What the coordinator hears, what it asks for, and what it knows of the job.

use pelton_dataflow::error::Failure;
use pelton_dataflow::graph::{Graph, NodeId, Role};
use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::source::{SplitId, SplitInfo, SplitState};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::checkpoint::manifest::{Manifest, SinkPart, SourcePart};
use pelton_state::checkpoint::names::NameTable;
use pelton_state::files::KeyedAck;

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// An enumerator has answered.
    Discovered {
        /// The source.
        source: NodeId,
        /// All splits it knows.
        splits: Vec<SplitInfo>,
        /// Whether there will be no others.
        complete: bool,
    },
    /// A worker has built its dataflow.
    WorkerReady {
        /// The worker.
        worker: usize,
    },
    /// An operator on a worker has ended an epoch, its prepare included.
    OperatorAcked(OperatorAcked),
    /// The keyed state of a worker is stored.
    KeyedAcked(KeyedAck),
    /// The keyed state of a worker could not be stored: of its oldest epoch not yet acknowledged.
    KeyedFailed {
        /// The worker.
        worker: usize,
        /// What went wrong.
        message: String,
    },
    /// A split has been read to its end.
    SplitFinished {
        /// The source.
        source: NodeId,
        /// The split.
        split: SplitId,
        /// The epoch that its last record is in.
        epoch: Epoch,
    },
    /// A checkpoint exists from now on.
    ManifestAppended {
        /// Its epoch.
        epoch: Epoch,
        /// Its number in the log.
        sequence: u64,
    },
    /// A manifest could not be appended.
    ManifestFailed {
        /// Its epoch.
        epoch: Epoch,
        /// What went wrong.
        message: String,
    },
    /// Another process has taken the job over.
    ManifestLost {
        /// Who, as far as is known.
        message: String,
    },
    /// The sinks have committed what they were last asked to.
    Committed,
    /// A sink could not commit.
    CommitFailed {
        /// What went wrong.
        message: String,
    },
    /// The generation cannot go on.
    Failed {
        /// What went wrong.
        message: String,
    },
    /// An operator has failed.
    OperatorFailed(Failure),
    /// A worker panicked outside of user code.
    Panicked {
        /// The worker.
        worker: usize,
        /// The panic's own words.
        message: String,
    },
    /// A graceful stop is wished.
    StopRequested,
    /// A stop without a checkpoint is wished.
    AbortRequested,
}

/// The acknowledgement of an operator, with its prepare done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorAcked {
    /// The epoch that ended.
    pub epoch: Epoch,
    /// The operator.
    pub operator: NodeId,
    /// The worker.
    pub worker: usize,
    /// Its watermark when it froze.
    pub watermark: EventTime,
    /// Its non-keyed state.
    pub bytes: Vec<u8>,
    /// A source's splits.
    pub splits: Vec<SplitState>,
    /// What a sink has to commit.
    pub committable: Option<Vec<u8>>,
    /// How long the barrier waited between its first and last input, in microseconds.
    pub alignment_us: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the enumerator of a source.
    Discover(NodeId),
    /// Start the worker threads.
    StartWorkers,
    /// Have sources read nothing more: the job stops with the epoch that is ended next.
    HoldSources,
    /// Have sources end their epoch and go to this one.
    OpenEpoch(Epoch),
    /// Give a split to a worker.
    Assign {
        /// The source.
        source: NodeId,
        /// The worker.
        worker: usize,
        /// The split, and where to go on.
        split: SplitState,
    },
    /// Have a source say that its input has ended.
    EndSource(NodeId),
    /// Append a manifest.
    AppendManifest(Box<Manifest>),
    /// Tell of a checkpoint that exists now.
    CheckpointCompleted(CheckpointTaken),
    /// Tell of a checkpoint that was given up.
    CheckpointAbandoned {
        /// Its epoch.
        epoch: Epoch,
        /// Why.
        problem: String,
    },
    /// Have the sinks commit.
    Commit(Vec<SinkPart>),
    /// Delete what no kept checkpoint needs.
    CollectGarbage,
    /// Stop and join the workers: the generation is over. Nothing comes after this.
    StopWorkers(Outcome),
}

/// How a generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All input has been processed and committed.
    Completed,
    /// It was asked to stop, and the last checkpoint holds everything.
    Stopped,
    /// It was asked to end at once; the last checkpoint holds what it holds.
    Aborted,
    /// Something failed; a restart may help.
    Failed(String),
    /// An operator failed; a restart may help.
    OperatorFailed(Failure),
    /// Another process has taken the job over; a restart would take it back, and must not.
    Lost(String),
    /// A worker panicked outside of user code; a restart does not help.
    Panicked {
        /// The worker.
        worker: usize,
        /// The panic's own words.
        message: String,
    },
}

/// A checkpoint, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CheckpointTaken {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number in the manifest log.
    pub sequence: u64,
    /// When its epoch was ended, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// How long it took from there to its last acknowledgement, in milliseconds.
    pub duration_ms: i64,
    /// The bytes of all its files.
    pub bytes: u64,
    /// The bytes that were put for it.
    pub new_bytes: u64,
    /// The longest that an operator waited between its first and last barrier, in microseconds.
    pub alignment_us: u64,
    /// Whether it holds the end of all input.
    pub is_final: bool,
}

/// What the coordinator knows of the job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The job's id.
    pub job: String,
    /// The generation.
    pub generation: u64,
    /// The epoch that it starts in.
    pub first_epoch: Epoch,
    /// How many workers there are.
    pub workers: usize,
    /// The job's key groups.
    pub groups: KeyGroups,
    /// All nodes that acknowledge.
    pub operators: Vec<OperatorPlan>,
    /// Whether there is keyed state, which each worker then acknowledges too.
    pub keyed: bool,
    /// The numbers of names.
    pub names: NameTable,
    /// The time between checkpoints, in milliseconds.
    pub interval_ms: Option<i64>,
    /// How long a checkpoint may take, in milliseconds.
    pub timeout_ms: i64,
    /// How many checkpoints in a row may fail.
    pub tolerated_failures: u32,
    /// The time between look-ups of splits, in milliseconds.
    pub discovery_interval_ms: i64,
    /// Where the sources were in the checkpoint that is restored.
    pub sources: Vec<SourcePart>,
    /// What the sinks have to commit that the recovery has not.
    pub committables: Vec<SinkPart>,
}

/// What the coordinator knows of an operator.
#[derive(Clone, Debug)]
pub struct OperatorPlan {
    /// Its index in the graph.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it reads splits.
    pub is_source: bool,
}

impl Plan {
    /// The operator `id`.
    ///
    /// # Panics
    /// It is none of the job's.
    #[must_use]
    pub fn operator(&self, id: NodeId) -> &OperatorPlan {
        let found = self.operators.iter().find(|operator| operator.id == id);
        found.unwrap_or_else(|| panic!("node {} acknowledged, but is no operator of job {}", id.0, self.job))
    }

    /// The operators of `graph` that acknowledge each epoch.
    #[must_use]
    pub fn operators_of(graph: &Graph) -> Vec<OperatorPlan> {
        let acknowledge =
            graph.nodes().iter().filter(|node| !matches!(node.role, Role::Exchange(_) | Role::Union));
        let plan = acknowledge.map(|node| OperatorPlan {
            id: node.id,
            name: node.name.clone(),
            is_source: matches!(node.role, Role::Source(_)),
        });
        plan.collect()
    }
}
