//! `pelton log verify`: every byte of streams.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use pelton_connectors::LogAddress;

use super::{open_log_of, told};
use crate::error::{Error, Remedy, Result};
use crate::units;

/// Verifies streams.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The streams, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM", required = true)]
    streams: Vec<LogAddress>,
}

impl Verify {
    /// The exit code is 4 if anything does not hold.
    pub fn execute(&self) -> Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        let mut problems = 0;
        for address in &self.streams {
            let verified = open_log_of(address).and_then(|log| log.verify(address.stream()).map_err(told));
            let report = match verified {
                Ok(report) => report,
                // Damage in what must be read first is one more problem, not the end.
                Err(error) if error.remedy() == Remedy::CorruptData => {
                    problems += 1;
                    writeln!(out, "{address}: {error}")?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for problem in &report.problems {
                let (file, offset, what) = (problem.file.display(), problem.offset, &problem.what);
                writeln!(out, "{address}: {file} at byte {offset}: {what}")?;
            }
            problems += report.problems.len() as u64;
            let open = match report.open_transactions {
                0 => String::new(),
                open => format!(", {}", units::plural(open as u64, "open transaction")),
            };
            writeln!(
                out,
                "{address}: read {} ({}) in {} of {}{open}: {}",
                units::plural(report.records, "record"),
                units::bytes(report.bytes),
                units::plural(report.frames, "frame"),
                units::plural(report.segments, "segment"),
                if report.problems.is_empty() {
                    "all is well".to_owned()
                } else {
                    units::plural(report.problems.len() as u64, "problem")
                }
            )?;
        }
        out.flush()?;
        if problems == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        Err(Error::new(
            Remedy::CorruptData,
            format!(
                "{}; restore the files from a copy, or delete the stream",
                units::plural(problems, "problem")
            ),
        ))
    }
}
