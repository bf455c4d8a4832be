//! The queue between those who append and the thread that writes. It bounds the bytes that wait, and
//! hands them over in groups: what has come while the last group was synced is the next group.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::engine::Engine;
use crate::batch::{Appended, EncodedFrame, RecordOrder};
use crate::error::{Error, Result};
use crate::ticket::Answer;
use crate::txn::Committable;

/// Work on the engine that is not an append; given the error if the engine has failed.
pub(crate) type Call = Box<dyn FnOnce(Result<&mut Engine>) + Send>;

/// What the writer's thread is asked to do.
pub(crate) enum Op {
    Append {
        frames: Vec<EncodedFrame>,
        order: RecordOrder,
        answer: Answer<Appended>,
    },
    /// `generation` is that of the writer that asks, if fencing applies.
    Commit {
        committable: Committable,
        generation: Option<u64>,
        answer: Answer<()>,
    },
    Call(Call),
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append { .. } => "Append",
            Self::Commit { .. } => "Commit",
            Self::Call(_) => "Call",
        })
    }
}

#[derive(Debug, Default)]
struct Waiting {
    ops: VecDeque<(Op, usize)>,
    bytes: usize,
    closed: bool,
    failed: Option<String>,
}

impl Waiting {
    fn check(&self, stream: &str) -> Result<()> {
        match &self.failed {
            Some(cause) => Err(Error::WriterFailed { stream: stream.to_owned(), cause: cause.clone() }),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    stream: Arc<str>,
    limit: usize,
    waiting: Mutex<Waiting>,
    filled: Condvar,
    drained: Condvar,
}

/// What the writer's thread finds.
pub(crate) enum Taken {
    Ops(Vec<Op>),
    Idle,
    Closed,
}

impl Queue {
    pub fn new(stream: Arc<str>, limit: usize) -> Self {
        Self { stream, limit, waiting: Mutex::default(), filled: Condvar::new(), drained: Condvar::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds work of `bytes`; blocks while the queue is full.
    pub fn push(&self, op: Op, bytes: usize) -> Result<()> {
        let full = |waiting: &mut Waiting| waiting.bytes > self.limit && waiting.failed.is_none();
        let waiting = self.drained.wait_while(self.waiting(), full);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.check(&self.stream)?;
        waiting.ops.push_back((op, bytes));
        waiting.bytes += bytes;
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// The next group: all that waits, up to `limit` bytes but at least one piece of work.
    pub fn take(&self, limit: usize, idle_after: Duration) -> Taken {
        let empty = |waiting: &mut Waiting| waiting.ops.is_empty() && !waiting.closed;
        let waited = self.filled.wait_timeout_while(self.waiting(), idle_after, empty);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.ops.is_empty() {
            return if waiting.closed { Taken::Closed } else { Taken::Idle };
        }
        let mut group = Vec::new();
        let mut taken = 0;
        while let Some((_, bytes)) = waiting.ops.front() {
            if taken > 0 && taken + bytes > limit {
                break;
            }
            taken += bytes;
            group.extend(waiting.ops.pop_front().map(|(op, _)| op));
        }
        waiting.bytes -= taken;
        drop(waiting);
        self.drained.notify_all();
        Taken::Ops(group)
    }

    /// Whether work is accepted.
    ///
    /// # Errors
    /// [`Error::WriterFailed`].
    pub fn check(&self) -> Result<()> {
        self.waiting().check(&self.stream)
    }

    /// No more work is accepted.
    pub fn fail(&self, cause: &str) {
        self.waiting().failed.get_or_insert_with(|| cause.to_owned());
        self.drained.notify_all();
    }

    /// The thread that works is gone: nothing more is accepted, and what waits is given up.
    pub fn abandon(&self, cause: &str) {
        self.fail(cause);
        // Dropped outside the lock: each answer that is dropped wakes somebody.
        let ops = std::mem::take(&mut self.waiting().ops);
        drop(ops);
    }

    /// No more work will come; what waits is still done.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.filled.notify_one();
    }
}
