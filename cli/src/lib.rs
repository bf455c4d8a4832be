//! The command line: of every job, by [`main`], and of the shard log, by [`tool::main`].
//!
//! In reading order:
//! * [`main`]: from a job's function to a process with `run`, `explain` and `checkpoints`;
//! * `options`: the settings of a run from defaults, file, environment and flags; `config`: the
//!   file;
//! * `run`: a job on the terminal; `status_line` and `summary`: what is said of it; `console`: the
//!   one line that it shares with the log;
//! * `explain`, `checkpoints`: the other commands of a job;
//! * [`tool`]: the `pelton` binary, whose commands are in `log`;
//! * [`Error`]: what went wrong, and its [`Remedy`]; `units` and `table`: how figures are written.
//!
//! It starts and watches jobs; what a job is, and how it runs, is for the crates below.

mod app;
mod checkpoints;
mod config;
mod console;
mod error;
mod explain;
mod log;
mod options;
mod run;
mod status_line;
mod summary;
mod table;
pub mod tool;
mod units;

pub use app::main;
pub use error::{Error, Remedy, Result};
