//! Tags, of streams by name and of streams and consumers by ARN.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::consumers::by_arn;
use super::request::stream_of_arn;
use super::{Reply, Request, members};
use crate::catalog::StreamRecord;
use crate::error::{Error, ErrorCode, Result};
use crate::service::Service;
use crate::stream::Stream;
use crate::value::Value;

/// Tags that a resource may have.
const MOST_TAGS: usize = 50;

type Tags = BTreeMap<String, String>;

/// What has tags.
struct Tagged {
    stream: Arc<Stream>,
    consumer: Option<String>,
}

impl Tagged {
    async fn by_name(service: &Arc<Service>, request: &Request) -> Result<Self> {
        Ok(Self { stream: request.stream(service).await?, consumer: None })
    }

    async fn by_arn(service: &Arc<Service>, request: &Request) -> Result<Self> {
        let arn = request.required("ResourceARN")?;
        if arn.contains("/consumer/") {
            let (stream, name, _) = by_arn(service, arn).await?;
            return Ok(Self { stream, consumer: Some(name) });
        }
        Ok(Self { stream: service.stream(stream_of_arn(arn)?).await?, consumer: None })
    }

    fn tags(&self) -> Tags {
        let record = self.stream.record();
        match &self.consumer {
            None => record.tags.clone(),
            Some(name) => {
                record.consumers.get(name).map(|consumer| consumer.tags.clone()).unwrap_or_default()
            }
        }
    }

    /// Replaces the tags by what `change` makes of them.
    async fn change(
        &self,
        service: &Arc<Service>,
        change: impl FnOnce(&mut Tags) -> Result + Send,
    ) -> Result<Reply> {
        let _control = self.stream.control.lock().await;
        let mut tags = self.tags();
        change(&mut tags)?;
        let (own, stream, consumer) = (service.clone(), self.stream.clone(), self.consumer.clone());
        crate::blocking(move || {
            stream.change(&own.catalog, |record: &mut StreamRecord| match consumer {
                None => record.tags = tags,
                Some(name) => {
                    if let Some(consumer) = record.consumers.get_mut(&name) {
                        consumer.tags = tags;
                    }
                }
            })
        })
        .await?;
        Ok(Reply::Done)
    }
}

/// Whether a resource may have these tags.
///
/// # Errors
/// If there are too many, or one has characters that are not allowed.
pub fn check_tags(tags: &Tags) -> Result {
    check_characters(tags.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]))?;
    if tags.len() > MOST_TAGS {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("A resource cannot have more than {MOST_TAGS} tags associated with it."),
        ));
    }
    Ok(())
}

fn check_characters<'a>(mut texts: impl Iterator<Item = &'a str>) -> Result {
    let is_allowed = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '\u{c0}'..='\u{1fff}' | '\u{2c00}'..='\u{d7ff}' | '.' | ':' | '/' | '-' | '=' | '+' | '_' | ' ' | '@')
    };
    if texts.all(|text| text.chars().all(is_allowed)) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::InvalidArgument,
        "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @.",
    ))
}

async fn add(service: &Arc<Service>, request: &Request, tagged: Tagged) -> Result<Reply> {
    tagged
        .change(service, |tags| {
            let more = request.texts_by_name("Tags").map(|(key, value)| (key.to_owned(), value.to_owned()));
            tags.extend(more);
            check_tags(tags)
        })
        .await
}

async fn remove(service: &Arc<Service>, request: &Request, tagged: Tagged) -> Result<Reply> {
    check_characters(request.texts("TagKeys"))?;
    tagged
        .change(service, |tags| {
            for key in request.texts("TagKeys") {
                tags.remove(key);
            }
            Ok(())
        })
        .await
}

fn listed<'a>(tags: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    tags.map(|(key, value)| members! { "Key": key.as_str(), "Value": value.as_str() }).collect()
}

/// `AddTagsToStream`.
///
/// # Errors
/// If the stream is not there, or may not have these tags.
pub async fn add_to_stream(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    add(service, request, Tagged::by_name(service, request).await?).await
}

/// `RemoveTagsFromStream`.
///
/// # Errors
/// If the stream is not there.
pub async fn remove_from_stream(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    remove(service, request, Tagged::by_name(service, request).await?).await
}

/// `ListTagsForStream`.
///
/// # Errors
/// If the stream is not there.
pub async fn list_of_stream(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let tags = Tagged::by_name(service, request).await?.tags();
    let after = request.text("ExclusiveStartTagKey");
    let mut rest = tags.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
    let page = listed(rest.by_ref().take(request.limit("Limit", MOST_TAGS)));
    Ok(members! { "Tags": page, "HasMoreTags": rest.next().is_some() }.into())
}

/// `TagResource`.
///
/// # Errors
/// If the resource is not there, or may not have these tags.
pub async fn add_to_resource(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    add(service, request, Tagged::by_arn(service, request).await?).await
}

/// `UntagResource`.
///
/// # Errors
/// If the resource is not there.
pub async fn remove_from_resource(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    remove(service, request, Tagged::by_arn(service, request).await?).await
}

/// `ListTagsForResource`.
///
/// # Errors
/// If the resource is not there.
pub async fn list_of_resource(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let tags = Tagged::by_arn(service, request).await?.tags();
    Ok(members! { "Tags": listed(tags.iter()) }.into())
}
