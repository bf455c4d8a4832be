//! The connectors of Pelton: where records come from and where they go.
//!
//! In reading order:
//! * [`Values`], [`Generator`]: sources of records at hand or made up;
//! * [`Collect`], [`Stdout`], [`ForEachBatch`], [`Discard`]: sinks into memory, to the console,
//!   into a function, and nowhere;
//! * [`Files`]: JSON lines and CSV in, JSON lines out exactly once;
//! * [`ShardLog`]: streams of the shard log, read and written exactly once;
//! * [`mod@format`]: how one record is written as bytes;
//! * [`describe_position`]: where in a split a checkpoint stands, for people.
//!
//! The contracts they fulfil are `pelton_dataflow::{source, sink}`. No connector knows operators,
//! state or the runtime.

mod callback;
mod collect;
mod console;
mod error;
pub mod files;
pub mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod generator;
mod names;
mod position;
pub mod shard_log;
mod splits;
mod stripes;
mod values;

pub use callback::{Discard, ForEachBatch};
pub use collect::{Collect, Collected, CommitId};
pub use console::Stdout;
pub use error::{Error, Result};
pub use files::Files;
pub use format::{Bincode, Decode, DecodeWith, Encode, Json, Raw};
pub use generator::Generator;
pub use position::describe as describe_position;
pub use shard_log::{LogAddress, ShardLog};
pub use values::Values;
