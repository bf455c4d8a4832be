//! `pelton log tail`: all shards, as they grow.

use std::io::{BufWriter, Write};
use std::time::Duration;

use clap::Args;
use pelton_streams::{Reader, StartPosition};

use super::read_flags::ReadFlags;
use super::told;
use crate::error::Result;

pub(crate) const EXAMPLES: &str = "\
Examples:
    pelton log tail data/alerts
    pelton log tail data/alerts --from oldest --limit 100 --data-only";

/// Records of one shard before the others get their turn.
const POLL_RECORDS: usize = 1_024;
/// The log tells when there is more; this only bounds one wait.
const WAIT: Duration = Duration::from_secs(60);

/// Follows a stream.
#[derive(Args, Debug)]
pub(crate) struct Tail {
    #[command(flatten)]
    read: ReadFlags,
}

impl Tail {
    pub fn execute(&self) -> Result {
        let mut reading = self.read.open(StartPosition::Latest)?;
        let mut readers = Vec::new();
        for (shard, start) in std::mem::take(&mut reading.shards) {
            readers.push(reading.reader(shard, start)?);
        }
        let mut out = BufWriter::new(std::io::stdout().lock());
        while !reading.is_done() {
            let mut is_idle = true;
            for reader in &mut readers {
                is_idle &= !reading.copy(reader, POLL_RECORDS, &mut out)?;
            }
            // A child is read once all before it was.
            let is_ended =
                |shard| !readers.iter().any(|reader| reader.shard() == shard && !reader.is_ended());
            let children = if is_idle { reading.new_shards(is_ended)? } else { Vec::new() };
            if !children.is_empty() {
                readers.retain(|reader| !reader.is_ended());
                for shard in children {
                    readers.push(reading.reader(shard, StartPosition::Oldest)?);
                }
                continue;
            }
            if is_idle && !reading.is_done() {
                out.flush()?;
                if readers.iter().all(Reader::is_ended) {
                    // Of one shard, which has been split or merged, nothing more will come.
                    break;
                }
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
}
