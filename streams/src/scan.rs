//! Walking a segment's frames with every rule checked: order of numbers and arrival times, whole
//! transactions, checksums. Recovery and `verify` both use it; what a broken rule means is left to them.

use crate::error::{Error, Result};
use crate::format::frame::{FRAME_HEADER, FrameHeader, FrameKind};
use crate::format::marker::CommitMarker;
use crate::format::record;
use crate::format::segment::ShardMark;
use crate::segment::{HeaderScan, Segment};

/// Where a walk ended, and what it learned up to there.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The end of the last frame that holds, of whole transactions only.
    pub valid_to: u64,
    /// What does not hold after `valid_to`, and where exactly; `None` if the walk came to its limit.
    pub broken: Option<(u64, String)>,
    pub marks: Vec<ShardMark>,
    pub last_arrival_ms: u64,
    pub committed: Vec<u64>,
    pub frames: u64,
}

/// Walks the frames of `segment` up to `limit`. Payloads of records are checked from `check_from` on.
pub(crate) fn walk(segment: &Segment, shards: usize, limit: u64, check_from: u64) -> Result<Walk> {
    let mut walk = Walk {
        valid_to: segment.first_frame,
        broken: None,
        marks: (0..shards).map(|shard| segment.head.mark(shard)).collect(),
        last_arrival_ms: segment.head.arrival_floor_ms,
        committed: Vec::new(),
        frames: 0,
    };
    let mut headers = HeaderScan::new(&segment.path, &*segment.file, segment.head.salt(), limit);
    let mut at = segment.first_frame;
    let mut run: Option<Run> = None;
    let mut payload = Vec::new();
    // Marks of the open run count only once its marker is there.
    let mut marks = walk.marks.clone();
    while at < limit {
        let step = headers.try_header_at(at)?.map_err(str::to_owned).and_then(|header| {
            check_order(&header, &mut marks, walk.last_arrival_ms)?;
            Ok(header)
        });
        let header = match step {
            Ok(header) => header,
            Err(what) => return Ok(broken(walk, at, what)),
        };
        let wanted = header.kind == FrameKind::Commit || at >= check_from;
        if wanted && let Err(what) = check_payload(segment, &header, &mut payload)? {
            return Ok(broken(walk, at, what));
        }
        match step_run(&mut run, &header, &payload) {
            Ok(committed) => walk.committed.extend(committed),
            Err(what) => return Ok(broken(walk, at, what)),
        }
        at += header.len();
        walk.frames += 1;
        walk.last_arrival_ms = header.arrival_ms;
        if run.is_none() {
            walk.valid_to = at;
            walk.marks.clone_from_slice(&marks);
        }
    }
    if let Some(run) = run {
        let what = "a transaction's frames lack their commit marker".to_owned();
        walk.broken = Some((run.start, what));
    }
    Ok(walk)
}

/// A transaction's frames before their marker.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    frames: u64,
}

fn broken(mut walk: Walk, at: u64, what: String) -> Walk {
    walk.broken = Some((at, what));
    walk
}

fn check_order(header: &FrameHeader, marks: &mut [ShardMark], last_arrival_ms: u64) -> Result<(), String> {
    if header.arrival_ms < last_arrival_ms {
        return Err("the frame arrived before the one ahead of it".to_owned());
    }
    if header.kind == FrameKind::Commit {
        return Ok(());
    }
    let shard = header.shard;
    let mark = marks.get_mut(shard.0 as usize).ok_or_else(|| format!("the stream has no {shard}"))?;
    if header.base.0 < mark.next {
        return Err(format!(
            "{shard}: number {} follows number {}",
            header.base,
            mark.next.saturating_sub(1)
        ));
    }
    mark.last = header.last();
    mark.next = mark.last + 1;
    mark.records = mark.records.saturating_add(u64::from(header.records));
    mark.bytes = mark.bytes.saturating_add(u64::from(header.payload_len));
    Ok(())
}

/// Reads a frame's payload and checks its sum; that its records fill it, too.
fn check_payload(
    segment: &Segment,
    header: &FrameHeader,
    payload: &mut Vec<u8>,
) -> Result<Result<(), String>> {
    payload.resize(header.payload_len as usize, 0);
    segment
        .file
        .read_at(header.offset + FRAME_HEADER as u64, payload)
        .map_err(Error::io("read", &segment.path))?;
    if crc32c::crc32c(payload) != header.payload_crc {
        return Ok(Err("the checksum of the frame's records does not match".to_owned()));
    }
    if header.kind == FrameKind::Commit {
        return Ok(Ok(()));
    }
    let mut rest = &payload[..];
    for _ in 0..header.records {
        match record::decode(rest) {
            Some(raw) => rest = &rest[raw.len..],
            None => return Ok(Err("a record's lengths do not fit its frame".to_owned())),
        }
    }
    Ok(if rest.is_empty() { Ok(()) } else { Err("the frame holds bytes after its last record".to_owned()) })
}

/// Follows the runs of transactions; gives the transaction that a marker commits.
fn step_run(run: &mut Option<Run>, header: &FrameHeader, payload: &[u8]) -> Result<Option<u64>, String> {
    match (header.kind, header.in_transaction) {
        (FrameKind::Records, true) => {
            run.get_or_insert(Run { start: header.offset, frames: 0 }).frames += 1;
            Ok(None)
        }
        (FrameKind::Records, false) if run.is_none() => Ok(None),
        (FrameKind::Records, false) => {
            Err("a transaction's frames are interrupted before their commit marker".to_owned())
        }
        (FrameKind::Commit, _) => {
            let marker = CommitMarker::decode(payload)?;
            let Run { start, frames } = run.take().unwrap_or(Run { start: header.offset, frames: 0 });
            if (marker.run_start, marker.run_frames) != (start, frames) {
                return Err("the commit marker does not fit the frames before it".to_owned());
            }
            Ok(Some(marker.transaction))
        }
    }
}
