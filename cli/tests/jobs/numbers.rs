//! The job that the tests of `pelton-cli` run as a process: counts numbers by their remainder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Once;
use std::time::Duration;

use pelton_cli::Result;
use pelton_connectors::{Files, Generator};
use pelton_dataflow::time::EventTime;
use pelton_operators::{Job, Watermarks};

/// Counts numbers by their remainder
#[derive(clap::Args)]
struct Args {
    /// The directory of the counts
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How many numbers there are [default: they never end]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// What numbers are divided by
    #[arg(long, default_value_t = 7)]
    modulus: u64,
    /// The name of the operator that counts
    #[arg(long, value_name = "NAME", default_value = "count")]
    operator: String,
    /// Panic at this number
    #[arg(long, value_name = "NUMBER")]
    panic_at: Option<u64>,
    /// Wire the graph with mistakes
    #[arg(long)]
    mistakes: bool,
}

fn numbers(job: &mut Job, args: &Args) -> Result {
    if args.modulus == 0 {
        return Err("--modulus is 0: nothing can be divided by it".into());
    }
    let source = match args.count {
        Some(count) => Generator::new(count, |index| index),
        None => Generator::endless(|index| index).rate(1_000),
    };
    let time_of = |number: &u64| EventTime(i64::try_from(*number).unwrap_or(i64::MAX));
    let numbers = job.source("numbers", source).watermarks(Watermarks::bounded(Duration::ZERO, time_of));
    let (modulus, panic_at) = (args.modulus, args.panic_at);
    let checked = numbers.inspect(move |number| {
        static FIRST: Once = Once::new();
        FIRST.call_once(|| tracing::info!("numbers flow"));
        assert!(Some(*number) != panic_at, "{number} is unlucky");
    });
    let counts =
        checked.key_by(move |number| number % modulus).fold(&args.operator, |count: &mut u64, _| *count += 1);
    counts.sink("counts", Files::jsonl(&args.output));
    if args.mistakes {
        counts.sink("counts", Files::jsonl(&args.output));
        counts.sink("no name", Files::jsonl(&args.output));
    }
    Ok(())
}

fn main() -> ExitCode {
    pelton_cli::main(numbers)
}
