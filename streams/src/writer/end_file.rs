//! The writer's side of END: publishing after each sync, anchoring where it must survive a power failure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::end::End;
use crate::shared::{end_path, read_end};
use crate::storage::{Storage, StorageFile};

#[derive(Debug)]
pub(crate) struct EndFile {
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    end: End,
    second_anchor_is_next: bool,
}

impl EndFile {
    pub fn open(storage: &dyn Storage, stream_dir: &Path) -> Result<Self> {
        let path = end_path(stream_dir);
        let file = storage.open(&path, true).map_err(Error::io("open for writing", &path))?;
        let (bytes, end) = read_end(&path, &*file)?;
        Ok(Self { second_anchor_is_next: End::second_anchor_is_next(&bytes), path, file, end })
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// Publishes for readers. Not synced: after a power failure an older end may be found, never a newer.
    pub fn publish(&mut self, change: impl FnOnce(&mut End)) -> Result<End> {
        let end = self.changed(change);
        failpoint::at("log::publish").map_err(Error::io("write", &self.path))?;
        self.file.write_at(end.live_offset(), &end.encode()).map_err(Error::io("write", &self.path))?;
        self.end = end;
        Ok(end)
    }

    /// Publishes so that a power failure cannot undo it.
    pub fn anchor(&mut self, change: impl FnOnce(&mut End)) -> Result<End> {
        let end = self.changed(change);
        failpoint::at("log::anchor").map_err(Error::io("write", &self.path))?;
        let at = End::anchor_offset(self.second_anchor_is_next);
        self.file.write_at(at, &end.encode()).map_err(Error::io("write", &self.path))?;
        self.file.sync().map_err(Error::io("sync", &self.path))?;
        self.second_anchor_is_next = !self.second_anchor_is_next;
        self.end = end;
        Ok(end)
    }

    fn changed(&self, change: impl FnOnce(&mut End)) -> End {
        let mut end = self.end;
        change(&mut end);
        end.publication += 1;
        end
    }
}
