//! `nexmark`: the queries of the auction house, measured, or written down for others to check.
//!
//! The queries and their input are the library of this package (`benches/nexmark`).

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args as ClapArgs, ValueEnum};
use nexmark::generator::event;
use nexmark::input::Input;
use nexmark::results::{Results, table, written as written_lines};
use nexmark::{NONE, QUERIES, Query};
use pelton::prelude::Job;
use pelton::runtime::JobSpec;
use serde::{Deserialize, Serialize};

use crate::args::{Backend, CheckpointEvery, parse_count};
use crate::pelton_engine::job;
use crate::report::print_line;
use crate::stopwatch::Stopwatch;
use crate::usage;

/// Runs queries of the Nexmark benchmark over generated events, or over those of a file
///
/// Generating the events is part of a run; `q-none` does nothing else, and is what the others are held
/// against.
#[derive(ClapArgs, Debug, Clone)]
pub struct NexmarkArgs {
    /// `q0` to `q22`; `q-none` to drop all events; `all` for each of them, in a process of its own
    #[arg(long, value_name = "qN|all")]
    pub query: String,
    /// Events in all, as in `100000`, `100k` or `5m`
    #[arg(long, default_value = "10m", value_parser = parse_count)]
    pub events: u64,
    /// Worker threads
    #[arg(long, default_value_t = 2)]
    pub workers: usize,
    /// Where keyed state lives
    #[arg(long, default_value = "rocksdb")]
    pub backend: Backend,
    /// Milliseconds between checkpoints, or `off`
    #[arg(long, value_name = "MS|off", default_value = "1000")]
    pub checkpoint_ms: CheckpointEvery,
    /// Print one JSON object for each query instead of a text for people
    #[arg(long)]
    pub json: bool,
    /// Write the generated events into this file too, as JSON lines
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    pub dump_events: Option<PathBuf>,
    /// Write the result into this file, as JSON lines in any order; of rows that are updated the
    /// last
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Read the events from this file instead of generating them
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    pub input: Option<PathBuf>,
}

/// What a run came to.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    workload: String,
    query: String,
    workers: usize,
    backend: String,
    checkpoint_ms: Option<u64>,
    events: u64,
    seconds: f64,
    events_per_s: f64,
    /// Rows that came out, updates included.
    results: u64,
    /// Processor time of all threads, in seconds.
    cpu_s: f64,
    peak_rss_bytes: u64,
    checkpoints_completed: u64,
}

/// Runs what `args` names.
pub fn run(args: &NexmarkArgs) -> Result<()> {
    if let Some(file) = &args.dump_events {
        dump(args.events, file).with_context(|| format!("cannot write the events to {}", file.display()))?;
    }
    if args.query == "all" {
        return run_all(args);
    }
    let report = if args.query == NONE {
        ensure!(args.output.is_none(), "`{NONE}` has no result: leave `--output` out");
        measure(args, None)
    } else {
        measure(args, Some(query(&args.query)?))
    }?;
    let as_json = || serde_json::to_string(&report).expect("a report has only strings as keys");
    print_line(&if args.json { as_json() } else { report.for_people() });
    Ok(())
}

fn query(name: &str) -> Result<&'static Query> {
    let Some(query) = QUERIES.iter().find(|query| query.name == name) else {
        let names: Vec<&str> = QUERIES.iter().map(|query| query.name).collect();
        bail!("there is no query `{name}`: give one of {}, `{NONE}` or `all`", names.join(", "));
    };
    Ok(query)
}

/// Writes the first `events` of the generator into `file`.
fn dump(events: u64, file: &Path) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for index in 0..events {
        serde_json::to_writer(&mut out, &event(index))?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Runs one query, or none, in this process.
fn measure(args: &NexmarkArgs, query: Option<&Query>) -> Result<Report> {
    let (input, events) = match &args.input {
        Some(file) => {
            let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            (Input::file(file), BufReader::new(opened).lines().count() as u64)
        }
        None => {
            let splits = u32::try_from(args.workers).unwrap_or(u32::MAX);
            (Input::Generated { events: args.events, splits }, args.events)
        }
    };
    let directory = job::directory()?;
    let (rows, written) = (Arc::new(AtomicU64::new(0)), directory.path().join("results"));
    let results = match &args.output {
        None => Results::Measure { rows: rows.clone(), directory: written.clone() },
        Some(_) => Results::Files(written.clone()),
    };
    let mut graph = Job::new();
    let stream = input.stream(&mut graph);
    match query {
        Some(query) => (query.wire)(&stream, results),
        None => results.take(&stream),
    }
    let settings = job::settings_of(args.workers, args.backend, args.checkpoint_ms, directory.path());
    let spec = JobSpec::new("nexmark", graph.finish()?, settings);
    let since = Stopwatch::start();
    let ran = pelton::runtime::run(spec)?;
    let seconds = since.elapsed().as_secs_f64();
    if let Some(file) = &args.output {
        let count = write_table(&written, file).context("cannot write the result")?;
        rows.store(count, Ordering::Relaxed);
    }
    Ok(Report {
        workload: "nexmark".to_owned(),
        query: args.query.clone(),
        workers: args.workers,
        backend: name_of(args.backend),
        checkpoint_ms: args.checkpoint_ms.0,
        events,
        seconds,
        events_per_s: events as f64 / seconds,
        results: rows.load(Ordering::Relaxed),
        cpu_s: usage::cpu_s(),
        peak_rss_bytes: usage::peak_rss_bytes(),
        checkpoints_completed: ran.status.checkpoints_completed,
    })
}

/// Makes the result of the rows in `written` and writes it to `file`; how many rows it has.
fn write_table(written: &Path, file: &Path) -> Result<u64> {
    let rows = table(written_lines(written)?);
    let mut out = BufWriter::new(File::create(file)?);
    for row in &rows {
        writeln!(out, "{row}")?;
    }
    out.flush()?;
    Ok(rows.len() as u64)
}

/// Each query in a process of its own: a run leaves memory, threads and counts of processor time
/// behind.
fn run_all(args: &NexmarkArgs) -> Result<()> {
    ensure!(
        args.output.is_none(),
        "`--output` takes the result of one query: give its name instead of `all`"
    );
    let names = [NONE].into_iter().chain(QUERIES.iter().map(|query| query.name));
    let mut none = None;
    for name in names {
        let report = run_child(args, name)?;
        let of_none = report.events_per_s / *none.get_or_insert(report.events_per_s);
        if args.json {
            print_line(&serde_json::to_string(&report)?);
        } else {
            print_line(&format!("{}; {of_none:.2} of {NONE}", report.for_people()));
        }
    }
    Ok(())
}

fn run_child(args: &NexmarkArgs, query: &str) -> Result<Report> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["nexmark", "--json", "--query", query, "--workers", &args.workers.to_string()]);
    command.args(["--backend", &name_of(args.backend)]);
    let checkpoint_ms = args.checkpoint_ms.0.map_or_else(|| "off".to_owned(), |ms| ms.to_string());
    command.args(["--checkpoint-ms", &checkpoint_ms]);
    match &args.input {
        Some(file) => command.arg("--input").arg(file),
        None => command.args(["--events", &args.events.to_string()]),
    };
    let output = command.stderr(Stdio::inherit()).output().context("cannot start a run")?;
    ensure!(output.status.success(), "`{query}` failed: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("`{query}` gave no report"))
}

fn name_of(backend: Backend) -> String {
    let value = backend.to_possible_value().expect("no backend is hidden");
    value.get_name().to_owned()
}

impl Report {
    fn for_people(&self) -> String {
        format!(
            "{:>6}: {:6.2} M events/s ({} events in {:.3} s); {} rows, {:.2} us of processor time an event, {:.0} MB at most, {} checkpoints",
            self.query,
            self.events_per_s / 1e6,
            self.events,
            self.seconds,
            self.results,
            self.cpu_s * 1e6 / self.events as f64,
            self.peak_rss_bytes as f64 / 1e6,
            self.checkpoints_completed,
        )
    }
}
