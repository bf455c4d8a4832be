//! The workloads on Pelton, through its public API alone.
//!
//! In reading order: [`job`] (how each of them is run), [`throughput`] (W0, W1, W2, `sliding-sum`), [`latency`]
//! (W3), [`over`] (W4), [`process`] (`startup` and `recovery`, which need a process of their own), [`fraud`]
//! (the example), and [`log`] (the shard log, without a job). Each verifies its result before it
//! reports; [`state_files`] looks at the checkpoints that a run has left.

mod fraud;
pub mod job;
mod latency;
mod log;
mod over;
mod process;
mod state_files;
mod throughput;

use std::path::Path;

use anyhow::Result;

use crate::args::{Args, Workload};
use crate::report::Report;

/// Runs the workload that `args` names.
pub fn run(args: &Args) -> Result<Report> {
    match args.workload {
        Workload::Passthrough | Workload::KeyedCount | Workload::TumblingSum | Workload::SlidingSum => {
            throughput::run(args)
        }
        Workload::Over => over::run(args),
        Workload::Latency => latency::run(args),
        Workload::Startup => process::startup(args),
        Workload::Recovery => process::recovery(args),
        Workload::Fraud | Workload::FraudCore => fraud::run(args),
        Workload::LogAppend | Workload::LogScan => log::run(args),
    }
}

/// Runs as the child of a `startup` or `recovery` run.
pub fn run_child(args: &Args, directory: &Path) -> Result<()> {
    process::child(args, directory)
}
