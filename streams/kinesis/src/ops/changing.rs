//! A stream while it is being changed: one change at a time, and `UPDATING` meanwhile.

use std::sync::Arc;

use tokio::sync::MutexGuard;

use crate::catalog::{Status, StreamRecord};
use crate::error::{Error, ErrorCode, Result};
use crate::service::Service;
use crate::shards::ShardTable;
use crate::stream::{Stream, not_found};

/// Held while a stream is being changed; it is `ACTIVE` again when this is dropped.
#[derive(Debug)]
pub struct Changing<'a> {
    stream: &'a Arc<Stream>,
    _control: MutexGuard<'a, ()>,
}

impl<'a> Changing<'a> {
    /// Begins a change.
    ///
    /// # Errors
    /// `ResourceInUseException` while the stream is being changed by another request.
    pub fn begin(service: &Service, stream: &'a Arc<Stream>) -> Result<Self> {
        let record = stream.record();
        let in_use = || not_active(service, &stream.record());
        if record.status != Status::Active {
            return Err(in_use());
        }
        let control = stream.control.try_lock().map_err(|_| in_use())?;
        // It may have been deleted since it was looked up.
        if stream.record().status != Status::Active {
            return Err(in_use());
        }
        stream.show_status(Status::Updating);
        Ok(Self { stream, _control: control })
    }

    /// Changes what the catalog knows of it.
    ///
    /// # Errors
    /// If that cannot be written.
    pub async fn record(
        &self,
        service: &Arc<Service>,
        change: impl FnOnce(&mut StreamRecord) + Send + 'static,
    ) -> Result {
        let (own, stream) = (service.clone(), self.stream.clone());
        crate::blocking(move || stream.change(&own.catalog, change)).await
    }

    /// Changes its log, by a writer; gives its shards as they are afterwards.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn log(
        &self,
        service: &Arc<Service>,
        change: impl FnOnce(&pelton_streams::StreamWriter) -> Result + Send + 'static,
    ) -> Result<Arc<ShardTable>> {
        let _in_use = self.stream.enter(service).await?;
        let writer = self.stream.writer(&service.log).await?;
        let (own, stream) = (service.clone(), self.stream.clone());
        let changed = crate::blocking(move || {
            let changed = change(&writer);
            // What a change that failed on its way has done shows, too.
            let table = stream.look_at_shards(&own.log)?;
            changed.map(|()| table)
        })
        .await;
        if changed.is_err() {
            // It may have failed for good; another is soon opened.
            self.stream.forget_writer().await;
        }
        changed
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.stream.show_status(Status::Active);
    }
}

fn not_active(service: &Service, record: &StreamRecord) -> Error {
    if record.status == Status::Deleting {
        return not_found(&record.name, &service.settings.account);
    }
    let status = if record.status == Status::Active { Status::Updating } else { record.status };
    service.error(
        ErrorCode::ResourceInUse,
        format_args!("Stream {}", record.name),
        &format!(" not ACTIVE, instead in state {}", status.name()),
    )
}
