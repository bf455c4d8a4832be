//! The operator for windows that do not overlap: a pane of keyed state for each.
//!
//! A window is fired whole and in slices: a barrier may fall between them, because an entry leaves the state
//! as it is emitted.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::graph::{OutputPort, PortRef, Role};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{Panes, StateSpec, TOGETHER};

use super::windows::Cut;
use super::{Tumbling, WindowResult, Windowed, WindowedStream};
use crate::aggregate::Aggregate;
use crate::emit::{Emitter, flow};
use crate::process::store;
use crate::reached::Reached;
use crate::stream::Stream;

/// The name of a window operator's state.
const PANES: &str = "panes";

/// Adds the operator to the graph.
pub(crate) fn add<K: Key, T: Data, A: Aggregate<In = T>>(
    windowed: WindowedStream<K, T>,
    aggregate: A,
) -> Windowed<K, A::Out, T> {
    let WindowedStream { stream, name, windows, location } = windowed;
    let Cut::Tumbling(windows) = windows.cut;
    let graph = stream.stream.graph.clone();
    if let Err(problem) = windows.check() {
        graph.mistake(&name, problem, location);
    }
    let spec = StateSpec::<A::Accumulator>::new();
    let decl = spec.pane_decl::<K>(PANES);
    let states = stream.decls_or_mistake(&name, decl.map(|decl| vec![decl]), location);
    let mut add = stream.stateful::<WindowResult<K, A::Out>>(name, "window", states, location);
    add.outputs.push(OutputPort::of::<T>("late"));
    add.detail = windows.to_string();
    let aggregate = Arc::new(aggregate);
    let factory = move |cx: &OperatorContext<'_>| {
        let panes = store(cx)?.panes::<K, A::Accumulator>(cx.name, PANES, &spec)?;
        Ok::<_, OpError>(Box::new(Running::new(aggregate.clone(), windows, panes, cx)?) as Box<dyn Operator>)
    };
    let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
    Windowed {
        out: Stream::new(graph.clone(), PortRef { node, port: 0 }),
        late: Stream::new(graph, PortRef { node, port: 1 }),
    }
}

struct Running<K: Key, A: Aggregate> {
    aggregate: Arc<A>,
    windows: Tumbling,
    panes: Rc<RefCell<Panes<K, A::Accumulator>>>,
    groups: KeyGroups,
    /// Windows that end up to here have fired, or are firing.
    reached: Reached,
    at_hand: Option<KeyHash>,
    results: Emitter<WindowResult<K, A::Out>>,
    batch_records: usize,
}

impl<K: Key, A: Aggregate> Running<K, A> {
    fn new(
        aggregate: Arc<A>,
        windows: Tumbling,
        panes: Rc<RefCell<Panes<K, A::Accumulator>>>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        let reached = Reached::restore(cx)?;
        let batch_records = cx.settings.batch_records;
        let results = Emitter::new(0, batch_records);
        Ok(Self {
            aggregate,
            windows,
            panes,
            groups: cx.groups,
            reached,
            at_hand: None,
            results,
            batch_records,
        })
    }

    /// Takes records into their windows; gives those back whose window has fired.
    fn take(&mut self, records: Vec<Record<Keyed<K, A::In>>>) -> OpResult<Vec<Record<A::In>>> {
        let mut late = Vec::new();
        let mut records = records.into_iter();
        let mut panes = self.panes.borrow_mut();
        // Records come in runs of one window, and to find a window takes a division.
        let (mut start, mut end) = (EventTime::END, EventTime::MIN);
        while let Some(first) = records.as_slice().first() {
            self.at_hand = Some(first.value.hash);
            if first.time < start || first.time >= end {
                end = self.windows.end_of(first.time)?;
                start = self.windows.start_of(end);
            }
            let ahead = &records.as_slice()[..records.len().min(TOGETHER)];
            let run = ahead.iter().take_while(|record| record.time >= start && record.time < end).count();
            let is_late = end <= self.reached.told();
            // Until event time has caught up with what was restored, groups differ in what is late.
            let is_even = self.reached.is_even();
            if !is_late && is_even {
                let keys = ahead[..run].iter().map(|record| (record.value.hash, &record.value.key));
                panes.seek(end, keys);
            }
            for (nth, record) in records.by_ref().take(run).enumerate() {
                let Record { time, value: Keyed { hash, key, value } } = record;
                self.at_hand = Some(hash);
                if is_late || (!is_even && end <= self.reached.of(hash)) {
                    late.push(Record::new(time, value));
                    continue;
                }
                let held = match is_even {
                    true => panes.at_sought(nth, hash, &key)?,
                    false => panes.at(end, hash, &key)?,
                };
                self.aggregate.add(held, value);
            }
        }
        self.at_hand = None;
        Ok(late)
    }

    /// Emits windows that have ended; whether it had to stop.
    fn fire(&mut self, out: &mut Outputs) -> OpResult<bool> {
        let mut panes = self.panes.borrow_mut();
        while let Some(end) = panes.next_window().filter(|end| *end <= self.reached.told()) {
            let start = self.windows.start_of(end);
            for (hash, key, accumulator) in panes.drain(end, self.batch_records)? {
                self.at_hand = Some(hash);
                let value = self.aggregate.result(&accumulator);
                self.results.push(EventTime(end.0 - 1), WindowResult { key, start, end, value });
            }
            if self.results.ship_full(&Origin::default(), out) {
                return Ok(true);
            }
        }
        self.results.ship(&Origin::default(), out);
        self.at_hand = None;
        Ok(false)
    }
}

impl<K: Key, A: Aggregate> Operator for Running<K, A> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin) = batch.into_records::<Keyed<K, A::In>>();
        let late = self.take(records).map_err(|error| OperatorError { place: self.place(), error })?;
        out.send(1, late, origin);
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = self.fire(out).map_err(|error| OperatorError { place: self.place(), error })?;
        Ok(flow(stopped))
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.panes.borrow_mut().freeze(epoch)?;
        // A barrier between slices finds windows half fired: what is late for them stays late,
        // though the stage has not published this watermark yet.
        Ok(Frozen { bytes: self.reached.to_bytes(), deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
