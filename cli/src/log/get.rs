//! `pelton log get`: what is durable now, shard after shard.

use std::io::{BufWriter, Write};

use clap::Args;
use pelton_connectors::LogAddress;
use pelton_streams::StartPosition;

use super::position::PositionFlags;
use super::record_line::LineFlags;
use super::{open_log_of, told};
use crate::error::Result;

pub(crate) const EXAMPLES: &str = "\
Examples:
    pelton log get data/payments --limit 10
    pelton log get data/payments --shard 2 --from 1000 --limit 1
    pelton log get data/alerts --since 10m --data-only | jq .rule";

/// Records that are read at one go: enough that the look at the limit does not count.
const POLL_RECORDS: usize = 4_096;
const POLL_BYTES: usize = 1 << 20;

/// Reads records.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    #[command(flatten)]
    position: PositionFlags,
    /// Read at most so many records [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    line: LineFlags,
}

impl Get {
    pub fn execute(&self) -> Result {
        let log = open_log_of(&self.stream)?;
        let stream = self.stream.stream();
        let shards = self.position.shards(log.shards(stream).map_err(told)?, StartPosition::Oldest)?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut left = self.limit.unwrap_or(u64::MAX);
        for (shard, start) in shards {
            let mut reader = log.reader(stream, shard, start).map_err(told)?;
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(POLL_RECORDS);
                let batch = reader.poll(most, POLL_BYTES).map_err(told)?;
                if batch.is_empty() {
                    break;
                }
                for record in &batch {
                    self.line.write(shard, &record, &mut out)?;
                }
                left -= batch.len() as u64;
            }
        }
        out.flush()?;
        Ok(())
    }
}
