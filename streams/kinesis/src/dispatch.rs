//! From an HTTP request to an operation and back: which operation is asked for, how its body is encoded,
//! and how an error is told.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use crate::error::{Error, ErrorCode, Result};
use crate::model::{Model, validate};
use crate::ops::{self, Reply, Request};
use crate::records;
use crate::server::Body;
use crate::service::Service;
use crate::value::Value;
use crate::wire::Encoding;

/// Answers a request whose body is there.
pub async fn answer(service: &Arc<Service>, headers: &HeaderMap, body: Bytes) -> Response<Body> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(encoding) = Encoding::of_content_type(content_type) else {
        return refuse(&Error::new(ErrorCode::UnknownOperation, ""), Encoding::Json);
    };
    let answered = match operation(headers) {
        Ok(operation) => call(service, operation, encoding, &body).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(Reply::Done) => respond(StatusCode::OK, Bytes::new(), encoding),
        Ok(Reply::Value(value)) => {
            let mut body = Vec::new();
            encoding.write(&value, &mut body);
            respond(StatusCode::OK, body.into(), encoding)
        }
        Ok(Reply::Records(fetched)) => {
            let encoded = crate::blocking(move || Ok(records::answer(&fetched, encoding))).await;
            match encoded {
                Ok(body) => respond(StatusCode::OK, body.into(), encoding),
                Err(error) => refuse(&error, encoding),
            }
        }
        Ok(Reply::Events(events)) => {
            let mut response = Response::new(Body::Events(events));
            let kind = HeaderValue::from_static("application/vnd.amazon.eventstream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(error) => refuse(&error, encoding),
    }
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
    let mut response = Response::new(Body::Full(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    response
}

/// The operation that `X-Amz-Target` names.
///
/// # Errors
/// `UnknownOperationException`.
pub fn operation(headers: &HeaderMap) -> Result<&str> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    target
        .and_then(|target| target.strip_prefix(Model::kinesis().target())?.strip_prefix('.'))
        .ok_or_else(|| Error::new(ErrorCode::UnknownOperation, ""))
}

async fn call(service: &Arc<Service>, operation: &str, encoding: Encoding, body: &Bytes) -> Result<Reply> {
    let model = Model::kinesis();
    let known = model.operation(operation).ok_or_else(|| Error::new(ErrorCode::UnknownOperation, ""))?;
    let request = encoding.read(model, known, body)?;
    validate(model, known.input, &request)?;
    let request = Request(request);
    match operation {
        "DescribeAccountSettings" => ops::settings::account(service).await,
        "DescribeLimits" => ops::streams::limits(service),
        "DescribeStream" => ops::streams::describe(service, &request).await,
        "DescribeStreamConsumer" => ops::consumers::describe(service, &request).await,
        "DescribeStreamSummary" => ops::streams::summarize(service, &request).await,
        "GetRecords" => ops::get::get(service, &request).await,
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
            let (service, operation) = (service.clone(), operation.to_owned());
            let changing = tokio::spawn(async move { change(&service, &operation, &request).await });
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
