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
        "DescribeLimits" => ops::streams::limits(service),
        "DescribeStream" => ops::streams::describe(service, &request).await,
        "DescribeStreamSummary" => ops::streams::summarize(service, &request).await,
        "GetRecords" => ops::get::get(service, &request).await,
        "GetShardIterator" => ops::iterators::get(service, &request).await,
        "ListShards" => ops::listing::shards(service, &request).await,
        "ListStreams" => ops::listing::streams(service, &request).await,
        "PutRecord" => ops::put::one(service, &request).await,
        "PutRecords" => ops::put::many(service, &request).await,
        _ => {
            // What changes a stream goes on to its end when the client goes away.
            let (service, operation) = (service.clone(), operation.to_owned());
            let changing = tokio::spawn(async move { change(&service, &operation, &request).await });
            changing.await.unwrap_or_else(|error| Err(Error::internal(error)))
        }
    }
}

async fn change(service: &Arc<Service>, operation: &str, request: &Request) -> Result<Reply> {
    match operation {
        "CreateStream" => ops::streams::create(service, request).await,
        "DeleteStream" => ops::streams::delete(service, request).await,
        _ => Err(Error::new(ErrorCode::UnknownOperation, "")),
    }
}
