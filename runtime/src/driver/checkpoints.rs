//! The thread that appends manifests, commits, and collects garbage: what takes the store's or a
//! sink's time, in order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use pelton_dataflow::graph::Graph;
use pelton_dataflow::sink::{Committer, SinkContext};
use pelton_state::checkpoint::log::ManifestLog;
use pelton_state::checkpoint::manifest::{Manifest, SinkPart};
use pelton_state::checkpoint::retention;
use pelton_state::error::StateError;
use tracing::{debug, warn};

use super::worker::panic_message;
use crate::coordinator::Event;
use crate::error::JobError;

/// The committers of a job's sinks, by name.
pub type Committers = BTreeMap<String, Box<dyn Committer>>;

/// What the thread is asked for.
pub enum Wish {
    /// Append this.
    Append(Box<Manifest>),
    /// Commit these, sink by sink.
    Commit(Vec<SinkPart>),
    /// Delete what no kept checkpoint needs.
    CollectGarbage,
}

/// The thread. Its drop waits until everything asked for is done.
pub struct Checkpoints {
    wishes: Option<Sender<Wish>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the thread; its answers go to `events`.
    pub fn start(
        log: ManifestLog,
        committers: Committers,
        retained: usize,
        events: Sender<Event>,
    ) -> Result<Self, JobError> {
        let (wishes, asked) = channel();
        let mut keeper = Keeper { log, committers, retained, is_swept: false };
        let name = "pelton-checkpoints".to_owned();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || keeper.run(&asked, &events))
            .map_err(|source| JobError::Thread { name, source })?;
        Ok(Self { wishes: Some(wishes), thread: Some(thread) })
    }

    /// Asks for something.
    pub fn ask(&self, wish: Wish) {
        if let Some(wishes) = &self.wishes {
            // The thread ends only when this is dropped.
            let _ = wishes.send(wish);
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.wishes.take());
        if let Some(thread) = self.thread.take() {
            // It catches the panics of committers; of its own it has told on its way down.
            let _ = thread.join();
        }
    }
}

struct Keeper {
    log: ManifestLog,
    committers: Committers,
    retained: usize,
    /// Whether the strays of earlier generations have been deleted.
    is_swept: bool,
}

impl Keeper {
    fn run(&mut self, asked: &Receiver<Wish>, events: &Sender<Event>) {
        for wish in asked {
            let answer = match wish {
                Wish::Append(manifest) => Some(self.append(&manifest)),
                Wish::Commit(parts) => Some(self.commit(&parts)),
                Wish::CollectGarbage => {
                    self.collect_garbage();
                    None
                }
            };
            if let Some(event) = answer {
                // A driver that has gone does not need the answer.
                let _ = events.send(event);
            }
        }
    }

    fn append(&mut self, manifest: &Manifest) -> Event {
        let epoch = manifest.epoch;
        match self.log.append(manifest) {
            Ok(sequence) => Event::ManifestAppended { epoch, sequence },
            Err(error @ StateError::Fenced { .. }) => Event::ManifestLost { message: error.to_string() },
            Err(error) => Event::ManifestFailed { epoch, message: error.to_string() },
        }
    }

    fn commit(&mut self, parts: &[SinkPart]) -> Event {
        for part in parts {
            let Some(committer) = self.committers.get_mut(&part.sink) else {
                let message = format!("sink `{}` gives committables and has no committer", part.sink);
                return Event::Failed { message };
            };
            let problem = match catch_unwind(AssertUnwindSafe(|| committer.commit(&part.committables))) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => format!("failed to commit: {error}"),
                Err(payload) => format!("panicked in its commit: {}", panic_message(payload.as_ref())),
            };
            return Event::CommitFailed { message: format!("sink `{}` {problem}", part.sink) };
        }
        Event::Committed
    }

    fn collect_garbage(&mut self) {
        let sweep = !self.is_swept;
        match retention::collect(self.log.store(), self.log.generation(), self.retained, sweep) {
            Ok(Some(garbage)) => {
                self.is_swept = true;
                debug!(
                    entries = garbage.entries.len(),
                    files = garbage.files.len(),
                    "deleted old checkpoints"
                );
            }
            Ok(None) => {}
            // It is found again the next time.
            Err(error) => warn!(%error, "cannot delete old checkpoints"),
        }
    }
}

/// Opens the committers of `graph` and has them settle what earlier generations left: everything
/// in `listed` becomes visible, everything else of theirs is aborted.
pub fn recover_sinks(
    graph: &Graph,
    job: &str,
    generation: u64,
    listed: &[SinkPart],
) -> Result<Committers, JobError> {
    let mut committers = Committers::new();
    for (node, sink) in graph.sinks() {
        let cx = SinkContext { job: job.to_owned(), operator: node.name.clone(), generation };
        let Some(mut committer) = sink.committer(&cx).map_err(JobError::connector("sink", &node.name))?
        else {
            continue;
        };
        let of_sink = listed.iter().find(|part| part.sink == node.name);
        let of_sink = of_sink.map_or(&[][..], |part| &part.committables);
        committer.recover(of_sink).map_err(JobError::connector("sink", &node.name))?;
        committers.insert(node.name.clone(), committer);
    }
    Ok(committers)
}
