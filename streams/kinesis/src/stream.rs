//! A stream that is being served: what the catalog knows of it, its shards, its writer. Operations meet
//! here: those that change it one after the other, those on records side by side, and none while it goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pelton_streams::{Reader, ShardId, ShardLog, StartPosition, StreamWriter};
use tokio::sync::{RwLockReadGuard, Semaphore, SemaphorePermit};

use crate::catalog::{Catalog, Status, StreamRecord};
use crate::error::{Error, ErrorCode, Result};
use crate::service::Service;
use crate::shards::ShardTable;

/// Bytes of records that may be on their way into one stream's log: half of what the log lets wait, so that
/// handing a batch to it never blocks.
const ROOM_BYTES: usize = 32 << 20;
/// What room is counted in.
const ROOM_UNIT: usize = 1 << 10;

/// A stream.
#[derive(Debug)]
pub struct Stream {
    record: RwLock<Arc<StreamRecord>>,
    shards: RwLock<Arc<ShardTable>>,
    /// Held by whoever changes the stream.
    pub control: tokio::sync::Mutex<()>,
    /// Held for reading by whoever uses its log, for writing by whoever takes that away.
    in_use: tokio::sync::RwLock<()>,
    writer: tokio::sync::Mutex<Option<StreamWriter>>,
    /// What a crash may have left of the log is mended, so that what was acknowledged before it can be read.
    is_whole: AtomicBool,
    /// A reader to make others of.
    anchor: Mutex<Option<Reader>>,
    room: Semaphore,
}

impl Stream {
    /// A stream that the catalog knows. `is_whole` says that no crash can have cut its log short.
    #[must_use]
    pub fn new(record: StreamRecord, shards: ShardTable, is_whole: bool) -> Self {
        Self {
            record: RwLock::new(Arc::new(record)),
            shards: RwLock::new(Arc::new(shards)),
            control: tokio::sync::Mutex::default(),
            in_use: tokio::sync::RwLock::default(),
            writer: tokio::sync::Mutex::default(),
            is_whole: AtomicBool::new(is_whole),
            anchor: Mutex::default(),
            room: Semaphore::new(ROOM_BYTES / ROOM_UNIT),
        }
    }

    /// What the catalog knows of it.
    #[must_use]
    pub fn record(&self) -> Arc<StreamRecord> {
        self.record.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its shards, as they were when they were last looked at.
    #[must_use]
    pub fn shards(&self) -> Arc<ShardTable> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at its shards again. Reads from disk.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn look_at_shards(&self, log: &ShardLog) -> Result<Arc<ShardTable>> {
        let described = log.describe_stream(&self.record().name)?;
        if described.stream_id != self.record().log_id {
            return Err(Error::new(ErrorCode::ResourceNotFound, "the stream was deleted"));
        }
        let table = Arc::new(ShardTable::new(&described));
        *self.shards.write().unwrap_or_else(PoisonError::into_inner) = table.clone();
        Ok(table)
    }

    /// Changes what the catalog knows of it; durable on return, and nothing changes if that fails. Writes to disk.
    ///
    /// # Errors
    /// If the catalog cannot be written.
    pub fn change(&self, catalog: &Catalog, change: impl FnOnce(&mut StreamRecord)) -> Result {
        let mut changed = (*self.record()).clone();
        change(&mut changed);
        let mut kept = changed.clone();
        if kept.status == Status::Updating {
            // After a crash nobody is updating it.
            kept.status = Status::Active;
        }
        catalog.put(&kept)?;
        *self.record.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(changed);
        Ok(())
    }

    /// Shows another status, in memory alone.
    pub fn show_status(&self, status: Status) {
        let mut record = self.record.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut record).status = status;
    }

    /// Keeps the stream's log there for as long as the guard is held.
    ///
    /// # Errors
    /// `ResourceNotFoundException` while it is being created or deleted.
    pub async fn hold(&self, account: &str) -> Result<RwLockReadGuard<'_, ()>> {
        let guard = self.in_use.read().await;
        let record = self.record();
        if matches!(record.status, Status::Creating | Status::Deleting) {
            return Err(not_found(&record.name, account));
        }
        Ok(guard)
    }

    /// [`hold`](Self::hold)s the stream's log, of which what a crash has left is mended first: before that, it may
    /// show less than was acknowledged.
    ///
    /// # Errors
    /// Those of `hold`, and of opening its writer.
    pub async fn enter(&self, service: &Service) -> Result<RwLockReadGuard<'_, ()>> {
        let guard = self.hold(&service.settings.account).await?;
        if !self.is_whole.load(Ordering::Acquire) {
            match self.writer(&service.log).await {
                // Another process writes it, and has mended it.
                Err(error) if error.code() == ErrorCode::ResourceInUse => {}
                writer => drop(writer?),
            }
            self.is_whole.store(true, Ordering::Release);
        }
        Ok(guard)
    }

    /// The stream's writer, opened if it is not.
    ///
    /// # Errors
    /// If it cannot be opened, for instance because another process writes the stream.
    pub async fn writer(&self, log: &ShardLog) -> Result<StreamWriter> {
        let mut writer = self.writer.lock().await;
        if let Some(writer) = &*writer {
            return Ok(writer.clone());
        }
        let (log, name) = (log.clone(), self.record().name.clone());
        let opened = crate::blocking(move || Ok(log.writer(&name)?)).await?;
        *writer = Some(opened.clone());
        Ok(opened)
    }

    /// Whether its writer is open.
    pub async fn is_written(&self) -> bool {
        self.writer.lock().await.is_some()
    }

    /// Lets go of a writer that has failed, so that the next one that is asked for recovers the log.
    pub async fn forget_writer(&self) {
        let writer = self.writer.lock().await.take();
        // Dropping the last one waits for its thread.
        let _ = crate::blocking(move || {
            drop(writer);
            Ok(())
        })
        .await;
    }

    /// Waits until nobody uses the log and lets go of the writer; nobody can use it while `act` runs.
    ///
    /// # Errors
    /// Those of `act`.
    pub async fn without_users<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _alone = self.in_use.write().await;
        self.forget_writer().await;
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = None;
        crate::blocking(act).await
    }

    /// Waits until `bytes` of records may be handed to the log.
    pub async fn room_for(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let units = bytes.div_ceil(ROOM_UNIT).clamp(1, ROOM_BYTES / ROOM_UNIT);
        self.room.acquire_many(units as u32).await.ok()
    }

    /// A new reader of a shard. Reads from disk.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn reader(&self, log: &ShardLog, shard: ShardId, start: StartPosition) -> Result<Reader> {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        if anchor.is_none() {
            let record = self.record();
            let reader = log.reader(&record.name, ShardId(0), StartPosition::Oldest)?;
            if reader.stream_id() != record.log_id {
                return Err(Error::new(ErrorCode::ResourceNotFound, "the stream was deleted"));
            }
            *anchor = Some(reader);
        }
        let reader = anchor.as_ref().expect("it was just made").another(shard, start)?;
        Ok(reader)
    }
}

/// AWS's words for a stream that is not there.
#[must_use]
pub fn not_found(name: &str, account: &str) -> Error {
    Error::new(ErrorCode::ResourceNotFound, format!("Stream {name} under account {account} not found."))
}
