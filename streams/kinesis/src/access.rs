//! Who sends a request, and whether they may: [`auth`](crate::auth) over the service. Where requests are
//! taken from everybody, it asks nothing.

use std::sync::Arc;

use bytes::Bytes;
use hyper::http::request::Parts;

use crate::auth::{Access, BodyHash, Identity, SignedRequest};
use crate::error::{Error, ErrorCode, Result};
use crate::ops::Request;
use crate::ops::iterators::Iterator;
use crate::ops::request::stream_of_arn;
use crate::service::Service;

/// Larger bodies are hashed where that holds up no connection: it takes a tenth of a millisecond.
const HASHED_IN_PLACE: usize = 128 << 10;

/// Finds out who sent a request; none if that is not asked.
///
/// # Errors
/// Those of [`Authenticator::authenticate`](crate::auth::Authenticator::authenticate).
pub async fn sender<'a>(
    service: &'a Arc<Service>,
    head: &Parts,
    body: &Bytes,
) -> Result<Option<&'a Identity>> {
    let Some(authenticator) = service.authenticator() else { return Ok(None) };
    let hash = if body.len() > HASHED_IN_PLACE {
        let body = body.clone();
        crate::blocking(move || Ok(BodyHash::of(&body))).await?
    } else {
        BodyHash::of(body)
    };
    let request = SignedRequest {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        authority: head.uri.authority().map(hyper::http::uri::Authority::as_str),
        body: hash,
    };
    authenticator.authenticate(&request, service.now_ms()).map(Some)
}

/// Lets a sender do what it asks for, if it may do that to each stream that the request names in any way.
///
/// # Errors
/// `AccessDeniedException`.
pub fn allow_request(
    service: &Service,
    sender: Option<&Identity>,
    operation: &str,
    request: &Request,
) -> Result {
    if sender.is_none() {
        return Ok(());
    }
    let arns = ["StreamARN", "ConsumerARN", "ResourceARN"].into_iter().filter_map(|name| request.text(name));
    let mut streams: Vec<String> =
        arns.filter_map(|arn| stream_of_arn(arn).ok()).map(str::to_owned).collect();
    streams.extend(request.text("StreamName").map(str::to_owned));
    let iterator = request.text("ShardIterator").and_then(|token| Iterator::open(service, token).ok());
    streams.extend(iterator.map(|iterator| iterator.stream));
    if streams.is_empty() {
        return allow(service, sender, operation, None);
    }
    streams.iter().try_for_each(|stream| allow(service, sender, operation, Some(stream)))
}

/// Lets a sender do `operation` to a stream, or to the account.
///
/// # Errors
/// `AccessDeniedException`.
pub fn allow(service: &Service, sender: Option<&Identity>, operation: &str, stream: Option<&str>) -> Result {
    let Some(sender) = sender.filter(|sender| !sender.may(Access::of(operation), stream)) else {
        return Ok(());
    };
    let account = &service.settings.account;
    let resource = stream.map_or_else(|| "*".to_owned(), |stream| service.arn(stream));
    Err(Error::new(
        ErrorCode::AccessDenied,
        format!(
            "User: arn:aws:iam::{account}:user/{} is not authorized to perform: kinesis:{operation} on resource: \
             {resource} because no identity-based policy allows the kinesis:{operation} action",
            sender.name()
        ),
    ))
}
