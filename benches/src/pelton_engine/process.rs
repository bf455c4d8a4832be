//! `startup` and `recovery`: a child process runs W1 and says how far it is; the parent measures,
//! and kills.
//!
//! The child writes to its standard output, one line each: `out N` when record N-1 is the furthest
//! that its sink has seen, and `checkpoint N` when N checkpoints have completed.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pelton::connectors::ForEachBatch;
use pelton::dataflow::record::Record;
use pelton::prelude::{Generator, Job, Watermarks};
use serde::{Deserialize, Serialize};

use super::job;
use crate::args::{Args, Backend};
use crate::report::Report;
use crate::stopwatch::Stopwatch;
use crate::usage;

/// How often the child looks whether a checkpoint has completed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A count, and the index of its last record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    count: u64,
    index: u64,
}

/// From the start of a process to its first output.
pub fn startup(args: &Args) -> Result<Report> {
    let directory = job::directory()?;
    let since = Stopwatch::start();
    let mut running = Running::start(args, directory.path())?;
    running.until(|line| line.out.is_some())?;
    let elapsed = since.elapsed();
    let (_, peak_rss_bytes) = running.kill()?;
    Ok(report(args, elapsed, 1, peak_rss_bytes))
}

/// From kill -9 of a process that holds all keys, and has them in a checkpoint, to the first
/// output of its successor that is beyond everything seen before.
pub fn recovery(args: &Args) -> Result<Report> {
    let directory = job::directory()?;
    let mut first = Running::start(args, directory.path())?;
    let mut furthest = 0;
    first.until(|line| {
        furthest = furthest.max(line.out.unwrap_or(0));
        furthest >= args.keys
    })?;
    // A checkpoint that begins after this holds every key; the one under way may not.
    let (mut completed, mut enough) = (0, u64::MAX);
    first.until(|line| {
        furthest = furthest.max(line.out.unwrap_or(0));
        if let Some(checkpoints) = line.checkpoints {
            if enough == u64::MAX {
                enough = checkpoints + 2;
            }
            completed = checkpoints;
        }
        completed >= enough
    })?;
    let since = Stopwatch::start();
    let (rest, peak_rss_bytes) = first.kill()?;
    for line in rest {
        furthest = furthest.max(line.out.unwrap_or(0));
    }
    let mut second = Running::start(args, directory.path())?;
    second.until(|line| line.out.is_some_and(|out| out > furthest))?;
    let elapsed = since.elapsed();
    second.kill()?;
    let mut report = report(args, elapsed, furthest, peak_rss_bytes);
    report.checkpoints_completed = completed;
    Ok(report)
}

/// The report of a run whose child used `peak_rss_bytes`.
fn report(args: &Args, elapsed: Duration, events: u64, peak_rss_bytes: u64) -> Report {
    let mut report = Report::now(args, elapsed);
    report.cpu_s = usage::children_cpu_s();
    report.peak_rss_bytes = peak_rss_bytes;
    report.events = events;
    report.events_per_s = 0.0;
    report.settings.rate = Some(args.rate());
    report
}

/// What a line of the child says.
#[derive(Default)]
struct Line {
    out: Option<u64>,
    checkpoints: Option<u64>,
}

impl Line {
    fn parse(text: &str) -> Self {
        match text.split_once(' ') {
            Some(("out", count)) => Self { out: count.parse().ok(), checkpoints: None },
            Some(("checkpoint", count)) => Self { out: None, checkpoints: count.parse().ok() },
            _ => Self::default(),
        }
    }
}

/// A child at work. Its drop kills it.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(args: &Args, directory: &Path) -> Result<Self> {
        let backend = match args.backend {
            Backend::Rocksdb => "rocksdb",
            Backend::Memory => "memory",
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(args.workload.to_string()).arg("--child").arg(directory);
        command.args(["--keys", &args.keys.to_string(), "--workers", &args.workers.to_string()]);
        command.args(["--backend", backend, "--rate", &args.rate().to_string()]);
        if let Some(ms) = args.checkpoint_ms.0 {
            command.args(["--checkpoint-ms", &ms.to_string()]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the child process")?;
        let output = child.stdout.take().context("the child has no output")?;
        Ok(Self { child, lines: BufReader::new(output).lines() })
    }

    fn until(&mut self, mut enough: impl FnMut(Line) -> bool) -> Result<()> {
        for line in self.lines.by_ref() {
            if enough(Line::parse(&line?)) {
                return Ok(());
            }
        }
        anyhow::bail!("the child ended before it was asked to")
    }

    /// Kills it, and gives what it had still said and the most memory it used.
    fn kill(&mut self) -> Result<(Vec<Line>, u64)> {
        let peak_rss_bytes = usage::peak_rss_of(self.child.id()).unwrap_or(0);
        self.child.kill().context("cannot kill the child")?;
        self.child.wait()?;
        let rest: Vec<Line> =
            self.lines.by_ref().map_while(Result::ok).map(|line| Line::parse(&line)).collect();
        Ok((rest, peak_rss_bytes))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Either it is over already, or this is all that can be done about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child: W1 over an endless input, its first `keys` records having a key each.
pub fn child(args: &Args, directory: &Path) -> Result<()> {
    let furthest = Arc::new(AtomicU64::new(0));
    let said = Arc::new(Mutex::new(0));
    let (sink_furthest, sink_said) = (furthest.clone(), said.clone());
    let keys = args.keys;
    let spec = job::spec(args, directory, |job: &mut Job| {
        let generator = Generator::endless(move |index| (index % keys, index)).rate(args.rate());
        let events =
            job.source("events", generator.splits(args.workers as u32)).watermarks(Watermarks::none());
        let counts = events.key_by(|&(key, _)| key).fold("count", |counted: &mut Counted, (_, index)| {
            counted.count += 1;
            counted.index = index;
        });
        let note = move |batch: &[Record<(u64, Counted)>]| {
            let last = batch.iter().map(|record| record.value.1.index + 1).max().unwrap_or(0);
            sink_furthest.fetch_max(last, Ordering::Relaxed);
            let mut said = sink_said.lock().unwrap_or_else(PoisonError::into_inner);
            if last > *said {
                *said = last;
                say("out", last);
            }
        };
        counts.sink("progress", ForEachBatch::new(note));
    })?;
    let handle = pelton::runtime::Job::start(spec)?;
    let (_never, timer) = channel::<()>();
    let mut completed = 0;
    while !handle.is_over() {
        ensure!(timer.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout), "the timer is broken");
        let now = handle.status().checkpoints_completed;
        if now > completed {
            completed = now;
            say("checkpoint", completed);
        }
    }
    handle.wait()?;
    Ok(())
}

fn say(what: &str, count: u64) {
    let mut output = std::io::stdout().lock();
    // A parent that has gone does not want to hear more.
    let _ = writeln!(output, "{what} {count}").and_then(|()| output.flush());
}
