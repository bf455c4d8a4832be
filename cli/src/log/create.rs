//! `pelton log create`.

use std::io::Write;

use clap::Args;
use pelton_connectors::LogAddress;
use pelton_streams::{Error as LogError, Options, Retention, ShardLog};

use super::told;
use crate::error::Result;
use crate::units;

/// Creates a stream.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    /// Its shards; records of one partition key are in order within one shard
    #[arg(long, default_value_t = 1, value_name = "N")]
    shards: u32,
    /// Keep records for so long, such as 24h or 7d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration_ms)]
    retention: Option<u64>,
    /// Keep no more than so many bytes, such as 10GiB [default: all]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_bytes)]
    retention_size: Option<u64>,
    /// That it exists already is no error
    #[arg(long)]
    if_missing: bool,
}

impl Create {
    pub fn execute(&self) -> Result {
        let log = ShardLog::open(self.stream.directory(), &Options::create()).map_err(told)?;
        let retention = Retention { age_ms: self.retention, bytes: self.retention_size };
        let mut out = std::io::stdout().lock();
        match log.create_stream_with(self.stream.stream(), self.shards, retention) {
            Err(LogError::StreamExists { .. }) if self.if_missing => {
                writeln!(out, "{} exists already", self.stream)?;
            }
            created => {
                created.map_err(told)?;
                let shards = units::plural(self.shards.into(), "shard");
                writeln!(out, "created {} with {shards}", self.stream)?;
            }
        }
        Ok(())
    }
}
