//! The segment that is being written: gathers small frames into large writes, and knows what of the
//! file is written and what is durable. What frames mean is the engine's matter.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::segment::{SegmentHead, file_name};
use crate::segment::segment_dir;
use crate::storage::{Storage, StorageFile};

/// Pieces below this are gathered, larger ones are written as they are.
const GATHER_BELOW: usize = 64 << 10;
/// What is gathered is written when it has this many bytes.
const GATHERED: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub id: u64,
    pub path: PathBuf,
    pub salt: u32,
    pub created_ms: u64,
    file: Arc<dyn StorageFile>,
    first_frame: u64,
    /// Where the next frame begins.
    tail: u64,
    /// Everything before this is durable.
    synced: u64,
    gathered: Vec<u8>,
}

impl ActiveSegment {
    /// Creates a segment; durable with its name on return. An older file of this name was never
    /// published, and is replaced.
    pub fn create(storage: &dyn Storage, stream_dir: &Path, head: &SegmentHead) -> Result<Self> {
        let dir = segment_dir(stream_dir);
        let path = dir.join(file_name(head.segment));
        match storage.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("replace", &path)(error));
            }
            _ => {}
        }
        failpoint::at("log::roll").map_err(Error::io("create", &path))?;
        let file = storage.create(&path).map_err(Error::io("create", &path))?;
        let bytes = head.encode();
        file.write_at(0, &bytes).map_err(Error::io("write", &path))?;
        file.sync().map_err(Error::io("sync", &path))?;
        storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        let first_frame = bytes.len() as u64;
        Ok(Self::resume(head, path, file, first_frame, first_frame))
    }

    /// A segment whose frames begin at `first_frame` and are durable up to `tail`.
    pub fn resume(
        head: &SegmentHead,
        path: PathBuf,
        file: Arc<dyn StorageFile>,
        first_frame: u64,
        tail: u64,
    ) -> Self {
        let (id, salt, created_ms) = (head.segment, head.salt(), head.created_ms);
        Self { id, path, salt, created_ms, file, first_frame, tail, synced: tail, gathered: Vec::new() }
    }

    /// Whether it holds anything but its head.
    pub fn has_frames(&self) -> bool {
        self.tail > self.first_frame
    }

    pub fn tail(&self) -> u64 {
        self.tail
    }

    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Whether something is written that is not synced.
    pub fn is_dirty(&self) -> bool {
        self.tail > self.synced
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        failpoint::at("log::append").map_err(Error::io("write", &self.path))?;
        if bytes.len() < GATHER_BELOW {
            self.gathered.extend_from_slice(bytes);
            self.tail += bytes.len() as u64;
            return if self.gathered.len() >= GATHERED { self.flush() } else { Ok(()) };
        }
        self.flush()?;
        self.file.write_at(self.tail, bytes).map_err(Error::io("write", &self.path))?;
        self.tail += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            let at = self.tail - self.gathered.len() as u64;
            failpoint::at("log::write").map_err(Error::io("write", &self.path))?;
            self.file.write_at(at, &self.gathered).map_err(Error::io("write", &self.path))?;
            self.gathered.clear();
        }
        Ok(())
    }

    /// Hands everything to the operating system; it may not be durable yet.
    pub fn write_out(&mut self) -> Result<()> {
        self.flush()
    }

    /// Makes everything durable that was written.
    pub fn sync(&mut self) -> Result<()> {
        failpoint::at("log::sync").map_err(Error::io("sync", &self.path))?;
        self.file.sync().map_err(Error::io("sync", &self.path))?;
        self.synced = self.tail;
        Ok(())
    }

    /// Undoes what was written since the last sync.
    pub fn roll_back(&mut self) -> Result<()> {
        self.gathered.clear();
        self.tail = self.synced;
        failpoint::at("log::roll_back").map_err(Error::io("truncate", &self.path))?;
        self.file.truncate(self.synced).map_err(Error::io("truncate", &self.path))
    }
}
