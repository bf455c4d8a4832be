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
use pelton_state::reads_back;

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

/// A source whose late records go to a stream of their own, and its malformed ones to another.
#[must_use = "a source becomes a stream with `.watermarks(...)`"]
pub struct LateAsideSource<S>(SourceBuilder<S>);

/// A stream without late records, and what else was read.
pub struct OnTimeStreams<T> {
    /// The records.
    pub out: Stream<T>,
    /// Records that were earlier than the watermark of their split.
    pub late: Stream<T>,
    /// Malformed records, with split, position, reason and bytes.
    pub rejected: Stream<Rejected>,
}

/// What does not go on with the other records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Aside {
    Nothing,
    Rejected,
    RejectedAndLate,
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
        self.add(watermarks, Aside::Nothing).out
    }

    fn add<F, G>(self, watermarks: Watermarks<F, G>, aside: Aside) -> OnTimeStreams<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
        G: WatermarkGenerator<S::Item>,
    {
        let mut detail = self.source.describe() + &watermarks.describe();
        if let Some(mistake) = watermarks.mistake() {
            self.graph.mistake(&self.name, mistake, self.location);
        }
        if let Err(error) = reads_back::<G::State>() {
            self.graph.mistake(&self.name, error.to_string(), self.location);
        }
        let mut outputs = vec![OutputPort::of::<S::Item>("out")];
        if aside >= Aside::Rejected {
            outputs.push(OutputPort::of::<Rejected>("rejected"));
        }
        if aside >= Aside::RejectedAndLate {
            outputs.push(OutputPort::of::<S::Item>("late"));
            detail += ", late ones aside";
        }
        let ranks = match watermarks.has_times {
            true => Ranks::Gives,
            false => Ranks::Without(
                "its records have no event time: give it `.watermarks(Watermarks::bounded(...))`",
            ),
        };
        let typed = TypedSource { source: Arc::new(self.source), watermarks, aside };
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
        OnTimeStreams {
            out: Stream::new(self.graph.clone(), PortRef { node, port: 0 }),
            rejected: Stream::new(self.graph.clone(), PortRef { node, port: 1 }),
            late: Stream::new(self.graph, PortRef { node, port: 2 }),
        }
    }
}

impl<S: Source> DeadLetterSource<S> {
    /// Sends records that are earlier than the watermark of their own split to a stream of their own.
    ///
    /// Which records are late for an operator depends on how splits are read beside each other; this depends on the split
    /// alone. So whatever goes by event time gets the same records in each run, and finds none of them late. A split that
    /// comes back from being idle is the exception.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pelton_dataflow::time::EventTime;
    /// # use pelton_operators::{Job, Watermarks, testing::{Collect, Values}};
    /// # let mut job = Job::new();
    /// let by_time = Watermarks::bounded(Duration::from_millis(5), |at: &i64| EventTime(*at));
    /// let numbers = job.source("numbers", Values::of([10, 20, 16, 14])).dead_letters().late_aside().watermarks(by_time);
    /// numbers.out.sink("on-time", Collect::new().0); // 10, 20, 16
    /// numbers.late.sink("late", Collect::new().0); // 14
    /// ```
    pub fn late_aside(self) -> LateAsideSource<S> {
        LateAsideSource(self.0)
    }

    /// The stream of records, with event times by `watermarks`, and that of malformed ones.
    pub fn watermarks<F, G>(self, watermarks: Watermarks<F, G>) -> SourceStreams<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
        G: WatermarkGenerator<S::Item>,
    {
        let OnTimeStreams { out, rejected, .. } = self.0.add(watermarks, Aside::Rejected);
        SourceStreams { out, rejected }
    }
}

impl<S: Source> LateAsideSource<S> {
    /// The stream of records, with event times by `watermarks`, and those of late and of malformed ones.
    pub fn watermarks<F, G>(self, watermarks: Watermarks<F, G>) -> OnTimeStreams<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
        G: WatermarkGenerator<S::Item>,
    {
        self.0.add(watermarks, Aside::RejectedAndLate)
    }
}

struct TypedSource<S, F, G> {
    source: Arc<S>,
    watermarks: Watermarks<F, G>,
    aside: Aside,
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
        Ok(Box::new(Running::new(self.source.clone(), self.watermarks.clone(), self.aside, cx)?))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn locations(&self) -> Vec<PathBuf> {
        self.source.locations()
    }
}
