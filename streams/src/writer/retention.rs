//! Retention: which whole segments may go, and taking them away. The end is anchored with the new oldest
//! segment first: a crash between leaves files that the next writer removes, never a hole.

use std::sync::Arc;

use super::engine::Engine;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::end::End;
use crate::format::meta::StreamMeta;
use crate::format::segment::file_name;
use crate::options::Retention;
use crate::segment::segment_dir;
use crate::shared::{StreamShared, meta_path};
use crate::storage::replace;

impl Engine {
    /// Removes what retention allows; gives the number of segments.
    pub(crate) fn apply_retention(&mut self) -> Result<usize> {
        let end = self.end();
        let oldest = oldest_to_keep(&self.shared, &end, self.active_bytes(), self.clock.now_ms())?;
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

    /// As [`apply_retention`](Self::apply_retention); and if all records of the active segment are too old, it is
    /// followed by another, so that it goes too. For a stream that nobody writes to: there, no append ever rolls it.
    pub(crate) fn retire(&mut self) -> Result<usize> {
        if self.has_frames() && is_too_old(&self.shared.meta(), self.last_arrival_ms(), self.clock.now_ms()) {
            self.roll()?;
        }
        self.apply_retention()
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

/// Whether [`Engine::retire`] would remove anything of a stream, as far as this process knows it: for streams that
/// nobody writes, so that none is opened in vain.
pub(crate) fn has_something_to_go(shared: &Arc<StreamShared>, now_ms: u64) -> Result<bool> {
    let end = shared.refresh()?;
    if oldest_to_keep(shared, &end, end.offset, now_ms)? > end.oldest_segment {
        return Ok(true);
    }
    if !is_too_old(&shared.meta(), end.last_arrival_ms, now_ms) {
        return Ok(false);
    }
    Ok(end.offset > shared.segment(end.segment)?.first_frame)
}

/// Whether records that arrived at `arrival_ms` or before may go.
fn is_too_old(meta: &StreamMeta, arrival_ms: u64, now_ms: u64) -> bool {
    meta.retention_ms.is_some_and(|age_ms| arrival_ms.saturating_add(age_ms) < now_ms)
}

/// The oldest segment that retention leaves, never one behind the active one.
fn oldest_to_keep(shared: &Arc<StreamShared>, end: &End, active_bytes: u64, now_ms: u64) -> Result<u64> {
    let meta = shared.meta();
    let mut sizes = Vec::new();
    if meta.retention_bytes.is_some() {
        for id in end.oldest_segment..end.segment {
            let segment = shared.segment(id)?;
            sizes.push(segment.file.len().map_err(Error::io("read", &segment.path))?);
        }
    }
    let mut total = sizes.iter().sum::<u64>() + active_bytes;
    let mut oldest = end.oldest_segment;
    while oldest < end.segment {
        // All records of a segment arrived before the next one's floor.
        let too_old = meta.retention_ms.is_some()
            && is_too_old(&meta, shared.segment(oldest + 1)?.head.arrival_floor_ms, now_ms);
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
