//! Makes the payments that `fraud_detection` reads, serves what it looks up, and tells how good its alerts are.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use pelton_examples::payments::{Alert, Label, Payment, Scenario, ingest, merchants, score};
use serde::de::DeserializeOwned;

/// Payments for the fraud detection example.
#[derive(Parser)]
#[command(name = "payments", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write payments with planted fraud into a stream, and their labels beside it
    Generate {
        /// The data directory of the shard log, made if it is missing
        #[arg(long, default_value = ".pelton/demo/log")]
        log: PathBuf,
        /// The stream, which must not exist
        #[arg(long, default_value = "payments")]
        stream: String,
        /// Its shards
        #[arg(long, default_value_t = 4)]
        shards: u32,
        /// Lines, a few of which are malformed
        #[arg(long, default_value_t = 5_000_000)]
        payments: u64,
        /// Decides all of them
        #[arg(long, default_value_t = 42)]
        seed: u64,
        /// Threads that make them
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Where the labels go, as JSON lines
        #[arg(long, default_value = ".pelton/demo/labels.jsonl")]
        labels: PathBuf,
    },
    /// Serve the directory of merchants, for `fraud_detection --merchants`
    Merchants {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:7070")]
        listen: SocketAddr,
    },
    /// Hold alerts against the planted labels, and count every payment
    Score {
        /// The data directory of the shard log
        #[arg(long, default_value = ".pelton/demo/log")]
        log: PathBuf,
        /// The stream of alerts
        #[arg(long, default_value = "alerts")]
        alerts: String,
        /// The labels
        #[arg(long, default_value = ".pelton/demo/labels.jsonl")]
        labels: PathBuf,
        /// The other outputs of the job
        #[arg(long, default_value = ".pelton/demo/out")]
        out: PathBuf,
        /// How many lines were generated
        #[arg(long, default_value_t = 5_000_000)]
        payments: u64,
    },
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(text) => {
            // Whoever closed the output does not want to see this.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "payments: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<String> {
    match command {
        Command::Generate { log, stream, shards, payments, seed, threads, labels } => {
            let scenario = Scenario::new(seed, payments);
            let written = ingest::generate(&scenario, &log, &stream, shards, threads)?;
            let count = write_labels(&scenario, &labels)?;
            Ok(format!("{written}; {count} planted frauds in {}", labels.display()))
        }
        Command::Merchants { listen } => {
            let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen at {listen}"))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(merchants::serve(listener))?;
            Ok(String::new())
        }
        Command::Score { log, alerts, labels, out, payments } => {
            let raised: Vec<Alert> = ingest::read(&log, &alerts).with_context(|| {
                format!(
                    "there are no alerts to score in {}/{alerts}; make payments (payments generate), then run the job (fraud_detection run --until-end)",
                    log.display()
                )
            })?;
            let labels: Vec<Label> = json_lines(&labels).context(
                "there are no labels to score by; `payments generate` writes them with the payments",
            )?;
            let mut text = String::new();
            for of_rule in score(&labels, &raised) {
                text += &format!("{of_rule}\n");
            }
            text += &account(&out, payments)?;
            text += &format!("alerts: {} in stream `{alerts}` of {}", raised.len(), log.display());
            Ok(text)
        }
    }
}

/// Counts every line once: in a window, late, or rejected.
fn account(out: &Path, lines: u64) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Turnover {
        value: Paid,
    }
    #[derive(serde::Deserialize)]
    struct Paid {
        payments: u64,
    }
    let in_windows: u64 =
        in_directory::<Turnover>(&out.join("turnover"))?.iter().map(|turnover| turnover.value.payments).sum();
    let late = in_directory::<Payment>(&out.join("late"))?.len() as u64;
    let rejected = in_directory::<serde_json::Value>(&out.join("rejected"))?.len() as u64;
    let text = format!("{lines} lines: {in_windows} on time, {late} late, {rejected} rejected\n");
    if in_windows + late + rejected != lines {
        bail!(
            "{text}that is {} and not {lines}; let the job run to its end (fraud_detection run --until-end), and say how many were generated (--payments)",
            in_windows + late + rejected
        );
    }
    Ok(text)
}

fn write_labels(scenario: &Scenario, path: &Path) -> Result<usize> {
    let mut bytes = Vec::new();
    let mut count = 0;
    for label in scenario.labels(0..scenario.lines) {
        serde_json::to_writer(&mut bytes, &label)?;
        bytes.push(b'\n');
        count += 1;
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write labels to {}", path.display()))?;
    Ok(count)
}

/// All values in the JSON-lines files of a directory; none if there is no such directory.
fn in_directory<T: DeserializeOwned>(directory: &Path) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(values) };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            values.extend(json_lines(&path)?);
        }
    }
    Ok(values)
}

fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let parse = |(at, line): (usize, std::io::Result<String>)| {
        let value = serde_json::from_str(&line?);
        value.with_context(|| format!("{}, line {}", path.display(), at + 1))
    };
    BufReader::new(file).lines().enumerate().map(parse).collect()
}
