//! The contract of a sink: writers on the workers, and a committer beside the coordinator.
//!
//! A transactional sink's writer makes everything written in an epoch durable but invisible
//! (`prepare`), which yields a committable. Committables ride in the manifest; the committer makes
//! them visible once the manifest is there, in order and idempotently.

use serde::{Deserialize, Serialize};

use crate::error::OpError;
use crate::operator::{Deferred, OperatorFactory};
use crate::record::{Data, Record};
use crate::time::Epoch;

/// What a sink promises when a job recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guarantee {
    /// Records since the last checkpoint may be written again.
    AtLeastOnce,
    /// Each record becomes visible once.
    ExactlyOnce,
}

/// What makes one writer's epoch visible, in the sink's own format: self-contained, so that any
/// process of any parallelism can commit it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committable {
    /// The epoch it holds.
    pub epoch: Epoch,
    /// The worker that wrote it.
    pub worker: usize,
    /// The sink's own description of it.
    pub bytes: Vec<u8>,
}

/// What a writer or committer is opened with.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// The job's id.
    pub job: String,
    /// The sink's name in the graph.
    pub operator: String,
    /// The generation of the job; a sink fences lower ones.
    pub generation: u64,
}

/// Writes on one worker.
pub trait SinkWriter {
    /// What it writes.
    type Item: Data;

    /// Takes records. May keep them in memory until `prepare` or `flush`.
    ///
    /// # Errors
    /// They cannot be written; the job fails and recovers from its last checkpoint.
    fn write(&mut self, records: Vec<Record<Self::Item>>) -> Result<(), OpError>;

    /// Ends `epoch`. What takes time (sync, upload) goes into the returned task, which runs off
    /// the worker's thread, tasks of one writer one after the other; it yields the committable's
    /// bytes, or `None` if nothing was written. A sink that is not transactional syncs there.
    ///
    /// # Errors
    /// As `write`.
    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Deferred>, OpError>;
}

/// Commits what writers have prepared. Runs beside the coordinator, on a thread that may block.
pub trait Committer: Send {
    /// First call: aborts everything of lower generations that is not in `listed`, fences them,
    /// then commits `listed`.
    ///
    /// # Errors
    /// The store cannot be reached.
    fn recover(&mut self, listed: &[Committable]) -> Result<(), OpError>;

    /// Makes `committables` visible, in the order given; those that already are, stay as they are.
    ///
    /// # Errors
    /// The store cannot be reached; the call will be repeated.
    fn commit(&mut self, committables: &[Committable]) -> Result<(), OpError>;
}

/// A sink of records, as a connector implements it.
pub trait Sink: Send + Sync + 'static {
    /// What it writes.
    type Item: Data;

    /// What it promises.
    fn guarantee(&self) -> Guarantee;

    /// The writer for `worker` of `workers`.
    ///
    /// # Errors
    /// The target cannot be reached or its settings are wrong.
    fn writer(
        &self,
        cx: &SinkContext,
        worker: usize,
        workers: usize,
    ) -> Result<Box<dyn SinkWriter<Item = Self::Item>>, OpError>;

    /// The committer, for a transactional sink.
    ///
    /// # Errors
    /// As `writer`.
    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError>;

    /// Where it writes, for `explain`.
    fn describe(&self) -> String;
}

/// A sink in the graph, with its type erased.
pub trait SinkNode: OperatorFactory {
    /// As [`Sink::committer`].
    ///
    /// # Errors
    /// As [`Sink::committer`].
    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError>;

    /// As [`Sink::guarantee`].
    fn guarantee(&self) -> Guarantee;

    /// As [`Sink::describe`].
    fn describe(&self) -> String;
}
