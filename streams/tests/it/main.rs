//! The shard log's integration tests: one binary, one module for each promise.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod append;
mod crash;
mod damage;
mod errors;
mod lifecycle;
mod model;
mod processes;
mod reshard;
mod retention;
mod support;
mod tail;
mod transactions;
