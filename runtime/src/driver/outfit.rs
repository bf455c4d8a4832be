//! What each worker of a generation is fitted out with: its environment, and the store that it
//! keeps its state in.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::env::{Control, Intake, Reporter, WorkerEnv};
use pelton_dataflow::operator::{Resources, RestoredPart};
use pelton_dataflow::stats::StatsRegistry;
use pelton_dataflow::time::Epoch;
use pelton_dataflow::watermarks::WatermarkBoard;
use pelton_state::checkpoint::names::NameTable;
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::{Backend, KeyedAck, StateError, StateStore, StoreOptions};

use super::JobContext;
use super::worker::Outfit;
use crate::blocking::recovery::Start;
use crate::coordinator::Event;
use crate::settings::JobSettings;

/// Fits out the workers of one generation, each on its own thread.
pub struct Outfitter {
    job: String,
    settings: JobSettings,
    clock: Arc<dyn Clock>,
    state_dir: PathBuf,
    checkpoints: CheckpointStore,
    generation: u64,
    first_epoch: Epoch,
    is_keyed: bool,
    names: NameTable,
    keyed: Vec<KeyedAck>,
    restored: HashMap<String, Vec<RestoredPart>>,
    control: Arc<Control>,
    reporter: Arc<dyn Reporter>,
    board: Arc<WatermarkBoard>,
    stats: Arc<StatsRegistry>,
    events: Sender<Event>,
}

impl Outfitter {
    /// For the generation of `job` that begins with `start`.
    pub fn new(
        job: &JobContext,
        start: &mut Start,
        control: Arc<Control>,
        reporter: Arc<dyn Reporter>,
        stats: Arc<StatsRegistry>,
        events: Sender<Event>,
    ) -> Self {
        Self {
            job: job.id.clone(),
            settings: job.settings.clone(),
            clock: job.clock.clone(),
            state_dir: job.state_dir.clone(),
            checkpoints: job.store.clone(),
            generation: start.generation,
            first_epoch: start.first_epoch,
            is_keyed: job.graph.has_keyed_state(),
            names: start.names.clone(),
            keyed: std::mem::take(&mut start.keyed),
            restored: std::mem::take(&mut start.restored),
            board: Arc::new(WatermarkBoard::new(&job.graph, job.settings.workers)),
            control,
            reporter,
            stats,
            events,
        }
    }

    /// Fits out `worker`. Runs on its thread.
    pub fn fit_out(&self, worker: usize) -> Result<Outfit, String> {
        let mut resources = Resources::default();
        let store = self.open_store(worker)?;
        resources.insert(store.clone());
        let env = WorkerEnv {
            worker,
            workers: self.settings.workers,
            job: self.job.clone(),
            generation: self.generation,
            first_epoch: self.first_epoch,
            groups: self.settings.groups(),
            clock: self.clock.clone(),
            settings: self.settings.engine.clone(),
            resources,
            restored: self.restored.clone(),
            control: self.control.clone(),
            reporter: self.reporter.clone(),
            board: self.board.clone(),
            stats: self.stats.clone(),
            intake: Cell::new(Intake::Open),
        };
        Ok(Outfit { env, store })
    }

    /// Opens the store of `worker`. A job that declares no state gets one in memory: its operators
    /// may still register states of no size, which have no rows.
    fn open_store(&self, worker: usize) -> Result<StateStore, String> {
        let events = self.events.clone();
        let on_ack = move |acked: Result<KeyedAck, StateError>| {
            // After any other failure the store acknowledges nothing more: only a restart helps.
            let event = match acked {
                Ok(ack) => Event::KeyedAcked(ack),
                Err(error @ StateError::NotStored { .. }) => {
                    Event::KeyedFailed { worker, message: error.to_string() }
                }
                Err(error) => {
                    Event::Failed { message: format!("the state of worker {worker} failed: {error}") }
                }
            };
            // A driver that has gone does not need it.
            let _ = events.send(event);
        };
        let options = StoreOptions {
            backend: if self.is_keyed { self.settings.backend } else { Backend::Memory },
            dir: self.state_dir.join(format!("w{worker:04}")),
            worker,
            workers: self.settings.workers,
            groups: self.settings.groups(),
            generation: self.generation,
            memory_bytes: self.settings.state_memory_mib * 1024 * 1024 / self.settings.workers,
            checkpoints: self.checkpoints.clone(),
            restored: self.keyed.clone(),
            ids: self.names.clone(),
            on_ack: Box::new(on_ack),
        };
        StateStore::open(options)
            .map_err(|error| format!("cannot open the state of worker {worker}: {error}"))
    }
}
