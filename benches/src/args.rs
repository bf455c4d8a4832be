//! The command line, and the settings that a workload runs with.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};
use serde::{Serialize, Serializer};

/// Measures one workload on one engine.
#[derive(Parser, Debug, Clone)]
#[command(name = "pelton-bench", version, about, max_term_width = 100)]
pub struct Args {
    /// What is run
    #[arg(value_name = "W")]
    pub workload: Workload,
    /// Who runs it: Pelton, or operators written by hand on timely dataflow
    #[arg(long, default_value = "pelton")]
    pub engine: Engine,
    /// Records in all [default: enough for one to two seconds]
    #[arg(long, value_parser = parse_count)]
    pub events: Option<u64>,
    /// Distinct keys, as in `100000`, `100k` or `5m`
    #[arg(long, default_value = "100k", value_parser = parse_count)]
    pub keys: u64,
    /// Worker threads
    #[arg(long, default_value_t = 2)]
    pub workers: usize,
    /// Where keyed state lives
    #[arg(long, default_value = "rocksdb")]
    pub backend: Backend,
    /// Milliseconds between checkpoints, or `off`
    #[arg(long, value_name = "MS|off", default_value = "1000")]
    pub checkpoint_ms: CheckpointEvery,
    /// Records a second, over all workers [default: as fast as it goes; 50k where a rate is needed]
    #[arg(long, value_parser = parse_count)]
    pub rate: Option<u64>,
    /// Print one JSON object instead of a text for people
    #[arg(long)]
    pub json: bool,
    /// Run as the child of a `startup` or `recovery` run, with its job in this directory
    #[arg(long, hide = true, value_name = "DIR")]
    pub child: Option<PathBuf>,
}

impl Args {
    /// The number of records of this run.
    pub fn events(&self) -> u64 {
        self.events.unwrap_or(match (self.engine, self.workload) {
            (Engine::Timely, Workload::Passthrough) => 400_000_000,
            (_, Workload::Passthrough | Workload::KeyedCount | Workload::TumblingSum) => 200_000_000,
            (_, Workload::Latency) => 20 * self.rate(),
            (_, Workload::Startup | Workload::Recovery) => u64::MAX,
            (_, Workload::Fraud) => 5_000_000,
        })
    }

    /// The rate of a workload that has one.
    pub fn rate(&self) -> u64 {
        self.rate.unwrap_or(50_000)
    }
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// W0: source, map, discard
    Passthrough,
    /// W1: a running count per key, every update emitted
    KeyedCount,
    /// W2: sums per key over tumbling windows of 10 s of event time
    TumblingSum,
    /// W3: W1 at a fixed rate, from the scheduled time of a record to the sink
    Latency,
    /// From the start of the process to the first output
    Startup,
    /// From kill -9 of a job holding its keys to new output of its successor
    Recovery,
    /// The fraud detection example
    Fraud,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no workload is hidden");
        f.write_str(value.get_name())
    }
}

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// This project
    Pelton,
    /// Timely dataflow with operators written by hand: no checkpoints, no flow control
    Timely,
}

/// Where keyed state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// In RocksDB, with a cache and overlay in memory
    Rocksdb,
    /// In memory
    Memory,
}

/// How often a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointEvery(pub Option<u64>);

impl FromStr for CheckpointEvery {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(ms) if ms > 0 => Ok(Self(Some(ms))),
                _ => Err("give milliseconds of at least 1, or `off`".to_owned()),
            },
        }
    }
}

impl Serialize for CheckpointEvery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A count as people write it: `5000000`, `5_000_000`, `5m`, `100k`, `1g`.
fn parse_count(text: &str) -> Result<u64, String> {
    let plain = text.replace('_', "").to_ascii_lowercase();
    let (digits, factor) = match plain.as_bytes().last() {
        Some(b'k') => (&plain[..plain.len() - 1], 1_000),
        Some(b'm') => (&plain[..plain.len() - 1], 1_000_000),
        Some(b'g') => (&plain[..plain.len() - 1], 1_000_000_000),
        _ => (plain.as_str(), 1),
    };
    match digits.parse::<u64>().ok().and_then(|count| count.checked_mul(factor)) {
        Some(count) if count > 0 => Ok(count),
        _ => Err("give a number of at least 1, as in `5000000`, `100k` or `5m`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn counts_are_read_as_people_write_them() {
        for (text, count) in
            [("7", 7), ("100k", 100_000), ("5M", 5_000_000), ("1_000", 1_000), ("2g", 2_000_000_000)]
        {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        for text in ["", "k", "0", "-1", "1.5m", "99999999999999g"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn checkpoints_are_milliseconds_or_off() {
        assert_eq!("off".parse(), Ok(CheckpointEvery(None)));
        assert_eq!("250".parse(), Ok(CheckpointEvery(Some(250))));
        assert!("0".parse::<CheckpointEvery>().is_err());
    }
}
