//! The benchmark driver: one workload on one engine, its result verified inside the run; or many
//! runs, and a picture of them.
//!
//! In reading order: [`args`] and [`shape`] (the command line), [`generator`], [`large`] and [`over`] (what
//! the workloads read), [`verify`] (what must come out), [`timely_ref`] and [`pelton_engine`] (who
//! does the work), [`report`], [`usage`], [`progress`] and [`stopwatch`] (what is measured, and
//! how), [`plot`] (how it scales), [`nexmark_runs`] (the queries of the library `nexmark`), [`streams`] (a Kinesis
//! endpoint from outside).

mod args;
mod generator;
mod large;
mod nexmark_runs;
mod over;
mod pelton_engine;
mod plot;
mod progress;
mod report;
mod shape;
mod stopwatch;
mod streams;
mod timely_ref;
mod usage;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::args::{Args, Cli, Command, Engine};
use crate::shape::Shape;

fn main() -> ExitCode {
    let ran = match Cli::parse() {
        Cli { command: Some(Command::Nexmark(args)), .. } => nexmark_runs::run(&args),
        Cli { command: Some(Command::Plot(args)), .. } => plot::run(&args),
        Cli { command: Some(Command::Streams(args)), .. } => streams::run(&args),
        Cli { args: Some(args), .. } => run(&args),
        Cli { .. } => unreachable!("a workload is required where there is no command"),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    Shape::check(args)?;
    if let Some(directory) = &args.child {
        return pelton_engine::run_child(args, directory);
    }
    let report = match args.engine {
        Engine::Pelton => pelton_engine::run(args),
        Engine::Timely => timely_ref::run(args),
    }?;
    report.print(args.json);
    Ok(())
}
