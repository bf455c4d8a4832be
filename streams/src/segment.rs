//! An open segment and its index: where each shard's frames lie, learned from their headers as far as
//! the stream is durable. One index serves all readers of a segment in this process. Payloads are
//! checked by whoever reads them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::format::frame::{FRAME_HEADER, FrameHeader, FrameKind};
use crate::format::segment::{HEAD_PREFIX, SegmentHead, file_name};
use crate::storage::{Storage, StorageFile};

/// Headers are read in windows of this size: several small frames, little of a large one.
const WINDOW: usize = 4096;

/// The directory of a stream's segments.
pub(crate) fn segment_dir(stream_dir: &Path) -> PathBuf {
    stream_dir.join("segments")
}

/// A segment file open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub id: u64,
    pub path: PathBuf,
    pub file: Arc<dyn StorageFile>,
    pub head: SegmentHead,
    /// Where the first frame begins.
    pub first_frame: u64,
    index: Mutex<Index>,
}

#[derive(Debug)]
struct Index {
    scanned_to: u64,
    shards: HashMap<u32, ShardFrames>,
}

#[derive(Debug, Default)]
struct ShardFrames {
    frames: Vec<FrameEntry>,
    records: u64,
    bytes: u64,
}

/// A frame of records, as the index knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameEntry {
    pub offset: u64,
    pub base: u64,
    pub arrival_ms: u64,
    pub records: u32,
    pub payload_len: u32,
    pub payload_crc: u32,
}

impl FrameEntry {
    /// The number after the last record's.
    pub fn after(&self) -> u64 {
        self.base + u64::from(self.records)
    }

    pub fn payload_at(&self) -> u64 {
        self.offset + FRAME_HEADER as u64
    }

    pub fn payload_end(&self) -> u64 {
        self.payload_at() + u64::from(self.payload_len)
    }
}

/// What a segment holds of a shard, up to where the index has got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShardTotal {
    /// The last number in it, if there is a record.
    pub last: Option<u64>,
    pub records: u64,
    pub bytes: u64,
}

/// Reads and checks a segment's head; also gives where the first frame begins.
pub(crate) fn read_head(path: &Path, file: &dyn StorageFile) -> Result<(SegmentHead, u64)> {
    let len = file.len().map_err(Error::io("read", path))?;
    let mut bytes = vec![0; HEAD_PREFIX];
    if len < HEAD_PREFIX as u64 {
        return Err(Error::corrupt(path, len, "the segment's head is cut short"));
    }
    file.read_at(0, &mut bytes).map_err(Error::io("read", path))?;
    let sealed = SegmentHead::sealed_len(path, &bytes)?;
    let first_frame = (sealed as u64).next_multiple_of(crate::format::ALIGN);
    // Its padding is a part of it: a head is written as a whole before anything rests on it.
    if len < first_frame {
        return Err(Error::corrupt(path, len, "the segment's head is cut short"));
    }
    bytes.resize(sealed, 0);
    file.read_at(0, &mut bytes).map_err(Error::io("read", path))?;
    Ok((SegmentHead::decode(path, &bytes)?, first_frame))
}

impl Segment {
    /// Opens segment `id` of a stream. `NotFound` stays an `Io` error: the caller knows whether
    /// retention may have been at work.
    pub fn open(storage: &dyn Storage, stream_dir: &Path, stream_id: u64, id: u64) -> Result<Self> {
        let path = segment_dir(stream_dir).join(file_name(id));
        let file = storage.open(&path, false).map_err(Error::io("open the segment", &path))?;
        let (head, first_frame) = read_head(&path, &*file)?;
        if (head.stream_id, head.segment) != (stream_id, id) {
            return Err(Error::corrupt(&path, 0, "it is a segment of another place"));
        }
        let index = Mutex::new(Index { scanned_to: first_frame, shards: HashMap::new() });
        Ok(Self { id, path, file, head, first_frame, index })
    }

    /// Makes the index reach `limit`, where a frame must end.
    fn extend(&self, index: &mut Index, limit: u64) -> Result<()> {
        let salt = self.head.salt();
        let mut scan = HeaderScan::new(&self.path, &*self.file, salt, limit);
        while index.scanned_to < limit {
            let header = scan.header_at(index.scanned_to)?;
            if header.kind == FrameKind::Records && header.records > 0 {
                let shard = index.shards.entry(header.shard.0).or_default();
                shard.records += u64::from(header.records);
                shard.bytes += u64::from(header.payload_len);
                shard.frames.push(FrameEntry {
                    offset: header.offset,
                    base: header.base.0,
                    arrival_ms: header.arrival_ms,
                    records: header.records,
                    payload_len: header.payload_len,
                    payload_crc: header.payload_crc,
                });
            }
            index.scanned_to += header.len();
        }
        Ok(())
    }

    fn indexed<T>(&self, limit: u64, look: impl FnOnce(&Index) -> T) -> Result<T> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        self.extend(&mut index, limit)?;
        Ok(look(&index))
    }

    /// Frames of `shard` with records from number `next` on, in order, until `take` has enough.
    pub fn frames_from(
        &self,
        limit: u64,
        shard: u32,
        next: u64,
        into: &mut Vec<FrameEntry>,
        mut take: impl FnMut(&[FrameEntry], &FrameEntry) -> bool,
    ) -> Result<()> {
        self.indexed(limit, |index| {
            let Some(shard) = index.shards.get(&shard) else { return };
            let first = shard.frames.partition_point(|frame| frame.after() <= next);
            for frame in &shard.frames[first..] {
                if !take(into, frame) {
                    break;
                }
                into.push(*frame);
            }
        })
    }

    /// The first frame of `shard` that arrived at or after `time_ms`.
    pub fn frame_at_time(&self, limit: u64, shard: u32, time_ms: u64) -> Result<Option<FrameEntry>> {
        self.indexed(limit, |index| {
            let frames = &index.shards.get(&shard)?.frames;
            frames.get(frames.partition_point(|frame| frame.arrival_ms < time_ms)).copied()
        })
    }

    /// What this segment holds of `shard` up to `limit`.
    pub fn total(&self, limit: u64, shard: u32) -> Result<ShardTotal> {
        self.indexed(limit, |index| {
            index.shards.get(&shard).map_or(ShardTotal::default(), |shard| ShardTotal {
                last: shard.frames.last().map(|frame| frame.after() - 1),
                records: shard.records,
                bytes: shard.bytes,
            })
        })
    }
}

/// Reads frame headers one after the other, many small ones with one read.
pub(crate) struct HeaderScan<'a> {
    path: &'a Path,
    file: &'a dyn StorageFile,
    salt: u32,
    limit: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> HeaderScan<'a> {
    pub fn new(path: &'a Path, file: &'a dyn StorageFile, salt: u32, limit: u64) -> Self {
        Self { path, file, salt, limit, window: Vec::new(), window_at: 0 }
    }

    /// The header at `offset`, whose frame must end before the limit.
    pub fn header_at(&mut self, offset: u64) -> Result<FrameHeader> {
        self.try_header_at(offset)?.map_err(|what| Error::corrupt(self.path, offset, what))
    }

    /// The same, with damage told apart from failures to read.
    pub fn try_header_at(&mut self, offset: u64) -> Result<Result<FrameHeader, &'static str>> {
        if self.limit.saturating_sub(offset) < FRAME_HEADER as u64 {
            return Ok(Err("the frame's header is cut short"));
        }
        let end = self.window_at + self.window.len() as u64;
        if offset < self.window_at || offset + FRAME_HEADER as u64 > end {
            let len = (self.limit - offset).min(WINDOW as u64) as usize;
            self.window.resize(len, 0);
            self.window_at = offset;
            self.file.read_at(offset, &mut self.window).map_err(|source| self.unreadable(offset, source))?;
        }
        let Some(bytes) = self.window[(offset - self.window_at) as usize..].first_chunk() else {
            return Ok(Err("the frame's header is cut short"));
        };
        Ok(FrameHeader::decode(bytes, self.salt, offset).and_then(|header| {
            if header.len() > self.limit - offset { Err("the frame is cut short") } else { Ok(header) }
        }))
    }

    fn unreadable(&mut self, offset: u64, source: std::io::Error) -> Error {
        self.window.clear();
        if source.kind() == std::io::ErrorKind::UnexpectedEof {
            return Error::corrupt(self.path, offset, "the file ends before what was acknowledged");
        }
        Error::Io { action: "read", path: self.path.to_owned(), source }
    }
}
