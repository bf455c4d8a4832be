//! The connectors through their contracts, as the engine drives them.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test, as it should")]

mod any_script;
mod exactly_once;
mod files_in;
mod files_out;
mod files_partitioned;
mod generated;
mod log_in;
mod log_out;
mod other_sinks;
mod support;
