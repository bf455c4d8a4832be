//! The operator that keeps a pane of keyed state for each window: of windows that lie apart, and, of windows that
//! overlap, for aggregates that do not merge.
//!
//! A window is fired whole and in slices: a barrier may fall between them, because an entry leaves the state
//! as it is emitted.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pelton_dataflow::error::{OpResult, OperatorError, Place};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{Panes, TOGETHER, TimeDomain};

use super::WindowResult;
use super::aligned::{Layout, Span};
use super::progress::{self, Progress};
use crate::aggregate::Aggregate;
use crate::emit::{Emitter, flow};

mod overlapping;

/// The name of the operator's state.
pub(super) const PANES: &str = "panes";

/// The operator on one worker.
pub(super) struct Running<K: Key, A: Aggregate> {
    aggregate: Arc<A>,
    layout: Layout,
    panes: Rc<RefCell<Panes<K, A::Accumulator>>>,
    groups: KeyGroups,
    /// Windows that are due have fired, or are firing.
    progress: Progress,
    at_hand: Option<KeyHash>,
    results: Emitter<WindowResult<K, A::Out>>,
    batch_records: usize,
}

impl<K: Key, A: Aggregate> Running<K, A> {
    pub fn new(
        aggregate: Arc<A>,
        layout: Layout,
        domain: TimeDomain,
        panes: Rc<RefCell<Panes<K, A::Accumulator>>>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        let batch_records = cx.settings.batch_records;
        Ok(Self {
            aggregate,
            layout,
            panes,
            groups: cx.groups,
            progress: progress::restore(cx, domain)?,
            at_hand: None,
            results: Emitter::new(0, batch_records),
            batch_records,
        })
    }

    /// Takes records into their windows; gives those back whose window has fired.
    fn take(&mut self, records: Vec<Record<Keyed<K, A::In>>>) -> OpResult<Vec<Record<A::In>>> {
        let apart = match &self.layout {
            Layout::Apart(apart) => apart,
            Layout::Overlapping(overlapping) => return self.take_overlapping(*overlapping, records),
        };
        let mut late = Vec::new();
        let mut records = records.into_iter();
        let mut panes = self.panes.borrow_mut();
        // Records come in runs of one window, and to find a window takes a division.
        let mut window = Span { start: EventTime::END, end: EventTime::MIN };
        while let Some(first) = records.as_slice().first() {
            self.at_hand = Some(first.value.hash);
            if !window.contains(first.time) {
                let Some(next) = apart.window_of(first.time)? else {
                    // It lies in a gap.
                    records.next();
                    continue;
                };
                window = next;
            }
            let Span { end, .. } = window;
            let ahead = &records.as_slice()[..records.len().min(TOGETHER)];
            let run = ahead.iter().take_while(|record| window.contains(record.time)).count();
            let is_late = end <= self.progress.told();
            // Until event time has caught up with what was restored, groups differ in what is late.
            let is_even = self.progress.is_even();
            if !is_late && is_even {
                let keys = ahead[..run].iter().map(|record| (record.value.hash, &record.value.key));
                panes.seek(end, keys);
            }
            for (nth, record) in records.by_ref().take(run).enumerate() {
                let Record { time, value: Keyed { hash, key, value } } = record;
                self.at_hand = Some(hash);
                if is_late || (!is_even && end <= self.progress.of(hash)) {
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
        while let Some(end) = panes.next_window().filter(|end| *end <= self.progress.due()) {
            let start = self.layout.start_of(end);
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
        let (mut records, origin) = batch.into_records::<Keyed<K, A::In>>();
        self.progress.stamp(&mut records);
        let late = self.take(records).map_err(|error| OperatorError { place: self.place(), error })?;
        out.send(1, late, origin);
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        match self.progress.on_watermark(watermark) {
            true => self.resume(out),
            false => Ok(Flow::Done),
        }
    }

    fn on_processing_time(&mut self, now_ms: i64, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.progress.on_processing_time(now_ms);
        self.resume(out)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.progress.wakeup_ms(|| self.panes.borrow().next_window())
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = self.fire(out).map_err(|error| OperatorError { place: self.place(), error })?;
        Ok(flow(stopped))
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.panes.borrow_mut().freeze(epoch)?;
        // A barrier between slices finds windows half fired: what is late for them stays late,
        // though the stage has not published this watermark yet.
        Ok(Frozen { bytes: self.progress.to_bytes(), deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
