//! Encryption and enhanced monitoring: what a stream is said to have. Records lie in the log as they are,
//! and metrics of shards are always there; both settings are kept and shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::changing::Changing;
use super::{Reply, Request, members};
use crate::error::{Error, ErrorCode, Result};
use crate::service::Service;
use crate::value::Value;

/// Every shard-level metric; `ALL` stands for them.
const METRICS: [&str; 7] = [
    "IncomingBytes",
    "IncomingRecords",
    "IteratorAgeMilliseconds",
    "OutgoingBytes",
    "OutgoingRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
];

/// `StartStreamEncryption`.
///
/// # Errors
/// If the stream is not there or is being changed.
pub async fn start_encryption(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let key_id = request.required("KeyId")?.to_owned();
    if request.required("EncryptionType")? != "KMS" {
        return Err(Error::new(ErrorCode::InvalidArgument, "The encryption type must be KMS."));
    }
    encrypt(service, request, Some(key_id)).await
}

/// `StopStreamEncryption`.
///
/// # Errors
/// If the stream is not there or is being changed.
pub async fn stop_encryption(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    encrypt(service, request, None).await
}

async fn encrypt(service: &Arc<Service>, request: &Request, key_id: Option<String>) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let changing = Changing::begin(service, &stream)?;
    changing.record(service, |record| record.key_id = key_id).await?;
    Ok(Reply::Done)
}

/// `EnableEnhancedMonitoring`.
///
/// # Errors
/// If the stream is not there or is being changed.
pub async fn enable(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    monitor(service, request, |before, named| before.union(named).cloned().collect()).await
}

/// `DisableEnhancedMonitoring`.
///
/// # Errors
/// If the stream is not there or is being changed.
pub async fn disable(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    monitor(service, request, |before, named| before.difference(named).cloned().collect()).await
}

type Metrics = BTreeSet<String>;

async fn monitor(
    service: &Arc<Service>,
    request: &Request,
    change: fn(&Metrics, &Metrics) -> Metrics,
) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let changing = Changing::begin(service, &stream)?;
    let record = stream.record();
    let mut named: Metrics = request.texts("ShardLevelMetrics").map(str::to_owned).collect();
    if named.remove("ALL") {
        named = METRICS.iter().map(|&metric| metric.to_owned()).collect();
    }
    let desired = change(&record.metrics, &named);
    let listed =
        |metrics: &Metrics| metrics.iter().map(|metric| metric.as_str().into()).collect::<Vec<Value>>();
    let reply = members! {
        "StreamName": record.name.as_str(),
        "CurrentShardLevelMetrics": listed(&record.metrics),
        "DesiredShardLevelMetrics": listed(&desired),
        "StreamARN": service.arn(&record.name),
    };
    changing.record(service, |record| record.metrics = desired).await?;
    Ok(reply.into())
}
