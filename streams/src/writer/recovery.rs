//! Opening a stream for writing: finding where it really ends, telling a torn tail from damage, and
//! making sure that no sequence number is given twice. The reasoning is in `FORMAT.md`, "Recovery".

use std::path::PathBuf;
use std::sync::Arc;

use super::active::ActiveSegment;
use super::end_file::EndFile;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::frame::{FRAME_HEADER, FrameHeader};
use crate::format::segment::{ShardMark, file_name, parse_name};
use crate::format::{ALIGN, end::End};
use crate::scan::{Walk, walk};
use crate::segment::{Segment, segment_dir};
use crate::shared::StreamShared;

/// The part of a sequence number that counts within a term; the term is above it.
const TERM_SHIFT: u32 = 40;
/// Bytes searched at one go for frames after damage.
const SEARCH_BYTES: u64 = 1 << 20;

/// What opening a stream for writing has found and mended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// The last writer ended in order.
    pub clean: bool,
    /// What was cut from the end of the log: bytes that were never acknowledged.
    pub torn_tail: Option<TornTail>,
    /// Records found after the last published end. They were written but perhaps not acknowledged.
    pub unpublished_bytes: u64,
    /// Staged transactions that were never prepared, and so were thrown away.
    pub discarded_transactions: usize,
    /// Prepared transactions that wait to be committed or aborted.
    pub open_transactions: usize,
}

/// Bytes that a crash has left half written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's file.
    pub file: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// What was wrong with them.
    pub what: String,
}

/// A stream that is ready to be written.
pub(crate) struct Recovered {
    pub active: ActiveSegment,
    pub end: EndFile,
    pub marks: Vec<ShardMark>,
    pub last_arrival_ms: u64,
    /// Transactions whose markers are in the last segment.
    pub committed: Vec<u64>,
    pub report: RecoveryReport,
}

/// Recovers a stream whose lock is held.
pub(crate) fn recover(shared: &Arc<StreamShared>) -> Result<Recovered> {
    let mut end_file = EndFile::open(&*shared.storage, &shared.dir)?;
    let end = end_file.end();
    let last = last_segment(shared, &end)?;
    let mut report = RecoveryReport::default();
    let segment = open_last(shared, &end, last, &mut report)?;
    let len = segment.file.len().map_err(Error::io("read", &segment.path))?;
    // In a segment that begins after the published end, everything is checked.
    let published = if segment.id == end.segment { end.offset } else { segment.first_frame };
    if len < published {
        return Err(Error::corrupt(&segment.path, len, "the file ends before what was acknowledged"));
    }
    let shards = shared.meta().shards.len();
    let walked = walk(&segment, shards, len, published)?;
    if let Some((at, what)) = &walked.broken {
        judge(&segment, *at, walked.valid_to, published, len, what)?;
    }
    let file =
        shared.storage.open(&segment.path, true).map_err(Error::io("open for writing", &segment.path))?;
    report.clean = end.clean && segment.id == end.segment && len == end.offset && walked.broken.is_none();
    report.torn_tail = cut(&segment, &*file, &walked, len)?;
    failpoint::at("log::recover").map_err(Error::io("recover", &segment.path))?;
    report.unpublished_bytes = walked.valid_to - published.min(walked.valid_to);
    settle(&segment, &*file, published, walked.valid_to)?;
    remove_leftovers(shared, &end)?;
    // Who was here last may have ended between creating a file and making its name durable: a segment; or
    // META or TRANSACTIONS, on which all that is written from here on rests.
    for dir in [&segment_dir(&shared.dir), &shared.dir] {
        shared.storage.sync_dir(dir).map_err(Error::io("sync", dir))?;
    }

    let mut marks = walked.marks;
    let term = next_term(&end, &marks);
    if !report.clean {
        // The lost writer gave numbers of its own term or lower ones, so these are new.
        for mark in &mut marks {
            mark.next = mark.next.max(u64::from(term) << TERM_SHIFT);
        }
    }
    let (id, offset) = (segment.id, walked.valid_to);
    let meta_version = shared.meta().version;
    let last_arrival_ms = walked.last_arrival_ms;
    let anchored = end_file.anchor(|end| {
        (end.segment, end.offset, end.term, end.clean) = (id, offset, term, false);
        (end.meta_version, end.last_arrival_ms) = (meta_version, last_arrival_ms);
    })?;
    shared.publish(anchored, None);
    let active =
        ActiveSegment::resume(&segment.head, segment.path.clone(), file, segment.first_frame, offset);
    Ok(Recovered { active, end: end_file, marks, last_arrival_ms, committed: walked.committed, report })
}

/// The newest segment file; all from the oldest on must be there.
fn last_segment(shared: &StreamShared, end: &End) -> Result<u64> {
    let dir = segment_dir(&shared.dir);
    let names = shared.storage.list(&dir).map_err(Error::io("list", &dir))?;
    let present: Vec<u64> =
        names.iter().filter_map(|name| parse_name(name)).filter(|&id| id >= end.oldest_segment).collect();
    let last = present.last().copied().unwrap_or(0).max(end.segment);
    let missing = (end.oldest_segment..=last).zip(present.iter().map(Some).chain(std::iter::repeat(None)));
    for (id, found) in missing {
        if found != Some(&id) {
            return Err(Error::corrupt(&dir.join(file_name(id)), 0, "the segment is missing"));
        }
    }
    Ok(last)
}

/// Opens the last segment. One beyond the published end may have been half created.
fn open_last(shared: &StreamShared, end: &End, last: u64, report: &mut RecoveryReport) -> Result<Segment> {
    let storage = &*shared.storage;
    let stream_id = end.stream_id;
    match Segment::open(storage, &shared.dir, stream_id, last) {
        Ok(segment) => {
            if last > end.segment {
                check_sealed(shared, end, last)?;
            }
            Ok(segment)
        }
        Err(error) if error.is_corruption() && last == end.segment + 1 => {
            let path = segment_dir(&shared.dir).join(file_name(last));
            let bytes =
                crate::storage::read_all(storage, &path).map_err(Error::io("read", &path))?.len() as u64;
            tracing::warn!(file = %path.display(), offset = 0, bytes, %error, "a segment was half created and is removed");
            storage.remove(&path).map_err(Error::io("remove", &path))?;
            let dir = segment_dir(&shared.dir);
            storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
            report.torn_tail = Some(TornTail { file: path, offset: 0, bytes, what: error.to_string() });
            Segment::open(storage, &shared.dir, stream_id, last - 1)
        }
        Err(error) => Err(error),
    }
}

/// Segments before the last one were durable as a whole when the next was created.
fn check_sealed(shared: &StreamShared, end: &End, last: u64) -> Result<()> {
    for id in end.segment..last {
        let segment = Segment::open(&*shared.storage, &shared.dir, end.stream_id, id)?;
        let next = Segment::open(&*shared.storage, &shared.dir, end.stream_id, id + 1)?;
        let len = segment.file.len().map_err(Error::io("read", &segment.path))?;
        if len != next.head.previous_bytes {
            return Err(Error::corrupt(&segment.path, len, "the file does not end where its successor says"));
        }
        let walked = walk(&segment, shared.meta().shards.len(), len, segment.first_frame)?;
        if let Some((at, what)) = walked.broken {
            return Err(Error::corrupt(&segment.path, at, what));
        }
    }
    Ok(())
}

/// Whether what is broken at `at` was durable once: then it is damage, and an error.
fn judge(segment: &Segment, at: u64, valid_to: u64, published: u64, len: u64, what: &str) -> Result<()> {
    if valid_to < published {
        return Err(Error::corrupt(&segment.path, at, what));
    }
    // A later frame that says that the file was durable beyond here proves the same. One that does not
    // say so was written in the same group, which the disk may persist in any order.
    if let Some(witness) = find_witness(segment, valid_to, len)? {
        let what = format!("{what}, and the frame at byte {witness} shows that it was acknowledged");
        return Err(Error::corrupt(&segment.path, at, what));
    }
    Ok(())
}

/// A frame after `valid_to` which shows that more than that was durable.
fn find_witness(segment: &Segment, valid_to: u64, len: u64) -> Result<Option<u64>> {
    let salt = segment.head.salt();
    let header = FRAME_HEADER as u64;
    let mut at = (valid_to + 1).next_multiple_of(ALIGN);
    let mut bytes = Vec::new();
    while at + header <= len {
        let here = (len - at).min(SEARCH_BYTES);
        bytes.resize(here as usize, 0);
        segment.file.read_at(at, &mut bytes).map_err(Error::io("read", &segment.path))?;
        for (chunk, offset) in
            (0..=here - here.min(header)).step_by(ALIGN as usize).map(|i| (i as usize, at + i))
        {
            if let Some(header) = bytes[chunk..].first_chunk()
                && FrameHeader::decode(header, salt, offset).is_ok_and(|frame| frame.synced_to > valid_to)
            {
                return Ok(Some(offset));
            }
        }
        if here < SEARCH_BYTES {
            break;
        }
        // Windows overlap by a header, so that none is cut in two.
        at += here - header;
    }
    Ok(None)
}

fn cut(
    segment: &Segment,
    file: &dyn crate::storage::StorageFile,
    walked: &Walk,
    len: u64,
) -> Result<Option<TornTail>> {
    let Some((_, what)) = &walked.broken else { return Ok(None) };
    let (offset, bytes) = (walked.valid_to, len - walked.valid_to);
    tracing::warn!(
        file = %segment.path.display(), offset, bytes, what,
        "the log ends in a torn write, which is cut off; it was never acknowledged"
    );
    file.truncate(offset).map_err(Error::io("truncate", &segment.path))?;
    Ok(Some(TornTail { file: segment.path.clone(), offset, bytes, what: what.clone() }))
}

/// Makes what lies after the published end durable. It is written again: after a failed sync the kernel
/// holds pages that it takes for clean although the disk never got them.
fn settle(segment: &Segment, file: &dyn crate::storage::StorageFile, from: u64, to: u64) -> Result<()> {
    let mut at = from;
    let mut bytes = Vec::new();
    while at < to {
        bytes.resize((to - at).min(SEARCH_BYTES) as usize, 0);
        file.read_at(at, &mut bytes).map_err(Error::io("read", &segment.path))?;
        file.write_at(at, &bytes).map_err(Error::io("write", &segment.path))?;
        at += bytes.len() as u64;
    }
    file.sync().map_err(Error::io("sync", &segment.path))
}

/// Segments that retention had given up when it was interrupted.
fn remove_leftovers(shared: &StreamShared, end: &End) -> Result<()> {
    let dir = segment_dir(&shared.dir);
    for name in shared.storage.list(&dir).map_err(Error::io("list", &dir))? {
        if parse_name(&name).is_some_and(|id| id < end.oldest_segment) {
            let path = dir.join(name);
            shared.storage.remove(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// A term whose numbers are above every one that was given, those that were lost with the last writer
/// included: a writer that lost 2^40 records at once is not possible.
fn next_term(end: &End, marks: &[ShardMark]) -> u32 {
    let highest = marks.iter().map(|mark| mark.next >> TERM_SHIFT).max().unwrap_or(0);
    (u64::from(end.term) + 1).max(highest + 2) as u32
}
