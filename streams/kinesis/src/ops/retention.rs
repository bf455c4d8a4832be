//! `IncreaseStreamRetentionPeriod`, `DecreaseStreamRetentionPeriod`: how long records are kept.

use std::sync::Arc;

use pelton_streams::Retention;

use super::changing::Changing;
use super::streams::{look_at_shards, retention_hours};
use super::{Reply, Request};
use crate::error::{Error, ErrorCode, Result};
use crate::service::{HOUR_MS, Service};

const SHORTEST_HOURS: i64 = 24;
const LONGEST_HOURS: i64 = 8760;

/// `IncreaseStreamRetentionPeriod`.
///
/// # Errors
/// If the stream is not there, or keeps its records for longer already.
pub async fn increase(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    change(service, request, |hours, present| hours >= present, "shorter", "Decrease").await
}

/// `DecreaseStreamRetentionPeriod`.
///
/// # Errors
/// If the stream is not there, or keeps its records for less already.
pub async fn decrease(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    change(service, request, |hours, present| hours <= present, "longer", "Increase").await
}

async fn change(
    service: &Arc<Service>,
    request: &Request,
    is_right: fn(i64, i64) -> bool,
    wrong: &str,
    other: &str,
) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let hours = request.int("RetentionPeriodHours").unwrap_or(0);
    let invalid = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
    if hours < SHORTEST_HOURS {
        return invalid(format!(
            "Minimum allowed retention period is {SHORTEST_HOURS} hours. Requested retention period ({hours} hours) is too short."
        ));
    }
    if hours > LONGEST_HOURS {
        return invalid(format!(
            "Maximum allowed retention period is {LONGEST_HOURS} hours. Requested retention period ({hours} hours) is too long."
        ));
    }
    let present = i64::from(retention_hours(&*look_at_shards(service, &stream).await?));
    if !is_right(hours, present) {
        return invalid(format!(
            "Requested retention period ({hours} hours) for stream {} can not be {wrong} than existing retention period ({present} hours). Use {other}RetentionPeriod API.",
            stream.record().name
        ));
    }
    let changing = Changing::begin(service, &stream)?;
    let retention = Retention { age_ms: Some(hours as u64 * HOUR_MS), bytes: None };
    changing.log(service, move |writer| Ok(writer.set_retention(retention)?)).await?;
    Ok(Reply::Done)
}
