//! From an HTTP request to an operation and back: which operation is asked for, how its body is encoded,
//! and how an error is told.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::time::Instant;

use crate::access;
use crate::auth::Identity;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{Scope, scope_of};
use crate::model::{Model, Operation, validate};
use crate::ops::{self, Reply, Request};
use crate::server::Body;
use crate::service::Service;
use crate::value::Value;
use crate::wire::envelope::{self, Envelope, Plain};
use crate::wire::{self, Encoding};

/// Answers a request whose body is there.
pub async fn answer(service: &Arc<Service>, head: &Parts, body: Bytes) -> Response<Body> {
    let mut response = match envelope::open(&head.method, &head.headers, body.is_empty()) {
        Envelope::Answer(plain) => tell(plain),
        Envelope::Call(encoding, operation) => {
            let began = Instant::now();
            let (response, code) = match call(service, head, operation, encoding, &body).await {
                Ok(reply) => (reply_with(reply, encoding), "OK"),
                Err(error) => (refuse(&error, encoding), error.code().name()),
            };
            service.metrics.answered(operation.name, code, began.elapsed());
            response
        }
    };
    envelope::across_origins(&head.method, &head.headers, response.headers_mut());
    response
}

fn reply_with(reply: Reply, encoding: Encoding) -> Response<Body> {
    match reply {
        Reply::Done => respond(StatusCode::OK, Bytes::new(), encoding),
        Reply::Value(value) => {
            let mut body = Vec::new();
            encoding.write(&value, &mut body);
            respond(StatusCode::OK, body.into(), encoding)
        }
        Reply::Body(body) => respond(StatusCode::OK, body.into(), encoding),
        Reply::Pieces(pieces) => respond_with(StatusCode::OK, Body::Pieces(pieces.into()), encoding),
        Reply::Events(events) => {
            let mut response = Response::new(Body::Events(events));
            let kind = HeaderValue::from_static("application/vnd.amazon.eventstream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
    }
}

/// The response to what is no request of an operation.
fn tell(plain: Plain) -> Response<Body> {
    let mut response = Response::new(Body::Full(Some(plain.body.into())));
    *response.status_mut() = plain.status;
    if let Some(content_type) = plain.content_type {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// The response to a request that is refused.
#[must_use]
pub fn refuse(error: &Error, encoding: Encoding) -> Response<Body> {
    let mut body = Vec::new();
    encoding.write_error(error, &mut body);
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, body.into(), encoding)
}

fn respond(status: StatusCode, body: Bytes, encoding: Encoding) -> Response<Body> {
    respond_with(status, Body::Full(Some(body)), encoding)
}

fn respond_with(status: StatusCode, body: Body, encoding: Encoding) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    response
}

async fn call(
    service: &Arc<Service>,
    head: &Parts,
    operation: &'static Operation,
    encoding: Encoding,
    body: &Bytes,
) -> Result<Reply> {
    let sender = match access::sender(service, head, body).await {
        // Of two faults, AWS tells the one of the body.
        Err(_) if !encoding.may_be_read(body) => return Err(Error::new(ErrorCode::Serialization, "")),
        sender => sender?,
    };
    if operation.name == "PutRecords"
        && let Some(put) = wire::put_records(encoding, body)
        && let Some(reply) = put_records(service, sender, &put, encoding).await?
    {
        return Ok(reply);
    }
    let model = Model::kinesis();
    let request = encoding.read(model, operation, body)?;
    validate(model, operation.input, &request)?;
    let request = Request(request);
    access::allow_request(service, sender, operation.name, &request)?;
    if service.settings.enforce_limits {
        check_rate(service, operation.name, &request)?;
    }
    perform(service, operation.name, request, encoding).await
}

/// Whether the operation may be called now, where clients are held to limits.
fn check_rate(service: &Service, operation: &'static str, request: &Request) -> Result {
    let Some(scope) = scope_of(operation) else { return Ok(()) };
    let consumer = request.text("ConsumerARN");
    let stream = request.stream_name().ok().or_else(|| ops::request::stream_of_arn(consumer?).ok());
    let stream = stream.unwrap_or_default();
    let shard = request.text("ShardId").and_then(ops::request::shard_of);
    let mut hasher = std::hash::DefaultHasher::new();
    match scope {
        Scope::Account => {}
        Scope::Stream => stream.hash(&mut hasher),
        Scope::Shard => (stream, shard).hash(&mut hasher),
        Scope::Subscription => (consumer, shard).hash(&mut hasher),
    }
    if service.limits.may_call(operation, hasher.finish(), service.now_ms()) {
        return Ok(());
    }
    let code = match scope {
        Scope::Shard => ErrorCode::ProvisionedThroughputExceeded,
        _ => ErrorCode::LimitExceeded,
    };
    let account = &service.settings.account;
    let message = match shard {
        Some(shard) => service.shard_rate_exceeded(shard, stream),
        None if stream.is_empty() => format!("Rate exceeded for account {account}."),
        None => format!("Rate exceeded for stream {stream} under account {account}."),
    };
    Err(Error::new(code, message))
}

/// `PutRecords` in the form that SDKs send it in; none if it has to be read by the model.
async fn put_records(
    service: &Arc<Service>,
    sender: Option<&Identity>,
    put: &wire::PutRecords<'_>,
    encoding: Encoding,
) -> Result<Option<Reply>> {
    let Ok(name) = ops::request::stream_named(put.stream_name, put.stream_arn) else { return Ok(None) };
    access::allow(service, sender, "PutRecords", Some(name))?;
    ops::put::many_as_sent(service, name, &put.records, encoding).await
}

async fn perform(
    service: &Arc<Service>,
    operation: &'static str,
    request: Request,
    encoding: Encoding,
) -> Result<Reply> {
    match operation {
        "DescribeAccountSettings" => ops::settings::account(service).await,
        "DescribeLimits" => ops::streams::limits(service),
        "DescribeStream" => ops::streams::describe(service, &request).await,
        "DescribeStreamConsumer" => ops::consumers::describe(service, &request).await,
        "DescribeStreamSummary" => ops::streams::summarize(service, &request).await,
        "GetRecords" => ops::get::get(service, &request, encoding).await,
        "GetResourcePolicy" => ops::settings::get_policy(service, &request).await,
        "GetShardIterator" => ops::iterators::get(service, &request).await,
        // There are none.
        "ListChannels" => Ok(ops::members! { "ChannelSummaries": Vec::<Value>::new() }.into()),
        "ListQueues" => Ok(ops::members! { "QueueSummaries": Vec::<Value>::new() }.into()),
        "ListShards" => ops::listing::shards(service, &request).await,
        "ListStreamConsumers" => ops::consumers::list(service, &request).await,
        "ListStreams" => ops::listing::streams(service, &request).await,
        "ListTagsForResource" => ops::tags::list_of_resource(service, &request).await,
        "ListTagsForStream" => ops::tags::list_of_stream(service, &request).await,
        "PutRecord" => ops::put::one(service, &request).await,
        "PutRecords" => ops::put::many(service, &request).await,
        "SubscribeToShard" => ops::subscribe::subscribe(service, &request, encoding).await,
        _ => {
            // What changes something goes on to its end when the client goes away.
            let service = service.clone();
            let changing = tokio::spawn(async move { change(&service, operation, &request).await });
            changing.await.unwrap_or_else(|error| Err(Error::internal(error)))
        }
    }
}

async fn change(service: &Arc<Service>, operation: &str, request: &Request) -> Result<Reply> {
    match operation {
        "AddTagsToStream" => ops::tags::add_to_stream(service, request).await,
        "CreateStream" => ops::streams::create(service, request).await,
        "DecreaseStreamRetentionPeriod" => ops::retention::decrease(service, request).await,
        "DeleteResourcePolicy" => ops::settings::delete_policy(service, request).await,
        "DeleteStream" => ops::streams::delete(service, request).await,
        "DeregisterStreamConsumer" => ops::consumers::deregister(service, request).await,
        "DisableEnhancedMonitoring" => ops::monitoring::disable(service, request).await,
        "EnableEnhancedMonitoring" => ops::monitoring::enable(service, request).await,
        "IncreaseStreamRetentionPeriod" => ops::retention::increase(service, request).await,
        "MergeShards" => ops::resharding::merge(service, request).await,
        "PutResourcePolicy" => ops::settings::put_policy(service, request).await,
        "RegisterStreamConsumer" => ops::consumers::register(service, request).await,
        "RemoveTagsFromStream" => ops::tags::remove_from_stream(service, request).await,
        "SplitShard" => ops::resharding::split(service, request).await,
        "StartStreamEncryption" => ops::monitoring::start_encryption(service, request).await,
        "StopStreamEncryption" => ops::monitoring::stop_encryption(service, request).await,
        "TagResource" => ops::tags::add_to_resource(service, request).await,
        "UntagResource" => ops::tags::remove_from_resource(service, request).await,
        "UpdateAccountSettings" => ops::settings::update_account(service, request).await,
        "UpdateMaxRecordSize" => ops::settings::record_size(service, request).await,
        "UpdateShardCount" => ops::resharding::update_count(service, request).await,
        "UpdateStreamMode" => ops::settings::mode(service, request).await,
        "UpdateStreamRecordDistributionStrategy" => ops::settings::distribution(service, request).await,
        "UpdateStreamWarmThroughput" => ops::settings::warm(service, request).await,
        // The model has it: channels to stores, and queues.
        _ => {
            let message = format!("{operation} is not supported by this service yet.");
            Err(Error::new(ErrorCode::InvalidArgument, message))
        }
    }
}
