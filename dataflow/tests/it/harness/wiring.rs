//! Graphs of scripted sources and checking operators.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::{Graph, GraphBuilder, NewNode, NodeId, OutputPort, PortRef, Role};
use pelton_dataflow::operator::{Operator, OperatorContext, OperatorFactory};
use pelton_dataflow::partition::{Lanes, Partitioner, PartitionerFactory};
use pelton_dataflow::record::Batch;
use pelton_dataflow::sink::{Committer, Guarantee, SinkContext, SinkNode};

use super::item::Item;
use super::log::Log;
use super::ops::{Does, Op};
use super::script::{ScriptedSource, Scripts};

/// More workers than any test has.
pub const MAX_WORKERS: usize = 4;

/// How an exchange chooses workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    ByKey,
    RoundRobin,
    To(usize),
    /// Its key function panics at this time.
    PanicsAt(i64),
}

/// A graph in the making.
#[derive(Default)]
pub struct Wiring {
    builder: GraphBuilder,
    pub log: Arc<Log>,
    pub scripts: Vec<(String, Scripts)>,
    nodes: usize,
    is_quiet: bool,
    pub first_epoch: u64,
}

impl Wiring {
    pub fn new() -> Self {
        Self::default()
    }

    /// A graph whose operators write no lines.
    pub fn quiet() -> Self {
        Self { is_quiet: true, ..Self::default() }
    }

    pub fn finish(self) -> Graph {
        self.builder.finish().expect("the test's graph is sound")
    }

    pub fn source(&mut self, name: &str) -> PortRef {
        let scripts: Scripts = Arc::new((0..MAX_WORKERS).map(|_| Arc::default()).collect());
        let source = ScriptedSource {
            node: self.nodes,
            name: name.to_owned(),
            scripts: scripts.clone(),
            log: self.log.clone(),
            first_epoch: self.first_epoch,
        };
        let out = self.add(name, &[], 1, Role::Source(Arc::new(source)));
        self.scripts.push((name.to_owned(), scripts));
        out
    }

    /// An operator; the reference is to its first output.
    pub fn op(&mut self, name: &str, from: &[PortRef], does: Does) -> PortRef {
        let outputs = if matches!(does, Does::Split) { 2 } else { 1 };
        let factory = self.factory(does);
        self.add(name, from, outputs, Role::Operator(Arc::new(factory)))
    }

    pub fn map(&mut self, name: &str, from: PortRef) -> PortRef {
        self.op(name, &[from], Does::Map)
    }

    pub fn exchange(&mut self, name: &str, from: PortRef, route: Route) -> PortRef {
        self.add(name, &[from], 1, Role::Exchange(Arc::new(Exchange(route))))
    }

    pub fn union(&mut self, name: &str, from: &[PortRef]) -> PortRef {
        self.add(name, from, 1, Role::Union)
    }

    pub fn sink(&mut self, name: &str, from: PortRef) -> NodeId {
        self.sink_that(name, from, Does::Sink)
    }

    pub fn sink_that(&mut self, name: &str, from: PortRef, does: Does) -> NodeId {
        let sink = TestSink(self.factory(does));
        self.add(name, &[from], 0, Role::Sink(Arc::new(sink))).node
    }

    /// An operator that cannot be built on the workers from `first` on.
    pub fn broken(&mut self, name: &str, from: PortRef, first: usize, panics: bool) -> PortRef {
        let sound = self.factory(Does::Map);
        let factory = move |cx: &OperatorContext<'_>| -> Result<Box<dyn Operator>, OpError> {
            if cx.worker < first {
                return sound.build(cx);
            }
            assert!(!panics, "cannot be");
            Err("no such state".into())
        };
        self.add(name, &[from], 1, Role::Operator(Arc::new(factory)))
    }

    fn factory(&self, does: Does) -> Factory {
        Factory {
            does,
            node: self.nodes,
            log: self.log.clone(),
            is_quiet: self.is_quiet,
            first_epoch: self.first_epoch,
        }
    }

    fn add(&mut self, name: &str, from: &[PortRef], outputs: usize, role: Role) -> PortRef {
        self.nodes += 1;
        let outputs = (0..outputs).map(|_| OutputPort::of::<Item>("out")).collect();
        let node = self.builder.add(NewNode {
            name: Some(name.to_owned()),
            kind: "test",
            inputs: from.to_vec(),
            outputs,
            states: Vec::new(),
            role,
            detail: String::new(),
            location: Location::caller(),
        });
        PortRef { node, port: 0 }
    }
}

struct Factory {
    does: Does,
    node: usize,
    log: Arc<Log>,
    is_quiet: bool,
    first_epoch: u64,
}

impl OperatorFactory for Factory {
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        let op = Op::new(self.does.clone(), self.node, cx, self.first_epoch, self.log.clone());
        Ok(Box::new(if self.is_quiet { op.quiet() } else { op }))
    }

    fn begins_stage(&self) -> bool {
        matches!(self.does, Does::Ask(_) | Does::Stamp(_))
    }

    fn makes_time(&self) -> bool {
        matches!(self.does, Does::Stamp(_))
    }
}

struct TestSink(Factory);

impl OperatorFactory for TestSink {
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        self.0.build(cx)
    }
}

impl SinkNode for TestSink {
    fn committer(&self, _cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        Ok(None)
    }
    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }
    fn describe(&self) -> String {
        "the log".to_owned()
    }
}

struct Exchange(Route);

impl PartitionerFactory for Exchange {
    fn build(&self, cx: &OperatorContext<'_>) -> Box<dyn Partitioner> {
        Box::new(Routing {
            route: self.0,
            workers: cx.workers,
            next: cx.worker,
            lanes: Lanes::new(cx.workers, cx.settings.batch_records),
        })
    }
}

struct Routing {
    route: Route,
    workers: usize,
    next: usize,
    lanes: Lanes<Item>,
}

impl Partitioner for Routing {
    fn partition(&mut self, batch: Batch, full: &mut Vec<(usize, Batch)>) -> Result<(), OpError> {
        let (records, origin) = batch.into_records::<Item>();
        self.lanes.note(&origin);
        for record in records {
            let to = match self.route {
                Route::ByKey => record.value.key as usize % self.workers,
                Route::RoundRobin => {
                    self.next += 1;
                    self.next % self.workers
                }
                Route::To(worker) => worker,
                Route::PanicsAt(time) => {
                    assert_ne!(record.time.0, time, "no key in this record");
                    0
                }
            };
            self.lanes.push(to, record, &origin, full);
        }
        Ok(())
    }

    fn flush(&mut self, full: &mut Vec<(usize, Batch)>) {
        self.lanes.flush(full);
    }

    fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}
