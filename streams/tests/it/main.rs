//! The shard log's integration tests: one binary, one module for each promise.

mod append;
mod crash;
mod damage;
mod errors;
mod processes;
mod retention;
mod support;
mod tail;
mod transactions;
