//! The terminal: standard error as the log and one status line share it, and how a command ends.
//!
//! Owns the line that is updated in place, which every other output goes above, the log's set-up,
//! and the exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::error::Result;

/// The width of a terminal that does not tell.
const DEFAULT_COLUMNS: usize = 80;

/// The status line that stands below everything else; empty if there is none.
static STATUS_LINE: Mutex<String> = Mutex::new(String::new());

fn status_line() -> MutexGuard<'static, String> {
    STATUS_LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether standard error is a terminal, where a line can be updated.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Shows `text` as the status line, cut to the terminal's width; empty text takes it away.
pub(crate) fn set_status_line(text: &str) {
    let columns = terminal_size::terminal_size_of(io::stderr())
        .map_or(DEFAULT_COLUMNS, |(terminal_size::Width(columns), _)| usize::from(columns));
    let mut line = status_line();
    // A terminal that is gone is no reason to stop a job.
    let _ = redraw(&mut line, text.chars().take(columns.saturating_sub(1)).collect());
}

fn redraw(line: &mut String, text: String) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    if !(line.is_empty() && text.is_empty()) {
        write!(stderr, "\r\x1b[K{text}")?;
        stderr.flush()?;
    }
    *line = text;
    Ok(())
}

/// Writes a line to standard error, above the status line.
pub(crate) fn say(text: &str) {
    // A terminal that is gone is no reason to stop a job.
    let _ = Above.write_all(format!("{text}\n").as_bytes());
}

/// Writes to standard error above the status line.
struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = status_line();
        let text = std::mem::take(&mut *line);
        let mut stderr = io::stderr().lock();
        if text.is_empty() {
            stderr.write_all(bytes)?;
        } else {
            stderr.write_all(b"\r\x1b[K")?;
            stderr.write_all(bytes)?;
            stderr.write_all(text.as_bytes())?;
        }
        *line = text;
        stderr.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Log;

impl MakeWriter<'_> for Log {
    type Writer = Above;

    fn make_writer(&self) -> Above {
        Above
    }
}

/// Sends the log to standard error. `RUST_LOG` says what of it; else warnings, and from `ours`
/// on, information too.
pub(crate) fn start_log(ours: &[&str]) {
    let default = || {
        let own = program_name().replace('-', "_");
        let all = ours.iter().copied().chain([own.as_str()]).map(|target| format!(",{target}=info"));
        EnvFilter::new(format!("warn{}", if ours.is_empty() { String::new() } else { all.collect() }))
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| default());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Log).with_ansi(is_terminal());
    // A program that has set up a log of its own keeps it.
    let _ = log.try_init();
}

/// From now on what a panic says, on whichever thread, begins on a line of its own.
pub(crate) fn keep_panics_apart() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The next update brings the line back.
        set_status_line("");
        tell(panic);
    }));
}

/// The name of this program's file.
pub(crate) fn program_name() -> String {
    let path = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = path.as_deref().and_then(std::path::Path::file_stem).and_then(|name| name.to_str());
    name.unwrap_or("job").to_owned()
}

/// Runs a command; tells what goes wrong, and answers with the exit code.
pub(crate) fn guard(command: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    let ended = command().and_then(|code| {
        io::stdout().flush()?;
        Ok(code)
    });
    let error = match ended {
        Ok(code) => return code,
        Err(error) => error,
    };
    set_status_line("");
    if error.is_closed_output() {
        return ExitCode::SUCCESS;
    }
    let remedy = error.remedy();
    let message = error.to_string();
    match error.into_inner().downcast::<clap::Error>() {
        Ok(usage) => {
            // Help that nobody reads to its end is no failure.
            let _ = usage.print();
            ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2))
        }
        Err(_) => {
            say(&format!("error: {}", message.trim_end()));
            remedy.exit_code()
        }
    }
}
