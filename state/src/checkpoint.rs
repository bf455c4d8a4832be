//! Checkpoints: where their files lie, and what makes one exist.
//!
//! * [`store`]: immutable files by path, verified when they are read;
//! * [`names`]: the numbers that stand for operators and states in rows.

pub mod names;
pub mod store;
