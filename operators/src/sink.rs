//! `sink`: the end of a stream, from the typed contract of connectors to the graph's erased one.

use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OperatorError};
use pelton_dataflow::graph::Role;
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, OperatorFactory, Outputs};
use pelton_dataflow::record::{Batch, Data};
use pelton_dataflow::sink::{Committer, Guarantee, Sink, SinkContext, SinkNode, SinkWriter, WriterContext};
use pelton_dataflow::time::Epoch;

use crate::stream::{Add, Stream};

struct Node<S>(S);

struct Writer<T>(Box<dyn SinkWriter<Item = T>>);

impl<T: Data> Operator for Writer<T> {
    fn on_batch(&mut self, _port: usize, batch: Batch, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin) = batch.into_records::<T>();
        self.0.write(records).map_err(|error| OperatorError {
            place: pelton_dataflow::error::Place { origin: Some(origin), ..Default::default() },
            error,
        })?;
        Ok(Flow::Done)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        let deferred = self.0.prepare(epoch)?;
        Ok(Frozen { bytes: Vec::new(), deferred })
    }
}

impl<S: Sink> OperatorFactory for Node<S> {
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        let sink = SinkContext { job: cx.job.to_owned(), operator: cx.name.to_owned() };
        let (generation, worker, workers) = (cx.generation, cx.worker, cx.workers);
        Ok(Box::new(Writer(self.0.writer(&WriterContext { sink, generation, worker, workers })?)))
    }
}

impl<S: Sink> SinkNode for Node<S> {
    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        self.0.committer(cx)
    }

    fn location(&self) -> Option<PathBuf> {
        self.0.location()
    }

    fn guarantee(&self) -> Guarantee {
        self.0.guarantee()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

impl<T: Data> Stream<T> {
    /// Writes the records to `sink`. The name is the address of its transactions in every
    /// checkpoint.
    #[track_caller]
    pub fn sink<S: Sink<Item = T>>(&self, name: impl Into<String>, sink: S) {
        let mut add = Add::stateless::<T>("sink", self.port, Location::caller());
        add.name = Some(name.into());
        add.outputs = Vec::new();
        add.detail = sink.describe();
        self.graph.add(add.into_node(Role::Sink(Arc::new(Node(sink)))));
    }
}
