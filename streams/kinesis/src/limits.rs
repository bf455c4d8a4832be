//! The limits of Amazon, on request: throughput of shards and consumers, rates of the control plane. Each is a
//! bucket that fills by the second and holds one second's worth.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pelton_streams::ShardId;

/// Bytes that a shard takes in a second.
pub const BYTES_IN: f64 = 1_048_576.0;
/// Records that a shard takes in a second.
pub const RECORDS_IN: f64 = 1_000.0;
/// Bytes that a shard gives in a second, to all who poll it; and to each consumer that has its own.
const BYTES_OUT: f64 = 2.0 * 1_048_576.0;
/// Calls of `GetRecords` that a shard takes in a second.
const READS: f64 = 5.0;
/// Buckets that are kept before full ones are let go of.
const MOST_BUCKETS: usize = 65_536;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Limited {
    BytesIn(u64, ShardId),
    RecordsIn(u64, ShardId),
    BytesOut(u64, ShardId),
    Reads(u64, ShardId),
    /// Of one consumer.
    BytesPushed(u64, ShardId, String),
    /// An operation, of what has this hash.
    Calls(&'static str, u64),
}

impl Limited {
    /// What comes in a second.
    fn rate(&self) -> f64 {
        match self {
            Self::BytesIn(..) => BYTES_IN,
            Self::RecordsIn(..) => RECORDS_IN,
            Self::BytesOut(..) | Self::BytesPushed(..) => BYTES_OUT,
            Self::Reads(..) => READS,
            Self::Calls(operation, _) => calls(operation).map_or(f64::INFINITY, |(rate, _)| rate),
        }
    }
}

/// What an operation's rate is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of its calls.
    Account,
    /// Those of one stream.
    Stream,
    /// Those of one shard.
    Shard,
    /// Those of one shard by one consumer.
    Subscription,
}

/// How often an operation may be called in a second, and of what; as Amazon documents it of each.
fn calls(operation: &str) -> Option<(f64, Scope)> {
    Some(match operation {
        "AddTagsToStream"
        | "CreateChannel"
        | "CreateStream"
        | "DecreaseStreamRetentionPeriod"
        | "DeleteChannel"
        | "DeleteStream"
        | "DescribeAccountSettings"
        | "DescribeChannel"
        | "DisableEnhancedMonitoring"
        | "EnableEnhancedMonitoring"
        | "IncreaseStreamRetentionPeriod"
        | "ListChannels"
        | "ListStreams"
        | "ListTagsForStream"
        | "MergeShards"
        | "RegisterStreamConsumer"
        | "RemoveTagsFromStream"
        | "SplitShard"
        | "StartStreamEncryption"
        | "StopStreamEncryption"
        | "UpdateAccountSettings"
        | "UpdateChannel"
        | "UpdateStreamMode"
        | "UpdateStreamWarmThroughput" => (5.0, Scope::Account),
        "DeregisterStreamConsumer" | "ListStreamConsumers" => (5.0, Scope::Stream),
        "GetShardIterator" => (5.0, Scope::Shard),
        "DescribeStream" | "UpdateShardCount" => (10.0, Scope::Account),
        "DescribeLimits" => (1.0, Scope::Account),
        "DescribeStreamConsumer" => (20.0, Scope::Stream),
        "DescribeStreamSummary" => (20.0, Scope::Account),
        "ListShards" => (1_000.0, Scope::Stream),
        "SubscribeToShard" => (1.0, Scope::Subscription),
        _ => return None,
    })
}

/// What the rate of an operation is counted for, if it has one.
#[must_use]
pub fn scope_of(operation: &str) -> Option<Scope> {
    calls(operation).map(|(_, scope)| scope)
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: f64,
    at_ms: u64,
}

/// The buckets.
#[derive(Debug, Default)]
pub struct Limits {
    buckets: Mutex<HashMap<Limited, Bucket>>,
}

impl Limits {
    /// Whether a shard takes a record of so many bytes now; if so, that is taken.
    #[must_use]
    pub fn may_put(&self, log_id: u64, shard: ShardId, bytes: usize, now_ms: u64) -> bool {
        let wanted = [
            (Limited::BytesIn(log_id, shard), bytes as f64, bytes as f64),
            (Limited::RecordsIn(log_id, shard), 1.0, 1.0),
        ];
        self.take(&wanted, now_ms)
    }

    /// Whether a shard may be read now; if so, that is a call.
    #[must_use]
    pub fn may_read(&self, log_id: u64, shard: ShardId, now_ms: u64) -> bool {
        let wanted =
            [(Limited::BytesOut(log_id, shard), 1.0, 0.0), (Limited::Reads(log_id, shard), 1.0, 1.0)];
        self.take(&wanted, now_ms)
    }

    /// Takes what was read; more than there is, is owed.
    pub fn have_read(&self, log_id: u64, shard: ShardId, bytes: usize, now_ms: u64) {
        let _ = self.take(&[(Limited::BytesOut(log_id, shard), f64::NEG_INFINITY, bytes as f64)], now_ms);
    }

    /// Takes what was pushed to a consumer; gives how long in milliseconds nothing more may be, since more than there is,
    /// is owed.
    #[must_use]
    pub fn have_pushed(&self, log_id: u64, shard: ShardId, consumer: &str, bytes: usize, now_ms: u64) -> u64 {
        let mut buckets = self.buckets(now_ms);
        let pushed = Limited::BytesPushed(log_id, shard, consumer.to_owned());
        let bucket = filled(&mut buckets, &pushed, now_ms);
        bucket.level -= bytes as f64;
        (f64::max(-bucket.level, 0.0) * 1_000.0 / BYTES_OUT).ceil() as u64
    }

    /// Whether an operation may be called now, of what has this hash: see [`scope_of`].
    #[must_use]
    pub fn may_call(&self, operation: &'static str, of: u64, now_ms: u64) -> bool {
        self.take(&[(Limited::Calls(operation, of), 1.0, 1.0)], now_ms)
    }

    /// Takes from each bucket if each has what it must have.
    fn take<const N: usize>(&self, wanted: &[(Limited, f64, f64); N], now_ms: u64) -> bool {
        let mut buckets = self.buckets(now_ms);
        let mut is_there = true;
        for (limited, least, _) in wanted {
            is_there &= filled(&mut buckets, limited, now_ms).level >= *least;
        }
        if is_there {
            for (limited, _, taken) in wanted {
                if let Some(bucket) = buckets.get_mut(limited) {
                    bucket.level -= taken;
                }
            }
        }
        is_there
    }

    /// The buckets; those that are full again are let go of when there are too many.
    fn buckets(&self, now_ms: u64) -> MutexGuard<'_, HashMap<Limited, Bucket>> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST_BUCKETS {
            buckets.retain(|_, bucket| now_ms < bucket.at_ms.saturating_add(60_000));
        }
        buckets
    }
}

/// A bucket, with what has come in until now.
fn filled<'a>(buckets: &'a mut HashMap<Limited, Bucket>, limited: &Limited, now_ms: u64) -> &'a mut Bucket {
    let rate = limited.rate();
    let bucket = buckets.entry(limited.clone()).or_insert(Bucket { level: rate, at_ms: now_ms });
    let passed_ms = now_ms.saturating_sub(bucket.at_ms);
    bucket.level = (bucket.level + rate * passed_ms as f64 / 1_000.0).min(rate);
    bucket.at_ms = bucket.at_ms.max(now_ms);
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(0);

    #[test]
    fn a_shard_takes_a_thousand_records_and_a_mebibyte_a_second() {
        let limits = Limits::default();
        let taken = (0..2_000).filter(|_| limits.may_put(1, SHARD, 10, 0)).count();
        assert_eq!(taken, 1_000);
        assert!(limits.may_put(1, ShardId(1), 10, 0), "another shard has its own");
        assert!(!limits.may_put(1, SHARD, 10, 0));
        assert!(limits.may_put(1, SHARD, 10, 1));
        assert!(!limits.may_put(1, SHARD, 10, 1));
        let taken = (0..20).filter(|_| limits.may_put(2, SHARD, 100_000, 0)).count();
        assert_eq!(taken, 10);
        // What does not fit takes nothing.
        assert!(limits.may_put(2, SHARD, 10, 0));
        // An hour does not save up more than a second's worth.
        let taken = (0..2_000).filter(|_| limits.may_put(1, SHARD, 10, 3_600_000)).count();
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn a_shard_is_read_five_times_a_second_and_owes_what_it_gave_too_much() {
        let limits = Limits::default();
        assert_eq!((0..9).filter(|_| limits.may_read(1, SHARD, 0)).count(), 5);
        limits.have_read(1, SHARD, 10 << 20, 0);
        for (at_ms, may) in [(1_000, false), (4_000, false), (4_001, true)] {
            assert_eq!(limits.may_read(1, SHARD, at_ms), may, "at {at_ms}");
        }
    }

    #[test]
    fn a_consumer_that_was_given_too_much_waits_for_what_it_owes() {
        let limits = Limits::default();
        let mebibytes = |mebibytes: usize| mebibytes << 20;
        assert_eq!(limits.have_pushed(1, SHARD, "risk", mebibytes(2), 0), 0);
        assert_eq!(limits.have_pushed(1, SHARD, "risk", mebibytes(1), 0), 500);
        assert_eq!(limits.have_pushed(1, SHARD, "other", mebibytes(1), 0), 0, "each consumer has its own");
        assert_eq!(limits.have_pushed(1, SHARD, "risk", mebibytes(1), 500), 500);
        assert_eq!(limits.have_pushed(1, SHARD, "risk", 0, 60_000), 0);
    }

    #[test]
    fn the_control_plane_has_rates() {
        let limits = Limits::default();
        assert_eq!((0..9).filter(|_| limits.may_call("CreateStream", 0, 0)).count(), 5);
        assert!(limits.may_call("CreateStream", 0, 200));
        assert_eq!((0..9).filter(|_| limits.may_call("GetShardIterator", 1, 0)).count(), 5);
        assert!(limits.may_call("GetShardIterator", 2, 0), "another shard has its own");
        assert!((0..99).all(|_| limits.may_call("PutRecord", 1, 0)));
    }
}
