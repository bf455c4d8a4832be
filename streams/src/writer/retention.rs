//! Retention: which whole segments may go, and taking them away. The end is anchored with the new oldest
//! segment first: a crash between leaves files that the next writer removes, never a hole.

use std::sync::Arc;

use super::engine::Engine;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::segment::file_name;
use crate::options::Retention;
use crate::segment::segment_dir;
use crate::shared::meta_path;
use crate::storage::replace;

impl Engine {
    /// Removes what retention allows; gives the number of segments.
    pub(crate) fn apply_retention(&mut self) -> Result<usize> {
        let end = self.end();
        let oldest = self.oldest_to_keep()?;
        if oldest == end.oldest_segment {
            return Ok(0);
        }
        self.anchor_end(|end| end.oldest_segment = oldest)?;
        let dir = segment_dir(&self.shared.dir);
        for segment in end.oldest_segment..oldest {
            let path = dir.join(file_name(segment));
            failpoint::at("log::retain").map_err(Error::io("remove", &path))?;
            match self.shared.storage.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => tracing::info!(stream = %self.shared.name, segment, "retention has removed a segment"),
            }
        }
        Ok((oldest - end.oldest_segment) as usize)
    }

    fn oldest_to_keep(&self) -> Result<u64> {
        let meta = self.shared.meta();
        let end = self.end();
        let now_ms = self.clock.now_ms();
        let mut sizes = Vec::new();
        if meta.retention_bytes.is_some() {
            for id in end.oldest_segment..end.segment {
                let segment = self.shared.segment(id)?;
                sizes.push(segment.file.len().map_err(Error::io("read", &segment.path))?);
            }
        }
        let mut total = sizes.iter().sum::<u64>() + self.active_bytes();
        let mut oldest = end.oldest_segment;
        while oldest < end.segment {
            let too_old = match meta.retention_ms {
                // All records of a segment arrived before the next one's floor.
                Some(age_ms) => {
                    let last_arrival = self.shared.segment(oldest + 1)?.head.arrival_floor_ms;
                    last_arrival.saturating_add(age_ms) < now_ms
                }
                None => false,
            };
            let too_much = meta.retention_bytes.is_some_and(|bytes| total > bytes);
            if !too_old && !too_much {
                break;
            }
            let size = sizes.get((oldest - end.oldest_segment) as usize);
            total = total.saturating_sub(size.copied().unwrap_or(0));
            oldest += 1;
        }
        Ok(oldest)
    }

    /// Replaces the stream's retention.
    pub(crate) fn set_retention(&mut self, retention: Retention) -> Result<()> {
        let mut meta = (*self.shared.meta()).clone();
        meta.retention_ms = retention.age_ms;
        meta.retention_bytes = retention.bytes;
        meta.version += 1;
        let path = meta_path(&self.shared.dir);
        replace(&*self.shared.storage, &path, &meta.encode()).map_err(Error::io("replace", &path))?;
        self.publish_meta(Arc::new(meta))
    }
}
