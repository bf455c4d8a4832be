//! The runtime: what makes a graph into a running job that survives failures.
//!
//! In reading order:
//! * [`settings`]: how a job runs; [`error`]: why it ended;
//! * [`restart`]: whether it starts again.

pub mod error;
pub mod restart;
pub mod settings;
