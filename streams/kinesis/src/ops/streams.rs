//! `CreateStream`, `DeleteStream`, `DescribeStream`, `DescribeStreamSummary`, `DescribeLimits`.

use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::request::shard_of;
use super::{Reply, Request, members, time};
use crate::catalog::{Distribution, Mode, Status, StreamRecord};
use crate::error::{Error, ErrorCode, Result};
use crate::on_demand::LEAST_SHARDS;
use crate::service::{HOUR_MS, Service};
use crate::shards::ShardTable;
use crate::stream::Stream;
use crate::value::{Name, Value};

/// Streams that see to their shards themselves, at most.
const ON_DEMAND_STREAMS: usize = 50;
/// The retention that is shown of a stream that keeps its records for ever: the longest there is.
const LONGEST_HOURS: u64 = 8760;
/// Shards on a page of `DescribeStream` unless it says.
const SHARDS_ON_A_PAGE: usize = 100;

/// `CreateStream`.
///
/// # Errors
/// If the stream exists, or a limit is reached.
pub async fn create(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let record = new_record(service, request)?;
    let name = record.name.clone();
    let stream = Arc::new(Stream::new(record.clone(), ShardTable::default(), true));
    let exists =
        || service.error(ErrorCode::ResourceInUse, format_args!("Stream {name}"), " already exists.");
    // One that another process has created is seen too.
    match service.stream(&name).await {
        Err(error) if error.code() == ErrorCode::ResourceNotFound => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(exists()),
    }
    if !service.add(stream.clone()) {
        return Err(exists());
    }
    let _control = stream.control.lock().await;
    let (own, created) = (service.clone(), stream.clone());
    let done = crate::blocking(move || {
        own.catalog.put(&record)?;
        own.create_log(&record)?;
        let finished = finish_creating(&own, &created, &record.name);
        if finished.is_err() {
            // Whoever is told that there is none may create it once more.
            let _ = own.log.delete_stream(&record.name);
        }
        finished
    });
    if let Err(error) = done.await {
        service.remove(&name);
        let (own, name) = (service.clone(), name.clone());
        // If this fails too, the next start creates the stream.
        let _ = crate::blocking(move || Ok(own.catalog.remove(&name)?)).await;
        return Err(error);
    }
    Ok(Reply::Done)
}

/// Enters a stream whose log is there.
fn finish_creating(service: &Service, stream: &Stream, name: &str) -> Result {
    let log_id = service.log.describe_stream(name)?.stream_id;
    stream.change(&service.catalog, |record| {
        (record.log_id, record.status) = (log_id, Status::Active);
    })?;
    stream.look_at_shards(&service.log)?;
    Ok(())
}

fn new_record(service: &Service, request: &Request) -> Result<StreamRecord> {
    let name = request.required("StreamName")?;
    let invalid = |message: &str| Err(Error::new(ErrorCode::InvalidArgument, message));
    let mode = mode_of(request).unwrap_or(Mode::Provisioned);
    let shards = request.int("ShardCount");
    let warm_mibps = request.int("WarmThroughputMiBps").and_then(|mibps| u32::try_from(mibps).ok());
    let initial_shards = match (mode, shards) {
        // A shard takes a mebibyte a second.
        (Mode::OnDemand, None) => warm_mibps.unwrap_or(0).max(LEAST_SHARDS),
        (Mode::OnDemand, Some(_)) => {
            return Err(Error::new(
                ErrorCode::Validation,
                "ShardCount should not be provided for streams with ON_DEMAND mode.",
            ));
        }
        (Mode::Provisioned, Some(shards)) => u32::try_from(shards).unwrap_or(u32::MAX),
        (Mode::Provisioned, None) => {
            return Err(Error::new(
                ErrorCode::Validation,
                "ShardCount must be provided for streams with PROVISIONED mode.",
            ));
        }
    };
    if name.starts_with('.') {
        return invalid("StreamName must not begin with a dot.");
    }
    let streams = service.streams();
    if mode == Mode::OnDemand
        && streams.iter().filter(|s| s.record().mode == Mode::OnDemand).count() >= ON_DEMAND_STREAMS
    {
        return Err(Error::new(
            ErrorCode::LimitExceeded,
            format!(
                "The account {} has {ON_DEMAND_STREAMS} on-demand streams and cannot have more.",
                service.settings.account
            ),
        ));
    }
    check_shard_limit(service, initial_shards)?;
    let mut record = StreamRecord {
        initial_shards,
        mode,
        status: Status::Creating,
        ..StreamRecord::new(name, service.now_ms())
    };
    record.tags =
        request.texts_by_name("Tags").map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    if let Some(kib) = request.int("MaxRecordSizeInKiB") {
        record.max_record_kib = u32::try_from(kib).unwrap_or(u32::MAX);
    }
    record.warm_mibps = warm_mibps;
    if request.text("RecordDistributionStrategy") == Some("AUTO") {
        record.distribution = Distribution::Auto;
    }
    Ok(record)
}

/// `StreamModeDetails`.
#[must_use]
pub fn mode_of(request: &Request) -> Option<Mode> {
    let details = request.structure("StreamModeDetails")?;
    let is_on_demand = details.get("StreamMode").and_then(Value::as_text) == Some("ON_DEMAND");
    Some(if is_on_demand { Mode::OnDemand } else { Mode::Provisioned })
}

/// Whether the account may have `more` open shards.
///
/// # Errors
/// `LimitExceededException`.
pub fn check_shard_limit(service: &Service, more: u32) -> Result {
    let open = open_shards(service);
    let limit = service.settings.shard_limit;
    if open + more as usize <= limit as usize {
        return Ok(());
    }
    let (account, region) = (&service.settings.account, &service.settings.region);
    Err(Error::new(
        ErrorCode::LimitExceeded,
        format!(
            "This request would exceed the shard limit for the account {account} in {region}. Current shard count for the account: {open}. Limit: {limit}. Number of additional shards that would have resulted from this request: {more}. Refer to the AWS Service Limits page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits."
        ),
    ))
}

fn open_shards(service: &Service) -> usize {
    service.streams().iter().map(|stream| stream.shards().open().count()).sum()
}

/// `DeleteStream`.
///
/// # Errors
/// If there is no such stream, or it has consumers.
pub async fn delete(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let _control = stream.control.lock().await;
    let record = stream.record();
    if !record.consumers.is_empty() && !request.is("EnforceConsumerDeletion") {
        return Err(service.error(
            ErrorCode::ResourceInUse,
            format_args!("Stream {}", record.name),
            &format!(
                " has {} registered consumers; deregister them or set EnforceConsumerDeletion.",
                record.consumers.len()
            ),
        ));
    }
    if record.status == Status::Deleting {
        return Err(crate::stream::not_found(&record.name, &service.settings.account));
    }
    let (own, marked) = (service.clone(), stream.clone());
    crate::blocking(move || marked.change(&own.catalog, |record| record.status = Status::Deleting)).await?;
    let (own, name) = (service.clone(), record.name.clone());
    let deleted = stream
        .without_users(move || {
            own.log.delete_stream(&name)?;
            Ok(own.catalog.remove(&name)?)
        })
        .await;
    if let Err(error) = deleted {
        let (own, kept) = (service.clone(), stream.clone());
        // What is refused must not be done later, by the next start. What was begun is brought to its end by it.
        crate::blocking(move || {
            if own.log.describe_stream(&kept.record().name).is_ok() {
                kept.change(&own.catalog, |record| record.status = Status::Active)?;
            }
            Ok(())
        })
        .await?;
        return Err(error);
    }
    service.readers.forget(record.log_id);
    service.metrics.forget(record.log_id);
    let gone = crate::stream::not_found(&record.name, &service.settings.account);
    service.subscriptions.end_of(record.log_id, None, &gone);
    service.remove(&record.name);
    Ok(Reply::Done)
}

/// `DescribeStream`.
///
/// # Errors
/// If there is no such stream.
pub async fn describe(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let table = look_at_shards(service, &stream).await?;
    let record = stream.record();
    let start = request.text("ExclusiveStartShardId").map(|text| {
        shard_of(text).ok_or_else(|| {
            service.error(
                ErrorCode::ResourceNotFound,
                format_args!("Could not find shard {text} in stream {}", record.name),
                ".",
            )
        })
    });
    let start = start.transpose()?;
    let limit = request.limit("Limit", SHARDS_ON_A_PAGE);
    let mut shards =
        table.listed(None, service.now_ms()).filter(|shard| start.is_none_or(|start| shard.id > start));
    let page: Vec<Value> = shards.by_ref().take(limit).map(crate::shards::Shard::described).collect();
    let Value::Map(mut members) = common(service, &record, &table) else {
        return Err(Error::internal("no map"));
    };
    members.extend([
        (Name::Borrowed("Shards"), page.into()),
        (Name::Borrowed("HasMoreShards"), shards.next().is_some().into()),
    ]);
    Ok(members! { "StreamDescription": members }.into())
}

/// Looks at the shards of a stream again, unless it is being created.
///
/// # Errors
/// If the log cannot be read.
pub async fn look_at_shards(service: &Arc<Service>, stream: &Arc<Stream>) -> Result<Arc<ShardTable>> {
    if stream.record().status != Status::Active {
        return Ok(stream.shards());
    }
    let (own, looked_at) = (service.clone(), stream.clone());
    let account = service.settings.account.clone();
    crate::blocking(move || {
        looked_at.look_at_shards(&own.log).map_err(|error| match error.code() {
            ErrorCode::ResourceNotFound => {
                // Deleted by other means.
                own.remove(&looked_at.record().name);
                crate::stream::not_found(&looked_at.record().name, &account)
            }
            _ => error,
        })
    })
    .await
}

/// `DescribeStreamSummary`.
///
/// # Errors
/// If there is no such stream.
pub async fn summarize(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let table = look_at_shards(service, &stream).await?;
    let record = stream.record();
    let Value::Map(mut members) = common(service, &record, &table) else {
        return Err(Error::internal("no map"));
    };
    let warm = record.warm_mibps;
    members.extend([
        (Name::Borrowed("StreamId"), stream_id(&record).into()),
        (Name::Borrowed("OpenShardCount"), (table.open().count() as u32).into()),
        (Name::Borrowed("ConsumerCount"), (record.consumers.len() as u32).into()),
        (Name::Borrowed("MaxRecordSizeInKiB"), record.max_record_kib.into()),
        (Name::Borrowed("RecordDistributionStrategy"), record.distribution.name().into()),
        (Name::Borrowed("ChannelCount"), 0_u32.into()),
        (Name::Borrowed("QueueCount"), 0_u32.into()),
        (Name::Borrowed("WarmThroughput"), warm.map(|mibps| warm_throughput(mibps, &table)).into()),
    ]);
    Ok(members! { "StreamDescriptionSummary": members }.into())
}

/// `WarmThroughputObject`: what is asked for, and for how much of it there are shards already.
#[must_use]
pub fn warm_throughput(mibps: u32, table: &ShardTable) -> Value {
    let open = u32::try_from(table.open().count()).unwrap_or(u32::MAX);
    members! { "TargetMiBps": mibps, "CurrentMiBps": mibps.min(open) }
}

/// What both descriptions have.
fn common(service: &Service, record: &StreamRecord, table: &ShardTable) -> Value {
    let metrics: Vec<Value> = record.metrics.iter().map(|metric| metric.as_str().into()).collect();
    members! {
        "StreamName": record.name.as_str(),
        "StreamARN": service.arn(&record.name),
        "StreamStatus": record.status.name(),
        "StreamModeDetails": members! { "StreamMode": record.mode.name() },
        "RetentionPeriodHours": retention_hours(table),
        "StreamCreationTimestamp": time(record.created_ms),
        "EnhancedMonitoring": vec![members! { "ShardLevelMetrics": metrics }],
        "EncryptionType": if record.key_id.is_some() { "KMS" } else { "NONE" },
        "KeyId": record.key_id.as_deref(),
    }
}

/// How long a stream keeps records, in hours.
#[must_use]
pub fn retention_hours(table: &ShardTable) -> u32 {
    let hours = table.retention_ms.map_or(LONGEST_HOURS, |ms| ms.div_ceil(HOUR_MS));
    hours.min(LONGEST_HOURS) as u32
}

/// `StreamId`: of the same stream always the same, and of another one of the same name another.
#[must_use]
pub fn stream_id(record: &StreamRecord) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = digest(&SHA256, &record.log_id.to_le_bytes());
    let letters: Vec<char> =
        hash.as_ref().iter().map(|byte| LETTERS[usize::from(byte % 32)].into()).collect();
    let (long, short) = (letters[..20].iter(), letters[20..23].iter());
    long.chain(&['-']).chain(short).collect()
}

/// `DescribeLimits`.
///
/// # Errors
/// None.
pub fn limits(service: &Service) -> Result<Reply> {
    let on_demand = service.streams().iter().filter(|s| s.record().mode == Mode::OnDemand).count();
    Ok(members! {
        "ShardLimit": service.settings.shard_limit,
        "OpenShardCount": open_shards(service) as u32,
        "OnDemandStreamCount": on_demand as u32,
        "OnDemandStreamCountLimit": ON_DEMAND_STREAMS as u32,
    }
    .into())
}
