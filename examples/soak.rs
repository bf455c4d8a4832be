//! Puts `fraud_detection` through a soak: killed, stopped and rescaled under load, round after round, and
//! what it leaves is judged. `make soak ROUNDS=100` does it.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use pelton_examples::trial::Soak;

/// Kill, stop and rescale the fraud detection under load, and judge what it leaves.
#[derive(Parser)]
#[command(name = "soak", version)]
struct Args {
    /// How often the job is disturbed
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Payments that are appended in each round
    #[arg(long, default_value_t = 20_000)]
    payments: u64,
    /// Decides the payments, and what is done to the job when; a fresh one if it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// Where everything lies; what an earlier soak has left there is deleted
    #[arg(long, default_value = ".pelton/soak")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    let mut out = std::io::stdout();
    match run(args, seed, &mut out) {
        Ok(verdict) => {
            // Whoever closed the output does not want to see this.
            let _ = writeln!(out, "{verdict}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "soak: FAILED with --seed {seed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args, seed: u64, out: &mut dyn Write) -> Result<String> {
    let Args { rounds, payments, directory, .. } = args;
    writeln!(out, "{rounds} rounds in {}, with --seed {seed}", directory.display())?;
    let job = std::env::current_exe().context("cannot tell where this program is")?;
    let job = job.with_file_name("fraud_detection");
    Soak { rounds, lines_per_round: payments, seed, directory, job }.run(out)
}
