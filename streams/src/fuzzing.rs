//! Doors for fuzzing: what reads the files of a log. Checksums are made to fit, so that what comes behind
//! them is reached too.

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use crate::clock::ManualClock;
use crate::error::Result;
use crate::format::codec::{SEAL_HEAD, SEAL_TAIL, seal, sealed_len};
use crate::format::end::{END_BYTES, End, SECTOR, SLOT_BYTES, SLOTS};
use crate::format::frame::{FRAME_HEADER, FrameHeader, file_salt};
use crate::format::marker::CommitMarker;
use crate::format::meta::{self, StreamMeta};
use crate::format::record;
use crate::format::segment::{self, SegmentHead};
use crate::format::staged::{self, StagedHead, StagedTrailer, TRAILER_BYTES};
use crate::format::transactions::{self, TransactionLedger};
use crate::storage::MemoryStorage;
use crate::{Committable, Options, ShardId, ShardLog, StartPosition};

/// The header's checksum is behind this many of its bytes.
const FRAME_SUMMED: usize = FRAME_HEADER - 4;

/// Reads `bytes` as each layout: as they are, and as what a checksum that fits encloses.
///
/// # Panics
/// If something that can be read is not written as it was.
pub fn layouts(bytes: &[u8]) {
    let file = Path::new("file");
    comes_back(bytes, &meta::MAGIC, |bytes| StreamMeta::decode(file, bytes), StreamMeta::encode);
    let ledger = |bytes: &[u8]| TransactionLedger::decode(file, bytes);
    comes_back(bytes, &transactions::MAGIC, ledger, TransactionLedger::encode);
    let head = |bytes: &[u8]| {
        let len = SegmentHead::sealed_len(file, bytes)?;
        SegmentHead::decode(file, bytes.get(..len).unwrap_or(bytes))
    };
    comes_back(bytes, &segment::MAGIC, head, SegmentHead::encode);
    let head = |bytes: &[u8]| StagedHead::decode(file, bytes).map(|(head, _)| head);
    comes_back(bytes, &staged::HEAD_MAGIC, head, StagedHead::encode);
    // It is behind frames that end where it says.
    let trailer = |bytes: &[u8]| {
        let frames = bytes.get(SEAL_HEAD + 16..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        let len = u64::from_le_bytes(frames).saturating_add(TRAILER_BYTES as u64);
        StagedTrailer::decode(file, bytes, len)
    };
    comes_back(bytes, &staged::TRAILER_MAGIC, trailer, StagedTrailer::encode);
    if let Ok(marker) = CommitMarker::decode(bytes) {
        assert_eq!(marker.encode(), bytes);
    }
    records(bytes);
    frame_header(bytes);
    end(bytes);
}

fn comes_back<T: PartialEq + Debug>(
    bytes: &[u8],
    magic: &[u8; 8],
    read: impl Fn(&[u8]) -> Result<T>,
    write: impl Fn(&T) -> Vec<u8>,
) {
    for bytes in [bytes, &seal(magic, bytes)] {
        if let Ok(value) = read(bytes) {
            assert_eq!(read(&write(&value)).expect("what was written can be read"), value);
        }
    }
}

fn records(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(raw) = record::decode(rest) {
        let mut again = Vec::new();
        record::encode(&mut again, raw.key, raw.data, raw.event_time_ms, raw.hash_key);
        assert_eq!(again, rest[..raw.len]);
        rest = &rest[raw.len..];
    }
}

fn frame_header(bytes: &[u8]) {
    let Some(mut bytes) = bytes.first_chunk::<FRAME_HEADER>().copied() else { return };
    let offset = u64::from_le_bytes(*bytes[32..].first_chunk().expect("of 64 bytes"));
    for _ in 0..2 {
        if let Ok(header) = FrameHeader::decode(&bytes, 7, offset) {
            assert_eq!(header.encode(7), bytes);
            assert!(header.len() >= FRAME_HEADER as u64 && header.last() >= header.base.0.saturating_sub(1));
        }
        let crc = crc32c::crc32c_append(7, &bytes[..FRAME_SUMMED]);
        bytes[FRAME_SUMMED..].copy_from_slice(&crc.to_le_bytes());
    }
}

fn end(bytes: &[u8]) {
    let mut whole = [0; END_BYTES];
    let len = bytes.len().min(END_BYTES);
    whole[..len].copy_from_slice(&bytes[..len]);
    for _ in 0..2 {
        if let Ok(end) = End::decode(Path::new("END"), &whole) {
            assert!(end.live_offset() < END_BYTES as u64);
            let _ = End::second_anchor_is_next(&whole);
        }
        mend_end(&mut whole);
    }
}

/// A log at rest, with segments, committed, prepared and aborted transactions; and what is prepared.
static LOG: LazyLock<(MemoryStorage, Vec<Committable>)> =
    LazyLock::new(|| at_rest().expect("the disk is a good one"));

fn options() -> Options {
    Options { segment_bytes: 400, ..Options::create() }
}

fn open(disk: &MemoryStorage) -> Result<ShardLog> {
    ShardLog::open_with("/log", &options(), Arc::new(disk.clone()), Arc::new(ManualClock::at(1_000_000)))
}

fn at_rest() -> Result<(MemoryStorage, Vec<Committable>)> {
    let disk = MemoryStorage::new();
    let log = open(&disk)?;
    log.create_stream("s", 2)?;
    let writer = log.writer("s")?;
    let mut sink = writer.transactional("f", "m", 1)?;
    let mut prepared = Vec::new();
    for epoch in 1..8 {
        let mut batch = writer.batch();
        batch.push_at(b"key", &epoch.to_string().repeat(20).into_bytes(), 5)?;
        writer.append(batch)?;
        sink.begin(epoch)?;
        let mut batch = sink.batch();
        batch.push(b"one", b"staged")?;
        batch.push(b"other", b"too")?;
        sink.write(batch)?;
        let committable = sink.prepare(epoch)?;
        match epoch % 3 {
            0 => sink.commit(&committable)?,
            1 => sink.abort_prepared(&committable)?,
            _ => prepared.push(committable),
        }
    }
    drop((sink, writer, log));
    Ok((disk, prepared))
}

/// Opens, reads and writes a log of which some bytes are others. `edits`: one byte that says whether the
/// checksums fit; then for each change four: the file, the place (two), the byte.
pub fn log(edits: &[u8]) {
    let Some((&fits, edits)) = edits.split_first() else { return };
    let (disk, prepared) = (LOG.0.copy(), &LOG.1);
    let files = disk.files();
    let mut changed = std::collections::BTreeSet::new();
    for edit in edits.chunks_exact(4).take(32) {
        let file = &files[usize::from(edit[0] & 0x7f) % files.len()];
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2]]));
        disk.tamper(file, |bytes| match bytes.len() {
            0 => {}
            len if edit[0] & 0x80 == 0 => bytes[at % len] = edit[3],
            len if edit[3].is_multiple_of(2) => bytes.truncate(at % len),
            _ => bytes.extend(std::iter::repeat_n(edit[3], at % 200)),
        });
        changed.insert(file);
    }
    if fits % 2 == 1 {
        changed.into_iter().for_each(|file| disk.tamper(file, |bytes| mend(file, bytes)));
    }
    // Whatever it says, it says it as an error.
    let _ = use_log(&disk, prepared);
}

fn use_log(disk: &MemoryStorage, prepared: &[Committable]) -> Result<()> {
    let log = open(disk)?;
    let _ = (log.list_streams()?, log.describe_stream("s"), log.verify("s"), log.open_transactions("s"));
    let _ = read_all(&log);
    let writer = log.writer("s")?;
    let mut batch = writer.batch();
    batch.push(b"key", b"new")?;
    let _ = writer.append(batch);
    let sink = writer.transactional("f", "m", 9)?;
    let _ = sink.abort_unlisted(prepared);
    for committable in prepared {
        let _ = sink.commit(committable);
    }
    let _ = (sink.list_open(), writer.roll(), writer.apply_retention());
    drop((sink, writer));
    let _ = read_all(&log);
    log.verify("s").map(drop)
}

fn read_all(log: &ShardLog) -> Result<()> {
    for shard in (0..3).map(ShardId) {
        for start in [StartPosition::Oldest, StartPosition::AtTime(1_000_000), StartPosition::Latest] {
            let Ok(mut reader) = log.reader("s", shard, start) else { continue };
            // More batches than the disk has bytes would be records out of nothing.
            for _ in 0..10_000 {
                match reader.poll(3, 1000) {
                    Ok(batch) if batch.is_empty() => break,
                    Ok(batch) => assert!(batch.iter().count() == batch.len()),
                    Err(_) => break,
                }
            }
        }
    }
    Ok(())
}

/// Makes the checksums in a file of a log fit its bytes.
fn mend(file: &Path, bytes: &mut [u8]) {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name {
        "END" => mend_end(bytes),
        "LOG" | "META" | "TRANSACTIONS" => {
            let len = bytes.len();
            mend_sealed(bytes, len);
        }
        _ if name.ends_with(".segment") => {
            let Some(len) = mend_head(bytes, &segment::MAGIC) else { return };
            if let Ok(head) = SegmentHead::decode(file, &bytes[..len]) {
                mend_frames(bytes, len, head.salt());
            }
        }
        _ => {
            let Some(len) = mend_head(bytes, &staged::HEAD_MAGIC) else { return };
            if let Ok((head, _)) = StagedHead::decode(file, &bytes[..len]) {
                mend_frames(bytes, len, file_salt(head.stream_id, head.transaction));
            }
            let trailer = bytes.len().saturating_sub(TRAILER_BYTES);
            let len = bytes.len() - trailer;
            mend_sealed(&mut bytes[trailer..], len);
        }
    }
}

fn mend_head(bytes: &mut [u8], magic: &[u8; 8]) -> Option<usize> {
    let len = sealed_len(Path::new("file"), magic, bytes).ok().filter(|len| *len <= bytes.len())?;
    mend_sealed(bytes, len);
    Some(len)
}

fn mend_sealed(bytes: &mut [u8], len: usize) {
    if len >= SEAL_HEAD + SEAL_TAIL {
        let crc = crc32c::crc32c(&bytes[..len - SEAL_TAIL]);
        bytes[len - SEAL_TAIL..len].copy_from_slice(&crc.to_le_bytes());
    }
}

fn mend_frames(bytes: &mut [u8], head: usize, salt: u32) {
    let mut at = head.next_multiple_of(8);
    while let Some(header) = bytes.get(at..at + FRAME_HEADER) {
        let len = u32::from_le_bytes([header[48], header[49], header[50], header[51]]) as usize;
        let payload = bytes.get(at + FRAME_HEADER..at + FRAME_HEADER + len).map(crc32c::crc32c);
        if let Some(crc) = payload {
            bytes[at + 52..at + 56].copy_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(salt, &bytes[at..at + FRAME_SUMMED]);
        bytes[at + FRAME_SUMMED..at + FRAME_HEADER].copy_from_slice(&crc.to_le_bytes());
        at = (at + FRAME_HEADER + if payload.is_some() { len } else { 0 }).next_multiple_of(8);
    }
}

fn mend_end(bytes: &mut [u8]) {
    for slot in (0..SLOTS).map(|slot| slot * SECTOR) {
        if let Some(slot) = bytes.get_mut(slot..slot + SLOT_BYTES) {
            let crc = crc32c::crc32c(&slot[..SLOT_BYTES - 4]);
            slot[SLOT_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_whose_checksums_are_mended_is_as_good_as_before() {
        let (disk, prepared) = (LOG.0.copy(), &LOG.1);
        for file in disk.files() {
            disk.tamper(&file, |bytes| {
                let before = bytes.clone();
                mend(&file, bytes);
                let padding = if file.ends_with("END") { SECTOR * SLOTS } else { 0 };
                assert!(padding > 0 || *bytes == before, "{}", file.display());
            });
        }
        use_log(&disk, prepared).unwrap();
        assert_eq!(open(&disk).unwrap().verify("s").unwrap().problems, []);
    }
}
