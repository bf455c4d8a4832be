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
    let text = text.chars().take(columns.saturating_sub(1)).collect();
    // A terminal that is gone is no reason to stop a job.
    let _ = redraw(&mut status_line(), text, &mut io::stderr().lock());
}

fn redraw(line: &mut String, text: String, out: &mut impl Write) -> io::Result<()> {
    let is_none = line.is_empty() && text.is_empty();
    *line = text;
    if is_none {
        return Ok(());
    }
    write!(out, "\r\x1b[K{line}")?;
    out.flush()
}

/// Writes a line to standard error, above the status line.
pub(crate) fn say(text: &str) {
    // A terminal that is gone is no reason to stop a job.
    let _ = write_above(&status_line(), format!("{text}\n").as_bytes(), &mut io::stderr().lock());
}

/// Writes `bytes`, which end a line, and `line` again below them.
fn write_above(line: &str, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    if line.is_empty() {
        out.write_all(bytes)?;
    } else {
        write!(out, "\r\x1b[K")?;
        out.write_all(bytes)?;
        write!(out, "{line}")?;
    }
    out.flush()
}

/// Where the log goes: standard error, above the status line.
struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An error would be told by `eprintln!`, which panics when standard error is closed.
        let _ = write_above(&status_line(), bytes, &mut io::stderr().lock());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is on the screen: each line as it was left.
    fn screen(bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.split('\n').map(|line| line.rsplit("\r\x1b[K").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_log_goes_above_the_status_line() {
        let (mut line, mut out) = (String::new(), Vec::new());
        redraw(&mut line, "10 in".to_owned(), &mut out).unwrap();
        redraw(&mut line, "20 in".to_owned(), &mut out).unwrap();
        assert_eq!(screen(&out), ["20 in"]);
        write_above(&line, b"WARN slow\n", &mut out).unwrap();
        assert_eq!(screen(&out), ["WARN slow", "20 in"]);
        redraw(&mut line, String::new(), &mut out).unwrap();
        write_above(&line, b"error: failed\n", &mut out).unwrap();
        assert_eq!(screen(&out), ["WARN slow", "error: failed", ""]);
    }

    #[test]
    fn without_a_status_line_nothing_is_erased() {
        let mut out = Vec::new();
        redraw(&mut String::new(), String::new(), &mut out).unwrap();
        write_above("", b"plain\n", &mut out).unwrap();
        assert_eq!(out, b"plain\n");
    }
}
