//! What the entries of the manifest log say: a checkpoint exists, or a generation has begun.
//!
//! Owns the types. Their bytes are in [`super::wire`], their order in [`super::log`].

use std::ops::Range;

use pelton_dataflow::key::{HASH_VERSION, KeyGroups};
use pelton_dataflow::sink::Committable;
use pelton_dataflow::source::SplitState;
use pelton_dataflow::time::{Epoch, EventTime};
use serde::{Deserialize, Serialize};

use super::names::NameTable;
use crate::files::{KeyedAck, StoredFile};

/// One entry of the manifest log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A checkpoint that is complete.
    Checkpoint(Box<Manifest>),
    /// A generation that begins, which ends all before it.
    Takeover(Takeover),
}

/// The begin of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// The job.
    pub job: String,
    /// The generation that begins: greater than all before it.
    pub generation: u64,
    /// The sequence number of the checkpoint that it starts from; `None` if it starts empty. What
    /// lies in the log between that checkpoint and this entry is a branch that was left.
    pub base: Option<u64>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A complete checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The job.
    pub job: String,
    /// The generation that took it.
    pub generation: u64,
    /// The epoch that it ends.
    pub epoch: Epoch,
    /// Whether the input has ended and everything of it is in this checkpoint.
    pub is_final: bool,
    /// Whether it was asked for by name and is kept until it is deleted by hand.
    pub savepoint: bool,
    /// The job's key groups.
    pub groups: KeyGroups,
    /// The version of the hash that spreads keys over them.
    pub hash_version: u16,
    /// How many workers took it.
    pub workers: usize,
    /// When its epoch was ended, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// When it was complete, in milliseconds since the Unix epoch.
    pub completed_ms: i64,
    /// The numbers and schemas of operators and states.
    pub names: NameTable,
    /// The keyed state of each worker; empty if the job keeps none.
    pub keyed: Vec<KeyedAck>,
    /// What each operator left on each worker besides keyed state.
    pub operators: Vec<OperatorPart>,
    /// Where each source was.
    pub sources: Vec<SourcePart>,
    /// Everything prepared and not known to be committed, of this and earlier epochs, in order.
    pub committables: Vec<SinkPart>,
}

/// What one operator on one worker left besides keyed state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorPart {
    /// The operator's name.
    pub operator: String,
    /// The worker.
    pub worker: usize,
    /// The key groups that it owned.
    pub groups: Range<u16>,
    /// Its watermark when it froze.
    pub watermark: EventTime,
    /// Its non-keyed state, in its own format.
    pub bytes: Vec<u8>,
}

/// Where a source was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePart {
    /// The source's name.
    pub source: String,
    /// Whether no split will be found beyond these.
    pub complete: bool,
    /// All splits ever found, by name.
    pub splits: Vec<SplitPart>,
}

/// A split as the coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPart {
    /// How far it was read.
    pub state: SplitState,
    /// Whether a worker had it; one that has parents waits for them.
    pub assigned: bool,
    /// The epoch in which it ended, if it has.
    pub finished_in: Option<Epoch>,
}

/// What one sink has prepared and not been told to be visible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkPart {
    /// The sink's name.
    pub sink: String,
    /// What it has to commit, oldest first.
    pub committables: Vec<Committable>,
}

impl Manifest {
    /// A manifest of `job` at the end of `epoch` in `generation` that holds nothing yet.
    #[must_use]
    pub fn empty(job: &str, generation: u64, epoch: Epoch, groups: KeyGroups, workers: usize) -> Self {
        Self {
            job: job.to_owned(),
            generation,
            epoch,
            is_final: false,
            savepoint: false,
            groups,
            hash_version: HASH_VERSION,
            workers,
            started_ms: 0,
            completed_ms: 0,
            names: NameTable::default(),
            keyed: Vec::new(),
            operators: Vec::new(),
            sources: Vec::new(),
            committables: Vec::new(),
        }
    }

    /// All files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &StoredFile> {
        self.keyed.iter().flat_map(|ack| &ack.files)
    }

    /// The bytes of all its files.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|file| file.length).sum()
    }

    /// The bytes that were put for it alone.
    #[must_use]
    pub fn new_bytes(&self) -> u64 {
        self.keyed.iter().map(|ack| ack.new_bytes).sum()
    }

    /// What `sink` has to commit.
    #[must_use]
    pub fn committables_of(&self, sink: &str) -> &[Committable] {
        self.committables.iter().find(|part| part.sink == sink).map_or(&[], |part| &part.committables)
    }
}
