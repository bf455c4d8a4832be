//! `pelton log`: streams of the shard log from the command line.
//!
//! In reading order: `create`, `put` with `key_field`; `get`, `tail`, with `read_flags` for what they have in
//! common, `position` for where they begin and `record_line` for what they write; `describe`, `reshard`, `verify`. Owns the command line, and how errors
//! of the log are told to someone who typed a command. What a stream is, is for `pelton-streams`.

mod create;
mod describe;
mod get;
pub(crate) mod key_field;
pub(crate) mod position;
mod put;
mod read_flags;
mod record_line;
mod reshard;
mod tail;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use pelton_connectors::LogAddress;
use pelton_streams::{Error as LogError, Options, ShardLog};

use crate::error::{Error, Result};
use crate::units;

/// What is done with the shard log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Create a stream, and its data directory if it is missing
    #[command(after_help = "Example:\n    pelton log create data/payments --shards 4 --retention 7d")]
    Create(create::Create),
    /// Append lines, each as a record
    #[command(after_help = put::EXAMPLES)]
    Put(put::Put),
    /// Read records from their oldest on, as JSON lines
    #[command(after_help = get::EXAMPLES)]
    Get(get::Get),
    /// Follow all shards of a stream, as JSON lines
    #[command(after_help = tail::EXAMPLES)]
    Tail(tail::Tail),
    /// Show the shards of a stream, and how much each holds
    Describe(describe::Describe),
    /// Split a shard in two: what comes from now on goes to the new ones
    #[command(after_help = "Example:\n    pelton log split data/payments 0")]
    Split(reshard::Split),
    /// Merge two shards whose hash keys are neighbours into one
    #[command(after_help = "Example:\n    pelton log merge data/payments 1 2")]
    Merge(reshard::Merge),
    /// Read every durable byte of streams and check it
    Verify(verify::Verify),
    /// List the streams of a data directory
    List(List),
    /// Delete a stream with everything in it
    Delete(Delete),
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// The data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    /// Delete it without being asked
    #[arg(long)]
    yes: bool,
}

impl LogCommand {
    /// Does it.
    pub fn execute(&self) -> Result<ExitCode> {
        let done = match self {
            Self::Create(create) => create.execute(),
            Self::Put(put) => put.execute(),
            Self::Get(get) => get.execute(),
            Self::Tail(tail) => tail.execute(),
            Self::Describe(describe) => describe.execute(),
            Self::Split(split) => split.execute(),
            Self::Merge(merge) => merge.execute(),
            Self::Verify(verify) => return verify.execute(),
            Self::List(list) => list.execute(),
            Self::Delete(delete) => delete.execute(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl List {
    fn execute(&self) -> Result {
        let log = open(&self.directory)?;
        let mut out = std::io::stdout().lock();
        for stream in log.list_streams().map_err(told)? {
            writeln!(out, "{stream}")?;
        }
        Ok(())
    }
}

impl Delete {
    fn execute(&self) -> Result {
        let log = open_log_of(&self.stream)?;
        let stream = self.stream.stream();
        let described = log.describe_stream(stream);
        if !self.yes {
            // A stream that cannot be described can be deleted all the same.
            let records = described.map_or("records".to_owned(), |stream| {
                units::plural(stream.shards.iter().map(|shard| shard.records).sum(), "record")
            });
            return Err(Error::configuration(format!(
                "this would delete the {records} of {}, and nothing brings them back: say --yes to do it",
                self.stream
            )));
        }
        log.delete_stream(stream).map_err(told)?;
        writeln!(std::io::stdout(), "deleted {}", self.stream)?;
        Ok(())
    }
}

/// The log that `address` is in.
fn open_log_of(address: &LogAddress) -> Result<ShardLog> {
    open(address.directory())
}

fn open(directory: &std::path::Path) -> Result<ShardLog> {
    ShardLog::open(directory, &Options::default()).map_err(told)
}

/// An error of the log with what to do about it on the command line, where that is more than what a
/// program could be told.
fn told(error: LogError) -> Error {
    match &error {
        LogError::Trimmed { stream, shard, requested, oldest } => Error::configuration(format!(
            "{stream}/{shard}: record {requested} was removed by retention, the oldest left is {oldest}; read from `--from oldest`, or keep records longer"
        )),
        _ => error.into(),
    }
}
