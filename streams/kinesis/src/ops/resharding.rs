//! `SplitShard`, `MergeShards`, `UpdateShardCount`.

use std::sync::Arc;

use pelton_streams::{HashKey, ShardId, StreamWriter};

use super::changing::Changing;
use super::iterators::shard_in;
use super::request::shard_of;
use super::streams::{check_shard_limit, look_at_shards};
use super::{Reply, Request, members};
use crate::catalog::{Mode, StreamRecord};
use crate::error::{Error, ErrorCode, Result};
use crate::on_demand::Change;
use crate::service::Service;
use crate::shards::Shard;
use crate::stream::Stream;

/// `SplitShard`.
///
/// # Errors
/// If the shard is not there, is closed, or cannot be split at that hash key; or the stream is not provisioned.
pub async fn split(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    check_mode(&stream.record(), "SplitShard")?;
    let shard = open_shard(service, &stream, request.required("ShardToSplit")?).await?;
    let changing = Changing::begin(service, &stream)?;
    check_shard_limit(service, 1)?;
    let text = request.required("NewStartingHashKey")?;
    let inside = |at: u128| at > shard.first_hash.saturating_add(1) && at < shard.last_hash;
    let Some(at) = text.parse().ok().filter(|at| inside(*at)) else {
        return Err(service.error(
            ErrorCode::InvalidArgument,
            format_args!(
                "NewStartingHashKey {text} used in SplitShard() on shard {} in stream {}",
                shard.id,
                stream.record().name
            ),
            &format!(
                " is not both greater than one plus the shard's StartingHashKey {} and less than the shard's EndingHashKey {}.",
                shard.first_hash, shard.last_hash
            ),
        ));
    };
    changing.log(service, move |writer| Ok(writer.split_shard(shard.id, HashKey(at)).map(|_| ())?)).await?;
    Ok(Reply::Done)
}

/// `MergeShards`.
///
/// # Errors
/// If a shard is not there or is closed, or they are not neighbours; or the stream is not provisioned.
pub async fn merge(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    check_mode(&stream.record(), "MergeShards")?;
    let one = open_shard(service, &stream, request.required("ShardToMerge")?).await?;
    let other = open_shard(service, &stream, request.required("AdjacentShardToMerge")?).await?;
    let changing = Changing::begin(service, &stream)?;
    let follows = |low: &Shard, high: &Shard| low.last_hash.checked_add(1) == Some(high.first_hash);
    if !follows(&one, &other) && !follows(&other, &one) {
        return Err(service.error(
            ErrorCode::InvalidArgument,
            format_args!("Shards {} and {} in stream {}", one.id, other.id, stream.record().name),
            " are not an adjacent pair of shards eligible for merging",
        ));
    }
    changing.log(service, move |writer| Ok(writer.merge_shards(one.id, other.id).map(|_| ())?)).await?;
    Ok(Reply::Done)
}

/// A shard that takes records.
async fn open_shard(service: &Arc<Service>, stream: &Arc<Stream>, text: &str) -> Result<Shard> {
    let record = stream.record();
    let no_such = |shard: &dyn std::fmt::Display| {
        service.error(
            ErrorCode::ResourceNotFound,
            format_args!("Could not find shard {shard} in stream {}", record.name),
            ".",
        )
    };
    let id = shard_of(text).ok_or_else(|| no_such(&text))?;
    let shard = match shard_in(service, stream, &record, id).await {
        Err(error) if error.code() == ErrorCode::ResourceNotFound => return Err(no_such(&id)),
        shard => shard?,
    };
    if shard.closed_ms.is_some() {
        return Err(service.error(
            ErrorCode::InvalidArgument,
            format_args!("Shard {id} in stream {}", record.name),
            " has already been merged or split, and thus is not eligible for merging or splitting.",
        ));
    }
    Ok(shard)
}

/// `UpdateShardCount`.
///
/// # Errors
/// If the stream is not provisioned, or the number is more than double or less than half of the present one.
pub async fn update_count(service: &Arc<Service>, request: &Request) -> Result<Reply> {
    let stream = request.stream(service).await?;
    let record = stream.record();
    let target = request.int("TargetShardCount").and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let table = look_at_shards(service, &stream).await?;
    let current = table.open().count() as u32;
    check_count(&record, current, target)?;
    let changing = Changing::begin(service, &stream)?;
    check_shard_limit(service, target.saturating_sub(current))?;
    let open = table.open().map(|shard| (shard.first_hash, shard.last_hash, shard.id)).collect();
    changing.log(service, move |writer| reshard(writer, open, target)).await?;
    Ok(members! {
        "StreamName": record.name.as_str(),
        "CurrentShardCount": current,
        "TargetShardCount": target,
        "StreamARN": service.arn(&record.name),
    }
    .into())
}

/// Changes the shards of an on-demand stream.
///
/// # Errors
/// If the stream is being changed by somebody else, or the account may not have as many shards.
pub async fn adapt(service: &Arc<Service>, stream: &Arc<Stream>, changes: Vec<Change>) -> Result {
    let changing = Changing::begin(service, stream)?;
    let splits = changes.iter().filter(|change| matches!(change, Change::Split(..))).count();
    check_shard_limit(service, splits as u32)?;
    let change = |writer: &StreamWriter, change: Change| {
        match change {
            Change::Split(shard, at) => drop(writer.split_shard(shard, HashKey(at))?),
            Change::Merge(one, other) => drop(writer.merge_shards(one, other)?),
        }
        Ok(())
    };
    changing.log(service, move |writer| changes.into_iter().try_for_each(|it| change(writer, it))).await?;
    Ok(())
}

/// The shards of an on-demand stream are the service's matter.
fn check_mode(record: &StreamRecord, operation: &str) -> Result {
    if record.mode == Mode::OnDemand {
        return Err(Error::new(
            ErrorCode::Validation,
            format!(
                "Request is invalid. Stream {} is in On-Demand mode: {operation} is for streams in Provisioned mode.",
                record.name
            ),
        ));
    }
    Ok(())
}

fn check_count(record: &StreamRecord, current: u32, target: u32) -> Result {
    check_mode(record, "UpdateShardCount")?;
    let direction = if target > current.saturating_mul(2) {
        "up over double"
    } else if target.saturating_mul(2) < current {
        "down below half"
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorCode::LimitExceeded,
        format!(
            "UpdateShardCount cannot scale {direction} your current open shard count. Current open shard count: {current} Target shard count: {target}"
        ),
    ))
}

/// Splits and merges `open`, first and last hash key and id of each open shard, until there are `target`
/// that divide the hash keys evenly.
fn reshard(writer: &StreamWriter, mut open: Vec<(u128, u128, ShardId)>, target: u32) -> Result {
    open.sort_unstable();
    let borders = borders(target);
    // First every border of the target becomes one between shards.
    let mut pieces = Vec::new();
    for (first, last, id) in open {
        let (mut first, mut id) = (first, id);
        let inside: Vec<u128> = borders.iter().copied().filter(|at| *at > first && *at <= last).collect();
        for at in inside {
            let children = writer.split_shard(id, HashKey(at))?;
            let [low, high] = children[..] else { return Err(Error::internal("a split gives two shards")) };
            pieces.push((first, low));
            (first, id) = (at, high);
        }
        pieces.push((first, id));
    }
    // Then those that are not are taken out.
    let mut whole: Option<ShardId> = None;
    for (first, id) in pieces {
        whole = match whole {
            Some(before) if first != 0 && !borders.contains(&first) => Some(writer.merge_shards(before, id)?),
            _ => Some(id),
        };
    }
    Ok(())
}

/// Where shards begin that divide the hash keys evenly, but for the first; as those of a new stream do.
fn borders(shards: u32) -> std::collections::BTreeSet<u128> {
    let shards = u128::from(shards.max(1));
    // 2^128 / n, rounded down; a single shard has no border.
    let width = (u128::MAX / shards).saturating_add(u128::from(u128::MAX % shards == shards - 1));
    (1..shards).map(|shard| shard * width).collect()
}

#[cfg(test)]
mod tests {
    use pelton_streams::{Options, ShardLog};

    use super::*;
    use crate::shards::ShardTable;

    fn ranges(log: &ShardLog) -> Vec<(u128, u128, ShardId)> {
        let table = ShardTable::new(&log.describe_stream("s").unwrap());
        let mut open: Vec<_> =
            table.open().map(|shard| (shard.first_hash, shard.last_hash, shard.id)).collect();
        open.sort_unstable();
        open
    }

    #[test]
    fn any_count_is_reached_and_is_as_even_as_that_of_a_new_stream() {
        let dir = tempfile::tempdir().unwrap();
        let log = ShardLog::open(dir.path(), &Options::create()).unwrap();
        log.create_stream("s", 3).unwrap();
        let writer = log.writer("s").unwrap();
        for target in [6, 4, 5, 5, 3, 2, 1, 2, 3] {
            reshard(&writer, ranges(&log), target).unwrap();
            let reached = ranges(&log);
            let ends: Vec<u128> = reached.iter().map(|(first, ..)| *first).skip(1).collect();
            assert_eq!(ends, borders(target).into_iter().collect::<Vec<_>>(), "{target}");
            assert!(reached.windows(2).all(|two| two[0].1 + 1 == two[1].0));
        }
    }

    #[test]
    fn a_count_is_at_most_doubled_and_at_least_halved() {
        let record = StreamRecord::new("s", 0);
        for (current, target, is_fine) in
            [(2, 4, true), (2, 5, false), (5, 3, true), (5, 2, false), (4, 2, true), (1, 1, true)]
        {
            assert_eq!(check_count(&record, current, target).is_ok(), is_fine, "{current} to {target}");
        }
        let message = check_count(&record, 1, 4).unwrap_err().message().to_owned();
        assert!(message.ends_with("Current open shard count: 1 Target shard count: 4"), "{message}");
    }
}
