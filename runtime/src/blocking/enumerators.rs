//! The enumerators of a job's sources.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pelton_dataflow::error::{InputGone, panic_message};
use pelton_dataflow::graph::{Graph, NodeId};
use pelton_dataflow::source::{Enumerator, SplitState};
use pelton_state::checkpoint::manifest::SourcePart;
use tracing::warn;

use crate::coordinator::Event;
use crate::error::JobError;

/// The enumerators of a job's sources, by node.
#[derive(Default)]
pub struct Enumerators(BTreeMap<NodeId, Known>);

struct Known {
    name: String,
    enumerator: Box<dyn Enumerator>,
    /// Whether it has answered once: from then on a failure may be a passing one.
    has_answered: bool,
}

impl Enumerators {
    /// Opens those of `graph`. Nothing is changed by it.
    ///
    /// # Errors
    /// A source does not exist, or its settings are wrong.
    pub fn open(graph: &Graph) -> Result<Self, JobError> {
        let mut known = BTreeMap::new();
        for (node, source) in graph.sources() {
            let name = node.name.clone();
            let enumerator = source.enumerator().map_err(JobError::connector("source", &name))?;
            known.insert(node.id, Known { name, enumerator, has_answered: false });
        }
        Ok(Self(known))
    }

    /// Whether the sources can read on where the checkpoint `sequence` has them.
    ///
    /// # Errors
    /// [`JobError::Incompatible`] if one cannot.
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

    /// Asks the enumerator of `source`. There is no answer if it fails after it has answered once, and the
    /// input is not gone: the job goes on with the splits that are known.
    pub fn ask(&mut self, source: NodeId) -> Option<Event> {
        let known = self.0.get_mut(&source)?;
        let name = &known.name;
        let message = match catch_unwind(AssertUnwindSafe(|| known.enumerator.discover())) {
            Ok(Ok(splits)) => {
                known.has_answered = true;
                return Some(Event::Discovered { source, splits, complete: known.enumerator.is_complete() });
            }
            Ok(Err(error)) if error.is::<InputGone>() => format!("source `{name}` cannot go on: {error}"),
            Ok(Err(error)) if known.has_answered => {
                warn!(source = name, %error, "cannot look for new splits, going on with those known");
                return None;
            }
            Ok(Err(error)) => format!("source `{name}` cannot list its splits: {error}"),
            Err(payload) => {
                format!("source `{name}` panicked listing its splits: {}", panic_message(payload.as_ref()))
            }
        };
        Some(Event::Failed { message })
    }
}
