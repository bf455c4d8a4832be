//! `GetRecords`: the next records of a shard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pelton_streams::{Reader, RecordBatch, SequenceNumber, ShardId, StartPosition};

use super::iterators::{Iterator, no_shard};
use super::{Reply, Request};
use crate::error::{Error, ErrorCode, Result};
use crate::metrics::add;
use crate::service::Service;
use crate::shards::{Shard, ShardTable};
use crate::stream::Stream;
use crate::value::Value;

/// Most records of a call.
pub const MOST_RECORDS: usize = 10_000;
/// Most bytes of the records of a call.
pub const MOST_BYTES: usize = 10 << 20;

/// Records that were read, and where to go on.
#[derive(Debug)]
pub struct Fetched {
    /// The shard that they are of.
    pub shard: Shard,
    /// The records, in order.
    pub batches: Vec<RecordBatch>,
    /// Where to go on; `None` at the end of a closed shard.
    pub next_iterator: Option<String>,
    /// How far the last of them is behind the shard's newest one, in ms.
    pub behind_ms: u64,
    /// `ChildShard` of each shard that follows; only at the end of a closed shard.
    pub children: Vec<Value>,
    /// Whether the stream is said to be encrypted.
    pub is_encrypted: bool,
}

/// `GetRecords`.
///
/// # Errors
/// If the iterator is none, has expired, or its stream is gone.
pub async fn get(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let iterator = Iterator::open(service, request.required("ShardIterator")?)?;
    let shard = ShardId(iterator.shard);
    let gone = |error: Error| match error.code() {
        ErrorCode::ResourceNotFound => no_shard(service, shard, &iterator.stream),
        _ => error,
    };
    let stream = service.stream(&iterator.stream).await.map_err(gone)?;
    let _in_use = stream.enter(service).await.map_err(gone)?;
    if stream.record().log_id != iterator.log_id {
        return Err(no_shard(service, shard, &iterator.stream));
    }
    super::check_dry_run(request)?;
    let now_ms = service.now_ms();
    let is_limited = service.settings.enforce_limits;
    if is_limited && !service.limits.may_read(iterator.log_id, shard, now_ms) {
        add(&service.metrics.shard(iterator.log_id, shard).reads_throttled, 1);
        let message = service.shard_rate_exceeded(shard, &iterator.stream);
        return Err(Error::new(ErrorCode::ProvisionedThroughputExceeded, message));
    }
    let log_id = iterator.log_id;
    let limit = request.limit("Limit", MOST_RECORDS).min(MOST_RECORDS);
    let (own, read) = (service.clone(), stream.clone());
    let fetched = crate::blocking(move || fetch(&own, &read, &iterator, limit)).await?;
    let bytes = count_out(service, log_id, shard, &fetched.batches, fetched.behind_ms);
    if is_limited {
        service.limits.have_read(log_id, shard, bytes, now_ms);
    }
    Ok(Reply::Records(fetched))
}

/// Counts what is given to a reader; gives its bytes.
pub fn count_out(
    service: &Service,
    log_id: u64,
    shard: ShardId,
    batches: &[RecordBatch],
    behind_ms: u64,
) -> usize {
    let counters = service.metrics.shard(log_id, shard);
    let bytes = batches.iter().map(RecordBatch::bytes).sum();
    add(&counters.bytes_out, bytes);
    add(&counters.records_out, batches.iter().map(RecordBatch::len).sum());
    counters.iterator_age_ms.store(behind_ms, Ordering::Relaxed);
    bytes
}

fn fetch(service: &Service, stream: &Arc<Stream>, iterator: &Iterator, limit: usize) -> Result<Fetched> {
    let shard = ShardId(iterator.shard);
    let now_ms = service.now_ms();
    let kept = service.readers.take(iterator.log_id, shard, iterator.next);
    let mut reader = match kept {
        Some(reader) => reader,
        None => stream.reader(&service.log, shard, StartPosition::At(SequenceNumber(iterator.next)))?,
    };
    let horizon_ms = stream.shards().horizon_ms(now_ms);
    let page = read_page(&mut reader, limit, MOST_BYTES, horizon_ms)?;
    let behind_ms = match (page.next_arrival_ms, page.batches.last().and_then(RecordBatch::last_arrival_ms)) {
        (None, _) => 0,
        (Some(next_ms), last_ms) => now_ms.saturating_sub(last_ms.unwrap_or(next_ms)),
    };
    let mut table = stream.shards();
    if (page.is_ended && table.get(shard).is_none_or(|shard| shard.children.is_empty()))
        || table.get(shard).is_none()
    {
        table = stream.look_at_shards(&service.log)?;
    }
    let described = table.get(shard).cloned().ok_or_else(|| no_shard(service, shard, &iterator.stream))?;
    let children = if page.is_ended { children_of(&table, &described) } else { Vec::new() };
    let next = (!page.is_ended).then(|| {
        let next = reader.position().0;
        Iterator { issued_ms: now_ms, next, ..iterator.clone() }.seal(service)
    });
    service.readers.keep(reader, now_ms);
    Ok(Fetched {
        shard: described,
        batches: page.batches,
        next_iterator: next.transpose()?,
        behind_ms,
        children,
        is_encrypted: stream.record().key_id.is_some(),
    })
}

/// `ChildShard` of each child.
#[must_use]
pub fn children_of(table: &ShardTable, shard: &Shard) -> Vec<Value> {
    shard.children.iter().filter_map(|child| Some(table.get(*child)?.described_as_child())).collect()
}

/// What was read at one go.
#[derive(Debug)]
pub struct Page {
    /// The records, in order.
    pub batches: Vec<RecordBatch>,
    /// When the record after them arrived, if there is one; in ms since the Unix epoch.
    pub next_arrival_ms: Option<u64>,
    /// The shard is closed and was read to its end.
    pub is_ended: bool,
}

/// Reads at most `limit` records of at most `most_bytes` (but one at least), none that arrived before
/// `horizon_ms`. What retention has removed is passed over, as Kinesis does.
///
/// # Errors
/// If the log cannot be read.
pub fn read_page(reader: &mut Reader, limit: usize, most_bytes: usize, horizon_ms: u64) -> Result<Page> {
    let mut page = Page { batches: Vec::new(), next_arrival_ms: None, is_ended: false };
    let (mut records, mut bytes) = (0, 0);
    let mut is_trimmed = false;
    loop {
        let next = match reader.peek() {
            Err(pelton_streams::Error::Trimmed { .. }) if !is_trimmed => {
                reader.seek(StartPosition::Oldest)?;
                is_trimmed = true;
                continue;
            }
            next => next?,
        };
        page.next_arrival_ms = next.map(|next| next.arrival_ms);
        let Some(next) = next else {
            page.is_ended = reader.is_ended();
            return Ok(page);
        };
        if next.arrival_ms < horizon_ms && records == 0 {
            reader.seek(StartPosition::AtTime(horizon_ms))?;
            if reader.peek()?.is_some_and(|next| next.arrival_ms < horizon_ms) {
                return Err(Error::internal("the log does not find a time"));
            }
            continue;
        }
        if records == limit || (records > 0 && bytes + next.bytes > most_bytes) {
            return Ok(page);
        }
        let batch = reader.poll(limit - records, most_bytes - bytes)?;
        records += batch.len();
        bytes += batch.bytes();
        page.batches.push(batch);
        if bytes >= most_bytes {
            page.next_arrival_ms = reader.peek()?.map(|next| next.arrival_ms);
            page.is_ended = reader.is_ended() && page.next_arrival_ms.is_none();
            return Ok(page);
        }
    }
}
