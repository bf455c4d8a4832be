//! Where questions run: tokio's runtime, the user's or one for the process.

use std::sync::{Mutex, PoisonError};

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::operator::OperatorContext;
use tokio::runtime::{Builder, Handle, Runtime};

/// Questions wait far more than they work; two threads keep one that computes from stopping all others.
const THREADS: usize = 2;

/// Started by the first operator that needs it, and never stopped: its threads end with the process.
static SHARED: Mutex<Option<Runtime>> = Mutex::new(None);

/// The handle that the worker was given, or that of the process's own runtime.
pub(super) fn handle(cx: &OperatorContext<'_>) -> OpResult<Handle> {
    if let Some(given) = cx.resources.get::<Handle>() {
        return Ok(given.clone());
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*shared {
        return Ok(runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("pelton-async")
        .enable_all()
        .build()
        .map_err(|error| OpError::from(format!("cannot start threads for questions: {error}")))?;
    Ok(shared.insert(runtime).handle().clone())
}
