//! Keyed state, and the checkpoints that make it durable.

pub mod files;
