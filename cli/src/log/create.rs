//! `pelton log create`: a stream that is new, or there already as it was asked for.

use std::io::Write;

use clap::Args;
use pelton_connectors::LogAddress;
use pelton_streams::{Error as LogError, Options, Retention, ShardLog, StreamDescription};

use super::told;
use crate::error::{Error, Result};
use crate::units;

/// Creates a stream.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    /// Its shards; records of one partition key are in order within one shard [default: 1]
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    /// Keep records for so long, such as 24h or 7d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = units::parse_period_ms)]
    retention: Option<u64>,
    /// Keep no more than so many bytes, such as 10GiB [default: all]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_bytes)]
    retention_size: Option<u64>,
    /// That it exists already is no error, if it is as asked for here
    #[arg(long)]
    if_missing: bool,
}

impl Create {
    pub fn execute(&self) -> Result {
        let log = ShardLog::open(self.stream.directory(), &Options::create()).map_err(told)?;
        let shards = self.shards.unwrap_or(1);
        let retention = Retention { age_ms: self.retention, bytes: self.retention_size };
        let mut out = std::io::stdout().lock();
        match log.create_stream_with(self.stream.stream(), shards, retention) {
            Err(LogError::StreamExists { .. }) if self.if_missing => {
                self.check(&log.describe_stream(self.stream.stream()).map_err(told)?)?;
                writeln!(out, "{} exists already", self.stream)?;
            }
            Err(error @ LogError::StreamExists { .. }) => {
                return Err(Error::configuration(format!("{error}; to take it as it is, say --if-missing")));
            }
            created => {
                created.map_err(told)?;
                writeln!(out, "created {} with {}", self.stream, units::plural(shards.into(), "shard"))?;
            }
        }
        Ok(())
    }

    /// Refuses the stream that is there if it is not what was asked for.
    fn check(&self, found: &StreamDescription) -> Result {
        let shards = found.shards.iter().filter(|shard| shard.closed_ms.is_none()).count();
        let kept = found.retention;
        let mut differs = Vec::new();
        if let Some(asked) = self.shards.filter(|asked| usize::try_from(*asked) != Ok(shards)) {
            differs.push(format!("has {}, not {asked}", units::plural(shards as u64, "shard")));
        }
        if let Some(asked) = self.retention.filter(|asked| kept.age_ms != Some(*asked)) {
            let kept = kept.age_ms.map_or("for ever".to_owned(), |ms| format!("for {}", units::period(ms)));
            differs.push(format!("keeps records {kept}, not for {}", units::period(asked)));
        }
        if let Some(asked) = self.retention_size.filter(|asked| kept.bytes != Some(*asked)) {
            let kept = kept.bytes.map_or("any number of bytes".to_owned(), units::bytes);
            differs.push(format!("keeps {kept}, not {}", units::bytes(asked)));
        }
        if differs.is_empty() {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "{} exists already and is another: it {}; ask for what is there, or give the new stream another name",
            self.stream,
            differs.join(" and ")
        )))
    }
}
