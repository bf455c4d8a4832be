//! Settings of a stream and of the account: mode, warm throughput, record size and distribution, policies.

use std::sync::Arc;

use super::changing::Changing;
use super::consumers::by_arn;
use super::request::stream_of_arn;
use super::streams::{mode_of, warm_throughput};
use super::{Reply, Request, members, time};
use crate::catalog::{AccountRecord, Distribution, Mode};
use crate::error::{Error, ErrorCode, Result};
use crate::service::{DAY_MS, Service};
use crate::stream::Stream;
use crate::value::Value;

/// How long a commitment runs at least.
const COMMITMENT_MS: u64 = DAY_MS;

/// `UpdateStreamMode`.
///
/// # Errors
/// If the stream is not there or is being changed.
pub async fn mode(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let mode = mode_of(request).unwrap_or(Mode::Provisioned);
    let warm = warm_of(request);
    let changing = Changing::begin(service, &stream)?;
    changing
        .record(service, move |record| {
            record.mode = mode;
            record.warm_mibps = if mode == Mode::OnDemand { warm.or(record.warm_mibps) } else { None };
        })
        .await?;
    Ok(Reply::Done)
}

fn warm_of(request: &Request) -> Option<u32> {
    request.int("WarmThroughputMiBps").and_then(|mibps| u32::try_from(mibps).ok())
}

/// `UpdateStreamWarmThroughput`.
///
/// # Errors
/// If the stream is not there, is being changed, or is not on demand.
pub async fn warm(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let changing = Changing::begin(service, &stream)?;
    let record = stream.record();
    if record.mode != Mode::OnDemand {
        return Err(Error::new(
            ErrorCode::Validation,
            format!("Stream {} is not in On-Demand mode: it has no warm throughput.", record.name),
        ));
    }
    let mibps = warm_of(request).unwrap_or(0);
    changing.record(service, move |record| record.warm_mibps = Some(mibps)).await?;
    Ok(members! {
        "StreamARN": service.arn(&record.name),
        "StreamName": record.name.as_str(),
        "WarmThroughput": warm_throughput(mibps, &stream.shards()),
    }
    .into())
}

/// `UpdateMaxRecordSize`.
///
/// # Errors
/// If the stream is not there or is being changed.
pub async fn record_size(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let kib = request.int("MaxRecordSizeInKiB").and_then(|kib| u32::try_from(kib).ok()).unwrap_or(1024);
    let changing = Changing::begin(service, &stream)?;
    changing.record(service, move |record| record.max_record_kib = kib).await?;
    Ok(Reply::Done)
}

/// `UpdateStreamRecordDistributionStrategy`.
///
/// # Errors
/// If the stream is not there or is being changed.
pub async fn distribution(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let is_auto = request.required("RecordDistributionStrategy")? == "AUTO";
    let distribution = if is_auto { Distribution::Auto } else { Distribution::UserPartitionKey };
    let changing = Changing::begin(service, &stream)?;
    changing.record(service, move |record| record.distribution = distribution).await?;
    Ok(Reply::Done)
}

/// The stream of a policy, and the consumer if it is one's.
async fn of_policy(service: &Arc<Service>, request: &Request) -> Result<(Arc<Stream>, Option<String>)> {
    let arn = request.required("ResourceARN")?;
    if arn.contains("/consumer/") {
        let (stream, name, _) = by_arn(service, arn).await?;
        return Ok((stream, Some(name)));
    }
    Ok((service.stream(stream_of_arn(arn)?).await?, None))
}

/// The policy of a stream, or of a consumer of it.
fn policy_of(stream: &Stream, consumer: Option<&String>) -> Option<String> {
    let record = stream.record();
    match consumer {
        None => record.policy.clone(),
        Some(name) => record.consumers.get(name)?.policy.clone(),
    }
}

/// `PutResourcePolicy`.
///
/// # Errors
/// If the resource is not there, or the policy is no JSON.
pub async fn put_policy(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let policy = request.required("Policy")?.to_owned();
    if !serde_json::from_str::<serde_json::Value>(&policy).is_ok_and(|policy| policy.is_object()) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            "Invalid policy document: it is not a JSON object.",
        ));
    }
    set_policy(service, request, Some(policy)).await
}

/// `DeleteResourcePolicy`.
///
/// # Errors
/// If the resource is not there, or has no policy.
pub async fn delete_policy(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    set_policy(service, request, None).await
}

async fn set_policy(service: &Arc<Service>, request: &Request, policy: Option<String>) -> Result<Reply> {
    let (stream, consumer) = of_policy(service, request).await?;
    let changing = Changing::begin(service, &stream)?;
    if policy.is_none() && policy_of(&stream, consumer.as_ref()).is_none() {
        return Err(Error::new(
            ErrorCode::ResourceNotFound,
            format!("No resource policy found for resource ARN {}", request.required("ResourceARN")?),
        ));
    }
    changing
        .record(service, move |record| match consumer {
            None => record.policy = policy,
            Some(name) => {
                if let Some(consumer) = record.consumers.get_mut(&name) {
                    consumer.policy = policy;
                }
            }
        })
        .await?;
    Ok(Reply::Done)
}

/// `GetResourcePolicy`.
///
/// # Errors
/// If the resource is not there.
pub async fn get_policy(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let (stream, consumer) = of_policy(service, request).await?;
    let policy = policy_of(&stream, consumer.as_ref());
    Ok(members! { "Policy": policy.unwrap_or_else(|| "{}".to_owned()) }.into())
}

/// `DescribeAccountSettings`.
///
/// # Errors
/// If they cannot be read.
pub async fn account(service: &Arc<Service>) -> Result<Reply> {
    let own = service.clone();
    let account = crate::blocking(move || Ok(own.catalog.account()?)).await?;
    Ok(described(&account))
}

fn described(account: &AccountRecord) -> Reply {
    let is_on = account.commitment_since_ms.is_some() && account.commitment_ended_ms.is_none();
    let until = account.commitment_since_ms.filter(|_| is_on).map(|since_ms| time(since_ms + COMMITMENT_MS));
    let commitment = members! {
        "Status": if is_on { "ENABLED" } else { "DISABLED" },
        "StartedAt": account.commitment_since_ms.filter(|_| is_on).map(time),
        "EndedAt": account.commitment_ended_ms.map(time),
        "EarliestAllowedEndAt": until,
    };
    members! { "MinimumThroughputBillingCommitment": commitment }.into()
}

/// `UpdateAccountSettings`.
///
/// # Errors
/// If they cannot be written.
pub async fn update_account(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let commitment = request.structure("MinimumThroughputBillingCommitment");
    let is_on = commitment.and_then(|it| it.get("Status")).and_then(Value::as_text) == Some("ENABLED");
    let now_ms = service.now_ms();
    let own = service.clone();
    let account = crate::blocking(move || {
        let mut account = own.catalog.account()?;
        if is_on {
            if account.commitment_since_ms.is_none() || account.commitment_ended_ms.is_some() {
                account = AccountRecord { commitment_since_ms: Some(now_ms), commitment_ended_ms: None };
            }
        } else if account.commitment_since_ms.is_some() && account.commitment_ended_ms.is_none() {
            account.commitment_ended_ms = Some(now_ms);
        }
        own.catalog.put_account(&account)?;
        Ok(account)
    })
    .await?;
    Ok(described(&account))
}
