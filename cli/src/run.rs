//! `run`: a job on the terminal, from its start to its exit code.
//!
//! Owns who shows the job while it runs, and the report. What is shown is in `status_line` and
//! `summary`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pelton_dataflow::clock::{Clock, SystemClock};
use pelton_dataflow::graph::Graph;
use pelton_runtime::job::Watcher;
use pelton_runtime::signals::Signals;
use pelton_runtime::status::Phase;
use pelton_runtime::{Job, JobReport, JobSettings, JobSpec};

use crate::error::{Error, Remedy, Result};
use crate::options::{DisplayFlags, StatusFlag};
use crate::{console, status_line, summary, units};

/// How often the line on a terminal changes: as often as it can be read.
const LINE_EVERY: Duration = Duration::from_millis(250);

/// How often it is looked whether the job has begun.
const BEGUN_EVERY: Duration = Duration::from_millis(20);

/// Runs `graph` until it ends, is stopped, or fails for good.
pub(crate) fn run(graph: Graph, id: String, settings: JobSettings, flags: &DisplayFlags) -> Result<ExitCode> {
    if let Some(path) = &flags.report {
        check_report(path)?;
    }
    let begins = begins(&id, &settings);
    let signals = Signals::listen()?;
    let job = Job::start(JobSpec::new(id, graph, settings))?;
    signals.stop(job.stopper())?;
    let begins = Arc::new(Mutex::new(Some(begins).filter(|_| flags.status != StatusFlag::Off)));
    let display = Display::start(job.watcher(), flags, begins.clone());
    let ended = job.wait();
    drop(display);
    let report = ended?;
    say_once(&begins);
    if flags.status != StatusFlag::Off {
        console::say(&summary::summary(&report));
    }
    if let Some(path) = &flags.report {
        write_report(&report, path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what it runs with, if that was not said before.
fn say_once(begins: &Mutex<Option<String>>) {
    if let Some(line) = begins.lock().unwrap_or_else(PoisonError::into_inner).take() {
        console::say(&line);
    }
}

/// What it runs with, in a line: where to look when something is not as expected.
fn begins(id: &str, settings: &JobSettings) -> String {
    let checkpoints = match settings.checkpoint_interval.ms() {
        Some(ms) => format!("a checkpoint each {}", units::period(ms)),
        None => "a checkpoint at the end".to_owned(),
    };
    let metrics = settings
        .metrics_address
        .map_or_else(String::new, |address| format!(", metrics at http://{address}/metrics"));
    format!(
        "{id}: {}, {checkpoints} in {}{metrics}; Ctrl-C stops it",
        units::plural(settings.workers as u64, "worker"),
        settings.checkpoint_dir
    )
}

/// Refuses a place where no report can be written, before anything is run.
fn check_report(path: &Path) -> Result {
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let problem = if path == Path::new("-") {
        return Ok(());
    } else if path.is_dir() {
        "it is a directory; name a file".to_owned()
    } else if !directory.is_dir() {
        format!("there is no directory {}; make it, or name another file", directory.display())
    } else {
        return Ok(());
    };
    Err(Error::configuration(format!("cannot write the report to {}: {problem}", path.display())))
}

fn write_report(report: &JobReport, path: &Path) -> Result {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    if path == Path::new("-") {
        return Ok(std::io::stdout().lock().write_all(&text)?);
    }
    std::fs::write(path, text).map_err(|error| {
        Error::new(
            Remedy::Retry,
            format!("the job is over, but its report cannot be written to {}: {error}", path.display()),
        )
    })
}

/// Shows a job while it runs, on a thread of its own. Its drop takes the line away.
struct Display {
    is_over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    /// Says `begins` once the job has begun: before that it may be refused.
    fn start(watcher: Watcher, flags: &DisplayFlags, begins: Arc<Mutex<Option<String>>>) -> Self {
        let is_over = Arc::<(Mutex<bool>, Condvar)>::default();
        let updates = flags.status == StatusFlag::Auto && console::is_terminal();
        let every = if updates { LINE_EVERY } else { flags.status_interval };
        if updates {
            console::keep_panics_apart();
        }
        let show = {
            let is_over = is_over.clone();
            move || {
                let (mut has_begun, mut silent_for) = (false, Duration::ZERO);
                while !waited(&is_over, if has_begun { every } else { BEGUN_EVERY }) {
                    let status = watcher.status();
                    if !has_begun {
                        has_begun = status.phase != Phase::Starting;
                        if has_begun {
                            say_once(&begins);
                        }
                        silent_for += BEGUN_EVERY;
                        if !updates && (has_begun || silent_for < every) {
                            continue;
                        }
                        silent_for = Duration::ZERO;
                    }
                    let line = status_line::line(&status, SystemClock.now_ms());
                    if updates { console::set_status_line(&line) } else { console::say(&line) }
                }
            }
        };
        let is_shown = flags.status != StatusFlag::Off;
        // A job runs as well without being watched.
        let thread =
            is_shown.then(|| std::thread::Builder::new().name("pelton-status".to_owned()).spawn(show));
        Self { is_over, thread: thread.and_then(std::io::Result::ok) }
    }
}

/// Waits for the next line; `true` if there is none, because the job is over.
fn waited(is_over: &(Mutex<bool>, Condvar), time: Duration) -> bool {
    let guard = is_over.0.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = is_over.1.wait_timeout_while(guard, time, |is_over| !*is_over);
    *waited.unwrap_or_else(PoisonError::into_inner).0
}

impl Drop for Display {
    fn drop(&mut self) {
        *self.is_over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.is_over.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only formats text; if it panicked, it has said so.
            let _ = thread.join();
        }
        console::set_status_line("");
    }
}
