//! The contract of a sink: writers on the workers, and a committer beside the coordinator.
//!
//! A transactional sink's writer makes everything written in an epoch durable but invisible
//! (`prepare`), which yields a committable. Committables ride in the manifest; the committer makes
//! them visible once the manifest is there, in order and idempotently. A sink that cannot do that is a
//! [`DirectSink`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::OpError;
use crate::operator::{Deferred, OperatorFactory};
use crate::record::{Data, Record};
use crate::time::Epoch;

mod direct;

pub use direct::DirectSink;

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

/// Which sink it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkContext {
    /// The job's id.
    pub job: String,
    /// The sink's name in the graph.
    pub operator: String,
}

/// What a writer is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterContext {
    /// Which sink it is.
    pub sink: SinkContext,
    /// The generation of the job; a sink fences lower ones.
    pub generation: u64,
    /// The worker that it writes on.
    pub worker: usize,
    /// How many workers there are.
    pub workers: usize,
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
    /// Whether `generation` may write there and commit `listed`, before the job is taken over for
    /// it. Changes nothing.
    ///
    /// # Errors
    /// That generation or a later one has written there: the job was started without its
    /// checkpoints, or another process has taken it over. Or what is listed cannot be committed:
    /// it is of a target that is not there any more.
    fn check(&self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        let _ = (generation, listed);
        Ok(())
    }

    /// First call, once the job is `generation`'s: makes what is missing, aborts everything of
    /// lower generations that is not in `listed`, fences them, then commits `listed`.
    ///
    /// # Errors
    /// The store cannot be reached, or a later generation writes there.
    fn recover(&mut self, generation: u64, listed: &[Committable]) -> Result<(), OpError>;

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

    /// The writer for one worker.
    ///
    /// # Errors
    /// The target cannot be reached or its settings are wrong.
    fn writer(&self, cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = Self::Item>>, OpError>;

    /// The committer, for a transactional sink; without one, what `write` has written is visible
    /// at once. Called before the job is taken over from whoever
    /// may be running it: takes the locks that are needed and tells what cannot work, but makes
    /// and changes nothing.
    ///
    /// # Errors
    /// As `writer`, and another process holds a lock.
    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        let _ = cx;
        Ok(None)
    }

    /// The file or directory it writes to, if that is what it does: a job that reads there too is
    /// refused.
    fn location(&self) -> Option<PathBuf> {
        None
    }

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

    /// As [`Sink::location`].
    fn location(&self) -> Option<PathBuf> {
        None
    }

    /// As [`Sink::guarantee`].
    fn guarantee(&self) -> Guarantee;

    /// As [`Sink::describe`].
    fn describe(&self) -> String;
}
