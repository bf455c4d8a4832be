//! Where a reader begins, as it is typed.

use std::str::FromStr;

use clap::Args;
use pelton_dataflow::clock::{Clock, SystemClock};
use pelton_streams::{SequenceNumber, ShardId, StartPosition};

use crate::error::{Error, Result};
use crate::units;

/// Which shards are read, and from where.
#[derive(Args, Debug)]
pub(crate) struct PositionFlags {
    /// Read this shard alone, as 3 or shardId-000000000003 [default: all]
    #[arg(long, value_name = "SHARD", value_parser = parse_shard)]
    shard: Option<ShardId>,
    /// Begin at the `oldest` record, after the `latest`, or at this sequence number of the shard
    #[arg(long, value_name = "POSITION", conflicts_with = "since")]
    from: Option<From>,
    /// Begin at what arrived since 2026-01-31T12:00:00Z, or in the last 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Oldest,
    Latest,
    At(SequenceNumber),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "oldest" => Ok(Self::Oldest),
            "latest" => Ok(Self::Latest),
            number => number
                .parse()
                .map(|number| Self::At(SequenceNumber(number)))
                .map_err(|_| "it is neither `oldest` nor `latest` nor a sequence number".to_owned()),
        }
    }
}

/// A shard as it is typed.
pub(crate) fn parse_shard(text: &str) -> Result<ShardId, String> {
    let number = text.strip_prefix("shardId-").unwrap_or(text);
    number.parse().map(ShardId).map_err(|_| "it is no shard: write 3 or shardId-000000000003".to_owned())
}

impl PositionFlags {
    /// Whether one shard is named that alone is read.
    pub fn is_of_one_shard(&self) -> bool {
        self.shard.is_some()
    }

    /// Which of `all` shards are read, each from where; `default` if nothing is said.
    pub fn shards(&self, all: Vec<ShardId>, default: StartPosition) -> Result<Vec<(ShardId, StartPosition)>> {
        let start = match (&self.since, self.from) {
            (Some(since), _) => {
                let now_ms = u64::try_from(SystemClock.now_ms()).unwrap_or(0);
                let time_ms = units::parse_time_ms(since, now_ms);
                StartPosition::AtTime(
                    time_ms.map_err(|problem| Error::configuration(format!("--since: {problem}")))?,
                )
            }
            (None, None) => default,
            (None, Some(From::Oldest)) => StartPosition::Oldest,
            (None, Some(From::Latest)) => StartPosition::Latest,
            (None, Some(From::At(_))) if self.shard.is_none() && all.len() > 1 => {
                return Err(Error::configuration(
                    "sequence numbers are those of one shard: say which by --shard",
                ));
            }
            (None, Some(From::At(sequence))) => StartPosition::At(sequence),
        };
        let shards = self.shard.map_or(all, |shard| vec![shard]);
        Ok(shards.into_iter().map(|shard| (shard, start)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_and_positions_are_read() {
        assert_eq!(parse_shard("3"), Ok(ShardId(3)));
        assert_eq!(parse_shard("shardId-000000000003"), Ok(ShardId(3)));
        assert!(parse_shard("three").unwrap_err().contains("no shard"));
        assert_eq!("oldest".parse(), Ok(From::Oldest));
        assert_eq!("17".parse(), Ok(From::At(SequenceNumber(17))));
        assert!("first".parse::<From>().unwrap_err().contains("`latest`"));
    }

    #[test]
    fn a_sequence_number_needs_a_shard() {
        let flags = PositionFlags { shard: None, from: Some(From::At(SequenceNumber(5))), since: None };
        let message = flags.shards(vec![ShardId(0), ShardId(1)], StartPosition::Oldest).unwrap_err();
        assert!(message.to_string().contains("--shard"), "{message}");
        let one = flags.shards(vec![ShardId(0)], StartPosition::Oldest).unwrap();
        assert_eq!(one, [(ShardId(0), StartPosition::At(SequenceNumber(5)))]);
    }
}
