//! Records of a response, and where records were put. In JSON they are written straight from the log's blocks, without a value of each
//! in between: the answer of `GetRecords` has ten thousand of them.

use std::io::Write as _;

use pelton_streams::{Appended, RecordBatch};

use crate::error::{Error, Result};
use crate::ops::get::Fetched;
use crate::ops::{long, members, time};
use crate::shards::{Shard, ShardTable};
use crate::value::Value;
use crate::wire::Encoding;

/// Bytes of a record in JSON beside its key and data: names of members, sequence number, time.
const JSON_AROUND: usize = 180;

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

/// A structure whose member `Records` is followed by those of `rest`, of which there is one at least.
pub fn write(
    shard: &Shard,
    batches: &[RecordBatch],
    is_encrypted: bool,
    mut rest: Value,
    encoding: Encoding,
    out: &mut Vec<u8>,
) {
    match encoding {
        Encoding::Json => {
            let size = |batch: &RecordBatch| batch.bytes() / 3 * 4 + batch.len() * JSON_AROUND;
            out.reserve(batches.iter().map(size).sum::<usize>() + 1_024);
            out.extend_from_slice(b"{\"Records\":");
            write_json(shard, batches, is_encrypted, out);
            let rest_at = out.len();
            encoding.write(&rest, out);
            // What begins the second structure goes on with the first.
            out[rest_at] = b',';
        }
        Encoding::Cbor => {
            if let Value::Map(members) = &mut rest {
                members.push(("Records".into(), values(shard, batches, is_encrypted).into()));
            }
            encoding.write(&rest, out);
        }
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
    let shard = |id| table.get(id).ok_or_else(|| Error::internal("a record is in no shard"));
    let arrival_ms = appended.arrival_ms();
    if encoding == Encoding::Cbor {
        let records = appended.records().map(|(id, number)| {
            Ok(members! {
                "SequenceNumber": shard(id)?.sequence(number.0, arrival_ms).to_string(),
                "ShardId": id.to_string(),
            })
        });
        let records: Vec<Value> = records.collect::<Result<_>>()?;
        let mut out = Vec::new();
        let encryption = is_encrypted.then_some("KMS");
        let answer =
            members! { "FailedRecordCount": 0_u32, "Records": records, "EncryptionType": encryption };
        encoding.write(&answer, &mut out);
        return Ok(out);
    }
    let mut out = b"{\"FailedRecordCount\":0,\"Records\":".to_vec();
    let mut before = b'[';
    for (id, number) in appended.records() {
        out.push(before);
        before = b',';
        out.extend_from_slice(b"{\"SequenceNumber\":\"");
        shard(id)?.sequence(number.0, arrival_ms).write(&mut out);
        // Writing to memory cannot fail.
        let _ = write!(out, "\",\"ShardId\":\"{id}\"}}");
    }
    out.extend_from_slice(if before == b'[' { b"[]" } else { b"]" });
    out.extend_from_slice(if is_encrypted { b",\"EncryptionType\":\"KMS\"}" } else { b"}" });
    Ok(out)
}

/// `RecordList` as values.
fn values(shard: &Shard, batches: &[RecordBatch], is_encrypted: bool) -> Vec<Value> {
    let of_batch = |batch: &RecordBatch| {
        let of_record = |record: pelton_streams::Record<'_>| {
            members! {
                "SequenceNumber": shard.sequence(record.sequence.0, record.arrival_ms).to_string(),
                "ApproximateArrivalTimestamp": time(record.arrival_ms),
                "Data": Value::Blob(batch.keep(record.data)),
                "PartitionKey": String::from_utf8_lossy(record.partition_key).into_owned(),
                "EncryptionType": is_encrypted.then_some("KMS"),
            }
        };
        batch.iter().map(of_record).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

/// `RecordList` as JSON.
fn write_json(shard: &Shard, batches: &[RecordBatch], is_encrypted: bool, out: &mut Vec<u8>) {
    let mut before = b'[';
    for record in batches.iter().flatten() {
        out.push(before);
        before = b',';
        out.extend_from_slice(b"{\"SequenceNumber\":\"");
        shard.sequence(record.sequence.0, record.arrival_ms).write(out);
        out.extend_from_slice(b"\",\"ApproximateArrivalTimestamp\":");
        Encoding::Json.write(&time(record.arrival_ms), out);
        out.extend_from_slice(b",\"Data\":\"");
        base64_simd::STANDARD.encode_append(record.data, out);
        out.extend_from_slice(b"\",\"PartitionKey\":");
        write_key(record.partition_key, out);
        out.extend_from_slice(if is_encrypted { b",\"EncryptionType\":\"KMS\"}" } else { b"}" });
    }
    out.extend_from_slice(if before == b'[' { b"[]" } else { b"]" });
}

fn write_key(key: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| (0x20..0x7f).contains(byte) && !matches!(byte, b'"' | b'\\');
    if key.iter().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(key);
        out.push(b'"');
    } else {
        Encoding::Json.write(&Value::Text(String::from_utf8_lossy(key).into_owned()), out);
    }
}
