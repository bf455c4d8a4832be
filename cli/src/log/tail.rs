//! `pelton log tail`: all shards, as they grow.

use std::io::{BufWriter, Write};
use std::time::Duration;

use clap::Args;
use pelton_connectors::LogAddress;
use pelton_streams::{Reader, StartPosition};

use super::position::PositionFlags;
use super::record_line::LineFlags;
use super::{open_log_of, told};
use crate::error::Result;

pub(crate) const EXAMPLES: &str = "\
Examples:
    pelton log tail data/alerts
    pelton log tail data/alerts --from oldest --limit 100 --data-only";

/// Records of one shard before the others get their turn.
const POLL_RECORDS: usize = 1_024;
const POLL_BYTES: usize = 1 << 20;
/// The log tells when there is more; this only bounds one wait.
const WAIT: Duration = Duration::from_secs(60);

/// Follows a stream.
#[derive(Args, Debug)]
pub(crate) struct Tail {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    #[command(flatten)]
    position: PositionFlags,
    /// End after so many records [default: never]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    line: LineFlags,
}

impl Tail {
    pub fn execute(&self) -> Result {
        let log = open_log_of(&self.stream)?;
        let stream = self.stream.stream();
        let shards = self.position.shards(log.shards(stream).map_err(told)?, StartPosition::Latest)?;
        let mut readers = Vec::new();
        for (shard, start) in shards {
            readers.push(log.reader(stream, shard, start).map_err(told)?);
        }
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let mut is_idle = true;
            for reader in &mut readers {
                let read = self.copy(reader, left, &mut out)?;
                left -= read;
                is_idle &= read == 0;
            }
            if is_idle && left > 0 {
                out.flush()?;
                // The news of the stream are those of all its shards; the first reader has looked
                // before all others, so that nothing they have missed is waited past.
                if let Some(first) = readers.first() {
                    first.wait(WAIT).map_err(told)?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }

    fn copy(&self, reader: &mut Reader, left: u64, out: &mut impl Write) -> Result<u64> {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(POLL_RECORDS);
        let batch = reader.poll(most, POLL_BYTES).map_err(told)?;
        for record in &batch {
            self.line.write(reader.shard(), &record, out)?;
        }
        Ok(batch.len() as u64)
    }
}
