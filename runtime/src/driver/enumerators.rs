//! The enumerators of a generation, on a thread of their own: they may block, the driver must not.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

use pelton_dataflow::graph::{Graph, NodeId};
use pelton_dataflow::source::{Enumerator, SplitState};
use pelton_state::checkpoint::manifest::SourcePart;
use tracing::warn;

use super::worker::panic_message;
use crate::coordinator::Event;
use crate::error::JobError;

/// Asks enumerators. Its drop lets the thread go after its current call: one that hangs holds
/// nothing that others need.
pub struct Enumerators {
    wanted: Sender<NodeId>,
}

/// The enumerators of a job's sources, opened and not yet asked.
#[derive(Default)]
pub struct Opened(BTreeMap<NodeId, Known>);

impl Opened {
    /// Opens those of `graph`. Nothing is changed by it.
    pub fn of(graph: &Graph) -> Result<Self, JobError> {
        let mut known = BTreeMap::new();
        for (node, source) in graph.sources() {
            let name = node.name.clone();
            let enumerator = source.enumerator().map_err(JobError::connector("source", &name))?;
            known.insert(node.id, Known { name, enumerator, has_answered: false });
        }
        Ok(Self(known))
    }

    /// Whether the sources can read on where the checkpoint `sequence` has them.
    pub fn check(&self, sequence: u64, parts: &[SourcePart]) -> Result<(), JobError> {
        for known in self.0.values() {
            let Some(part) = parts.iter().find(|part| part.source == known.name) else { continue };
            let splits: Vec<SplitState> = part.splits.iter().map(|split| split.state.clone()).collect();
            known.enumerator.check(&splits).map_err(|error| JobError::Incompatible {
                sequence,
                problem: format!("source `{}`: {error}", known.name),
            })?;
        }
        Ok(())
    }

    /// The sources that may always find more to read.
    pub fn endless(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter(|known| !known.enumerator.is_complete()).map(|known| known.name.as_str())
    }
}

struct Known {
    name: String,
    enumerator: Box<dyn Enumerator>,
    /// Whether it has answered once: from then on a failure may be a passing one.
    has_answered: bool,
}

impl Enumerators {
    /// Starts the thread; answers go to `events`.
    pub fn start(opened: Opened, events: Sender<Event>) -> Result<Self, JobError> {
        let known = opened.0;
        let (wanted, wishes) = channel();
        let name = "pelton-enumerators".to_owned();
        let thread = std::thread::Builder::new().name(name.clone());
        thread
            .spawn(move || run(known, &wishes, &events))
            .map_err(|source| JobError::Thread { name, source })?;
        Ok(Self { wanted })
    }

    /// Asks the enumerator of `source`.
    pub fn discover(&self, source: NodeId) {
        // The thread ends only when this is dropped.
        let _ = self.wanted.send(source);
    }
}

fn run(mut known: BTreeMap<NodeId, Known>, wishes: &Receiver<NodeId>, events: &Sender<Event>) {
    for source in wishes {
        let Some(known) = known.get_mut(&source) else { continue };
        let event = match catch_unwind(AssertUnwindSafe(|| known.enumerator.discover())) {
            Ok(Ok(splits)) => {
                known.has_answered = true;
                Event::Discovered { source, splits, complete: known.enumerator.is_complete() }
            }
            Ok(Err(error)) if known.has_answered => {
                warn!(source = known.name, %error, "cannot look for new splits, going on with those known");
                continue;
            }
            Ok(Err(error)) => {
                Event::Failed { message: format!("source `{}` cannot list its splits: {error}", known.name) }
            }
            Err(payload) => {
                let message = panic_message(payload.as_ref());
                Event::Failed {
                    message: format!("source `{}` panicked listing its splits: {message}", known.name),
                }
            }
        };
        if events.send(event).is_err() {
            return;
        }
    }
}
