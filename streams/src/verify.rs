//! Verifying a stream: every durable byte is read and every rule of `FORMAT.md` checked. Damage is
//! reported, not mended.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::segment::parse_name;
use crate::scan::walk;
use crate::segment::segment_dir;
use crate::shared::StreamShared;
use crate::txn::table::{list_staged, read_ledger};

/// What a verification has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// The stream.
    pub stream: String,
    /// Segments read.
    pub segments: u64,
    /// Frames read.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Their bytes in the log.
    pub bytes: u64,
    /// Transactions that are neither committed nor aborted.
    pub open_transactions: usize,
    /// What does not hold; empty if all is well.
    pub problems: Vec<Problem>,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Byte offset in it.
    pub offset: u64,
    /// What does not hold.
    pub what: String,
}

impl VerifyReport {
    /// Notes damage; other failures end the verification.
    fn note(&mut self, error: Error) -> Result<()> {
        let problem = match error {
            Error::Corrupt { file, offset, what } => Problem { file, offset, what },
            Error::UnsupportedVersion { ref file, .. } => {
                Problem { file: file.clone(), offset: 8, what: error.to_string() }
            }
            Error::Io { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Problem { file: path, offset: 0, what: "the file is missing".to_owned() }
            }
            error => return Err(error),
        };
        self.problems.push(problem);
        Ok(())
    }
}

pub(crate) fn verify(shared: &Arc<StreamShared>) -> Result<VerifyReport> {
    let end = shared.refresh()?;
    let shards = shared.meta().shards.len();
    let mut report = VerifyReport { stream: shared.name.to_string(), ..VerifyReport::default() };
    let mut before: Option<Vec<crate::format::segment::ShardMark>> = None;
    let mut next = Some(end.oldest_segment);
    while let Some(id) = next.filter(|id| *id <= end.segment) {
        next = id.checked_add(1);
        let walked = shared.segment(id).and_then(|segment| {
            let limit = shared.limit_of(&segment, &end)?;
            Ok((walk(&segment, shards, limit, segment.first_frame)?, segment))
        });
        let (walked, segment) = match walked {
            Ok(walked) => walked,
            // Retention may have taken it meanwhile.
            Err(_) if shared.refresh()?.oldest_segment > id => continue,
            Err(error) => {
                // Of files that are missing in a row the first is told: there may be any number.
                if matches!(error, Error::Io { .. }) {
                    next = first_from(shared, id)?;
                }
                report.note(error)?;
                before = None;
                continue;
            }
        };
        report.segments += 1;
        report.frames += walked.frames;
        for (shard, mark) in walked.marks.iter().enumerate() {
            let from = segment.head.mark(shard);
            report.records += mark.records.saturating_sub(from.records);
            report.bytes += mark.bytes.saturating_sub(from.bytes);
            let expected = before.as_ref().map_or(from.records, |before| before[shard].records);
            if expected != from.records {
                let what = format!(
                    "shard {shard} begins at record {}, the segment before ends at {expected}",
                    from.records
                );
                report.note(Error::corrupt(&segment.path, 0, what))?;
            }
        }
        before = walked.broken.is_none().then_some(walked.marks);
        if let Some((offset, what)) = walked.broken {
            report.note(Error::corrupt(&segment.path, offset, what))?;
        }
    }
    match list_staged(shared) {
        Ok(open) => report.open_transactions = open.len(),
        Err(error) => report.note(error)?,
    }
    if let Err(error) = read_ledger(&*shared.storage, &shared.dir, shared.meta().stream_id) {
        report.note(error)?;
    }
    Ok(report)
}

/// The first segment after `id` that there is a file of.
fn first_from(shared: &StreamShared, id: u64) -> Result<Option<u64>> {
    let dir = segment_dir(&shared.dir);
    let names = shared.storage.list(&dir).map_err(Error::io("list", &dir))?;
    Ok(names.iter().filter_map(|name| parse_name(name)).filter(|found| *found > id).min())
}
