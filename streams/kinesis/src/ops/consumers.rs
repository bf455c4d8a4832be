//! `RegisterStreamConsumer`, `DeregisterStreamConsumer`, `DescribeStreamConsumer`, `ListStreamConsumers`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::changing::Changing;
use super::listing::{check_creation, open};
use super::request::stream_of_arn;
use super::tags::check_tags;
use super::{Reply, Request, members, time};
use crate::catalog::{ConsumerRecord, StreamRecord};
use crate::error::{Error, ErrorCode, Result};
use crate::service::Service;
use crate::stream::Stream;
use crate::token::Purpose;
use crate::value::Value;

/// Consumers that a stream may have.
const MOST_CONSUMERS: usize = 20;
/// Consumers on a page unless the request says.
const CONSUMERS_ON_A_PAGE: usize = 100;

/// The ARN of a consumer.
#[must_use]
pub fn arn(service: &Service, stream: &str, name: &str, consumer: &ConsumerRecord) -> String {
    format!("{}/consumer/{name}:{}", service.arn(stream), consumer.created_ms / 1000)
}

/// The name and the creation time, in seconds, in the ARN of a consumer.
#[must_use]
pub fn named_by(arn: &str) -> Option<(&str, u64)> {
    let (_, named) = arn.split_once("/consumer/")?;
    let (name, created_s) = named.rsplit_once(':')?;
    Some((name, created_s.parse().ok()?))
}

/// AWS's words for a consumer that is not there.
#[must_use]
pub fn no_consumer(service: &Service, name: &str) -> Error {
    Error::new(
        ErrorCode::ResourceNotFound,
        format!("Consumer {name}, account {} not found.", service.settings.account),
    )
}

/// The consumer that an ARN names, with its stream.
///
/// # Errors
/// If it is not there.
pub async fn by_arn(service: &Arc<Service>, arn: &str) -> Result<(Arc<Stream>, String, ConsumerRecord)> {
    let stream = service.stream(stream_of_arn(arn)?).await?;
    let Some((name, created_s)) = named_by(arn) else { return Err(no_consumer(service, arn)) };
    let record = stream.record();
    let found = record.consumers.get(name).filter(|consumer| consumer.created_ms / 1000 == created_s);
    let found = found.cloned().ok_or_else(|| no_consumer(service, name))?;
    Ok((stream, name.to_owned(), found))
}

/// The consumer that a request names, by its ARN or by its name and stream.
async fn of(service: &Arc<Service>, request: &Request) -> Result<(Arc<Stream>, String, ConsumerRecord)> {
    if let Some(arn) = request.text("ConsumerARN") {
        return by_arn(service, arn).await;
    }
    let (Some(arn), Some(name)) = (request.text("StreamARN"), request.text("ConsumerName")) else {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            "Either ConsumerARN or both StreamARN and ConsumerName must be provided.",
        ));
    };
    let stream = service.stream(stream_of_arn(arn)?).await?;
    let found = stream.record().consumers.get(name).cloned();
    let found = found.ok_or_else(|| no_consumer(service, name))?;
    Ok((stream, name.to_owned(), found))
}

fn described(service: &Service, stream: &str, name: &str, consumer: &ConsumerRecord, whole: bool) -> Value {
    members! {
        "ConsumerName": name,
        "ConsumerARN": arn(service, stream, name, consumer),
        "ConsumerStatus": "ACTIVE",
        "ConsumerCreationTimestamp": time(consumer.created_ms),
        "StreamARN": whole.then(|| service.arn(stream)),
    }
}

/// `RegisterStreamConsumer`.
///
/// # Errors
/// If the stream is not there, has a consumer of that name, or has enough.
pub async fn register(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let name = request.required("ConsumerName")?.to_owned();
    let changing = Changing::begin(service, &stream)?;
    let record = stream.record();
    if let Some(consumer) = record.consumers.get(&name) {
        return Err(service.error(
            ErrorCode::ResourceInUse,
            format_args!("Consumer {}", arn(service, &record.name, &name, consumer)),
            " already exists.",
        ));
    }
    if record.consumers.len() >= MOST_CONSUMERS {
        return Err(service.error(
            ErrorCode::LimitExceeded,
            format_args!("Stream {}", record.name),
            &format!(" has {MOST_CONSUMERS} registered consumers, and cannot have more."),
        ));
    }
    let tags = request.texts_by_name("Tags").map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    check_tags(&tags)?;
    let consumer = ConsumerRecord { created_ms: service.now_ms(), tags, policy: None };
    let reply = members! { "Consumer": described(service, &record.name, &name, &consumer, false) };
    changing
        .record(service, move |record| {
            record.consumers.insert(name, consumer);
        })
        .await?;
    Ok(reply.into())
}

/// `DeregisterStreamConsumer`.
///
/// # Errors
/// If the consumer is not there.
pub async fn deregister(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let (stream, name, _) = of(service, request).await?;
    let changing = Changing::begin(service, &stream)?;
    let gone = name.clone();
    changing
        .record(service, move |record| {
            record.consumers.remove(&gone);
        })
        .await?;
    service.subscriptions.end_of(stream.record().log_id, Some(&name), &no_consumer(service, &name));
    Ok(Reply::Done)
}

/// `DescribeStreamConsumer`.
///
/// # Errors
/// If the consumer is not there.
pub async fn describe(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let (stream, name, consumer) = of(service, request).await?;
    let described = described(service, &stream.record().name, &name, &consumer, true);
    Ok(members! { "ConsumerDescription": described }.into())
}

#[derive(Debug, Serialize, Deserialize)]
struct ConsumersToken {
    issued_ms: u64,
    log_id: u64,
    after: String,
}

/// `ListStreamConsumers`.
///
/// # Errors
/// If the stream is not there, or the token has expired.
pub async fn list(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let record: Arc<StreamRecord> = stream.record();
    check_creation(service, request, record.created_ms, &record.name)?;
    let token = request.text("NextToken").map(|token| {
        let token = open(service, Purpose::Consumers, token, |token: &ConsumersToken| token.issued_ms)?;
        if token.log_id != record.log_id {
            return Err(Error::new(ErrorCode::InvalidArgument, "The value of NextToken is not valid."));
        }
        Ok(token.after)
    });
    let after = token.transpose()?;
    let limit = request.limit("MaxResults", CONSUMERS_ON_A_PAGE);
    let mut rest =
        record.consumers.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = page.last().filter(|_| rest.next().is_some()).map(|(last, _)| {
        let token =
            ConsumersToken { issued_ms: service.now_ms(), log_id: record.log_id, after: (*last).clone() };
        service.seal(Purpose::Consumers, &token)
    });
    let consumers =
        page.iter().map(|(name, consumer)| described(service, &record.name, name, consumer, false));
    Ok(members! { "Consumers": consumers.collect::<Vec<_>>(), "NextToken": next.transpose()? }.into())
}
