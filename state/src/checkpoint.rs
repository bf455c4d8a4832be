//! Checkpoints: where their files lie, and what makes one exist.
//!
//! In reading order:
//! * [`store`]: immutable files by path, verified when they are read; `root`: directories that last;
//! * [`names`]: the numbers that stand for operators and states in rows;
//! * [`manifest`]: what a checkpoint consists of; [`wire`]: its bytes;
//! * [`log`]: the one log of manifests and takeovers, which fences who has lost a job;
//! * [`retention`]: what is kept, and what is garbage.

pub mod log;
pub mod manifest;
pub mod names;
pub mod retention;
mod root;
pub mod store;
pub mod wire;

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod takeover_tests;
#[cfg(test)]
mod tests;
