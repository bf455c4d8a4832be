//! The contract of a source: splits, the enumerator that finds them, the readers that read them.
//!
//! Connectors implement [`Source`]; `pelton-operators` wraps it, with a watermark strategy, into a
//! [`SourceNode`] that the runtime (enumerator) and the source stage (operator) drive.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::OpError;
use crate::operator::{OperatorContext, Outputs, Waker};
use crate::record::Data;
use crate::time::EventTime;

/// Names a split within its source, for good: `shard-000000000003`, `part-7.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SplitId(pub String);

impl std::fmt::Display for SplitId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A split as the enumerator finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitInfo {
    /// Its name.
    pub id: SplitId,
    /// Splits that must be finished before it starts, so that a key's records stay in order.
    pub parents: Vec<SplitId>,
}

impl SplitInfo {
    /// A split without parents.
    pub fn root(id: impl Into<String>) -> Self {
        Self { id: SplitId(id.into()), parents: Vec::new() }
    }
}

/// What a split is doing; only active ones hold the watermark back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SplitStatus {
    /// It gives records, or may at any time.
    Active,
    /// It has given none for longer than the watermark strategy waits.
    Idle,
    /// It will never give one again.
    Finished,
}

/// A split and how far it was read, as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitState {
    /// The split.
    pub info: SplitInfo,
    /// The position after the last record emitted, in the source's own format; `None` before the
    /// first.
    pub position: Option<Vec<u8>>,
    /// What it was doing.
    pub status: SplitStatus,
    /// The state of its watermark generator: the greatest event time seen.
    pub max_time: EventTime,
}

impl SplitState {
    /// A split that nothing has been read of.
    #[must_use]
    pub fn fresh(info: SplitInfo) -> Self {
        Self { info, position: None, status: SplitStatus::Active, max_time: EventTime::MIN }
    }
}

/// Finds the splits of a source. Runs beside the coordinator, on a thread that may block.
pub trait Enumerator: Send {
    /// All splits known now, in a stable order, finished ones included.
    ///
    /// # Errors
    /// The source cannot be reached or does not exist. After the first answer the job goes on with the
    /// splits that are known, except after [`InputGone`](crate::error::InputGone), which it fails of.
    fn discover(&mut self) -> Result<Vec<SplitInfo>, OpError>;

    /// Whether no further split will ever be found: with all splits finished the input has ended.
    fn is_complete(&self) -> bool;

    /// Whether `splits`, as a checkpoint has them, can be read on, before the job is taken over to do
    /// so. Changes nothing.
    ///
    /// # Errors
    /// They are of another input than the one that is there now.
    fn check(&self, splits: &[SplitState]) -> Result<(), OpError> {
        let _ = splits;
        Ok(())
    }
}

/// An enumerator of a fixed list.
pub struct FixedSplits(pub Vec<SplitInfo>);

impl Enumerator for FixedSplits {
    fn discover(&mut self) -> Result<Vec<SplitInfo>, OpError> {
        Ok(self.0.clone())
    }
    fn is_complete(&self) -> bool {
        true
    }
}

/// What a poll of a split found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Records, and there may be more at once.
    Ready,
    /// Nothing more now. The reader calls the waker it was opened with when there is.
    Pending,
    /// Nothing more now, and the reader cannot tell when: poll again after a while.
    PendingUnannounced,
    /// The end of the split.
    Finished,
}

/// A record that a reader could not make sense of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Source and split, as `payments/shard-0`.
    pub split: String,
    /// Its position in the split's own count.
    pub position: u64,
    /// What is wrong with it.
    pub reason: String,
    /// Its bytes, as text where they are UTF-8 (lossy otherwise), cut at
    /// [`Rejected::MAX_RAW`] bytes.
    pub raw: String,
}

impl Rejected {
    /// A dead letter shows what came in; it is no archive of huge records.
    pub const MAX_RAW: usize = 64 * 1024;

    /// The first [`Rejected::MAX_RAW`] bytes of `raw` as text.
    #[must_use]
    pub fn text(raw: &[u8]) -> String {
        String::from_utf8_lossy(&raw[..raw.len().min(Self::MAX_RAW)]).into_owned()
    }
}

/// What a reader has read in one poll.
pub struct Fetched<T> {
    /// The values, in order.
    pub values: Vec<T>,
    /// Event times of `values` as the source knows them (arrival times), if it does; as long as
    /// `values` or empty.
    pub times: Vec<EventTime>,
    /// Records it could not make sense of: position, reason, and bytes.
    pub rejected: Vec<(u64, String, Vec<u8>)>,
    /// The positions of the first and last record read in the split's own count, for messages.
    pub span: Option<(u64, u64)>,
    /// When the oldest of them came into being, in microseconds since the Unix epoch, if the source
    /// knows: latencies are measured from there too.
    pub created_us: Option<i64>,
}

impl<T> Default for Fetched<T> {
    fn default() -> Self {
        Self { values: Vec::new(), times: Vec::new(), rejected: Vec::new(), span: None, created_us: None }
    }
}

/// Reads one split. Lives on a worker thread: `poll` must not block for long.
pub trait SplitReader: Send {
    /// What it reads.
    type Item: Data;

    /// Reads up to about `max_records` records into `out`.
    ///
    /// # Errors
    /// The split cannot be read; the job fails. Bad records are no error but `out.rejected`.
    fn poll(&mut self, max_records: usize, out: &mut Fetched<Self::Item>) -> Result<Polled, OpError>;

    /// The position after the last record that `poll` gave out.
    fn position(&self) -> Vec<u8>;
}

/// What a reader is opened with.
pub struct ReaderContext {
    /// To be called from any thread when a reader that was `Pending` has more.
    pub waker: Waker,
    /// The worker's index.
    pub worker: usize,
}

/// A source of records, as a connector implements it.
pub trait Source: Send + Sync + 'static {
    /// What it reads.
    type Item: Data;

    /// The enumerator of its splits.
    ///
    /// # Errors
    /// The source does not exist or its settings are wrong.
    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError>;

    /// Opens a split at `position`, or at its start.
    ///
    /// # Errors
    /// The split or position does not exist any more.
    fn open(
        &self,
        split: &SplitInfo,
        position: Option<&[u8]>,
        cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = Self::Item>>, OpError>;

    /// Where it reads, for `explain`: `shard log payments in ./data`.
    fn describe(&self) -> String;

    /// What the positions of its records count, for messages: `line`, `sequence number`.
    fn counted_in(&self) -> &'static str {
        "position"
    }

    /// The files or directories it reads, if that is what it does: a job that writes there too is
    /// refused.
    fn locations(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// A source in the graph, with its type erased.
pub trait SourceNode: Send + Sync {
    /// The enumerator of its splits.
    ///
    /// # Errors
    /// As [`Source::enumerator`].
    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError>;

    /// The instance for one worker. It starts without splits.
    ///
    /// # Errors
    /// Anything that keeps it from running.
    fn operator(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn SourceOperator>, OpError>;

    /// Where it reads, for `explain`.
    fn describe(&self) -> String;

    /// As [`Source::locations`].
    fn locations(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// What a source on one worker has to say about event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceTime {
    /// The least watermark over its active splits.
    Active(EventTime),
    /// It has no active split.
    Idle,
}

/// One instance of a source on one worker, driven by its stage.
///
/// Port 0 carries the records, port 1 the rejected ones if the source has that port.
pub trait SourceOperator {
    /// Takes on a split.
    ///
    /// # Errors
    /// It cannot be opened at its position.
    fn assign(&mut self, split: SplitState) -> Result<(), OpError>;

    /// Reads up to about `max_records` from the splits in turn. `Finished` is never returned:
    /// a source may be given more splits.
    ///
    /// # Errors
    /// As [`SplitReader::poll`].
    fn poll(&mut self, max_records: usize, out: &mut Outputs) -> Result<Polled, OpError>;

    /// Its event time, `now_us` telling which splits have become idle.
    fn event_time(&mut self, now_us: i64) -> SourceTime;

    /// All splits it was assigned, with their positions: called at a batch boundary.
    fn snapshot(&self) -> Vec<SplitState>;

    /// Splits that finished since the last call.
    fn take_finished(&mut self) -> Vec<SplitId>;

    /// What it remembers besides positions, in a format of its own: given back to every new instance
    /// as [`RestoredPart::bytes`](crate::operator::RestoredPart). Called together with `snapshot`.
    ///
    /// # Errors
    /// It cannot be written down.
    fn memory(&self) -> Result<Vec<u8>, OpError> {
        Ok(Vec::new())
    }

    /// How many of its splits are not read because they are ahead of others.
    fn held_splits(&self) -> usize {
        0
    }
}
