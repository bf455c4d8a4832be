//! `GetRecords`: the next records of a shard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use pelton_streams::{Reader, RecordBatch, SequenceNumber, ShardId, StartPosition};

use super::iterators::{Iterator, no_shard};
use super::{Reply, Request, long, members};
use crate::error::{Error, ErrorCode, Result};
use crate::metrics::add;
use crate::records::{Answer, share_of};
use crate::room::Share;
use crate::service::Service;
use crate::shards::{Shard, ShardTable};
use crate::stream::Stream;
use crate::value::Value;
use crate::wire::Encoding;

/// Most records of a call.
pub const MOST_RECORDS: usize = 10_000;
/// Most bytes of the records of a call.
pub const MOST_BYTES: usize = 10 << 20;
/// What is given also where others leave no room for answers.
pub const LEAST_BYTES: usize = 64 << 10;

/// An answer, and what is counted of it.
struct Fetched {
    pieces: Vec<Bytes>,
    page: Page,
    behind_ms: u64,
}

/// `GetRecords`.
///
/// # Errors
/// If the iterator is none, has expired, or its stream is gone.
pub async fn get(service: &Arc<Service>, request: &Request, encoding: Encoding) -> Result<Reply> {
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
    let fetched = crate::blocking(move || fetch(&own, &read, &iterator, limit, encoding)).await?;
    count_out(service, log_id, shard, &fetched.page, fetched.behind_ms);
    if is_limited {
        service.limits.have_read(log_id, shard, fetched.page.bytes, now_ms);
    }
    Ok(Reply::Pieces(fetched.pieces))
}

/// Counts what is given to a reader.
pub fn count_out(service: &Service, log_id: u64, shard: ShardId, page: &Page, behind_ms: u64) {
    let counters = service.metrics.shard(log_id, shard);
    add(&counters.bytes_out, page.bytes);
    add(&counters.records_out, page.records);
    counters.iterator_age_ms.store(behind_ms, Ordering::Relaxed);
}

/// Reads records and writes the answer that has them.
fn fetch(
    service: &Service,
    stream: &Arc<Stream>,
    iterator: &Iterator,
    limit: usize,
    encoding: Encoding,
) -> Result<Fetched> {
    let shard = ShardId(iterator.shard);
    let now_ms = service.now_ms();
    let kept = service.readers.take(iterator.log_id, shard, iterator.next);
    let mut reader = match kept {
        Some(reader) => reader,
        None => stream.reader(&service.log, shard, StartPosition::At(SequenceNumber(iterator.next)))?,
    };
    let mut table = stream.shards();
    if table.get(shard).is_none() {
        table = stream.look_at_shards(&service.log)?;
    }
    let described = table.get(shard).cloned().ok_or_else(|| no_shard(service, shard, &iterator.stream))?;
    let (share, most_bytes) = room_for(service, MOST_BYTES);
    let mut answer = Answer::new(described, stream.record().key_id.is_some(), encoding, share);
    let page =
        read_page(&mut reader, limit, most_bytes, table.horizon_ms(now_ms), |batch| answer.push(&batch))?;
    let children = if page.is_ended { children_at_end(service, stream, shard)? } else { Vec::new() };
    let next = (!page.is_ended).then(|| {
        let next = reader.position().0;
        Iterator { issued_ms: now_ms, next, ..iterator.clone() }.seal(service)
    });
    service.readers.keep(reader, now_ms);
    let behind_ms = page.behind_ms(now_ms);
    let pieces = answer.finish(members! {
        "NextShardIterator": next.transpose()?,
        "MillisBehindLatest": long(behind_ms),
        "ChildShards": (!children.is_empty()).then_some(children),
    });
    Ok(Fetched { pieces, page, behind_ms })
}

/// Room for an answer with at most `most` bytes of records, and how many of them it may have: fewer, the more answers
/// wait for those who asked for them.
pub fn room_for(service: &Service, most: usize) -> (Share, usize) {
    let full = share_of(most);
    let share = service.answers.part(share_of(LEAST_BYTES), full);
    let most_bytes = if share.bytes() == full { most } else { share.bytes() / 3 * 2 };
    (share, most_bytes)
}

/// `ChildShard` of each child of a shard that was read to its end.
///
/// # Errors
/// If the log cannot be read, or there is no such shard.
pub fn children_at_end(service: &Service, stream: &Stream, shard: ShardId) -> Result<Vec<Value>> {
    let mut table = stream.shards();
    if table.get(shard).is_none_or(|shard| shard.children.is_empty()) {
        table = stream.look_at_shards(&service.log)?;
    }
    let found = table.get(shard).ok_or_else(|| no_shard(service, shard, &stream.record().name))?;
    Ok(children_of(&table, found))
}

/// `ChildShard` of each child.
fn children_of(table: &ShardTable, shard: &Shard) -> Vec<Value> {
    shard.children.iter().filter_map(|child| Some(table.get(*child)?.described_as_child())).collect()
}

/// What was read at one go, beside the records.
#[derive(Debug, Default)]
pub struct Page {
    /// Records.
    pub records: usize,
    /// Their bytes in the log.
    pub bytes: usize,
    /// When the last of them arrived, in ms since the Unix epoch.
    pub last_arrival_ms: Option<u64>,
    /// When the record after them arrived, if there is one; in ms since the Unix epoch.
    pub next_arrival_ms: Option<u64>,
    /// The shard is closed and was read to its end.
    pub is_ended: bool,
}

impl Page {
    /// How far its last record is behind the shard's newest one, in ms.
    #[must_use]
    pub fn behind_ms(&self, now_ms: u64) -> u64 {
        let Some(next_ms) = self.next_arrival_ms else { return 0 };
        now_ms.saturating_sub(self.last_arrival_ms.unwrap_or(next_ms))
    }
}

/// Reads at most `limit` records of at most `most_bytes` (but one at least), none that arrived before
/// `horizon_ms`, and gives them to `take`. What retention has removed is passed over, as Kinesis does.
///
/// # Errors
/// If the log cannot be read.
pub fn read_page(
    reader: &mut Reader,
    limit: usize,
    most_bytes: usize,
    horizon_ms: u64,
    mut take: impl FnMut(RecordBatch),
) -> Result<Page> {
    let mut page = Page::default();
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
        if next.arrival_ms < horizon_ms && page.records == 0 {
            reader.seek(StartPosition::AtTime(horizon_ms))?;
            if reader.peek()?.is_some_and(|next| next.arrival_ms < horizon_ms) {
                return Err(Error::internal("the log does not find a time"));
            }
            continue;
        }
        if page.records == limit || (page.records > 0 && page.bytes + next.bytes > most_bytes) {
            return Ok(page);
        }
        let batch = reader.poll(limit - page.records, most_bytes - page.bytes)?;
        page.records += batch.len();
        page.bytes += batch.bytes();
        page.last_arrival_ms = batch.last_arrival_ms().or(page.last_arrival_ms);
        take(batch);
        if page.bytes >= most_bytes {
            page.next_arrival_ms = reader.peek()?.map(|next| next.arrival_ms);
            page.is_ended = reader.is_ended() && page.next_arrival_ms.is_none();
            return Ok(page);
        }
    }
}
