//! `pelton log get`: what is durable now, shard after shard.

use std::io::{BufWriter, Write};

use clap::Args;
use pelton_streams::StartPosition;

use super::read_flags::ReadFlags;
use crate::error::Result;

pub(crate) const EXAMPLES: &str = "\
Examples:
    pelton log get data/payments --limit 10
    pelton log get data/payments --shard 2 --from 1000 --limit 1
    pelton log get data/alerts --since 10m --data-only | jq .rule";

/// Records that are read at one go: enough that the look at the limit does not count.
const POLL_RECORDS: usize = 4_096;

/// Reads records.
#[derive(Args, Debug)]
pub(crate) struct Get {
    #[command(flatten)]
    read: ReadFlags,
}

impl Get {
    pub fn execute(&self) -> Result {
        let mut reading = self.read.open(StartPosition::Oldest)?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        for (shard, start) in std::mem::take(&mut reading.shards) {
            let mut reader = reading.reader(shard, start)?;
            while !reading.is_done() && reading.copy(&mut reader, POLL_RECORDS, &mut out)? {}
        }
        out.flush()?;
        Ok(())
    }
}
