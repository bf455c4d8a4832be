//! The dataflow layer of Pelton: moments, batches, the logical graph, and its lowering onto timely.
//!
//! In reading order:
//! * [`time`]: event times, epochs, and the moment that one frontier carries for both;
//! * [`record`]: records and erased batches; [`rank`]: the order of records of one event time; [`key`]: the fixed hash and key groups;
//! * [`graph`]: the logical graph, its validation and `explain`;
//! * [`operator`], [`source`], [`sink`], [`partition`]: the contracts that operators and
//!   connectors fulfil, with [`error`] for what goes wrong;
//! * [`mod@env`]: what the stages of a worker share and how they speak with the coordinator;
//!   [`watermarks`]: how idle sources follow others, [`alignment`]: how those that run ahead wait;
//!   [`stats`], [`clock`], [`settings`];
//! * [`failpoint`]: steps at which tests have the engine fail; [`directories`]: making some that last;
//! * [`lower`]: stages, credited channels, epoch order; [`testing`]: running a graph in one thread.
//!
//! It knows neither keyed state nor any operator by name.

pub mod alignment;
pub mod clock;
pub mod directories;
pub mod env;
pub mod error;
pub mod failpoint;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod graph;
pub mod key;
pub mod lower;
pub mod operator;
pub mod partition;
pub mod rank;
pub mod record;
pub mod settings;
pub mod sink;
pub mod source;
pub mod stats;
pub mod testing;
pub mod time;
pub mod watermarks;
