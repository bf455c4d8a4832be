//! Transactions: records that become visible together, when and only when their committable is
//! committed. Here is the writer's side, one handle for each member of a family; what is durable about
//! them is kept by [`table`], and the log gets them in [`crate::writer::commit`].

pub(crate) mod staging;
pub(crate) mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::batch::AppendBatch;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ticket::{Ticket, ticket};
use crate::types::check_name;
use crate::writer::WriterCore;
use crate::writer::queue::Op;
use staging::Staging;

/// A prepared transaction: durable, not visible, and to be committed by any process, worker and
/// generation that has this value, once or many times.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Committable {
    /// The stream's random id: a stream made again under the same name is another one.
    pub stream_id: u64,
    /// The stream's name, for people.
    pub stream: String,
    /// The writer family.
    pub family: String,
    /// Which member wrote it.
    pub member: String,
    /// In which generation.
    pub generation: u64,
    /// In which epoch.
    pub epoch: u64,
    /// Its id, unique in the stream for ever.
    pub transaction: u64,
    /// How many records it has; one without records has nothing to commit.
    pub records: u64,
}

/// A transaction that is neither committed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The writer family.
    pub family: String,
    /// Which member writes it.
    pub member: String,
    /// In which generation.
    pub generation: u64,
    /// In which epoch.
    pub epoch: u64,
    /// Its id, unique in the stream for ever.
    pub transaction: u64,
    /// When it was begun, in ms since the Unix epoch.
    pub created_ms: u64,
    /// Whether it is prepared; if not, it vanishes with its writer.
    pub prepared: bool,
}

/// Writes transactions to a stream, one after the other, as one member of a writer family.
///
/// The order of calls is `begin`, `write` any number of times, then `prepare` or `abort`; `commit` at any
/// time. Nothing that it writes can be seen before it is committed.
#[derive(Debug)]
pub struct TransactionalWriter {
    core: Arc<WriterCore>,
    family: String,
    member: String,
    generation: u64,
    /// The family's newest generation.
    fence: Arc<AtomicU64>,
    current: Option<Staging>,
}

impl TransactionalWriter {
    pub(crate) fn open(core: Arc<WriterCore>, family: &str, member: &str, generation: u64) -> Result<Self> {
        check_name("writer family", family)?;
        check_name("writer", member)?;
        let named = family.to_owned();
        core.call(move |engine| {
            let shared = engine.shared.clone();
            engine.transactions.fence(&shared, &named, generation)
        })?;
        let fence = core.fences.of(family);
        Ok(Self {
            core,
            family: family.to_owned(),
            member: member.to_owned(),
            generation,
            fence,
            current: None,
        })
    }

    /// The generation that it was opened with.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// An empty batch for [`write`](Self::write).
    #[must_use]
    pub fn batch(&self) -> AppendBatch {
        AppendBatch::new(self.core.shared.router(), self.core.pool.clone(), self.core.options.frame_bytes)
    }

    /// Begins the transaction of an epoch.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::TransactionState`] if one is open already.
    pub fn begin(&mut self, epoch: u64) -> Result<()> {
        if let Some(current) = &self.current {
            let open = current.head().epoch;
            return Err(self.wrong_state(format!("epoch {epoch} cannot begin, epoch {open} is still open")));
        }
        let info = OpenTransaction {
            family: self.family.clone(),
            member: self.member.clone(),
            generation: self.generation,
            epoch,
            transaction: 0,
            created_ms: self.core.clock.now_ms(),
            prepared: false,
        };
        let head = self.core.call(move |engine| {
            let shared = engine.shared.clone();
            engine.transactions.begin(&shared, info)
        })?;
        self.current =
            Some(Staging::new(self.core.shared.clone(), head, self.core.options.transaction_bytes));
        Ok(())
    }

    /// Adds records to the open transaction. They reach the disk, but are neither durable nor visible.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::TransactionState`] without `begin`; if the disk refuses, the
    /// transaction can only be aborted.
    pub fn write(&mut self, batch: AppendBatch) -> Result<()> {
        self.check_fence()?;
        let Some(current) = &mut self.current else {
            return Err(self.wrong_state("`write` needs an open transaction: call `begin` first".to_owned()));
        };
        let (frames, _) = batch.finish();
        current.write(frames, &self.core.pool)
    }

    /// Makes the open transaction durable, still not visible.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::TransactionState`] if `epoch` is not the one that was begun. On any
    /// error there is no committable, and the transaction will never be visible.
    pub fn prepare(&mut self, epoch: u64) -> Result<Committable> {
        self.check_fence()?;
        let open = self.current.as_ref().map(|current| current.head().epoch);
        if open != Some(epoch) {
            let open = open.map_or("none is open".to_owned(), |open| format!("epoch {open} is open"));
            return Err(self.wrong_state(format!("epoch {epoch} cannot be prepared: {open}")));
        }
        let Some(current) = &mut self.current else { unreachable!("an epoch is open") };
        current.make_durable()?;
        failpoint::at("txn::prepared")
            .map_err(Error::io("prepare a transaction in", &self.core.shared.dir))?;
        let (head, records) = (current.head().clone(), current.records());
        let shared = self.core.shared.clone();
        self.core.call(move |engine| engine.transactions.prepared(&shared, head.transaction, records))?;
        // From here on the staged file belongs to the table.
        let head =
            self.current.take().map(Staging::release).ok_or_else(|| self.wrong_state(String::new()))?;
        Ok(Committable {
            stream_id: head.stream_id,
            stream: self.core.shared.name.to_string(),
            family: head.family,
            member: head.member,
            generation: head.generation,
            epoch,
            transaction: head.transaction,
            records,
        })
    }

    /// Makes a prepared transaction visible, whole. Of any member and generation of this family; fine if
    /// it is committed already, however long ago.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Aborted`]; [`Error::ForeignCommittable`]; [`Error::NotWritten`] if the
    /// disk is full, when it can be tried again.
    pub fn commit(&self, committable: &Committable) -> Result<()> {
        self.commit_later(committable)?.wait()
    }

    /// The same without waiting: commits of several writers, or several of one, share one sync.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_later(&self, committable: &Committable) -> Result<Ticket<()>> {
        self.check_family(committable)?;
        let (answer, result) = ticket(self.core.shared.name.clone());
        let (committable, generation) = (committable.clone(), Some(self.generation));
        self.core.queue.push(Op::Commit { committable, generation, answer }, 0)?;
        Ok(result)
    }

    /// Throws the open transaction away; fine if none is open.
    ///
    /// # Errors
    /// If its file cannot be removed.
    pub fn abort(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let transaction = current.head().transaction;
        drop(current);
        let shared = self.core.shared.clone();
        self.core.call(move |engine| engine.transactions.discard(&shared, transaction))
    }

    /// Throws a prepared transaction away for ever; fine if it is aborted already.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::AlreadyCommitted`]; [`Error::ForeignCommittable`].
    pub fn abort_prepared(&self, committable: &Committable) -> Result<()> {
        self.check_family(committable)?;
        let (committable, generation) = (committable.clone(), self.generation);
        self.core.call(move |engine| {
            let shared = engine.shared.clone();
            engine.transactions.check_fence(&shared, &committable.family, generation)?;
            engine.transactions.abort(&shared, &committable)
        })
    }

    /// Throws away every prepared transaction of this family with a generation below this writer's that
    /// is not in `listed`, whichever member wrote it. Gives those that were thrown away.
    ///
    /// # Errors
    /// [`Error::Fenced`]; if the decision cannot be made durable, when nothing is thrown away.
    pub fn abort_unlisted(&self, listed: &[Committable]) -> Result<Vec<OpenTransaction>> {
        let listed = listed.iter().map(|committable| committable.transaction).collect();
        let (family, generation) = (self.family.clone(), self.generation);
        self.core.call(move |engine| {
            let shared = engine.shared.clone();
            engine.transactions.check_fence(&shared, &family, generation)?;
            engine.transactions.abort_unlisted(&shared, &family, generation, &listed)
        })
    }

    /// The transactions of this family that are neither committed nor aborted.
    ///
    /// # Errors
    /// [`Error::WriterFailed`].
    pub fn list_open(&self) -> Result<Vec<OpenTransaction>> {
        let family = self.family.clone();
        self.core.call(move |engine| Ok(engine.transactions.list(&family)))
    }

    /// A cheap look; the writer's thread has the last word.
    fn check_fence(&self) -> Result<()> {
        let current = self.fence.load(Ordering::SeqCst);
        if current > self.generation {
            return Err(Error::Fenced {
                stream: self.core.shared.name.to_string(),
                family: self.family.clone(),
                generation: self.generation,
                current,
            });
        }
        Ok(())
    }

    fn check_family(&self, committable: &Committable) -> Result<()> {
        if committable.family == self.family {
            return Ok(());
        }
        let what = format!("it is of the writer family `{}`, not `{}`", committable.family, self.family);
        Err(Error::ForeignCommittable { transaction: committable.transaction, what })
    }

    fn wrong_state(&self, what: String) -> Error {
        Error::TransactionState {
            stream: self.core.shared.name.to_string(),
            writer: self.member.clone(),
            what,
        }
    }
}

impl Drop for TransactionalWriter {
    fn drop(&mut self) {
        if let Err(error) = self.abort() {
            // Recovery discards it at the latest.
            tracing::debug!(stream = %self.core.shared.name, %error, "an open transaction was left behind");
        }
    }
}
