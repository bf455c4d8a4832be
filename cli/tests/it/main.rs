//! The binaries as a user meets them: real processes over a temporary directory.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod checkpoints;
mod config;
mod explain;
mod log;
mod log_errors;
mod run;
mod shell;
#[cfg(feature = "kinesis")]
mod streams;
