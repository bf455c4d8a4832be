//! Records as a reader gives them: slices of the block that was read, nothing allocated for each. Where
//! blocks come from is the reader's matter.

use bytes::Bytes;

use crate::format::record;
use crate::types::SequenceNumber;

/// Consecutive records of one frame, in a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Byte range of the records in the block.
    pub start: usize,
    pub end: usize,
    pub first: u64,
    pub records: u32,
    pub arrival_ms: u64,
}

/// Records read at one go, in order. Their bytes stay in memory while the batch, or a [`Bytes`] taken
/// from it, is alive.
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    pub(crate) block: Bytes,
    pub(crate) runs: Vec<Run>,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) next: SequenceNumber,
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the shard.
    pub sequence: SequenceNumber,
    /// When it arrived, in ms since the Unix epoch; never less than that of a record before it.
    pub arrival_ms: u64,
    /// When its event happened, in ms since the Unix epoch, if the producer said so.
    pub event_time_ms: Option<i64>,
    /// The partition key, as given.
    pub partition_key: &'a [u8],
    /// The data.
    pub data: &'a [u8],
}

impl RecordBatch {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of the records as they lie in the log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where to go on after this batch: `StartPosition::At` this number.
    #[must_use]
    pub fn next_sequence(&self) -> SequenceNumber {
        self.next
    }

    /// When the last record arrived, in ms since the Unix epoch.
    #[must_use]
    pub fn last_arrival_ms(&self) -> Option<u64> {
        self.runs.last().map(|run| run.arrival_ms)
    }

    /// The records, in order.
    #[must_use]
    pub fn iter(&self) -> Records<'_> {
        Records { block: &self.block, runs: self.runs.iter(), at: 0, end: 0, next: 0, arrival_ms: 0 }
    }

    /// A piece of a record of this batch that can be kept without a copy; it keeps the whole block
    /// (about 1 MiB) in memory.
    ///
    /// # Panics
    /// If `piece` is not from this batch.
    #[must_use]
    pub fn keep(&self, piece: &[u8]) -> Bytes {
        self.block.slice_ref(piece)
    }
}

impl<'a> IntoIterator for &'a RecordBatch {
    type Item = Record<'a>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

/// The records of a batch.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    block: &'a [u8],
    runs: std::slice::Iter<'a, Run>,
    at: usize,
    end: usize,
    next: u64,
    arrival_ms: u64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        while self.at == self.end {
            let run = self.runs.next()?;
            (self.at, self.end, self.next, self.arrival_ms) = (run.start, run.end, run.first, run.arrival_ms);
        }
        let raw = record::decode(&self.block[self.at..self.end]).expect("the reader has walked this run");
        self.at += raw.len;
        self.next += 1;
        Some(Record {
            sequence: SequenceNumber(self.next - 1),
            arrival_ms: self.arrival_ms,
            event_time_ms: raw.event_time_ms,
            partition_key: raw.key,
            data: raw.data,
        })
    }
}
