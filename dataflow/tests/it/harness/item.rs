//! The records of the tests. Each carries what its sender promised when it sent it, so that every
//! receiver can check the promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

/// A record's value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Unique per record of a source; copies share it.
    pub id: u64,
    pub key: u64,
    /// As the script wrote it.
    pub name: Arc<str>,
    pub sent: Sent,
    pub live: Live,
}

/// What the last operator that sent the record said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The sender's epoch.
    pub epoch: u64,
    /// The watermark that the sender had published.
    pub watermark: i64,
    /// The sender: node and worker.
    pub by: (usize, usize),
    /// Its place in everything that this sender sent.
    pub seq: u64,
}

/// Counts itself among the living.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Live(#[serde(skip)] Option<Arc<AtomicUsize>>);

impl Live {
    pub fn counted_in(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Some(count.clone()))
    }
}

impl Clone for Live {
    fn clone(&self) -> Self {
        self.0.as_ref().map_or_else(Self::default, Self::counted_in)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
