//! Partial aggregates: what the records of one worker come to in each slice, sent on once the slice has filled.
//!
//! This operator has no keys: what it holds is in its part of the checkpoint, and whichever worker takes that part over sends it on. It
//! decides what is late, as those behind it see no records: for all workers by the least watermark that one of them had.
//!
//! In a checkpoint ([`Frozen::bytes`]):
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | the watermark that the operator was told last, `i64`, little endian |
//! | n | the slices, each its end in ms and its accumulator, by [`pelton_state::codec`] |

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OpResult, OperatorError};
use pelton_dataflow::graph::{OutputPort, PortRef, Role, StateDecl};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs, RestoredPart};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::codec;

use super::aligned::{Aligned, Layout, Slice};
use crate::aggregate::Aggregate;
use crate::stream::{Add, Stream};
use crate::told;

/// The name of what it holds.
const PARTIALS: &str = "partials";

/// Merges accumulators of another aggregate.
pub(super) struct Merging<A>(pub Arc<A>);

impl<A: Aggregate> Aggregate for Merging<A> {
    type In = A::Accumulator;
    type Accumulator = A::Accumulator;
    type Out = A::Out;

    const MERGES: bool = true;

    fn add(&self, accumulator: &mut A::Accumulator, part: A::Accumulator) {
        self.0.merge(accumulator, part);
    }

    fn merge(&self, accumulator: &mut A::Accumulator, other: A::Accumulator) {
        self.0.merge(accumulator, other);
    }

    fn result(&self, accumulator: &A::Accumulator) -> A::Out {
        self.0.result(accumulator)
    }
}

/// Adds the operator to the graph: its partial aggregates, and what is late.
pub(super) fn add<T: Data, A: Aggregate<In = T>>(
    stream: &Stream<T>,
    name: String,
    windows: &Aligned,
    aggregate: Arc<A>,
    location: &'static Location<'static>,
) -> (Stream<A::Accumulator>, Stream<T>) {
    let graph = stream.graph.clone();
    let mut add = Add::stateless::<A::Accumulator>("window_all", stream.port, location);
    add.outputs.push(OutputPort::of::<T>("late"));
    add.detail = format!("{windows}, a part of each worker");
    add.states = vec![decl::<A>(windows, &graph.shape::<A::Accumulator>(&name, location))];
    add.name = Some(name);
    // A mistake in them is told by the operator that fires them.
    let windows = windows.clone();
    let factory = move |cx: &OperatorContext<'_>| {
        let layout = windows.layout()?;
        let (watermark, open) = restore(&*aggregate, cx)?;
        let aggregate = aggregate.clone();
        Ok::<_, OpError>(Box::new(Partials { aggregate, layout, open, watermark }) as Box<dyn Operator>)
    };
    let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
    (Stream::new(graph.clone(), PortRef { node, port: 0 }), Stream::new(graph, PortRef { node, port: 1 }))
}

fn decl<A: Aggregate>(windows: &Aligned, shape: &str) -> StateDecl {
    let type_name = std::any::type_name::<A::Accumulator>().to_owned();
    let shape = windows.layout().map_or_else(|problem| problem, |layout| format!("{shape} / {layout}"));
    StateDecl { name: PARTIALS, kind: StateDecl::OPERATOR, type_name, fingerprint: shape, version: 1 }
}

/// Slices by their ends.
type Open<A> = BTreeMap<EventTime, A>;

struct Partials<A: Aggregate> {
    aggregate: Arc<A>,
    layout: Layout,
    open: Open<A::Accumulator>,
    watermark: EventTime,
}

impl<A: Aggregate> Partials<A> {
    /// Adds records to their slices; gives those back all of whose windows have fired.
    fn take(&mut self, records: Vec<Record<A::In>>) -> OpResult<Vec<Record<A::In>>> {
        let mut late = Vec::new();
        let mut records = records.into_iter();
        while let Some(first) = records.as_slice().first() {
            let Some(Slice { span, last }) = self.layout.slice_of(first.time)? else {
                // It lies in a gap.
                records.next();
                continue;
            };
            let run = records.as_slice().iter().take_while(|record| span.contains(record.time)).count();
            let run = records.by_ref().take(run);
            if last <= self.watermark {
                late.extend(run);
                continue;
            }
            let part = self.open.entry(span.end).or_default();
            run.for_each(|record| self.aggregate.add(part, record.value));
        }
        Ok(late)
    }

    /// Sends the slices that have filled.
    fn send(&mut self, out: &mut Outputs) {
        let mut parts = Vec::new();
        while let Some(slice) = self.open.first_entry().filter(|slice| *slice.key() <= self.watermark) {
            let (end, part) = slice.remove_entry();
            parts.push(Record::new(EventTime(end.0 - 1), part));
        }
        // There are as many as slices in use: no more than a window is made of, and those that are filling.
        out.send(0, parts, Origin::default());
    }
}

impl<A: Aggregate> Operator for Partials<A> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin) = batch.into_records::<A::In>();
        let late = self.take(records)?;
        out.send(1, late, origin);
        // What came behind the watermark completes slices that have been sent before.
        self.send(out);
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.watermark = self.watermark.max(watermark);
        self.send(out);
        Ok(Flow::Done)
    }

    fn freeze(&mut self, _epoch: Epoch) -> Result<Frozen, OperatorError> {
        let mut bytes = told::to_bytes(self.watermark);
        codec::encode_into(&self.open, &mut bytes).map_err(OpError::from)?;
        Ok(Frozen { bytes, deferred: None })
    }
}

/// What old instances had open, of which each is taken over by one, and the watermark that all of them had reached.
fn restore<A: Aggregate>(
    aggregate: &A,
    cx: &OperatorContext<'_>,
) -> OpResult<(EventTime, Open<A::Accumulator>)> {
    let mut open = Open::new();
    let mut watermarks = Vec::new();
    for (nth, part) in cx.restored.iter().enumerate() {
        let (watermark, slices) = read::<A>(part)?;
        watermarks.push(watermark);
        if nth % cx.workers != cx.worker {
            continue;
        }
        for (end, part) in slices {
            aggregate.merge(open.entry(end).or_default(), part);
        }
    }
    Ok((told::least(watermarks.into_iter()), open))
}

fn read<A: Aggregate>(part: &RestoredPart) -> OpResult<(EventTime, Open<A::Accumulator>)> {
    if part.bytes.is_empty() {
        // It stood for something else before.
        return Ok((EventTime::MIN, Open::new()));
    }
    let unreadable = || OpError::from(format!("{} bytes are no partial aggregates", part.bytes.len()));
    let (watermark, slices) = told::split(&part.bytes).ok_or_else(unreadable)?;
    Ok((watermark, codec::decode(slices)?))
}
