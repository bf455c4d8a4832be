//! The committers of a job's sinks.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pelton_dataflow::error::panic_message;
use pelton_dataflow::graph::Graph;
use pelton_dataflow::sink::{Committable, Committer, SinkContext};
use pelton_state::checkpoint::manifest::{Manifest, SinkPart};

use crate::coordinator::Event;
use crate::error::JobError;

/// The committers of a job's transactional sinks, by name.
#[derive(Default)]
pub struct Committers(BTreeMap<String, Box<dyn Committer>>);

impl Committers {
    /// Opens those of `graph`. Nothing is changed by it.
    ///
    /// # Errors
    /// A sink cannot be reached, its settings are wrong, or another process holds it.
    pub fn open(graph: &Graph, job: &str) -> Result<Self, JobError> {
        let mut committers = BTreeMap::new();
        for (node, sink) in graph.sinks() {
            let cx = SinkContext { job: job.to_owned(), operator: node.name.clone() };
            if let Some(committer) = sink.committer(&cx).map_err(JobError::connector("sink", &node.name))? {
                committers.insert(node.name.clone(), committer);
            }
        }
        Ok(Self(committers))
    }

    /// Whether the sink `name` is transactional.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether `generation` may write to all sinks, and they can commit what is listed of theirs in the
    /// checkpoint `base`, if it starts from one.
    ///
    /// # Errors
    /// That generation or a later one has written to one of them, or what is listed is not there:
    /// [`JobError::Incompatible`] with a checkpoint, as of a source that cannot go on from it.
    pub fn check(&self, generation: u64, base: Option<(u64, &Manifest)>) -> Result<(), JobError> {
        let listed = base.map_or(&[][..], |(_, manifest)| &manifest.committables);
        for (name, committer) in &self.0 {
            committer.check(generation, of_sink(listed, name)).map_err(|error| match base {
                Some((sequence, _)) => {
                    JobError::Incompatible { sequence, problem: format!("sink `{name}`: {error}") }
                }
                None => JobError::connector("sink", name)(error),
            })?;
        }
        Ok(())
    }

    /// Has them settle what earlier generations left: everything in `listed` becomes visible,
    /// everything else of theirs is aborted.
    ///
    /// # Errors
    /// A sink cannot be reached, or a later generation writes there.
    pub fn recover(&mut self, generation: u64, listed: &[SinkPart]) -> Result<(), JobError> {
        for (name, committer) in &mut self.0 {
            committer
                .recover(generation, of_sink(listed, name))
                .map_err(JobError::connector("sink", name))?;
        }
        Ok(())
    }

    /// Has them commit `parts`, and gives the answer for the coordinator.
    pub fn commit(&mut self, parts: &[SinkPart]) -> Event {
        for part in parts {
            let Some(committer) = self.0.get_mut(&part.sink) else {
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
}

fn of_sink<'a>(listed: &'a [SinkPart], name: &str) -> &'a [Committable] {
    listed.iter().find(|part| part.sink == name).map_or(&[], |part| &part.committables)
}
