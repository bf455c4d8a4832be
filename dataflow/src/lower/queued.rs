//! Batches in the queues of a tree: one that goes several ways lies in several queues, but once in memory.

use std::rc::Rc;

use crate::record::Batch;

/// A batch in a queue.
pub enum Queued {
    /// In no other.
    Own(Batch),
    /// It may lie in others too.
    Shared(Rc<Batch>),
}

impl Queued {
    /// The batch, to look at.
    pub fn batch(&self) -> &Batch {
        match self {
            Self::Own(batch) => batch,
            Self::Shared(batch) => batch,
        }
    }

    /// Takes it out; a batch that others have not taken yet stays shared.
    pub fn take(self) -> Result<Batch, Rc<Batch>> {
        match self {
            Self::Own(batch) => Ok(batch),
            Self::Shared(batch) => Rc::try_unwrap(batch),
        }
    }
}
