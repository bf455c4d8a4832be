//! The workloads on Pelton, through its public API alone.
//!
//! One function per workload; each runs its job, verifies the result and reports.

use anyhow::{Result, bail};

use crate::args::Args;
use crate::report::Report;

/// Runs the workload that `args` names.
pub fn run(args: &Args) -> Result<Report> {
    bail!(
        "{} on Pelton is not there yet: the engine cannot run a job; use `--engine timely` for the reference",
        args.workload
    )
}
