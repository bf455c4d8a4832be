//! Writing a stream: the handle that any thread may use. It queues work for the one thread that writes
//! ([`engine`]), and holds the stream's lock through it. Recovery comes first ([`recovery`]).

pub(crate) mod active;
pub(crate) mod commit;
pub(crate) mod end_file;
pub(crate) mod engine;
pub(crate) mod queue;
pub(crate) mod recovery;
pub(crate) mod reroute;
pub(crate) mod reshard;
pub(crate) mod retention;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

pub use recovery::{RecoveryReport, TornTail};

use crate::batch::{AppendBatch, Appended, BufferPool};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::hash::HashKey;
use crate::options::{Options, Retention};
use crate::shared::StreamShared;
use crate::ticket::{Ticket, ticket};
use crate::txn::{Committable, TransactionalWriter};
use crate::types::ShardId;
use engine::Engine;
use queue::{Op, Queue};
use reshard::Change;

/// The writers of this process by stream: a stream has one, which all handles share.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    open: Mutex<HashMap<String, Weak<WriterCore>>>,
    closed: Condvar,
}

/// What the handles of one stream's writer share.
#[derive(Debug)]
pub(crate) struct WriterCore {
    pub shared: Arc<StreamShared>,
    pub options: Options,
    pub clock: Arc<dyn Clock>,
    pub queue: Arc<Queue>,
    pub pool: Arc<BufferPool>,
    pub fences: Arc<Fences>,
    report: RecoveryReport,
    thread: Mutex<Option<JoinHandle<()>>>,
    registry: Arc<Writers>,
}

/// The newest generation of each writer family, for a quick look before work that would be in vain. The
/// engine decides.
#[derive(Debug, Default)]
pub(crate) struct Fences(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Fences {
    pub fn of(&self, family: &str) -> Arc<AtomicU64> {
        let mut fences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fences.entry(family.to_owned()).or_default().clone()
    }

    pub fn raise(&self, family: &str, generation: u64) {
        self.of(family).fetch_max(generation, Ordering::SeqCst);
    }
}

/// Appends to a stream. Clones, and all writers of the stream in this process, share one thread that
/// writes and syncs for all of them. Dropping the last one finishes what is queued and gives up the
/// stream's lock.
#[derive(Debug, Clone)]
pub struct StreamWriter {
    pub(crate) core: Arc<WriterCore>,
}

impl Writers {
    /// The process's writer of a stream, opened if there is none.
    pub fn open(
        self: &Arc<Self>,
        shared: Arc<StreamShared>,
        options: &Options,
        clock: &Arc<dyn Clock>,
    ) -> Result<StreamWriter> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(core) = open.get(&*shared.name) {
            if let Some(core) = core.upgrade() {
                // Who holds one that has failed must let go of it before there is another. It is not given out
                // again, so that this comes to pass however many there are who try.
                let works = core.queue.check();
                // It may be the last handle by now, and dropping that takes this lock.
                drop(open);
                return works.map(|()| StreamWriter { core });
            }
            // The last handle is just being dropped, on another thread.
            open = self.closed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        let core = Arc::new(self.start(shared, options, clock)?);
        open.insert(core.shared.name.to_string(), Arc::downgrade(&core));
        Ok(StreamWriter { core })
    }

    fn start(
        self: &Arc<Self>,
        shared: Arc<StreamShared>,
        options: &Options,
        clock: &Arc<dyn Clock>,
    ) -> Result<WriterCore> {
        let lock_path = shared.dir.join("LOCK");
        let lock = shared.storage.lock(&lock_path).map_err(Error::io("lock", &lock_path))?;
        let lock = lock.ok_or_else(|| Error::Locked { stream: shared.name.to_string(), file: lock_path })?;
        // Until here another process may have written the stream, or deleted it.
        shared.reload_meta()?;
        let queue = Arc::new(Queue::new(shared.name.clone(), options.queue_bytes));
        let pool = Arc::new(BufferPool::default());
        let fences = Arc::new(Fences::default());
        let engine =
            Engine::open(shared.clone(), lock, options, clock.clone(), pool.clone(), fences.clone())?;
        let report = engine.report().clone();
        shared.set_local_writer(true);
        let running = queue.clone();
        let thread = std::thread::Builder::new()
            .name(format!("log-{}", shared.name))
            .spawn(move || {
                let _guard = AbandonOnPanic(running.clone());
                engine.run(&running);
            })
            .map_err(Error::io("start the writer's thread of", &shared.dir))?;
        Ok(WriterCore {
            shared,
            options: options.clone(),
            clock: clock.clone(),
            queue,
            pool,
            fences,
            report,
            thread: Mutex::new(Some(thread)),
            registry: self.clone(),
        })
    }
}

/// A panic of the writer's thread, for instance in a subscriber's callback, must not leave anybody waiting.
struct AbandonOnPanic(Arc<Queue>);

impl Drop for AbandonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abandon("its thread has panicked");
        }
    }
}

impl Drop for WriterCore {
    fn drop(&mut self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!(stream = %self.shared.name, "the writer's thread has panicked");
        }
        let mut open = self.registry.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&*self.shared.name);
        drop(open);
        self.registry.closed.notify_all();
    }
}

impl WriterCore {
    /// Runs `act` on the writer's thread, after everything queued before it is durable.
    pub fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Engine) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, result) = ticket(self.shared.name.clone());
        self.queue.push(Op::Call(Box::new(move |engine| answer.give(engine.and_then(act)))), 0)?;
        result.wait()
    }
}

impl StreamWriter {
    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.core.shared.name
    }

    /// An empty batch for [`submit`](Self::submit).
    #[must_use]
    pub fn batch(&self) -> AppendBatch {
        AppendBatch::new(self.core.shared.router(), self.core.pool.clone(), self.core.options.frame_bytes)
    }

    /// Queues a batch; the ticket gives its places once it is durable. Batches of one thread keep their
    /// order. Blocks only while the queue is full, so that many batches can be under way.
    ///
    /// # Errors
    /// [`Error::WriterFailed`] after a failed write. The ticket itself may give [`Error::NotWritten`] (a
    /// full disk: nothing of the batch is in the log).
    pub fn submit(&self, batch: AppendBatch) -> Result<Ticket<Appended>> {
        let bytes = batch.bytes();
        let (frames, order) = batch.finish();
        let (answer, result) = ticket(self.core.shared.name.clone());
        self.core.queue.push(Op::Append { frames, order, answer }, bytes)?;
        Ok(result)
    }

    /// Appends a batch and waits until it is durable.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn append(&self, batch: AppendBatch) -> Result<Appended> {
        self.submit(batch)?.wait()
    }

    /// The newest generation that has opened the writer family `family`, 0 if none ever has.
    #[must_use]
    pub fn newest_generation(&self, family: &str) -> u64 {
        self.core.fences.of(family).load(Ordering::SeqCst)
    }

    /// A transactional writer for one member of a writer family, for instance `worker-3` of
    /// `fraud/alerts`. Opening durably fences every older generation of the family; members of the same
    /// generation live side by side.
    ///
    /// # Errors
    /// [`Error::Fenced`] if a newer generation has opened the family.
    pub fn transactional(&self, family: &str, member: &str, generation: u64) -> Result<TransactionalWriter> {
        TransactionalWriter::open(self.core.clone(), family, member, generation)
    }

    /// Sets how long the stream keeps records; durable on return.
    ///
    /// # Errors
    /// If the metadata cannot be written.
    pub fn set_retention(&self, retention: Retention) -> Result<()> {
        self.core.call(move |engine| engine.set_retention(retention))
    }

    /// Removes what retention allows now, instead of at the next check; gives the number of segments.
    ///
    /// # Errors
    /// If a segment cannot be removed.
    pub fn apply_retention(&self) -> Result<usize> {
        self.core.call(Engine::apply_retention)
    }

    /// Begins a new segment, so that retention can remove what is in the present one.
    ///
    /// # Errors
    /// If the segment cannot be created.
    pub fn roll(&self) -> Result<()> {
        self.core.call(Engine::roll)
    }

    /// Splits `shard` in two, the second of which begins at the hash key `at`; gives their ids. The shard is
    /// closed: what is in it can be read to its end, what comes goes to the two. Durable on return.
    ///
    /// Batches and transactions that were begun before go to the new shards too.
    ///
    /// # Errors
    /// [`Error::UnknownShard`]; [`Error::ShardClosed`]; [`Error::InvalidArgument`] for a hash key outside
    /// the shard's, or too many shards; [`Error::WriterFailed`] if the metadata could not be written.
    pub fn split_shard(&self, shard: ShardId, at: HashKey) -> Result<Vec<ShardId>> {
        self.core.call(move |engine| engine.reshard(Change::Split(shard, at)))
    }

    /// Merges two shards whose hash keys are neighbours into one; gives its id. Both are closed, as by
    /// [`split_shard`](Self::split_shard).
    ///
    /// # Errors
    /// As `split_shard`; [`Error::InvalidArgument`] if they are not neighbours.
    pub fn merge_shards(&self, shard: ShardId, adjacent: ShardId) -> Result<ShardId> {
        let children = self.core.call(move |engine| engine.reshard(Change::Merge(shard, adjacent)))?;
        Ok(children[0])
    }

    /// What opening the stream found and mended.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.core.report
    }

    /// Whether a commit of `committable` would do, because it is prepared here or committed already.
    /// Changes nothing, and asks for no generation.
    ///
    /// # Errors
    /// [`Error::Aborted`]; [`Error::ForeignCommittable`].
    pub fn check_commit(&self, committable: &Committable) -> Result<()> {
        let committable = committable.clone();
        self.core.call(move |engine| engine.check_commit(&committable, None).map(|_| ()))
    }

    /// Queues a commit without a transactional writer of the family, for instance by a tool. Fencing
    /// does not apply.
    ///
    /// # Errors
    /// As [`TransactionalWriter::commit`].
    pub fn commit_unfenced(&self, committable: &Committable) -> Result<()> {
        let (answer, result) = ticket(self.core.shared.name.clone());
        self.core.queue.push(Op::Commit { committable: committable.clone(), generation: None, answer }, 0)?;
        result.wait()
    }
}
