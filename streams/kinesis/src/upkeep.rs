//! What the service does by itself, from time to time: it lets go of readers that nobody comes back for, takes
//! away records that are past their time, and sees to the shards of on-demand streams.

use std::sync::Arc;

use crate::service::Service;
use crate::stream::Stream;

impl Service {
    /// Does all of it, once. What cannot be done now is told, and tried again the next time.
    pub async fn upkeep(self: &Arc<Self>) {
        self.readers.expire(self.now_ms());
        for stream in self.streams() {
            self.retire(&stream).await;
        }
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
}
