//! A worker: a plain thread that builds its dataflow and steps it until it is told to stop.
//!
//! Timely's own loop is not used: it ends when the dataflow does, and a worker that panics leaves
//! the others waiting. Here every worker leaves when the coordinator says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use pelton_dataflow::clock::monotonic_ns;
use pelton_dataflow::env::{Control, WorkerEnv};
use pelton_dataflow::error::panic_message;
use pelton_dataflow::graph::Graph;
use pelton_dataflow::lower::{lower, new_worker};
use pelton_state::StateStore;
use timely::CommunicationConfig;
use timely::communication::{Allocator, WorkerGuards, initialize_from};
use timely::worker::Worker;

use super::outfit::Outfitter;
use crate::coordinator::Event;
use crate::error::JobError;

/// The longest that a worker sleeps without being woken: layers that were written meanwhile wait
/// so long to be moved. More often would show in the idle time of the machine.
const LONGEST_PARK: Duration = Duration::from_millis(100);

/// What a worker runs with.
pub struct Crew {
    /// The graph.
    pub graph: Arc<Graph>,
    /// The coordinator's wishes.
    pub control: Arc<Control>,
    /// The driver's ear.
    pub events: Sender<Event>,
}

/// A worker's environment, and the store it keeps its state in.
pub struct Outfit {
    /// What stages are built with.
    pub env: WorkerEnv,
    /// The state store.
    pub store: StateStore,
}

/// Starts `workers` threads, which timely calls `timely:work-0` and so on.
pub fn start(
    workers: usize,
    crew: &Arc<Crew>,
    outfitter: &Arc<Outfitter>,
) -> Result<WorkerGuards<()>, JobError> {
    let config =
        if workers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(workers) };
    let (crew, outfitter) = (crew.clone(), outfitter.clone());
    let started = config.try_build().and_then(|(allocators, others)| {
        initialize_from(allocators, others, move |allocator| work(allocator, &crew, &outfitter))
    });
    started.map_err(|problem| JobError::Thread {
        name: "timely:work".to_owned(),
        source: std::io::Error::other(problem),
    })
}

/// The whole life of a worker's thread.
fn work(allocator: Allocator, crew: &Crew, outfitter: &Outfitter) {
    let index = allocator.index();
    let run = AssertUnwindSafe(|| {
        let mut worker = new_worker(allocator);
        let result = build_and_step(index, &mut worker, crew, outfitter);
        if let Ok(store) = &result
            && crew.control.is_over()
        {
            store.give_up();
        }
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        result
    });
    let event = match catch_unwind(run) {
        Ok(Ok(store)) => {
            // The dataflow is gone, and with it all other handles on the store.
            match store.close() {
                Ok(()) => return,
                Err(error) => Event::Failed { message: error.to_string() },
            }
        }
        Ok(Err(message)) => Event::Failed { message },
        Err(payload) => Event::Panicked { worker: index, message: panic_message(payload.as_ref()) },
    };
    let _ = crew.events.send(event);
}

fn build_and_step(
    index: usize,
    worker: &mut Worker,
    crew: &Crew,
    outfitter: &Outfitter,
) -> Result<StateStore, String> {
    let Outfit { env, store } = outfitter.fit_out(index)?;
    let env = Rc::new(env);
    // Building calls user code too, which may panic.
    let built = catch_unwind(AssertUnwindSafe(|| lower(&crew.graph, worker, env.clone())));
    match built {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => return Err(failure.to_string()),
        Err(payload) => {
            let message = panic_message(payload.as_ref());
            return Err(format!("building the operators of worker {index} panicked: {message}"));
        }
    }
    let _ = crew.events.send(Event::WorkerReady { worker: index });
    let mut park = LONGEST_PARK;
    while !crew.control.is_stopped() {
        worker.step_or_park(Some(park));
        let has_more = store.maintain().map_err(|error| format!("worker {index} failed: {error}"))?;
        park = if has_more { Duration::ZERO } else { LONGEST_PARK };
        env.intake.set(store.intake(monotonic_ns()));
    }
    Ok(store)
}
