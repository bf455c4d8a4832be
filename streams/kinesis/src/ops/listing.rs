//! `ListStreams`, `ListShards`: by pages.

use std::sync::Arc;

use pelton_streams::ShardId;
use serde::{Deserialize, Serialize};

use super::request::shard_of;
use super::streams::look_at_shards;
use super::{Reply, Request, members, time};
use crate::error::{Error, ErrorCode, Result};
use crate::service::Service;
use crate::shards::{Filter, Shard};
use crate::token::{LIFETIME_MS, Purpose};
use crate::value::Value;

/// Streams on a page unless the request says.
const STREAMS_ON_A_PAGE: usize = 100;
/// Shards on a page unless the request says.
const SHARDS_ON_A_PAGE: usize = 1_000;

#[derive(Debug, Serialize, Deserialize)]
struct StreamsToken {
    issued_ms: u64,
    after: String,
}

/// `ListStreams`.
///
/// # Errors
/// If the token has expired or is none.
pub async fn streams(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let own = service.clone();
    crate::blocking(move || own.adopt().map_err(Error::internal)).await?;
    let token = request.text("NextToken");
    let token =
        token.map(|token| open(service, Purpose::Streams, token, |token: &StreamsToken| token.issued_ms));
    let token = token.transpose()?.map(|token| token.after);
    let after = token.as_deref().or_else(|| request.text("ExclusiveStartStreamName"));
    let limit = request.limit("Limit", STREAMS_ON_A_PAGE);
    let streams = service.streams();
    let mut rest = streams
        .iter()
        .map(|stream| stream.record())
        .filter(|record| after.is_none_or(|after| &*record.name > after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let has_more = rest.next().is_some();
    let next = page.last().filter(|_| has_more).map(|last| {
        service
            .seal(Purpose::Streams, &StreamsToken { issued_ms: service.now_ms(), after: last.name.clone() })
    });
    let summaries = page.iter().map(|record| {
        members! {
            "StreamName": record.name.as_str(),
            "StreamARN": service.arn(&record.name),
            "StreamStatus": record.status.name(),
            "StreamModeDetails": members! { "StreamMode": record.mode.name() },
            "StreamCreationTimestamp": time(record.created_ms),
        }
    });
    Ok(members! {
        "StreamNames": page.iter().map(|record| record.name.as_str().into()).collect::<Vec<Value>>(),
        "HasMoreStreams": has_more,
        "NextToken": next.transpose()?,
        "StreamSummaries": summaries.collect::<Vec<_>>(),
    }
    .into())
}

#[derive(Debug, Serialize, Deserialize)]
struct ShardsToken {
    issued_ms: u64,
    stream: String,
    log_id: u64,
    after: u32,
    filter: KeptFilter,
}

/// A filter as a token keeps it. Ids are kept by `after` alone.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum KeptFilter {
    None,
    OpenAt(u64),
    OpenSince(u64),
    Open,
}

/// `ListShards`.
///
/// # Errors
/// If there is no such stream, the filter does not hold together, or the token has expired.
pub async fn shards(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let invalid = |message: &str| Err(Error::new(ErrorCode::InvalidArgument, message));
    let is_given = |name: &&str| request.0.get(name).is_some();
    let names_stream = ["StreamName", "StreamARN"].iter().any(is_given);
    let (stream, log_id, after, filter) = match request.text("NextToken") {
        Some(token) => {
            // The token has all of that.
            let twice = ["StreamName", "StreamARN", "ExclusiveStartShardId", "StreamCreationTimestamp"];
            if let Some(name) = twice.iter().find(|name| is_given(name)) {
                return invalid(&format!("NextToken and {name} cannot be provided together."));
            }
            let token = open(service, Purpose::Shards, token, |token: &ShardsToken| token.issued_ms)?;
            (
                service.stream(&token.stream).await?,
                Some(token.log_id),
                Some(ShardId(token.after)),
                token.filter,
            )
        }
        None if !names_stream => return invalid("Either NextToken or StreamName should be provided."),
        None => {
            let stream = request.stream(service).await?;
            check_creation(service, request, stream.record().created_ms, &stream.record().name)?;
            let start = request
                .text("ExclusiveStartShardId")
                .map(|text| shard_named(service, &stream.record().name, text));
            let (after, filter) = filter_of(service, request, &stream.record().name)?;
            (stream, None, start.transpose()?.max(after), filter)
        }
    };
    let record = stream.record();
    if log_id.is_some_and(|log_id| log_id != record.log_id) {
        return Err(crate::stream::not_found(&record.name, &service.settings.account));
    }
    let table = look_at_shards(service, &stream).await?;
    let now_ms = service.now_ms();
    let kept = match filter {
        KeptFilter::None => None,
        KeptFilter::OpenAt(ms) => Some(Filter::OpenAt(ms)),
        KeptFilter::OpenSince(ms) => Some(Filter::OpenSince(ms)),
        KeptFilter::Open => Some(Filter::Open),
    };
    let limit = request.limit("MaxResults", SHARDS_ON_A_PAGE);
    let mut rest = table.listed(kept, now_ms).filter(|shard| after.is_none_or(|after| shard.id > after));
    let page: Vec<&Shard> = rest.by_ref().take(limit).collect();
    let has_more = rest.next().is_some();
    let next = page.last().filter(|_| has_more).map(|last| {
        let stream = record.name.clone();
        let token =
            ShardsToken { issued_ms: now_ms, stream, log_id: record.log_id, after: last.id.0, filter };
        service.seal(Purpose::Shards, &token)
    });
    Ok(members! {
        "Shards": page.into_iter().map(Shard::described).collect::<Vec<_>>(),
        "NextToken": next.transpose()?,
    }
    .into())
}

/// Where the shards of `ShardFilter` begin, and which they are.
fn filter_of(service: &Service, request: &Request, stream: &str) -> Result<(Option<ShardId>, KeptFilter)> {
    let Some(filter) = request.structure("ShardFilter") else { return Ok((None, KeptFilter::None)) };
    let invalid = |message: String| Error::new(ErrorCode::InvalidArgument, message);
    let kind = filter.get("Type").and_then(Value::as_text).unwrap_or_default();
    let shard = filter.get("ShardId").and_then(Value::as_text);
    let at_ms = filter.get("Timestamp").and_then(super::request::time_of);
    if (kind == "AFTER_SHARD_ID") != shard.is_some() {
        return Err(invalid(format!(
            "ShardFilter of type {kind} {} a ShardId.",
            if shard.is_some() { "must not have" } else { "must have" }
        )));
    }
    let needs_time = matches!(kind, "AT_TIMESTAMP" | "FROM_TIMESTAMP");
    let Some(at_ms) = at_ms.or_else(|| (!needs_time).then_some(0)) else {
        return Err(invalid(format!("ShardFilter of type {kind} must have a Timestamp.")));
    };
    if needs_time && at_ms > service.now_ms() {
        return Err(invalid("The Timestamp of a ShardFilter must not be in the future.".to_owned()));
    }
    Ok(match (kind, shard) {
        ("AFTER_SHARD_ID", Some(shard)) => (Some(shard_named(service, stream, shard)?), KeptFilter::None),
        ("AT_TRIM_HORIZON", _) => (None, KeptFilter::OpenAt(0)),
        ("FROM_TRIM_HORIZON", _) => (None, KeptFilter::OpenSince(0)),
        ("AT_TIMESTAMP", _) => (None, KeptFilter::OpenAt(at_ms)),
        ("FROM_TIMESTAMP", _) => (None, KeptFilter::OpenSince(at_ms)),
        _ => (None, KeptFilter::Open),
    })
}

fn shard_named(service: &Service, stream: &str, text: &str) -> Result<ShardId> {
    shard_of(text).ok_or_else(|| {
        service.error(
            ErrorCode::ResourceNotFound,
            format_args!("Could not find shard {text} in stream {stream}"),
            ".",
        )
    })
}

/// `StreamCreationTimestamp` tells apart streams that had the same name one after the other.
///
/// # Errors
/// If it is another stream's.
pub fn check_creation(service: &Service, request: &Request, created_ms: u64, name: &str) -> Result {
    match request.time_ms("StreamCreationTimestamp") {
        // Clients may have it in seconds.
        Some(asked_ms) if asked_ms / 1000 != created_ms / 1000 => {
            Err(crate::stream::not_found(name, &service.settings.account))
        }
        _ => Ok(()),
    }
}

/// Opens the token of a page.
///
/// # Errors
/// If it is none, or has expired.
pub fn open<T: serde::de::DeserializeOwned>(
    service: &Service,
    purpose: Purpose,
    token: &str,
    issued_ms: impl FnOnce(&T) -> u64,
) -> Result<T> {
    let content: T = service
        .unseal(purpose, token)
        .ok_or_else(|| Error::new(ErrorCode::InvalidArgument, "The value of NextToken is not valid."))?;
    if service.now_ms() > issued_ms(&content).saturating_add(LIFETIME_MS) {
        return Err(Error::new(
            ErrorCode::ExpiredNextToken,
            "NextToken has expired: it was created more than 300000 milliseconds ago.",
        ));
    }
    Ok(content)
}
