//! Pelton: a stream processor with exactly-once keyed state, and the shard log it reads from.
//!
//! A job is a function that wires sources, operators and sinks; [`cli::main`] makes a program of it
//! that runs it with checkpoints, recovers it, and shows it. The same graph can be run in a test:
//!
//! ```
//! use pelton::prelude::*;
//! use pelton::testing::{Collect, Values, run_to_end};
//!
//! fn main() -> pelton::Result<()> {
//!     let mut job = Job::new();
//!     let (sink, squares) = Collect::new();
//!     job.source("numbers", Values::new(1..=4u64))
//!         .watermarks(Watermarks::none())
//!         .map(|n| n * n)
//!         .filter(|n| n % 2 == 0)
//!         .sink("squares", sink);
//!     run_to_end(&job.finish()?, Default::default())?;
//!     assert_eq!(squares.committed(), [4, 16]);
//!     Ok(())
//! }
//! ```
//!
//! In reading order:
//! * [`prelude`]: what a job needs; [`Error`] and its [`Remedy`]: what a job's function gives back;
//! * [`operators`]: streams and what can be done with them; [`state`]: what keyed operators keep;
//! * [`connectors`]: sources and sinks; [`streams`]: the shard log itself;
//! * [`cli`]: the command line of a job; [`runtime`]: running a job from a program of one's own;
//! * [`dataflow`]: records, event times, the graph, and the contracts of operators and connectors;
//! * [`testing`]: running a graph or an operator in one thread.

pub use pelton_cli::{Error, Remedy, Result};

/// The command line of every job: [`cli::main`] reads it, builds the graph and runs it.
pub mod cli {
    pub use pelton_cli::main;
}

/// What a job needs: `use pelton::prelude::*;`.
pub mod prelude {
    pub use std::process::ExitCode;
    pub use std::time::Duration;

    pub use pelton_connectors::{Discard, Files, Generator, LogAddress, ShardLog, Stdout, Values};
    pub use pelton_dataflow::error::{OpError, OpResult};
    pub use pelton_dataflow::source::Rejected;
    pub use pelton_dataflow::time::EventTime;
    pub use pelton_operators::over::{RangeAggregate, last};
    pub use pelton_operators::{
        Aggregate, Async, AsyncClient, Backoff, BroadcastContext, BroadcastProcess, CoContext, Context,
        Cumulative, Declare, Job, Kept, KeyedCoProcess, KeyedProcess, KeyedStream, Late, NoSide, Pattern,
        Process, ProcessContext, Sliding, Stream, TopN, Tumbling, Update, Watermarks, WindowResult,
        WindowTotal,
    };
    pub use pelton_operators::{CountWindows, Firing, GlobalWindow, Session, Timing, WindowUpdate};
    pub use pelton_state::{ListTable, MapTable, State, StateMut};
    pub use serde::{Deserialize, Serialize};
}

/// Running graphs and operators in one thread, without sleeping: [`Harness`](testing::Harness) plays
/// records, watermarks, barriers, crashes and time by script.
pub mod testing {
    pub use pelton_connectors::{Collect, Collected, Values};
    pub use pelton_dataflow::clock::ManualClock;
    pub use pelton_dataflow::testing::{RunError, run_to_end, run_with};
    pub use pelton_operators::testing::{Harness, Taps, run_stateless};
}

pub use pelton_connectors as connectors;
pub use pelton_dataflow as dataflow;
pub use pelton_operators as operators;
pub use pelton_runtime as runtime;
pub use pelton_state as state;
pub use pelton_streams as streams;

/// The pipeline in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// The examples of the page on operators run.
#[cfg(doctest)]
#[doc = include_str!("../docs/operators.md")]
mod operators_page {}

/// The examples of the page on event time run.
#[cfg(doctest)]
#[doc = include_str!("../docs/event-time.md")]
mod event_time {}
