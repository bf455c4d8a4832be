//! The command line: of every job, by [`main`], and of the shard log, by [`tool::main`].
//!
//! In reading order:
//! * [`main`]: from a job's function to a process with `run`, `explain` and `checkpoints`;
//! * `options`: the settings of a run from defaults, file, environment and flags; `config`: the
//!   file, with `file_settings` for those that have no flag; `usage` and `nearest`: what is said of
//!   values and names that cannot be;
//! * `run`: a job on the terminal; `status_line` and `summary`: what is said of it; `console`: the
//!   one line that it shares with the log;
//! * `explain`, `checkpoints`: the other commands of a job;
//! * [`tool`]: the `pelton` binary, whose commands are in `log` and `streams`;
//! * [`Error`]: what went wrong, and its [`Remedy`]; `units` and `table`: how figures are written.
//!
//! It starts and watches jobs; what a job is, and how it runs, is for the crates below.

mod app;
mod checkpoints;
mod config;
mod console;
mod error;
mod explain;
mod file_settings;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod log;
mod nearest;
mod options;
mod run;
mod status_line;
#[cfg(feature = "kinesis")]
mod streams;
mod summary;
mod table;
pub mod tool;
mod units;
mod usage;

/// Records are many small allocations that one worker makes and another frees: that of glibc is slower at
/// it, see `benches/README.md`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub use app::main;
pub use error::{Error, Remedy, Result};
