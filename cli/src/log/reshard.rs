//! `pelton log split` and `pelton log merge`: other shards from here on.

use std::io::Write;

use clap::Args;
use pelton_connectors::LogAddress;
use pelton_streams::{HashKey, ShardId};

use super::{open_log_of, told};
use crate::error::{Error, Result};

/// Splits a shard in two.
#[derive(Args, Debug)]
pub(crate) struct Split {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    /// The shard, as 3 or shardId-000000000003
    #[arg(value_name = "SHARD", value_parser = super::position::parse_shard)]
    shard: ShardId,
    /// The hash key at which the second part begins [default: the middle]
    #[arg(long, value_name = "HASH KEY")]
    at: Option<u128>,
}

/// Merges two shards that are neighbours.
#[derive(Args, Debug)]
pub(crate) struct Merge {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    /// One shard, as 3 or shardId-000000000003
    #[arg(value_name = "SHARD", value_parser = super::position::parse_shard)]
    shard: ShardId,
    /// The other one
    #[arg(value_name = "OTHER", value_parser = super::position::parse_shard)]
    adjacent: ShardId,
}

impl Split {
    pub fn execute(&self) -> Result {
        let log = open_log_of(&self.stream)?;
        let at = match self.at {
            Some(at) => HashKey(at),
            None => {
                let shards = log.describe_stream(self.stream.stream()).map_err(told)?.shards;
                // One that is not there, or cannot be halved, is refused with its reason by the log.
                let range =
                    shards.iter().find(|shard| shard.shard == self.shard).map(|shard| &shard.hash_keys);
                range.map_or(HashKey(0), |range| middle(range.start().0, range.end().0))
            }
        };
        let writer = log.writer(self.stream.stream()).map_err(told)?;
        let children = writer.split_shard(self.shard, at).map_err(told)?;
        let [one, two] = children[..] else {
            return Err(Error::configuration("a split gave other than two shards"));
        };
        Ok(writeln!(
            std::io::stdout(),
            "split {} into {one} and {two}, which begins at hash key {at}",
            self.shard
        )?)
    }
}

impl Merge {
    pub fn execute(&self) -> Result {
        let writer = open_log_of(&self.stream)?.writer(self.stream.stream()).map_err(told)?;
        let child = writer.merge_shards(self.shard, self.adjacent).map_err(told)?;
        Ok(writeln!(std::io::stdout(), "merged {} and {} into {child}", self.shard, self.adjacent)?)
    }
}

/// Where the second half of the hash keys `first..=last` begins; the second part is never the greater one.
fn middle(first: u128, last: u128) -> HashKey {
    HashKey(first + (last - first) / 2 + u128::from(last > first))
}
