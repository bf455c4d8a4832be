//! The two threads for what takes the store's or a sink's time: one appends manifests and collects
//! garbage, one commits. A sink that is slow to commit does not hold up the next checkpoint.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use pelton_dataflow::error::panic_message;
use pelton_state::checkpoint::manifest::{Manifest, SinkPart};

use crate::blocking::commits::Committers;
use crate::blocking::manifests::LogKeeper;
use crate::coordinator::Event;
use crate::error::JobError;

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
        mut keeper: LogKeeper,
        mut committers: Committers,
        events: &Sender<Event>,
    ) -> Result<Self, JobError> {
        let (ask_log, asked_log) = channel();
        let (ask_commits, asked_commits) = channel();
        let mut started = Self { log: Some(ask_log), commits: Some(ask_commits), threads: Vec::new() };
        let answers = events.clone();
        started.spawn("pelton-manifests", move || keep(&mut keeper, &asked_log, &answers))?;
        let answers = events.clone();
        started.spawn("pelton-commits", move || commit(&mut committers, &asked_commits, &answers))?;
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

fn keep(keeper: &mut LogKeeper, asked: &Receiver<Wish>, events: &Sender<Event>) {
    for wish in asked {
        let done = catch_unwind(AssertUnwindSafe(|| match wish {
            Wish::Append(manifest) => Some(keeper.append(&manifest)),
            Wish::CollectGarbage => {
                keeper.collect_garbage();
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

fn commit(committers: &mut Committers, asked: &Receiver<Vec<SinkPart>>, events: &Sender<Event>) {
    for parts in asked {
        // A driver that has gone does not need the answer.
        drop(events.send(committers.commit(&parts)));
    }
}
