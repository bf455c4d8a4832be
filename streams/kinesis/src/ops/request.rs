//! A request: its members by name, and the stream that it is about.

use std::sync::Arc;

use bytes::Bytes;
use pelton_streams::ShardId;

use crate::error::{Error, ErrorCode, Result};
use crate::service::Service;
use crate::stream::{Stream, not_found};
use crate::value::Value;

/// A request that was checked against the model.
#[derive(Debug)]
pub struct Request(pub Value);

impl Request {
    /// A text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_text)
    }

    /// A text that the model requires.
    ///
    /// # Errors
    /// If it is missing all the same.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.text(name).ok_or_else(|| missing(name))
    }

    /// A whole number.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_int)
    }

    /// A number of entries, at most `most`; as many if it is not given.
    #[must_use]
    pub fn limit(&self, name: &str, most: usize) -> usize {
        self.int(name).and_then(|limit| usize::try_from(limit).ok()).map_or(most, |limit| limit.max(1))
    }

    /// A truth; `false` if it is not given.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Value::Bool(true)))
    }

    /// A time, in ms since the Unix epoch.
    #[must_use]
    pub fn time_ms(&self, name: &str) -> Option<u64> {
        time_of(self.0.get(name)?)
    }

    /// A structure.
    #[must_use]
    pub fn structure(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A list; empty if it is not given.
    #[must_use]
    pub fn list(&self, name: &str) -> &[Value] {
        if let Some(Value::List(list)) = self.0.get(name) { list } else { &[] }
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.list(name).iter().filter_map(Value::as_text)
    }

    /// A map from text to text.
    pub fn texts_by_name(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let entries = if let Some(Value::Map(entries)) = self.0.get(name) { &entries[..] } else { &[] };
        entries.iter().filter_map(|(name, value)| Some((&**name, value.as_text()?)))
    }

    /// The name of the stream that it is about: by `StreamName` or `StreamARN`.
    ///
    /// # Errors
    /// If neither is given, or they name two streams.
    pub fn stream_name(&self) -> Result<&str> {
        stream_named(self.text("StreamName"), self.text("StreamARN"))
    }

    /// The stream that it is about.
    ///
    /// # Errors
    /// If it names none, or one that is not there.
    pub async fn stream(&self, service: &Arc<Service>) -> Result<Arc<Stream>> {
        let name = self.stream_name()?;
        let stream = service.stream(name).await?;
        let id = self.text("StreamId");
        if id.is_some_and(|id| id != super::streams::stream_id(&stream.record())) {
            return Err(not_found(name, &service.settings.account));
        }
        Ok(stream)
    }
}

/// The stream that a name or an ARN names.
///
/// # Errors
/// If neither is given, or they name two streams.
pub fn stream_named<'a>(name: Option<&'a str>, arn: Option<&'a str>) -> Result<&'a str> {
    let by_arn = arn.map(stream_of_arn).transpose()?;
    match (name, by_arn) {
        (Some(name), Some(other)) if name != other => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("StreamName {name} does not match the stream {other} of StreamARN."),
        )),
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => Err(Error::new(
            ErrorCode::InvalidArgument,
            "Missing required parameter: one of StreamName and StreamARN must be provided.",
        )),
    }
}

/// A member of a structure that the model requires is missing all the same.
#[must_use]
pub fn missing(name: &str) -> Error {
    Error::new(ErrorCode::Validation, format!("{name} is missing."))
}

/// A time, in ms since the Unix epoch.
#[must_use]
pub fn time_of(value: &Value) -> Option<u64> {
    if let Value::Time(ms) = value { u64::try_from(*ms).ok() } else { None }
}

/// Bytes.
#[must_use]
pub fn blob_of(value: &Value) -> Option<&Bytes> {
    if let Value::Blob(bytes) = value { Some(bytes) } else { None }
}

/// The stream that an ARN of it, or of a consumer of it, names; whose account and region those are does
/// not count, so that programs which spell ARNs out need not be changed.
///
/// # Errors
/// If it names none.
pub fn stream_of_arn(arn: &str) -> Result<&str> {
    let resource = arn.splitn(6, ':').nth(5).and_then(|resource| resource.strip_prefix("stream/"));
    let name = resource.and_then(|resource| resource.split('/').next()).filter(|name| !name.is_empty());
    name.ok_or_else(|| {
        Error::new(ErrorCode::InvalidArgument, format!("{arn} is not a valid ARN of a stream."))
    })
}

/// The shard that a text names: `shardId-000000000003`, or the number alone.
#[must_use]
pub fn shard_of(text: &str) -> Option<ShardId> {
    let digits = text.split_once('-').map_or(text, |(_, digits)| digits);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = digits.parse().ok().filter(|_| is_number)?;
    (number <= i32::MAX as u32).then_some(ShardId(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_as_aws_takes_them() {
        for (text, shard) in [
            ("shardId-000000000003", Some(3)),
            ("3", Some(3)),
            ("shardId-3", Some(3)),
            ("shardId-002147483647", Some(i32::MAX as u32)),
            ("shardId-002147483648", None),
            ("shardId-", None),
            ("shardId-+1", None),
            ("shardId--1", None),
            ("x", None),
        ] {
            assert_eq!(shard_of(text), shard.map(ShardId), "{text}");
        }
    }

    #[test]
    fn arns_name_streams() {
        for (arn, name) in [
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/payments", Some("payments")),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/payments/consumer/risk:17", Some("payments")),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/", None),
            ("arn:aws:kinesis:eu-west-1:123456789012:channel/payments", None),
            ("payments", None),
        ] {
            assert_eq!(stream_of_arn(arn).ok(), name, "{arn}");
        }
    }
}
