//! The runtime: what makes a graph into a running job that survives failures.
//!
//! In reading order:
//! * [`job`]: what to run, and the handle on it; [`settings`]: how; [`error`]: why it ended;
//! * [`coordinator`]: what one generation does, as a pure state machine;
//! * [`blocking`]: recovery, the manifest log, commits and enumerators, one call each;
//! * `driver`: the threads and the clock that all of them get; [`restart`]: whether another one starts;
//! * [`lock`]: one job to a state directory; `places`, `made`: its directories; [`signals`]: stops from the terminal;
//! * [`status`]: what can be seen of it; [`latency`], [`metrics`]: figures.

pub mod blocking;
pub mod coordinator;
mod driver;
pub mod error;
pub mod job;
pub mod latency;
pub mod lock;
mod made;
pub mod metrics;
mod places;
pub mod restart;
pub mod settings;
pub mod signals;
pub mod status;

pub use driver::End;
pub use error::JobError;
pub use job::{Job, JobHandle, JobReport, JobSpec, Stopper, Watcher, run};
pub use settings::{CheckpointInterval, JobSettings, RestartStrategy};
pub use status::JobStatus;
