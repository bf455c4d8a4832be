//! A sink into memory, for tests: exactly once, and it shows what was written and what committed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::{
    Committable, Committer, Guarantee, Sink, SinkContext, SinkWriter, WriterContext,
};
use pelton_dataflow::time::Epoch;

use crate::error::Error;

/// Keeps committed records in memory, where a [`Collected`] shows them.
///
/// The committable holds the records themselves (bincode of generation and records): this sink is
/// meant for outputs that a test can look at, not for large ones.
///
/// ```
/// use pelton_connectors::Collect;
///
/// let (sink, results) = Collect::<u64>::new();
/// // job.sink("results", sink) ... run ...
/// assert!(results.committed().is_empty());
/// # drop(sink);
/// ```
pub struct Collect<T>(Collected<T>);

/// What a [`Collect`] has got. Clones show the same.
pub struct Collected<T>(Arc<Mutex<Shared<T>>>);

struct Shared<T> {
    written: Vec<Record<T>>,
    committed: Vec<Record<T>>,
    /// Generation, epoch and worker of each commit, with its number of records, in order.
    commits: Vec<(CommitId, usize)>,
    seen: BTreeSet<CommitId>,
}

/// What names a commit of a [`Collect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId {
    /// The generation that wrote it.
    pub generation: u64,
    /// The epoch it ended.
    pub epoch: Epoch,
    /// The worker that wrote it.
    pub worker: usize,
}

impl<T: Data> Collect<T> {
    /// A sink, and the handle that shows what it got.
    #[must_use]
    pub fn new() -> (Self, Collected<T>) {
        let shared = Shared { written: vec![], committed: vec![], commits: vec![], seen: BTreeSet::new() };
        let handle = Collected(Arc::new(Mutex::new(shared)));
        (Self(handle.clone()), handle)
    }
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Data> Collected<T> {
    /// The values that are visible to the world, in the order of their commits.
    #[must_use]
    pub fn committed(&self) -> Vec<T> {
        self.shared().committed.iter().map(|record| record.value.clone()).collect()
    }

    /// As [`Collected::committed`], with event times.
    #[must_use]
    pub fn committed_records(&self) -> Vec<Record<T>> {
        self.shared().committed.clone()
    }

    /// Every value that any generation has written, committed or not, in the order of writing.
    #[must_use]
    pub fn written(&self) -> Vec<T> {
        self.shared().written.iter().map(|record| record.value.clone()).collect()
    }

    /// As [`Collected::written`], with event times.
    #[must_use]
    pub fn written_records(&self) -> Vec<Record<T>> {
        self.shared().written.clone()
    }

    /// The commits that took effect, in order, with the number of records of each.
    #[must_use]
    pub fn commits(&self) -> Vec<(CommitId, usize)> {
        self.shared().commits.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Data> Sink for Collect<T> {
    type Item = T;

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn writer(&self, cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = T>>, OpError> {
        Ok(Box::new(Writer { generation: cx.generation, staged: Vec::new(), handle: self.0.clone() }))
    }

    fn committer(&self, _cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        Ok(Some(Box::new(CollectCommitter(self.0.clone()))))
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

struct Writer<T> {
    generation: u64,
    staged: Vec<Record<T>>,
    handle: Collected<T>,
}

impl<T: Data> SinkWriter for Writer<T> {
    type Item = T;

    fn write(&mut self, records: Vec<Record<T>>) -> Result<(), OpError> {
        self.handle.shared().written.extend(records.iter().cloned());
        self.staged.extend(records);
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<Deferred>, OpError> {
        if self.staged.is_empty() {
            return Ok(None);
        }
        let staged = (self.generation, std::mem::take(&mut self.staged));
        Ok(Some(Box::new(move || Ok(Some(bincode::serialize(&staged)?)))))
    }
}

struct CollectCommitter<T>(Collected<T>);

impl<T: Data> Committer for CollectCommitter<T> {
    fn recover(&mut self, _generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        self.commit(listed)
    }

    fn commit(&mut self, committables: &[Committable]) -> Result<(), OpError> {
        for Committable { epoch, worker, bytes } in committables {
            let unreadable = |reason: bincode::Error| Error::Committable {
                epoch: epoch.0,
                worker: *worker,
                reason: reason.to_string(),
            };
            let (generation, records): (u64, Vec<Record<T>>) =
                bincode::deserialize(bytes).map_err(unreadable)?;
            let id = CommitId { generation, epoch: *epoch, worker: *worker };
            let mut shared = self.0.shared();
            if shared.seen.insert(id) {
                shared.commits.push((id, records.len()));
                shared.committed.extend(records);
            }
        }
        Ok(())
    }
}
