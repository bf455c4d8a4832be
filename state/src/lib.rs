//! Keyed state, and the checkpoints that make it durable.
//!
//! * [`files`]: what a checkpoint consists of besides its manifest;
//! * [`checkpoint`]: the store of its files, the manifest log, retention.

pub mod checkpoint;
pub mod error;
pub mod files;
