//! `source`: from the typed contract of connectors, with a watermark strategy, to the graph's
//! erased one. Watermarks are kept per split, inside the source: what reads is in `running`, what is
//! known of a split in `split`, what a checkpoint keeps of it besides its position in `memory`.

use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::{NewNode, OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::operator::OperatorContext;
use pelton_dataflow::source::{Enumerator, Rejected, Source, SourceNode, SourceOperator};
use pelton_dataflow::time::EventTime;

use crate::job::SharedGraph;
use crate::stream::Stream;
use crate::watermarks::{WatermarkGenerator, Watermarks};

mod memory;
mod running;
mod split;
mod times;

use running::Running;
pub(crate) use times::{TimeCheck, TimesSeen};

/// A source that waits for its watermark strategy.
#[must_use = "a source becomes a stream with `.watermarks(...)`"]
pub struct SourceBuilder<S> {
    graph: SharedGraph,
    name: String,
    source: S,
    location: &'static Location<'static>,
}

/// A source whose malformed records go to a stream of their own.
#[must_use = "a source becomes a stream with `.watermarks(...)`"]
pub struct DeadLetterSource<S>(SourceBuilder<S>);

/// A stream, and what could not be read of it.
pub struct SourceStreams<T> {
    /// The records.
    pub out: Stream<T>,
    /// Malformed records, with split, position, reason and bytes.
    pub rejected: Stream<Rejected>,
}

impl<S: Source> SourceBuilder<S> {
    pub(crate) fn new(
        graph: SharedGraph,
        name: String,
        source: S,
        location: &'static Location<'static>,
    ) -> Self {
        Self { graph, name, source, location }
    }

    /// Sends malformed records to a stream of their own. Without this the first one fails the job.
    pub fn dead_letters(self) -> DeadLetterSource<S> {
        DeadLetterSource(self)
    }

    /// The stream of records, with event times by `watermarks`.
    pub fn watermarks<F, G>(self, watermarks: Watermarks<F, G>) -> Stream<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
        G: WatermarkGenerator<S::Item>,
    {
        self.add(watermarks, false).out
    }

    fn add<F, G>(self, watermarks: Watermarks<F, G>, dead_letters: bool) -> SourceStreams<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
        G: WatermarkGenerator<S::Item>,
    {
        let detail = self.source.describe() + &watermarks.describe();
        if let Some(mistake) = watermarks.mistake() {
            self.graph.mistake(&self.name, mistake, self.location);
        }
        let mut outputs = vec![OutputPort::of::<S::Item>("out")];
        outputs.extend(dead_letters.then(|| OutputPort::of::<Rejected>("rejected")));
        let ranks = match watermarks.has_times {
            true => Ranks::Gives,
            false => Ranks::Without(
                "its records have no event time: give it `.watermarks(Watermarks::bounded(...))`",
            ),
        };
        let typed = TypedSource { source: Arc::new(self.source), watermarks, dead_letters };
        let node = self.graph.add(NewNode {
            name: Some(self.name),
            kind: "source",
            inputs: Vec::new(),
            outputs,
            states: Vec::new(),
            role: Role::Source(Arc::new(typed)),
            detail,
            location: self.location,
        });
        self.graph.ranks(node, ranks);
        SourceStreams {
            out: Stream::new(self.graph.clone(), PortRef { node, port: 0 }),
            rejected: Stream::new(self.graph, PortRef { node, port: 1 }),
        }
    }
}

impl<S: Source> DeadLetterSource<S> {
    /// The stream of records, with event times by `watermarks`, and that of malformed ones.
    pub fn watermarks<F, G>(self, watermarks: Watermarks<F, G>) -> SourceStreams<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
        G: WatermarkGenerator<S::Item>,
    {
        self.0.add(watermarks, true)
    }
}

struct TypedSource<S, F, G> {
    source: Arc<S>,
    watermarks: Watermarks<F, G>,
    dead_letters: bool,
}

impl<S, F, G> SourceNode for TypedSource<S, F, G>
where
    S: Source,
    F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
    G: WatermarkGenerator<S::Item>,
{
    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        self.source.enumerator()
    }

    fn operator(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn SourceOperator>, OpError> {
        Ok(Box::new(Running::new(self.source.clone(), self.watermarks.clone(), self.dead_letters, cx)?))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn locations(&self) -> Vec<PathBuf> {
        self.source.locations()
    }
}
