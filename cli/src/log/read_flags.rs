//! What `get` and `tail` have in common: which records are read, how many, and how they are written.

use std::io::Write;

use clap::Args;
use pelton_connectors::LogAddress;
use pelton_streams::{Reader, ShardId, ShardLog, StartPosition};

use super::position::PositionFlags;
use super::record_line::LineFlags;
use super::{open_log_of, told};
use crate::error::Result;

/// Bytes that are read at one go.
const POLL_BYTES: usize = 1 << 20;

/// Which records of a stream are written, and how.
#[derive(Args, Debug)]
pub(crate) struct ReadFlags {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    #[command(flatten)]
    position: PositionFlags,
    /// End after so many records [default: no limit]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    line: LineFlags,
}

impl ReadFlags {
    /// Finds the shards; they are read from `default` on if nothing else is said.
    pub fn open(&self, default: StartPosition) -> Result<Reading> {
        let log = open_log_of(&self.stream)?;
        let stream = self.stream.stream().to_owned();
        let all = log.shards(&stream).map_err(told)?;
        let known = all.len();
        let shards = self.position.shards(all, default)?;
        let left = self.limit.unwrap_or(u64::MAX);
        let follows_new = !self.position.is_of_one_shard();
        Ok(Reading { log, stream, shards, follows_new, known, left, line: self.line })
    }
}

/// A stream that is being read.
pub(super) struct Reading {
    log: ShardLog,
    stream: String,
    /// The shards that are read, each from where.
    pub shards: Vec<(ShardId, StartPosition)>,
    /// Shards that come to be are read as well.
    follows_new: bool,
    /// How many shards of the stream are known.
    known: usize,
    /// How many records may still be written.
    left: u64,
    line: LineFlags,
}

impl Reading {
    /// The shards that came to be while the stream was read and are to be read too, each from its beginning: those of
    /// which `is_read` says that all their parents were read to their ends.
    pub fn new_shards(&mut self, is_read: impl Fn(ShardId) -> bool) -> Result<Vec<ShardId>> {
        if !self.follows_new {
            return Ok(Vec::new());
        }
        let shards = self.log.describe_stream(&self.stream).map_err(told)?.shards;
        let mut new = Vec::new();
        // A child comes after its parents, so the first that waits has all others wait.
        for shard in shards.into_iter().skip(self.known) {
            if !shard.parent.iter().chain(&shard.adjacent_parent).all(|parent| is_read(*parent)) {
                break;
            }
            self.known += 1;
            new.push(shard.shard);
        }
        Ok(new)
    }

    /// Opens a shard.
    pub fn reader(&self, shard: ShardId, start: StartPosition) -> Result<Reader> {
        self.log.reader(&self.stream, shard, start).map_err(told)
    }

    /// Writes what `reader` has next, at most `records` of it; answers whether there was something.
    pub fn copy(&mut self, reader: &mut Reader, records: usize, out: &mut impl Write) -> Result<bool> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(records);
        let batch = reader.poll(most, POLL_BYTES).map_err(told)?;
        for record in &batch {
            self.line.write(reader.shard(), &record, out)?;
        }
        self.left -= batch.len() as u64;
        Ok(!batch.is_empty())
    }

    /// Whether as many records have been written as were asked for.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }
}
