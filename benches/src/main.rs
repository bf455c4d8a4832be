//! The benchmark driver: one workload on one engine, its result verified inside the run.
//!
//! In reading order: [`args`] (the command line), [`generator`] (what the workloads read),
//! [`verify`] (what must come out), [`timely_ref`] and [`pelton_engine`] (who does the work),
//! [`report`], [`usage`], [`progress`] and [`stopwatch`] (what is measured, and how).

mod args;
mod generator;
mod pelton_engine;
mod progress;
mod report;
mod stopwatch;
mod timely_ref;
mod usage;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Engine};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(directory) = &args.child {
        return pelton_engine::run_child(&args, directory);
    }
    let ran = match args.engine {
        Engine::Pelton => pelton_engine::run(&args),
        Engine::Timely => timely_ref::run(&args),
    };
    match ran {
        Ok(report) => {
            report.print(args.json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            report::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
