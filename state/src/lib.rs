//! Keyed state, and the checkpoints that make it durable.
//!
//! What operators see, in reading order:
//! * [`spec`]: what an operator says about its state before the graph is built;
//! * [`keyed`]: the state of one operator: [`values`], [`tables`], [`timers`]; [`panes`]: that of
//!   a window operator;
//! * [`store`]: the store of one worker, which states register with and which owns the threads.
//!
//! How it is kept, from the top down:
//! * `resident`: the structs in memory; `shards`: hash tables by key group; `layers` and `cells`: what lies
//!   below an overlay of a table; `warm`: how a restored one fills;
//! * `rows`: the bytes of rows; [`ordered`]: of their keys; [`codec`]: of their values;
//! * `base`: the backends, `base::memory` and `base::rocks`.
//!
//! What outlives a worker:
//! * [`files`]: what a checkpoint consists of besides its manifest;
//! * [`checkpoint`]: the store of its files, the manifest log, retention;
//! * [`mod@fingerprint`]: the shapes of types; [`schema`]: what has changed since a checkpoint.

pub mod checkpoint;
pub mod codec;
pub mod error;
pub mod files;
pub mod fingerprint;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod keyed;
pub mod ordered;
pub mod panes;
pub mod schema;
pub mod spec;
pub mod store;
pub mod tables;
pub mod timers;
pub mod values;

mod base;
mod cells;
mod layers;
mod resident;
mod rows;
mod shards;
mod small;
mod warm;

pub use error::StateError;
pub use files::{Backend, KeyedAck, StoredFile};
pub use fingerprint::{Fingerprint, fingerprint, key_reads_back, reads_back, shape_or_name};
pub use keyed::KeyedState;
pub use panes::Panes;
pub use spec::{ListTable, MapTable, State, StateSpec, TableKey, TableValue};
pub use store::{StateStore, StoreOptions};
pub use tables::{ListAccess, MapAccess};
pub use timers::TimeDomain;
pub use values::{StateMut, TOGETHER};
