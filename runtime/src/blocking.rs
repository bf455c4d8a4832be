//! What a generation does that may block, without the threads that it is done on: one call does one
//! thing and returns with its answer.
//!
//! The driver makes these calls from threads of its own; a simulation makes them in an order that a
//! seed decides. In reading order: [`recovery`] takes a job over and reads where it was;
//! [`enumerators`] look for splits; [`manifests`] appends to the log and collects garbage;
//! [`commits`] has sinks commit.

use pelton_dataflow::graph::Graph;
use pelton_state::checkpoint::store::CheckpointStore;

use crate::settings::JobSettings;

pub mod commits;
pub mod enumerators;
pub mod manifests;
pub mod recovery;

/// A job, as far as these calls need to know it.
#[derive(Clone, Copy)]
pub struct JobRef<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its graph.
    pub graph: &'a Graph,
    /// How it runs.
    pub settings: &'a JobSettings,
    /// Where its checkpoints lie.
    pub store: &'a CheckpointStore,
}
