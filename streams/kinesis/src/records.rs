//! Records of a response, and where records were put: straight from the log's blocks, without a value of
//! each in between. The answer of `GetRecords` has ten thousand of them.

use std::io::Write as _;

use pelton_streams::{Appended, RecordBatch};

use crate::error::{Error, Result};
use crate::ops::get::Fetched;
use crate::ops::{long, members, time};
use crate::shards::{Shard, ShardTable};
use crate::value::Value;
use crate::wire::{Encoding, Writer};

/// Bytes of a record beside its data: names of members, sequence number, time, a key of usual length.
const AROUND: usize = 180;

/// The answer of `GetRecords`.
#[must_use]
pub fn answer(fetched: &Fetched, encoding: Encoding) -> Vec<u8> {
    let rest = members! {
        "NextShardIterator": fetched.next_iterator.as_deref(),
        "MillisBehindLatest": long(fetched.behind_ms),
        "ChildShards": (!fetched.children.is_empty()).then(|| fetched.children.clone()),
    };
    let mut out = Vec::new();
    write(&fetched.shard, &fetched.batches, fetched.is_encrypted, rest, encoding, &mut out);
    out
}

/// A structure whose member `Records` is followed by those of `rest`.
pub fn write(
    shard: &Shard,
    batches: &[RecordBatch],
    is_encrypted: bool,
    rest: Value,
    encoding: Encoding,
    out: &mut Vec<u8>,
) {
    let mut rest = if let Value::Map(members) = rest { members } else { Vec::new() };
    rest.retain(|(_, value)| *value != Value::Null);
    let count = batches.iter().map(RecordBatch::len).sum::<usize>();
    let bytes = batches.iter().map(RecordBatch::bytes).sum::<usize>();
    let mut writer = Writer::new(encoding, out);
    writer.reserve(bytes, count * AROUND + 1_024);
    writer.begin_structure(1 + rest.len());
    writer.member("Records").begin_list(count);
    let mut digits = Vec::with_capacity(56);
    for record in batches.iter().flatten() {
        writer.item();
        writer.begin_structure(4 + usize::from(is_encrypted));
        digits.clear();
        shard.sequence(record.sequence.0, record.arrival_ms).write(&mut digits);
        writer.member("SequenceNumber").plain(&digits);
        writer.member("ApproximateArrivalTimestamp").value(&time(record.arrival_ms));
        writer.member("Data").blob(record.data);
        writer.member("PartitionKey").text(&String::from_utf8_lossy(record.partition_key));
        if is_encrypted {
            writer.member("EncryptionType").plain(b"KMS");
        }
        writer.end_structure();
    }
    writer.end_list();
    for (name, value) in rest {
        writer.member(&name).value(&value);
    }
    writer.end_structure();
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
    let mut text = Vec::with_capacity(56);
    for (id, number) in appended.records() {
        let shard = table.get(id).ok_or_else(|| Error::internal("a record is in no shard"))?;
        writer.item();
        writer.begin_structure(2);
        text.clear();
        shard.sequence(number.0, appended.arrival_ms()).write(&mut text);
        writer.member("SequenceNumber").plain(&text);
        text.clear();
        // Writing to memory cannot fail.
        let _ = write!(text, "{id}");
        writer.member("ShardId").plain(&text);
        writer.end_structure();
    }
    writer.end_list();
    if is_encrypted {
        writer.member("EncryptionType").plain(b"KMS");
    }
    writer.end_structure();
    Ok(out)
}
