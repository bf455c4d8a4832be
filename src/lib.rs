//! Pelton: a stream processor with exactly-once keyed state, and the shard log it reads from.
//!
//! Jobs need [`prelude`] and [`cli::main`]:
//!
//! ```no_run
//! use pelton::prelude::*;
//!
//! fn evens(job: &mut Job, (): &()) -> pelton::Result {
//!     let numbers = job.source("numbers", Generator::new(1_000_000, |n| n)).watermarks(Watermarks::none());
//!     numbers.filter(|n| n % 2 == 0).sink("evens", Stdout::json());
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     pelton::cli::main(evens)
//! }
//! ```
//!
//! The crates behind it, from the outside in:
//! * [`cli`]: the command line of every job, and the `pelton` binary;
//! * [`connectors`]: sources and sinks; [`streams`]: the shard log, which stands alone;
//! * [`operators`]: streams and what can be done with them; [`testing`]: operators on a script;
//! * [`runtime`]: what makes a graph into a running job that survives failures;
//! * [`state`]: keyed state, checkpoints and the manifest log;
//! * [`dataflow`]: the graph, the contracts, and the lowering onto timely.
//!
//! `ARCHITECTURE.md` shows where a record goes through them.

pub mod prelude;

pub use pelton_cli as cli;
pub use pelton_cli::{Error, Remedy, Result};
pub use pelton_connectors as connectors;
pub use pelton_dataflow as dataflow;
pub use pelton_operators as operators;
pub use pelton_operators::testing;
pub use pelton_runtime as runtime;
pub use pelton_state as state;
pub use pelton_streams as streams;
