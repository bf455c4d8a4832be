//! `PutRecord` and `PutRecords`: answered once the records are on disk.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pelton_streams::{AppendBatch, Appended, HashKey, ShardId, StreamWriter};

use super::request::blob_of;
use super::{Reply, Request, members, request::missing};
use crate::catalog::StreamRecord;
use crate::error::{Error, ErrorCode, Result};
use crate::metrics::add;
use crate::records;
use crate::sequence::Sequence;
use crate::service::Service;
use crate::shards::ShardTable;
use crate::stream::Stream;
use crate::value::Value;
use crate::wire::{Encoding, PutRecord};

/// Most bytes of the records of one `PutRecords`, keys included.
pub const MOST_BYTES: usize = 10 << 20;

/// A record that is to be put.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// Its partition key.
    pub key: &'a str,
    /// Its explicit hash key, in decimal.
    pub hash_key: Option<&'a str>,
    /// Its data.
    pub data: &'a [u8],
}

impl<'a> Put<'a> {
    /// Out of a request, or an entry of one.
    fn of(value: &'a Value) -> Result<Self> {
        let text = |name| value.get(name).and_then(Value::as_text);
        let data = value.get("Data").and_then(blob_of).ok_or_else(|| missing("Data"))?;
        let key = text("PartitionKey").ok_or_else(|| missing("PartitionKey"))?;
        Ok(Self { key, hash_key: text("ExplicitHashKey"), data })
    }

    /// What counts of it against limits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.len() + self.data.len()
    }

    /// The hash key that it is given, if it is.
    fn explicit_hash(&self) -> Result<Option<HashKey>> {
        let Some(text) = self.hash_key else { return Ok(None) };
        let hash_key = text.parse().map_err(|_| {
            Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
                ),
            )
        })?;
        Ok(Some(HashKey(hash_key)))
    }

    /// Adds it to a batch.
    ///
    /// # Errors
    /// If its hash key is none, or it is too large.
    pub fn push(&self, batch: &mut AppendBatch) -> Result {
        match self.explicit_hash()? {
            None => Ok(batch.push(self.key.as_bytes(), self.data)?),
            Some(hash_key) => Ok(batch.push_hashed(hash_key, self.key.as_bytes(), self.data, None)?),
        }
    }

    /// The shard whose limits it would exceed, if clients are held to them; else it is counted.
    fn refused_by(&self, service: &Service, stream: &Stream) -> Result<Option<ShardId>> {
        if !service.settings.enforce_limits {
            return Ok(None);
        }
        let hash_key = self.explicit_hash()?.unwrap_or_else(|| HashKey::of(self.key.as_bytes()));
        let table = stream.shards();
        let Some(shard) = table.of_hash(hash_key.0) else { return Ok(None) };
        let log_id = stream.record().log_id;
        if service.limits.may_put(log_id, shard.id, self.bytes(), service.now_ms()) {
            return Ok(None);
        }
        add(&service.metrics.shard(log_id, shard.id).puts_throttled, 1);
        Ok(Some(shard.id))
    }
}

/// `PutRecord`.
///
/// # Errors
/// If there is no such stream, or the record cannot be written.
pub async fn one(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let _in_use = stream.enter(service).await?;
    let record = stream.record();
    if let Some(text) = request.text("SequenceNumberForOrdering") {
        let now_s = service.now_ms() / 1000;
        if Sequence::parse(text).is_none_or(|sequence| sequence.arrived_s > now_s) {
            return Err(service.error(
                ErrorCode::InvalidArgument,
                format_args!(
                    "ExclusiveMinimumSequenceNumber {text} used in PutRecord on stream {}",
                    record.name
                ),
                " is invalid.",
            ));
        }
    }
    let put = Put::of(&request.0)?;
    check_size(&record, &put, "data")?;
    super::check_dry_run(request)?;
    if let Some(shard) = put.refused_by(service, &stream)? {
        let message = service.shard_rate_exceeded(shard, &record.name);
        return Err(Error::new(ErrorCode::ProvisionedThroughputExceeded, message));
    }
    let writer = stream.writer(&service.log).await?;
    let mut batch = writer.batch();
    put.push(&mut batch)?;
    let appended = append(&stream, &writer, batch).await?;
    count_in(service, &stream, &appended);
    let table = table_for(service, &stream, &appended).await?;
    let sequences = sequences(&table, &appended)?;
    let [(shard, sequence)] = &sequences[..] else { return Err(Error::internal("one record has one place")) };
    Ok(members! {
        "ShardId": shard.as_str(),
        "SequenceNumber": sequence.as_str(),
        "EncryptionType": record.key_id.as_ref().map(|_| "KMS"),
    }
    .into())
}

/// `PutRecords`.
///
/// # Errors
/// If there is no such stream, or the request as a whole is too large. That a record cannot be written
/// is told for each.
pub async fn many(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let _in_use = stream.enter(service).await?;
    let record = stream.record();
    let writer = stream.writer(&service.log).await?;
    let mut filling = Filling::new(&record, writer.batch());
    // For each record the shard that refuses it, if one does.
    let mut refused = Vec::new();
    for (number, entry) in (1..).zip(request.list("Records")) {
        let put = Put::of(entry)?;
        let shard = put.refused_by(service, &stream)?;
        refused.push(shard);
        if shard.is_none() {
            filling.push(number, &put)?;
        }
    }
    filling.check()?;
    super::check_dry_run(request)?;
    put_those_not_refused(service, &stream, &writer, filling, &refused).await
}

/// Puts what `filling` holds: those records of a request that no shard refuses. `refused` has for each record the
/// shard that does.
async fn put_those_not_refused(
    service: &Arc<Service>,
    stream: &Arc<Stream>,
    writer: &StreamWriter,
    filling: Filling<'_>,
    refused: &[Option<ShardId>],
) -> Result<Reply> {
    let record = filling.record;
    let written = if filling.batch.is_empty() {
        Vec::new().into_iter()
    } else {
        match filling.put(service, stream, writer).await? {
            Placed::Nowhere(_) => return Ok(all_failed(refused.len()).into()),
            Placed::At(table, appended) => sequences(&table, &appended)?.into_iter(),
        }
    };
    Ok(placed(service, record, refused, written).into())
}

/// The answer that tells of each record where it is, or that its shard has refused it.
fn placed(
    service: &Service,
    record: &StreamRecord,
    refused: &[Option<ShardId>],
    mut written: impl Iterator<Item = (String, String)>,
) -> Value {
    let result = |shard: &Option<ShardId>| match shard {
        Some(shard) => members! {
            "ErrorCode": ErrorCode::ProvisionedThroughputExceeded.name(),
            "ErrorMessage": service.shard_rate_exceeded(*shard, &record.name),
        },
        None => {
            let (shard, sequence) = written.next().unwrap_or_default();
            members! { "SequenceNumber": sequence, "ShardId": shard }
        }
    };
    let records: Vec<Value> = refused.iter().map(result).collect();
    members! {
        "FailedRecordCount": refused.iter().flatten().count() as u32,
        "Records": records,
        "EncryptionType": record.key_id.as_ref().map(|_| "KMS"),
    }
}

/// `PutRecords`, of records that are pieces of the request's body and keep every constraint of the model;
/// none if one of them turns out not to, and has to be told so in the service's words.
///
/// # Errors
/// As [`many`].
pub async fn many_as_sent(
    service: &Arc<Service>,
    stream: &str,
    records: &[PutRecord<'_>],
    encoding: Encoding,
) -> Result<Option<Reply>> {
    let is_limited = service.settings.enforce_limits;
    if is_limited && !records.iter().all(|record| record.data.is_valid()) {
        // Nothing of a request that is refused counts against limits.
        return Ok(None);
    }
    let stream = service.stream(stream).await?;
    let _in_use = stream.enter(service).await?;
    let record = stream.record();
    let writer = stream.writer(&service.log).await?;
    let mut filling = Filling::new(&record, writer.batch());
    let (mut scratch, mut refused) = (Vec::new(), Vec::new());
    for (number, sent) in (1..).zip(records) {
        let Some(data) = sent.data.bytes(&mut scratch) else { return Ok(None) };
        let put = Put { key: sent.key, hash_key: sent.hash_key, data };
        if is_limited {
            let shard = put.refused_by(service, &stream)?;
            refused.push(shard);
            if shard.is_some() {
                continue;
            }
        }
        filling.push(number, &put)?;
    }
    filling.check()?;
    if refused.iter().any(Option::is_some) {
        return put_those_not_refused(service, &stream, &writer, filling, &refused).await.map(Some);
    }
    match filling.put(service, &stream, &writer).await? {
        Placed::Nowhere(records) => Ok(Some(all_failed(records).into())),
        Placed::At(table, appended) => {
            let is_encrypted = record.key_id.is_some();
            Ok(Some(Reply::Body(records::placed(&table, &appended, is_encrypted, encoding)?)))
        }
    }
}

/// A batch that the records of a request are put into.
struct Filling<'a> {
    record: &'a StreamRecord,
    batch: AppendBatch,
    bytes: usize,
}

/// Where the records of a request are.
enum Placed {
    At(Arc<ShardTable>, Appended),
    /// None of so many could be written.
    Nowhere(usize),
}

impl<'a> Filling<'a> {
    fn new(record: &'a StreamRecord, batch: AppendBatch) -> Self {
        Self { record, batch, bytes: 0 }
    }

    /// Takes the record that has this number in its request.
    fn push(&mut self, number: usize, put: &Put<'_>) -> Result {
        check_size(self.record, put, format_args!("records.{number}.member.data"))?;
        self.bytes += put.bytes();
        put.push(&mut self.batch)
    }

    /// Whether the records are not too much for one request.
    fn check(&self) -> Result {
        if self.bytes > MOST_BYTES {
            return Err(Error::new(ErrorCode::InvalidArgument, "Records size exceeds 10 MiB limit"));
        }
        Ok(())
    }

    async fn put(
        self,
        service: &Arc<Service>,
        stream: &Arc<Stream>,
        writer: &StreamWriter,
    ) -> Result<Placed> {
        let records = self.batch.len();
        match append(stream, writer, self.batch).await {
            Ok(appended) => {
                count_in(service, stream, &appended);
                Ok(Placed::At(table_for(service, stream, &appended).await?, appended))
            }
            Err(error) if error.code() == ErrorCode::InternalFailure => Ok(Placed::Nowhere(records)),
            Err(error) => Err(error),
        }
    }
}

/// The answer when nothing of the records could be written.
fn all_failed(records: usize) -> Value {
    let failed = members! { "ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure" };
    members! {
        "FailedRecordCount": records as u32,
        "Records": vec![failed; records],
    }
}

/// Whether the stream takes a record as large as this.
///
/// # Errors
/// `ValidationException`, as of a member of the request.
pub fn check_size(record: &StreamRecord, put: &Put<'_>, member: impl Display) -> Result {
    let most = record.max_record_kib as usize * 1024;
    if put.bytes() <= most {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Validation,
        format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length less than or equal to {most}"
        ),
    ))
}

/// Counts what was put.
fn count_in(service: &Service, stream: &Stream, appended: &Appended) {
    let log_id = stream.record().log_id;
    for placement in appended.placements() {
        let counters = service.metrics.shard(log_id, placement.shard);
        counters.records_in.fetch_add(placement.records, Ordering::Relaxed);
        counters.bytes_in.fetch_add(placement.bytes, Ordering::Relaxed);
    }
}

/// Hands a batch to the log and waits until it is on disk.
///
/// # Errors
/// If it could not be written; then nothing of it is in the log, or it is not known (after a failed sync).
pub async fn append(stream: &Stream, writer: &StreamWriter, batch: AppendBatch) -> Result<Appended> {
    let room = stream.room_for(batch.bytes()).await;
    let ticket = writer.submit(batch);
    let appended = match ticket {
        Ok(ticket) => ticket.await,
        Err(error) => Err(error),
    };
    drop(room);
    if let Err(pelton_streams::Error::WriterFailed { .. }) = &appended {
        stream.forget_writer().await;
    }
    Ok(appended?)
}

/// The shards that records were appended to.
///
/// # Errors
/// If the log cannot be read.
pub async fn table_for(
    service: &Arc<Service>,
    stream: &Arc<Stream>,
    appended: &Appended,
) -> Result<Arc<ShardTable>> {
    let table = stream.shards();
    if appended.placements().iter().all(|placement| table.get(placement.shard).is_some()) {
        return Ok(table);
    }
    let (own, looked_at) = (service.clone(), stream.clone());
    crate::blocking(move || looked_at.look_at_shards(&own.log)).await
}

/// The shard and sequence number of each record, in the order in which they were pushed.
///
/// # Errors
/// If the table is an older one.
pub fn sequences(table: &ShardTable, appended: &Appended) -> Result<Vec<(String, String)>> {
    let arrival_ms = appended.arrival_ms();
    let places = appended.records().map(|(id, number)| {
        let shard = table.get(id).ok_or_else(|| Error::internal("a record is in no shard"))?;
        Ok((id.to_string(), shard.sequence(number.0, arrival_ms).to_string()))
    });
    places.collect()
}
