//! The `pelton` binary: what is done without a job.
//!
//! Owns the command line; the commands are in `log`, `streams` and `checkpoints`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::checkpoints::CheckpointsCommand;
use crate::console;
use crate::error::Result;
use crate::log::LogCommand;

const EXAMPLES: &str = "\
Examples:
    pelton log create data/payments --shards 4
    pelton log put data/payments --file payments.jsonl --key-field card
    pelton log get data/payments --limit 10
    pelton log tail data/alerts

Jobs are binaries of their own, made with `pelton::cli::main`; they have the commands run, explain and \
checkpoints.

Exit codes: 0 well, 1 a failure that may pass, 2 a wrong argument, 3 a newer format, 4 damaged data.";

/// Streams of the shard log, and checkpoints of jobs
#[derive(Debug, Parser)]
#[command(name = "pelton", version, after_help = EXAMPLES)]
struct Tool {
    #[command(subcommand)]
    command: ToolCommand,
}

#[derive(Debug, Subcommand)]
enum ToolCommand {
    /// Create, write, read and check streams of the shard log
    #[command(subcommand)]
    Log(LogCommand),
    /// Serve streams to programs that speak the Amazon Kinesis API
    #[cfg(feature = "kinesis")]
    #[command(subcommand)]
    Streams(crate::streams::StreamsCommand),
    /// Look at the checkpoints of a job
    Checkpoints {
        /// The job's checkpoint directory
        #[arg(
            long,
            env = "PELTON_CHECKPOINT_DIR",
            hide_env_values = true,
            value_name = "DIR",
            global = true
        )]
        checkpoint_dir: Option<String>,
        #[command(subcommand)]
        command: CheckpointsCommand,
    },
}

impl ToolCommand {
    /// Parts of Pelton whose information is logged, and not their warnings alone.
    fn is_heard(&self) -> &'static [&'static str] {
        match self {
            #[cfg(feature = "kinesis")]
            Self::Streams(_) => &["pelton_kinesis"],
            _ => &[],
        }
    }
}

/// Runs the command line of the `pelton` binary.
#[must_use]
pub fn main() -> ExitCode {
    console::guard(|| {
        let tool = Tool::try_parse()?;
        console::start_log(tool.command.is_heard());
        execute(tool)
    })
}

fn execute(tool: Tool) -> Result<ExitCode> {
    match tool.command {
        ToolCommand::Log(command) => command.execute(),
        #[cfg(feature = "kinesis")]
        ToolCommand::Streams(command) => command.execute(),
        ToolCommand::Checkpoints { checkpoint_dir, command } => {
            let directory = checkpoint_dir.ok_or_else(|| {
                crate::Error::configuration(
                    "no checkpoint directory is given: name it by --checkpoint-dir, such as .pelton/JOB/checkpoints",
                )
            })?;
            command.execute(&directory)
        }
    }
}
