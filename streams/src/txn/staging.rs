//! The side file of one open transaction: frames are written to it as they come, and `prepare` ends it
//! with a trailer and makes it durable. It is created with the first record.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::table::{staged_dir, staged_path};
use crate::batch::{BufferPool, EncodedFrame};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::frame::{FRAME_HEADER, FrameHeader, FrameKind, file_salt};
use crate::format::staged::{StagedHead, StagedTrailer};
use crate::shared::StreamShared;
use crate::storage::StorageFile;
use crate::types::SequenceNumber;

/// Bytes gathered before they are written.
const GATHERED: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Staging {
    shared: Arc<StreamShared>,
    head: StagedHead,
    path: PathBuf,
    file: Option<Arc<dyn StorageFile>>,
    limit: u64,
    /// Bytes in the file, and those that wait to be written after them.
    written: u64,
    gathered: Vec<u8>,
    /// Records of each shard so far.
    shards: HashMap<u32, u64>,
    records: u64,
    /// A write failed: what the file holds is not known.
    broken: bool,
}

impl Staging {
    pub fn new(shared: Arc<StreamShared>, head: StagedHead, limit: u64) -> Self {
        let path = staged_path(&shared.dir, head.transaction);
        let gathered = head.encode();
        Self {
            shared,
            head,
            path,
            file: None,
            limit,
            written: 0,
            gathered,
            shards: HashMap::new(),
            records: 0,
            broken: false,
        }
    }

    pub fn head(&self) -> &StagedHead {
        &self.head
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    /// The file is another's from now on.
    pub fn release(self) -> StagedHead {
        self.head
    }

    pub fn write(&mut self, frames: Vec<EncodedFrame>, pool: &BufferPool) -> Result<()> {
        self.check_whole()?;
        let adds: u64 = frames.iter().map(|frame| frame.bytes.len() as u64).sum();
        if self.tail() + adds > self.limit {
            return Err(Error::InvalidArgument(format!(
                "the transaction of epoch {} would have {} bytes, more than the limit of {} (`transaction_bytes`); commit more often",
                self.head.epoch,
                self.tail() + adds,
                self.limit
            )));
        }
        let salt = file_salt(self.head.stream_id, self.head.transaction);
        for mut frame in frames {
            let base = self.shards.entry(frame.shard.0).or_default();
            let header = FrameHeader {
                kind: FrameKind::Records,
                in_transaction: true,
                shard: frame.shard,
                records: frame.records,
                base: SequenceNumber(*base),
                arrival_ms: self.head.created_ms,
                offset: self.written + self.gathered.len() as u64,
                synced_to: 0,
                payload_len: frame.payload_len,
                payload_crc: frame.payload_crc,
                term: 0,
            };
            *base += u64::from(frame.records);
            self.records += u64::from(frame.records);
            frame.bytes[..FRAME_HEADER].copy_from_slice(&header.encode(salt));
            self.gathered.extend_from_slice(&frame.bytes);
            pool.give(frame.bytes);
            if self.gathered.len() >= GATHERED {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn tail(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    fn check_whole(&self) -> Result<()> {
        if !self.broken {
            return Ok(());
        }
        let what = "an earlier write of this transaction failed; it can only be aborted".to_owned();
        let (stream, writer) = (self.shared.name.to_string(), self.head.member.clone());
        Err(Error::TransactionState { stream, writer, what })
    }

    fn flush(&mut self) -> Result<()> {
        self.broken = true;
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.shared.storage.create(&self.path).map_err(Error::io("create", &self.path))?,
        };
        self.file = Some(file.clone());
        file.write_at(self.written, &self.gathered).map_err(Error::io("write", &self.path))?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        self.broken = false;
        Ok(())
    }

    /// Ends the file and syncs it with its name. Without records there is no file.
    pub fn make_durable(&mut self) -> Result<()> {
        self.check_whole()?;
        if self.records == 0 {
            return Ok(());
        }
        let (transaction, records, frames_end) = (self.head.transaction, self.records, self.tail());
        let trailer = StagedTrailer { transaction, records, frames_end };
        self.gathered.extend(trailer.encode());
        self.flush()?;
        // Only aborting is left if the sync fails.
        self.broken = true;
        failpoint::at("txn::prepare").map_err(Error::io("sync", &self.path))?;
        if let Some(file) = &self.file {
            file.sync().map_err(Error::io("sync", &self.path))?;
        }
        let dir = staged_dir(&self.shared.dir);
        self.shared.storage.sync_dir(&dir).map_err(Error::io("sync", &dir))
    }
}
