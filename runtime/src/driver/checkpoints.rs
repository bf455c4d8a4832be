//! The two threads for what takes the store's or a sink's time: one appends manifests and collects
//! garbage, one commits. A sink that is slow to commit does not hold up the next checkpoint.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use pelton_dataflow::graph::Graph;
use pelton_dataflow::sink::{Committable, Committer, SinkContext};
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

/// What the thread of the log is asked for.
enum Wish {
    Append(Box<Manifest>),
    CollectGarbage,
}

/// The threads. Its drop waits until everything asked for is done.
pub struct Checkpoints {
    log: Option<Sender<Wish>>,
    commits: Option<Sender<Vec<SinkPart>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the threads; their answers go to `events`.
    pub fn start(
        log: ManifestLog,
        committers: Committers,
        retained: usize,
        events: &Sender<Event>,
    ) -> Result<Self, JobError> {
        let (ask_log, asked_log) = channel();
        let (ask_commits, asked_commits) = channel();
        let mut started = Self { log: Some(ask_log), commits: Some(ask_commits), threads: Vec::new() };
        let mut keeper = LogKeeper { log, retained, is_swept: false };
        let answers = events.clone();
        started.spawn("pelton-manifests", move || keeper.run(&asked_log, &answers))?;
        let answers = events.clone();
        started.spawn("pelton-commits", move || run_commits(committers, &asked_commits, &answers))?;
        // A generation that was killed may have left more checkpoints than are kept.
        started.collect_garbage();
        Ok(started)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), JobError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        self.threads.push(thread.map_err(|source| JobError::Thread { name: name.to_owned(), source })?);
        Ok(())
    }

    /// Has `manifest` appended.
    pub fn append(&self, manifest: Box<Manifest>) {
        self.ask_log(Wish::Append(manifest));
    }

    /// Has everything deleted that no kept checkpoint needs.
    pub fn collect_garbage(&self) {
        self.ask_log(Wish::CollectGarbage);
    }

    /// Has the sinks commit.
    pub fn commit(&self, parts: Vec<SinkPart>) {
        if let Some(commits) = &self.commits {
            // The thread ends only when this is dropped.
            let _ = commits.send(parts);
        }
    }

    fn ask_log(&self, wish: Wish) {
        if let Some(log) = &self.log {
            // The thread ends only when this is dropped.
            let _ = log.send(wish);
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.log.take());
        drop(self.commits.take());
        for thread in self.threads.drain(..) {
            // The panics of committers are caught; of its own it has told on its way down.
            let _ = thread.join();
        }
    }
}

struct LogKeeper {
    log: ManifestLog,
    retained: usize,
    /// Whether the strays of earlier generations have been deleted.
    is_swept: bool,
}

impl LogKeeper {
    fn run(&mut self, asked: &Receiver<Wish>, events: &Sender<Event>) {
        for wish in asked {
            let done = catch_unwind(AssertUnwindSafe(|| match wish {
                Wish::Append(manifest) => Some(self.append(&manifest)),
                Wish::CollectGarbage => {
                    self.collect_garbage();
                    None
                }
            }));
            // The driver waits for an answer without end: a panic has to be one.
            let answer = done.unwrap_or_else(|payload| {
                let message = panic_message(payload.as_ref());
                Some(Event::Failed { message: format!("the thread of the manifests panicked: {message}") })
            });
            if let Some(answer) = answer {
                // A driver that has gone does not need the answer.
                drop(events.send(answer));
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

    fn collect_garbage(&mut self) {
        let sweep = !self.is_swept;
        match retention::collect(self.log.store(), self.log.generation(), self.retained, sweep) {
            Ok(Some(garbage)) => {
                self.is_swept |= garbage.swept;
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

fn run_commits(mut committers: Committers, asked: &Receiver<Vec<SinkPart>>, events: &Sender<Event>) {
    for parts in asked {
        // A driver that has gone does not need the answer.
        drop(events.send(commit(&mut committers, &parts)));
    }
}

fn commit(committers: &mut Committers, parts: &[SinkPart]) -> Event {
    for part in parts {
        let Some(committer) = committers.get_mut(&part.sink) else {
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

/// Opens the committers of `graph`. Nothing is changed by it.
pub fn open_committers(graph: &Graph, job: &str) -> Result<Committers, JobError> {
    let mut committers = Committers::new();
    for (node, sink) in graph.sinks() {
        let cx = SinkContext { job: job.to_owned(), operator: node.name.clone() };
        if let Some(committer) = sink.committer(&cx).map_err(JobError::connector("sink", &node.name))? {
            committers.insert(node.name.clone(), committer);
        }
    }
    Ok(committers)
}

/// Whether `generation` may write to all sinks, and they can commit what is `listed` of theirs.
pub fn check_sinks(committers: &Committers, generation: u64, listed: &[SinkPart]) -> Result<(), JobError> {
    for (name, committer) in committers {
        committer.check(generation, of_sink(listed, name)).map_err(JobError::connector("sink", name))?;
    }
    Ok(())
}

fn of_sink<'a>(listed: &'a [SinkPart], name: &str) -> &'a [Committable] {
    listed.iter().find(|part| part.sink == name).map_or(&[], |part| &part.committables)
}

/// Has them settle what earlier generations left: everything in `listed` becomes visible,
/// everything else of theirs is aborted.
pub fn recover_sinks(
    committers: &mut Committers,
    generation: u64,
    listed: &[SinkPart],
) -> Result<(), JobError> {
    for (name, committer) in committers {
        committer.recover(generation, of_sink(listed, name)).map_err(JobError::connector("sink", name))?;
    }
    Ok(())
}
