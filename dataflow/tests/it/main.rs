//! Graphs run whole: scripts of records, watermarks and barriers against the lowering.

#![expect(clippy::unwrap_used, reason = "a poisoned lock in a test is a failed test")]

mod alignment;
mod ends;
mod failures;
mod flow_control;
mod harness;
mod idleness;
mod in_flight;
mod own_time;
mod random_graphs;
mod stash;
mod timers;
