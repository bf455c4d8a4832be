//! Which shard a written record goes to.

use std::sync::Arc;

use pelton_streams::{AppendBatch, HashKey, StreamDescription};

use crate::error::Result;

/// Appends the partition key of a value to some bytes.
pub(super) type KeyOf<T> = dyn Fn(&T, &mut Vec<u8>) + Send + Sync;

/// What records without a key of their own have as partition key: Kinesis takes no empty one.
const NO_KEY: &[u8] = b"-";

/// Finds the shard of each record of one writer.
pub(super) enum Keys<T> {
    /// By the partition key of the value.
    Of { key: Arc<KeyOf<T>>, bytes: Vec<u8> },
    /// To all open shards in turn.
    RoundRobin { shards: Vec<HashKey>, next: usize },
}

impl<T> Keys<T> {
    /// Keys of the values if `key` tells them, else round robin, beginning with shard `first`.
    pub fn new(key: Option<Arc<KeyOf<T>>>, stream: &StreamDescription, first: usize) -> Self {
        match key {
            Some(key) => Self::Of { key, bytes: Vec::new() },
            None => {
                let open = stream.shards.iter().filter(|shard| shard.closed_ms.is_none());
                Self::RoundRobin { shards: open.map(|shard| *shard.hash_keys.start()).collect(), next: first }
            }
        }
    }

    /// Adds `data`, the bytes of `value`, to `batch`.
    pub fn push(
        &mut self,
        value: &T,
        data: &[u8],
        event_time_ms: Option<i64>,
        batch: &mut AppendBatch,
    ) -> Result<()> {
        match self {
            Self::Of { key, bytes } => {
                bytes.clear();
                key(value, bytes);
                match event_time_ms {
                    Some(time_ms) => batch.push_at(bytes, data, time_ms)?,
                    None => batch.push(bytes, data)?,
                }
            }
            Self::RoundRobin { shards, next } => {
                let hash_key = shards.get(*next % shards.len().max(1)).copied().unwrap_or(HashKey(0));
                *next = next.wrapping_add(1);
                batch.push_hashed(hash_key, NO_KEY, data, event_time_ms)?;
            }
        }
        Ok(())
    }
}
