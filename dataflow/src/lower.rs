//! Lowering: from the logical graph to timely operators on one worker.

use std::rc::Rc;

use timely::worker::Worker;

use crate::env::WorkerEnv;
use crate::error::Failure;
use crate::graph::Graph;

/// Installs `graph` on `worker` as one dataflow. The caller steps the worker until
/// `env.control` says stop, and then drops the dataflow.
///
/// # Errors
/// An operator could not be built.
pub fn lower(_graph: &Graph, _worker: &mut Worker, _env: Rc<WorkerEnv>) -> Result<(), Failure> {
    Ok(())
}
