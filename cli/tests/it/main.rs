//! The binaries as a user meets them: real processes over a temporary directory.

mod checkpoints;
mod config;
mod explain;
mod log;
mod log_errors;
mod run;
mod shell;
