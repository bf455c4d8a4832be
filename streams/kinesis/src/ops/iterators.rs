//! `GetShardIterator`: where reading begins, as a token.

use std::sync::Arc;

use pelton_streams::{SequenceNumber, ShardId, StartPosition};
use serde::{Deserialize, Serialize};

use super::request::shard_of;
use super::{Reply, Request, members};
use crate::catalog::{Status, StreamRecord};
use crate::dates::Moment;
use crate::error::{Error, ErrorCode, Result};
use crate::sequence::Sequence;
use crate::service::Service;
use crate::shards::Shard;
use crate::stream::{Stream, not_found};
use crate::token::{LIFETIME_MS, Purpose};

/// What an iterator is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iterator {
    /// When it was given out, in ms since the Unix epoch.
    #[serde(rename = "t")]
    pub issued_ms: u64,
    /// Its stream.
    #[serde(rename = "s")]
    pub stream: String,
    /// Which log of that name.
    #[serde(rename = "l")]
    pub log_id: u64,
    /// Its shard.
    #[serde(rename = "i")]
    pub shard: u32,
    /// The least number of the next record.
    #[serde(rename = "n")]
    pub next: u64,
}

impl Iterator {
    /// Makes a token of it.
    ///
    /// # Errors
    /// Those of [`Service::seal`].
    pub fn seal(&self, service: &Service) -> Result<String> {
        service.seal(Purpose::Iterator, self)
    }

    /// What a client's token is.
    ///
    /// # Errors
    /// If it is none, or has expired.
    pub fn open(service: &Service, token: &str) -> Result<Self> {
        let iterator: Self = service
            .unseal(Purpose::Iterator, token)
            .ok_or_else(|| Error::new(ErrorCode::InvalidArgument, "Invalid ShardIterator."))?;
        let now_ms = service.now_ms();
        if now_ms > iterator.issued_ms.saturating_add(LIFETIME_MS) {
            return Err(Error::new(
                ErrorCode::ExpiredIterator,
                format!(
                    "Iterator expired. The iterator was created at time {} while right now it is {} which is further in the future than the tolerated delay of 300000 milliseconds.",
                    Moment::from_ms(iterator.issued_ms).in_words(),
                    Moment::from_ms(now_ms).in_words()
                ),
            ));
        }
        Ok(iterator)
    }
}

/// `GetShardIterator`.
///
/// # Errors
/// If there is no such stream or shard, or the position is none of that shard's.
pub async fn get(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let name = request.stream_name()?;
    let text = request.required("ShardId")?;
    let Some(id) = shard_of(text) else {
        return Err(service.error(
            ErrorCode::ResourceNotFound,
            format_args!("Could not find shard {text} in stream {name}"),
            ".",
        ));
    };
    let stream = match request.stream(service).await {
        Err(error) if error.code() == ErrorCode::ResourceNotFound => return Err(no_shard(service, id, name)),
        stream => stream?,
    };
    let _in_use = stream.enter(service).await?;
    let record = stream.record();
    let shard = shard_in(service, &stream, &record, id).await?;
    let position = Asked {
        kind: request.required("ShardIteratorType")?,
        sequence: request.text("StartingSequenceNumber"),
        at_ms: request.time_ms("Timestamp"),
    };
    let start = position.start(service, &record, &shard, "GetShardIterator")?;
    super::check_dry_run(request)?;
    let (own, read) = (service.clone(), stream.clone());
    let next = crate::blocking(move || {
        let reader = read.reader(&own.log, id, start)?;
        let next = reader.position().0;
        own.readers.keep(reader, own.now_ms());
        Ok(next)
    })
    .await?;
    let iterator = Iterator {
        issued_ms: service.now_ms(),
        stream: record.name.clone(),
        log_id: record.log_id,
        shard: id.0,
        next,
    };
    Ok(members! { "ShardIterator": iterator.seal(service)? }.into())
}

/// A shard of a stream that Kinesis still knows.
///
/// # Errors
/// `ResourceNotFoundException`.
pub async fn shard_in(
    service: &Arc<Service>,
    stream: &Arc<Stream>,
    record: &StreamRecord,
    id: ShardId,
) -> Result<Shard> {
    if matches!(record.status, Status::Creating | Status::Deleting) {
        return Err(not_found(&record.name, &service.settings.account));
    }
    let now_ms = service.now_ms();
    let known = stream.shards();
    // Another process may have made it.
    let table =
        if known.get(id).is_some() { known } else { super::streams::look_at_shards(service, stream).await? };
    let found = table.listed(None, now_ms).find(|shard| shard.id == id).cloned();
    found.ok_or_else(|| no_shard(service, id, &record.name))
}

/// AWS's words for a shard that is not there.
pub fn no_shard(service: &Service, id: ShardId, stream: &str) -> Error {
    service.error(
        ErrorCode::ResourceNotFound,
        format_args!("Shard {id} in stream {stream}"),
        " does not exist",
    )
}

/// A position as it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `ShardIteratorType`.
    pub kind: &'a str,
    /// A sequence number.
    pub sequence: Option<&'a str>,
    /// In ms since the Unix epoch.
    pub at_ms: Option<u64>,
}

impl Asked<'_> {
    /// Where that is in the log.
    ///
    /// # Errors
    /// If it does not hold together, or is none of the shard's.
    pub fn start(
        &self,
        service: &Service,
        record: &StreamRecord,
        shard: &Shard,
        operation: &str,
    ) -> Result<StartPosition> {
        let invalid = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let either = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified";
        match (self.kind, self.sequence) {
            ("TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP", Some(_)) => {
                invalid(format!("{either} {} and also a StartingSequenceNumber.", self.kind))
            }
            ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => {
                invalid(format!("{either} {} and no StartingSequenceNumber.", self.kind))
            }
            (kind, Some(sequence)) => {
                let number = number_in(service, record, shard, operation, sequence)?;
                Ok(if kind == "AT_SEQUENCE_NUMBER" {
                    StartPosition::At(number)
                } else {
                    StartPosition::After(number)
                })
            }
            ("TRIM_HORIZON", None) => Ok(StartPosition::Oldest),
            ("LATEST", None) => Ok(StartPosition::Latest),
            (_, None) => {
                let Some(at_ms) = self.at_ms else {
                    return invalid("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.".to_owned());
                };
                let now_ms = service.now_ms();
                if at_ms > now_ms {
                    return invalid(format!(
                        "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: {at_ms}, currentTimestampInMillis: {now_ms}"
                    ));
                }
                Ok(StartPosition::AtTime(at_ms))
            }
        }
    }
}

/// The number in its shard of a record whose sequence number a client gives.
fn number_in(
    service: &Service,
    record: &StreamRecord,
    shard: &Shard,
    operation: &str,
    text: &str,
) -> Result<SequenceNumber> {
    let invalid = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
    let used = format!(
        "StartingSequenceNumber {text} used in {operation} on shard {} in stream {} under account {} is invalid",
        shard.id, record.name, service.settings.account
    );
    let Some(sequence) = Sequence::parse(text) else { return invalid(format!("{used}.")) };
    if sequence.shard != shard.id.0 {
        return invalid(format!(
            "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {}",
            ShardId(sequence.shard),
            shard.id
        ));
    }
    if sequence.created_s != shard.created_s {
        return invalid(format!("{used} because it did not come from this stream."));
    }
    Ok(SequenceNumber(sequence.number))
}
