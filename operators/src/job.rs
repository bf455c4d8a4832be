//! The job: where a graph begins, and where its mistakes are collected.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

use pelton_dataflow::graph::{Graph, GraphBuilder, GraphErrors, NewNode, NodeId, Ranks, WiringError};
use pelton_dataflow::source::Source;
use pelton_state::{reads_back, shape_or_name};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::source::SourceBuilder;

/// A graph in the making. Streams made from it are handles; the graph is finished once, then run.
///
/// ```
/// use pelton_operators::{Job, Watermarks, testing::{Collect, Values}};
///
/// let mut job = Job::new();
/// let numbers = job.source("numbers", Values::of([1u64, 2, 3])).watermarks(Watermarks::none());
/// numbers.map(|n| n * 2).sink("doubled", Collect::new().0);
/// let graph = job.finish()?;
/// assert_eq!(graph.nodes().len(), 3);
/// # Ok::<(), pelton_dataflow::graph::GraphErrors>(())
/// ```
#[derive(Default)]
pub struct Job {
    graph: SharedGraph,
}

/// The builder that all streams of a job hold.
#[derive(Clone, Default)]
pub(crate) struct SharedGraph(Rc<RefCell<GraphBuilder>>);

impl SharedGraph {
    pub(crate) fn add(&self, node: NewNode) -> NodeId {
        self.0.borrow_mut().add(node)
    }

    /// Notes what a node does with the ranks of records, which put them in event order.
    pub(crate) fn ranks(&self, node: NodeId, ranks: Ranks) {
        self.0.borrow_mut().ranks(node, ranks);
    }

    /// Whether both are the graph of one job.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// The shape of what `operator` keeps of a `T` besides keyed state. One that could not be read again is a mistake.
    pub(crate) fn shape<T: Serialize + DeserializeOwned>(
        &self,
        operator: &str,
        at: &'static Location<'static>,
    ) -> String {
        if let Err(error) = reads_back::<T>() {
            self.mistake(operator, error.to_string(), at);
        }
        shape_or_name::<T>()
    }

    /// Notes a mistake in a setting of `operator`.
    pub(crate) fn mistake(&self, operator: &str, problem: impl Into<String>, at: &'static Location<'static>) {
        let error = WiringError::Operator { operator: operator.to_owned(), problem: problem.into(), at: *at };
        self.0.borrow_mut().error(error);
    }
}

impl Job {
    /// An empty job.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The builder of this job's graph.
    pub(crate) fn shared(&self) -> SharedGraph {
        self.graph.clone()
    }

    /// Reads `source`. The name is the address of its positions in every checkpoint.
    #[track_caller]
    pub fn source<S: Source>(&mut self, name: impl Into<String>, source: S) -> SourceBuilder<S> {
        SourceBuilder::new(self.graph.clone(), name.into(), source, Location::caller())
    }

    /// The graph, if it is sound.
    ///
    /// # Errors
    /// All mistakes at once, with their places.
    pub fn finish(self) -> Result<Graph, GraphErrors> {
        self.graph.0.take().finish()
    }
}
