//! What each worker of a generation is fitted out with: its environment, and the store that it
//! keeps its state in.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::env::{Control, Reporter, WorkerEnv};
use pelton_dataflow::operator::{Resources, RestoredPart};
use pelton_dataflow::stats::StatsRegistry;
use pelton_dataflow::time::Epoch;
use pelton_dataflow::watermarks::WatermarkBoard;
use pelton_state::checkpoint::names::NameTable;
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::files::KeyedAck;

use super::JobContext;
use super::recovery::Start;
use super::worker::{Outfit, Upkeep};
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
            is_keyed: job.graph.nodes().iter().any(|node| !node.states.is_empty()),
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
        let store = if self.is_keyed { Some(self.open_store(worker, &mut resources)?) } else { None };
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
            paused: Cell::new(false),
        };
        Ok(Outfit { env, store })
    }

    fn open_store(&self, _worker: usize, _resources: &mut Resources) -> Result<Box<dyn Upkeep>, String> {
        let _ = (&self.state_dir, &self.checkpoints, &self.names, &self.keyed, &self.events);
        Err("keyed state is not connected".to_owned())
    }
}
