//! Records of a response, and where records were put: straight from the log's blocks, without a value of
//! each in between. The answer of `GetRecords` has ten thousand of them.

use bytes::Bytes;
use pelton_streams::{Appended, RecordBatch};

use crate::error::{Error, Result};
use crate::ops::get::Fetched;
use crate::ops::{long, members, time};
use crate::sequence::SequenceWriter;
use crate::shards::{Shard, ShardTable};
use crate::value::Value;
use crate::wire::{Encoding, Writer};

/// Bytes of a record beside its data: names of members, sequence number, time, a key of usual length.
const AROUND: usize = 180;

/// An answer is written in pieces of about this size: memory of a few sizes is used again by the next one, where a
/// piece of 14 MiB is given back to the operating system, and each of its pages is a fault when it is written.
const PIECE_BYTES: usize = 1 << 20;

/// The answer of `GetRecords`, in pieces.
#[must_use]
pub fn answer(fetched: &Fetched, encoding: Encoding) -> Vec<Bytes> {
    let rest = members! {
        "NextShardIterator": fetched.next_iterator.as_deref(),
        "MillisBehindLatest": long(fetched.behind_ms),
        "ChildShards": (!fetched.children.is_empty()).then(|| fetched.children.clone()),
    };
    let (mut pieces, mut out) = (Vec::new(), Vec::new());
    let records = Records {
        shard: &fetched.shard,
        batches: &fetched.batches,
        is_encrypted: fetched.is_encrypted,
        rest,
    };
    let bytes = fetched.batches.iter().map(RecordBatch::bytes).sum::<usize>();
    let whole = bytes * 3 / 2 + records.count() * AROUND + 1_024;
    out.reserve(whole.min(PIECE_BYTES + PIECE_BYTES / 8));
    records.write(encoding, &mut out, |writer| {
        if writer.len() >= PIECE_BYTES {
            pieces.push(Bytes::from(writer.take()));
            writer.reserve(0, PIECE_BYTES + PIECE_BYTES / 8);
        }
    });
    pieces.push(Bytes::from(out));
    pieces
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
    /// The structure as a whole.
    pub fn write_whole(self, encoding: Encoding, out: &mut Vec<u8>) {
        let bytes = self.batches.iter().map(RecordBatch::bytes).sum::<usize>();
        Writer::new(encoding, out).reserve(bytes, self.count() * AROUND + 1_024);
        self.write(encoding, out, |_| {});
    }

    fn count(&self) -> usize {
        self.batches.iter().map(RecordBatch::len).sum()
    }

    /// A structure whose member `Records` is followed by the others; after each record, `written` may take what
    /// is there.
    fn write(self, encoding: Encoding, out: &mut Vec<u8>, mut written: impl FnMut(&mut Writer<'_>)) {
        let count = self.count();
        let Self { shard, batches, is_encrypted, rest } = self;
        let mut rest = if let Value::Map(members) = rest { members } else { Vec::new() };
        rest.retain(|(_, value)| *value != Value::Null);
        let mut writer = Writer::new(encoding, out);
        writer.begin_structure(1 + rest.len());
        writer.member("Records").begin_list(count);
        let (mut sequences, mut digits) = (SequenceWriter::default(), Vec::with_capacity(56));
        for record in batches.iter().flatten() {
            writer.item();
            writer.begin_structure(4 + usize::from(is_encrypted));
            digits.clear();
            sequences.write(shard.sequence(record.sequence.0, record.arrival_ms), &mut digits);
            writer.member("SequenceNumber").plain(&digits);
            writer.member("ApproximateArrivalTimestamp").value(&time(record.arrival_ms));
            writer.member("Data").blob(record.data);
            writer.member("PartitionKey").text(&String::from_utf8_lossy(record.partition_key));
            if is_encrypted {
                writer.member("EncryptionType").plain(b"KMS");
            }
            writer.end_structure();
            written(&mut writer);
        }
        writer.end_list();
        for (name, value) in rest {
            writer.member(&name).value(&value);
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
