//! What the service does by itself, from time to time: it lets go of readers that nobody comes back for, takes
//! away records that are past their time, and sees to the shards of on-demand streams.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::catalog::Mode;
use crate::on_demand::{Change, Taken};
use crate::ops::resharding;
use crate::service::Service;
use crate::stream::Stream;

impl Service {
    /// Does all of it, once. What cannot be done now is told, and tried again the next time.
    pub async fn upkeep(self: &Arc<Self>) {
        self.readers.expire(self.now_ms());
        let mut on_demand = HashSet::new();
        for stream in self.streams() {
            self.retire(&stream).await;
            let record = stream.record();
            if record.mode == Mode::OnDemand {
                on_demand.insert(record.log_id);
                self.adapt(&stream).await;
            }
        }
        self.on_demand.retain(|log_id| on_demand.contains(&log_id));
    }

    /// Removes what retention allows of a stream that this service does not write: where it does, the log's writer
    /// sees to it.
    async fn retire(self: &Arc<Self>, stream: &Arc<Stream>) {
        let Ok(_in_use) = stream.hold(&self.settings.account).await else { return };
        if stream.is_written().await {
            return;
        }
        let (own, name) = (self.clone(), stream.record().name.clone());
        // If another process writes it, that one sees to it; a fault of the disk was told where it was met.
        let _ = crate::blocking(move || Ok(own.log.apply_retention(&name)?)).await;
    }

    /// Splits and merges the shards of an on-demand stream as its load asks for.
    async fn adapt(self: &Arc<Self>, stream: &Arc<Stream>) {
        let record = stream.record();
        let table = stream.shards();
        let taken = |shard: &crate::shards::Shard| {
            let counters = self.metrics.shard(record.log_id, shard.id);
            Taken {
                shard: shard.id,
                first_hash: shard.first_hash,
                last_hash: shard.last_hash,
                bytes: counters.bytes_in.load(Ordering::Relaxed),
                records: counters.records_in.load(Ordering::Relaxed),
            }
        };
        let mut open: Vec<Taken> = table.open().map(taken).collect();
        open.sort_by_key(|taken| taken.first_hash);
        let warm = record.warm_mibps.unwrap_or(0);
        let changes = self.on_demand.look(record.log_id, &open, warm, self.now_ms());
        if changes.is_empty() {
            return;
        }
        let splits = changes.iter().filter(|change| matches!(change, Change::Split(..))).count();
        let merges = changes.len() - splits;
        match resharding::adapt(self, stream, changes).await {
            Ok(()) => tracing::info!(stream = record.name, splits, merges, "the load has changed the shards"),
            Err(error) => {
                tracing::warn!(stream = record.name, splits, merges, %error, "the shards could not follow the load");
            }
        }
    }
}
