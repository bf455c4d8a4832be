//! The `pelton` binary: the shard log and checkpoints, without a job.

use std::process::ExitCode;

fn main() -> ExitCode {
    pelton_cli::tool::main()
}
