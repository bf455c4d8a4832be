//! `pelton log describe`: as tables, or as JSON.

use std::io::Write;

use clap::Args;
use pelton_connectors::LogAddress;
use pelton_streams::StreamDescription;
use serde_json::{Value, json};

use super::{open_log_of, told};
use crate::error::Result;
use crate::table::Table;
use crate::units;

/// Shows streams.
#[derive(Args, Debug)]
pub(crate) struct Describe {
    /// The streams, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM", required = true)]
    streams: Vec<LogAddress>,
    /// Write a line of JSON for each
    #[arg(long)]
    json: bool,
}

impl Describe {
    pub fn execute(&self) -> Result {
        let mut out = std::io::stdout().lock();
        for (i, address) in self.streams.iter().enumerate() {
            let described = open_log_of(address)?.describe_stream(address.stream()).map_err(told)?;
            if self.json {
                writeln!(out, "{}", as_json(&described))?;
            } else {
                let between = if i > 0 { "\n" } else { "" };
                write!(out, "{between}{}", as_text(address, &described))?;
            }
        }
        Ok(())
    }
}

fn as_text(address: &LogAddress, stream: &StreamDescription) -> String {
    let total = |of: fn(&pelton_streams::ShardDescription) -> u64| stream.shards.iter().map(of).sum::<u64>();
    let last = match stream.last_arrival_ms {
        0 => "none yet".to_owned(),
        ms => time(ms),
    };
    let mut table =
        Table::new(&["shard", ">records", ">size", ">oldest", ">last", ">first hash key", "parents"]);
    for shard in &stream.shards {
        let parents: Vec<String> =
            shard.parent.iter().chain(&shard.adjacent_parent).map(ToString::to_string).collect();
        let closed = if shard.closed_ms.is_some() { " (closed)" } else { "" };
        table.row([
            format!("{}{closed}", shard.shard),
            units::count(shard.records),
            units::bytes(shard.bytes),
            shard.oldest.to_string(),
            shard.last.to_string(),
            shard.hash_keys.start().to_string(),
            parents.join(", "),
        ]);
    }
    format!(
        "stream       {address}\n\
         created      {}\n\
         last record  {last}\n\
         holds        {} ({}) in {}\n\
         keeps        {}\n\n{table}",
        time(stream.created_ms),
        units::plural(total(|shard| shard.records), "record"),
        units::bytes(total(|shard| shard.bytes)),
        units::plural(stream.segments, "segment"),
        kept(stream),
    )
}

fn kept(stream: &StreamDescription) -> String {
    let age = stream.retention.age_ms.map(|ms| format!("records for {}", units::millis(ms)));
    let size = stream.retention.bytes.map(|bytes| format!("up to {}", units::bytes(bytes)));
    match (age, size) {
        (None, None) => "everything, for ever".to_owned(),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(age), Some(size)) => format!("{age}, {size}"),
    }
}

fn time(ms: u64) -> String {
    units::time(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn as_json(stream: &StreamDescription) -> Value {
    let shards: Vec<Value> = stream
        .shards
        .iter()
        .map(|shard| {
            json!({
                "shard": shard.shard.to_string(),
                // Too large for the numbers of most JSON readers, as in the Kinesis API.
                "first_hash_key": shard.hash_keys.start().to_string(),
                "last_hash_key": shard.hash_keys.end().to_string(),
                "parent": shard.parent.map(|shard| shard.to_string()),
                "adjacent_parent": shard.adjacent_parent.map(|shard| shard.to_string()),
                "closed_ms": shard.closed_ms,
                "oldest": shard.oldest.0,
                "last": shard.last.0,
                "records": shard.records,
                "bytes": shard.bytes,
            })
        })
        .collect();
    json!({
        "stream": stream.name,
        "created_ms": stream.created_ms,
        "last_arrival_ms": (stream.last_arrival_ms > 0).then_some(stream.last_arrival_ms),
        "retention_ms": stream.retention.age_ms,
        "retention_bytes": stream.retention.bytes,
        "segments": stream.segments,
        "shards": shards,
    })
}
