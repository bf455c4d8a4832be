//! The examples `fraud_detection` and `fraud_core`, from JSON in the shard log to committed alerts, as its users run
//! it: the built binaries, beside this one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::job::directory;
use crate::args::{Args, Backend, Workload};
use crate::report::Report;
use crate::stopwatch::Stopwatch;
use crate::usage;

/// How often the job's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Makes `--events` payments, runs the job over them, and holds its alerts and counts against what
/// was planted. Only the job is measured, from its start to its end.
pub fn run(args: &Args) -> Result<Report> {
    let directory = directory()?;
    let at = |name: &str| directory.path().join(name).display().to_string();
    let payments = args.events().to_string();
    let log = ["--log", &at("log"), "--labels", &at("labels.jsonl"), "--payments", &payments];
    finish(Command::new(beside("payments")?).arg("generate").args(log))?;

    let before_s = usage::children_cpu_s();
    let since = Stopwatch::start();
    let peak_rss_bytes = watch(&mut job(args, directory.path())?)?;
    let elapsed = since.elapsed();
    let cpu_s = usage::children_cpu_s() - before_s;
    finish(Command::new(beside("payments")?).arg("score").args(log).args(["--out", &at("out")]))?;

    let text =
        std::fs::read_to_string(directory.path().join("report.json")).context("the job left no report")?;
    let ran: serde_json::Value = serde_json::from_str(&text)?;
    let mut report = Report::now(args, elapsed);
    report.cpu_s = cpu_s;
    report.peak_rss_bytes = peak_rss_bytes;
    report.checkpoints_completed =
        ran["status"]["checkpoints_completed"].as_u64().context("the job's report names no checkpoints")?;
    Ok(report)
}

fn job(args: &Args, directory: &Path) -> Result<Command> {
    let program = if args.workload == Workload::FraudCore { "fraud_core" } else { "fraud_detection" };
    let mut job = Command::new(beside(program)?);
    let backend = match args.backend {
        Backend::Rocksdb => "rocksdb",
        Backend::Memory => "memory",
    };
    let interval = args.checkpoint_ms.0.map_or("off".to_owned(), |ms| format!("{ms}ms"));
    job.args(["run", "--until-end", "--status", "off", "--restart", "none", "--backend", backend]);
    job.args(["--workers", &args.workers.to_string(), "--checkpoint-interval", &interval]);
    for (flag, name) in [
        ("--input", "log/payments"),
        ("--alerts", "log/alerts"),
        ("--out", "out"),
        ("--state-dir", "state"),
        ("--checkpoint-dir", "checkpoints"),
        ("--report", "report.json"),
    ] {
        job.arg(flag).arg(directory.join(name));
    }
    Ok(job)
}

/// Runs a process to its end, and gives the most memory that it was seen to use.
fn watch(command: &mut Command) -> Result<u64> {
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let (_never, timer) = channel::<()>();
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "the job failed: {status}");
            return Ok(peak);
        }
        peak = usage::peak_rss_of(child.id()).unwrap_or(0).max(peak);
        let _timeout = timer.recv_timeout(LOOK_EVERY);
    }
}

fn finish(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{} failed: {status}", command.get_program().display());
    Ok(())
}

/// A binary of the examples, which is built into the folder of this one.
fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{} is missing: build it with `make build`", path.display());
    Ok(path)
}
