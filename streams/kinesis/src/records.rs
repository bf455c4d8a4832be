//! Records of a response, and where records were put: straight from the log's blocks, without a value of
//! each in between. The answer of `GetRecords` has ten thousand of them.

use bytes::Bytes;
use pelton_streams::{Appended, Record, RecordBatch};

use crate::error::{Error, Result};
use crate::ops::time;
use crate::room::Share;
use crate::sequence::SequenceWriter;
use crate::shards::{Shard, ShardTable};
use crate::value::{Name, Value};
use crate::wire::{Encoding, Writer};

/// Bytes of a record beside its data: names of members, sequence number, time, a key of usual length.
const AROUND: usize = 180;

/// An answer is written in pieces of about this size: memory of a few sizes is used again by the next one, where a
/// piece of 14 MiB is given back to the operating system, and each of its pages is a fault when it is written.
const PIECE_BYTES: usize = 1 << 20;
/// Room for it, and for most of the records that take it over that.
const FULL_PIECE_BYTES: usize = PIECE_BYTES + PIECE_BYTES / 8;

/// An answer of `GetRecords` that is written while its records are read, each block of them while it is still in
/// the processor's cache; the reader uses its memory again for the next.
#[derive(Debug)]
pub struct Answer {
    encoding: Encoding,
    encoder: RecordEncoder,
    /// What it takes of the room for answers.
    share: Share,
    records: usize,
    pieces: Vec<Bytes>,
    out: Vec<u8>,
}

impl Answer {
    /// An answer with records of `shard`, which takes `share` of the room for answers.
    #[must_use]
    pub fn new(shard: Shard, is_encrypted: bool, encoding: Encoding, share: Share) -> Self {
        let encoder = RecordEncoder::new(shard, is_encrypted);
        // The beginning, which says how many records there are, goes in front when that is known.
        Self { encoding, encoder, share, records: 0, pieces: vec![Bytes::new()], out: Vec::new() }
    }

    /// Adds records.
    pub fn push(&mut self, batch: &RecordBatch) {
        let expected = expected(self.encoding, batch.bytes(), batch.len());
        for record in batch {
            if self.out.capacity() == 0 {
                // What one batch comes to, where that is all that is known; after a piece that was full, another.
                let is_first = self.pieces.len() == 1;
                self.out.reserve(if is_first { expected.min(FULL_PIECE_BYTES) } else { FULL_PIECE_BYTES });
            }
            let mut writer = Writer::after(self.encoding, &mut self.out, self.records > 0);
            writer.item();
            self.encoder.write(&record, &mut writer);
            self.records += 1;
            if self.out.len() >= PIECE_BYTES {
                self.pieces.push(self.share.hold(std::mem::take(&mut self.out)));
            }
        }
    }

    /// The whole answer in pieces: the records, and the members of `rest` that are not null.
    #[must_use]
    pub fn finish(mut self, rest: Value) -> Vec<Bytes> {
        let rest = present(rest);
        let mut head = Vec::new();
        begin(&mut Writer::new(self.encoding, &mut head), self.records, &rest);
        self.pieces[0] = head.into();
        end(&mut Writer::after(self.encoding, &mut self.out, self.records > 0), &rest);
        self.pieces.push(self.share.hold(self.out));
        self.pieces
    }
}

/// Records, and the members beside them.
#[derive(Debug)]
pub struct Records<'a> {
    /// Their shard.
    pub shard: &'a Shard,
    /// The records, in order.
    pub batches: &'a [RecordBatch],
    /// Whether it is to be said that they were encrypted.
    pub is_encrypted: bool,
    /// The members that follow; those that are null are left out.
    pub rest: Value,
}

impl Records<'_> {
    /// A structure whose member `Records` is followed by the others.
    pub fn write(self, encoding: Encoding, out: &mut Vec<u8>) {
        let bytes = self.batches.iter().map(RecordBatch::bytes).sum::<usize>();
        let count = self.batches.iter().map(RecordBatch::len).sum();
        let rest = present(self.rest);
        let mut writer = Writer::new(encoding, out);
        writer.reserve(bytes, count * AROUND + 1_024);
        begin(&mut writer, count, &rest);
        let mut encoder = RecordEncoder::new(self.shard.clone(), self.is_encrypted);
        for record in self.batches.iter().flatten() {
            writer.item();
            encoder.write(&record, &mut writer);
        }
        end(&mut writer, &rest);
    }
}

/// The share of the room for answers that `bytes` of records take, as they are in the log.
#[must_use]
pub const fn share_of(bytes: usize) -> usize {
    bytes + bytes / 2
}

/// What so many records with so many bytes in the log come to.
fn expected(encoding: Encoding, bytes: usize, records: usize) -> usize {
    let blobs = if encoding == Encoding::Json { bytes.div_ceil(3) * 4 } else { bytes };
    blobs + records * AROUND + 1_024
}

/// The members that are there.
fn present(rest: Value) -> Vec<(Name, Value)> {
    let mut members = if let Value::Map(members) = rest { members } else { Vec::new() };
    members.retain(|(_, value)| *value != Value::Null);
    members
}

/// What stands before `records` records.
fn begin(writer: &mut Writer<'_>, records: usize, rest: &[(Name, Value)]) {
    writer.begin_structure(1 + rest.len());
    writer.member("Records").begin_list(records);
}

/// What stands behind them.
fn end(writer: &mut Writer<'_>, rest: &[(Name, Value)]) {
    writer.end_list();
    for (name, value) in rest {
        writer.member(name).value(value);
    }
    writer.end_structure();
}

/// Writes records of a shard one after the other.
#[derive(Debug)]
struct RecordEncoder {
    shard: Shard,
    is_encrypted: bool,
    sequences: SequenceWriter,
    digits: Vec<u8>,
}

impl RecordEncoder {
    fn new(shard: Shard, is_encrypted: bool) -> Self {
        Self { shard, is_encrypted, sequences: SequenceWriter::default(), digits: Vec::with_capacity(56) }
    }

    fn write(&mut self, record: &Record<'_>, writer: &mut Writer<'_>) {
        writer.begin_structure(4 + usize::from(self.is_encrypted));
        self.digits.clear();
        self.sequences.write(self.shard.sequence(record.sequence.0, record.arrival_ms), &mut self.digits);
        writer.member("SequenceNumber").plain(&self.digits);
        writer.member("ApproximateArrivalTimestamp").value(&time(record.arrival_ms));
        writer.member("Data").blob(record.data);
        writer.member("PartitionKey").text(&String::from_utf8_lossy(record.partition_key));
        if self.is_encrypted {
            writer.member("EncryptionType").plain(b"KMS");
        }
        writer.end_structure();
    }
}

/// The answer of `PutRecords`: where each record is, in the order in which they were put.
///
/// # Errors
/// If the table is an older one.
pub fn placed(
    table: &ShardTable,
    appended: &Appended,
    is_encrypted: bool,
    encoding: Encoding,
) -> Result<Vec<u8>> {
    let count: u64 = appended.placements().iter().map(|placement| placement.records).sum();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut out = Vec::new();
    let mut writer = Writer::new(encoding, &mut out);
    writer.reserve(0, count * AROUND + 64);
    writer.begin_structure(2 + usize::from(is_encrypted));
    writer.member("FailedRecordCount").value(&Value::Int(0));
    writer.member("Records").begin_list(count);
    let shards = appended.placements().iter().map(|placement| {
        let shard = table.get(placement.shard).ok_or_else(|| Error::internal("a record is in no shard"))?;
        Ok((shard, placement.shard.to_string(), SequenceWriter::default()))
    });
    let mut shards = shards.collect::<Result<Vec<_>>>()?;
    let mut digits = Vec::with_capacity(56);
    for (placement, number) in appended.places() {
        let (shard, id, sequences) = &mut shards[placement];
        writer.item();
        writer.begin_structure(2);
        digits.clear();
        sequences.write(shard.sequence(number.0, appended.arrival_ms()), &mut digits);
        writer.member("SequenceNumber").plain(&digits);
        writer.member("ShardId").plain(id.as_bytes());
        writer.end_structure();
    }
    writer.end_list();
    if is_encrypted {
        writer.member("EncryptionType").plain(b"KMS");
    }
    writer.end_structure();
    Ok(out)
}
