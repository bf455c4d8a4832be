//! The operator for windows that overlap, by slices that they share.
//!
//! A record is added once, to the slice between two bounds of windows that it is in; slices are panes of keyed state. As a window's end is
//! reached, the slices that are full by then are appended to the [queue](super::queue) of each of their keys, which gives the window's aggregate
//! with one merge.
//!
//! *State.* A slice of a key is written once, after it has filled (and once more for each barrier while it fills), leaves memory as soon
//! as it is in the backend, and is dropped with one range marker per key group. The queues are in no checkpoint and never
//! written: they are made of the slices again at a restore, which reads all of them. They are what the operator holds in memory: of each key,
//! two accumulators and one for each of its slices that are in use.
//!
//! *Records behind the watermark.* A record is late if all its windows have fired. One whose slice is full but belongs to windows that have not
//! fired is added to the slice and to the queue: this costs an addition for each of these windows, at most.
//!
//! *Slices of firing.* A barrier may fall while a window fires. What is emitted does not leave the state, so how far
//! it has come is part of the checkpoint, by key group: those of a *unit* are emitted at one go.
//!
//! In a checkpoint ([`Frozen::bytes`]), numbers little endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | how many bytes the next field has, `u32` |
//! | n | the ends of the windows that have fired, by key group, as [`Reached`] writes watermarks |
//! | n | watermarks, by key group, by [`Reached`] |

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs, RestoredPart};
use pelton_dataflow::record::{Batch, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{Panes, TOGETHER, TimeDomain};

use super::WindowResult;
use super::aligned::{Overlapping, Slice, Span};
use super::progress::Progress;
use super::queues::Queues;
use crate::aggregate::Aggregate;
use crate::emit::{Emitter, flow};
use crate::reached::Reached;

/// The name of the operator's state.
pub(super) const SLICES: &str = "slices";

type SharedPanes<K, A> = Rc<RefCell<Panes<K, A>>>;

/// The operator on one worker.
pub(super) struct Running<K: Key, A: Aggregate> {
    aggregate: Arc<A>,
    windows: Overlapping,
    panes: SharedPanes<K, A::Accumulator>,
    queues: Queues<K, A::Accumulator>,
    groups: KeyGroups,
    progress: Progress,
    /// The windows that have fired.
    fired: Reached,
    /// Slices that end up to here are in the queues.
    queued: EventTime,
    firing: Option<Firing>,
    /// Windows may be due.
    is_behind: bool,
    /// A batch that waits for windows that are due since before it came.
    waiting: Option<Batch>,
    at_hand: Option<KeyHash>,
    results: Emitter<WindowResult<K, A::Out>>,
}

/// A window that is being fired.
struct Firing {
    window: Span,
    /// Slices that are full by its end, and not in the queues.
    full: Vec<EventTime>,
    /// The next unit.
    unit: usize,
}

impl<K: Key, A: Aggregate> Running<K, A> {
    pub fn new(
        aggregate: Arc<A>,
        windows: Overlapping,
        domain: TimeDomain,
        panes: SharedPanes<K, A::Accumulator>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        let (fired, watermarks) = split(cx.restored)?;
        let reached = |parts: &[RestoredPart]| {
            Reached::of_parts(cx.groups, cx.groups.range(cx.worker, cx.workers), parts)
        };
        let fired = reached(&fired)?;
        let progress = Progress::restore(cx, domain, reached(&watermarks)?);
        let queues = Queues::new(cx.groups, panes.borrow().units());
        let results = Emitter::new(0, cx.settings.batch_records);
        let mut running = Self {
            aggregate,
            windows,
            panes,
            queues,
            groups: cx.groups,
            progress,
            queued: fired.told(),
            fired,
            firing: None,
            is_behind: true,
            waiting: None,
            at_hand: None,
            results,
        };
        running.queue_again()?;
        Ok(running)
    }

    /// Makes the queues of what was restored.
    fn queue_again(&mut self) -> OpResult {
        let slices = self.full(EventTime::MIN, self.queued);
        for unit in 0..self.queues.units() {
            self.append(&slices, unit)?;
        }
        slices.iter().for_each(|end| self.panes.borrow_mut().rest(*end));
        Ok(())
    }

    /// The slices with records that end behind `from`, up to `to`.
    fn full(&self, from: EventTime, to: EventTime) -> Vec<EventTime> {
        self.panes.borrow().windows().filter(|end| *end > from && *end <= to).collect()
    }

    /// Appends slices to the queues of one unit.
    fn append(&mut self, slices: &[EventTime], unit: usize) -> OpResult {
        let Self { aggregate, panes, queues, at_hand, .. } = self;
        let panes = panes.borrow();
        let groups = queues.groups(unit);
        for &end in slices {
            panes.walk(end, &groups, |hash, key, slice| {
                *at_hand = Some(hash);
                queues.of(unit, hash, key).push(&**aggregate, end, slice.clone());
            })?;
        }
        Ok(())
    }

    /// Adds records to their slices; gives those back all of whose windows have fired.
    fn take(&mut self, records: Vec<Record<Keyed<K, A::In>>>) -> OpResult<Vec<Record<A::In>>> {
        let mut late = Vec::new();
        let mut records = records.into_iter();
        let mut panes = self.panes.borrow_mut();
        let mut slice: Option<Slice> = None;
        while let Some(first) = records.as_slice().first() {
            self.at_hand = Some(first.value.hash);
            let Slice { span, last } = match slice {
                Some(slice) if slice.span.contains(first.time) => slice,
                _ => *slice.insert(self.windows.slice_of(first.time)?),
            };
            let ahead = &records.as_slice()[..records.len().min(TOGETHER)];
            let run = ahead.iter().take_while(|record| span.contains(record.time)).count();
            let is_late = last <= self.progress.told();
            // Until event time has caught up with what was restored, groups differ in what is late.
            let is_even = self.progress.is_even();
            let is_full = span.end <= self.queued;
            if !is_late && is_even {
                let keys = ahead[..run].iter().map(|record| (record.value.hash, &record.value.key));
                panes.seek(span.end, keys);
            }
            for (nth, record) in records.by_ref().take(run).enumerate() {
                let Record { time, value: Keyed { hash, key, value } } = record;
                self.at_hand = Some(hash);
                if is_late || (!is_even && last <= self.progress.of(hash)) {
                    late.push(Record::new(time, value));
                    continue;
                }
                let held = match is_even {
                    true => panes.at_sought(nth, hash, &key)?,
                    false => panes.at(span.end, hash, &key)?,
                };
                if is_full {
                    let unit = self.queues.unit_of(hash);
                    self.queues.of(unit, hash, &key).add(&*self.aggregate, span.end, &value);
                }
                self.aggregate.add(held, value);
            }
            if is_full && !is_late {
                panes.rest(span.end);
            }
        }
        self.at_hand = None;
        Ok(late)
    }

    /// The earliest window that has not fired and that a key has records in.
    fn next_window(&self) -> Option<Span> {
        let first_full = self.panes.borrow().windows().find(|end| *end > self.queued);
        let of_slices = first_full.and_then(|end| self.windows.next_end(EventTime(end.0 - 1)));
        let of_queues = if self.queues.is_empty() { None } else { self.windows.next_end(self.queued) };
        let end = of_slices.into_iter().chain(of_queues).min()?;
        Some(Span { start: self.windows.start_of(end), end })
    }

    /// Fires the windows that are due; whether it had to stop.
    fn fire(&mut self, out: &mut Outputs) -> OpResult<bool> {
        while self.is_behind {
            if self.firing.is_none() {
                let due = self.next_window().filter(|window| window.end <= self.progress.due());
                let Some(window) = due else {
                    self.catch_up(self.windows.last_end(self.progress.due()));
                    self.is_behind = false;
                    break;
                };
                let full = self.full(self.queued, window.end);
                self.firing = Some(Firing { window, full, unit: 0 });
            }
            while let Some(mut firing) = self.firing.take() {
                if firing.unit == self.queues.units() {
                    self.close(&firing);
                    break;
                }
                self.append(&firing.full, firing.unit)?;
                self.emit(firing.window, firing.unit);
                firing.unit += 1;
                self.firing = Some(firing);
                if self.results.ship_full(&Origin::default(), out) {
                    return Ok(true);
                }
            }
        }
        self.results.ship(&Origin::default(), out);
        self.at_hand = None;
        Ok(false)
    }

    /// Emits what the keys of one unit have in `window`.
    fn emit(&mut self, window: Span, unit: usize) {
        let Self { aggregate, queues, fired, results, at_hand, .. } = self;
        let Span { start, end } = window;
        let is_even = fired.is_even();
        queues.retain(unit, |hash, key, queue| {
            *at_hand = Some(hash);
            queue.drop_until(&**aggregate, start);
            if queue.is_empty() {
                return false;
            }
            // Some groups may have been further when they were saved.
            if is_even || fired.of(hash) < end {
                let (key, value) = (key.clone(), queue.result(&**aggregate));
                results.push(EventTime(end.0 - 1), WindowResult { key, start, end, value });
            }
            true
        });
    }

    /// A window has fired for all keys.
    fn close(&mut self, firing: &Firing) {
        self.catch_up(firing.window.end);
        let mut panes = self.panes.borrow_mut();
        firing.full.iter().for_each(|end| panes.rest(*end));
        let next = self.windows.next_end(firing.window.end);
        let start = next.map_or(EventTime::END, |end| self.windows.start_of(end));
        let gone: Vec<_> = panes.windows().take_while(|end| *end <= start).collect();
        gone.into_iter().for_each(|end| panes.forget(end));
    }

    /// All windows up to the one that ends at `end` have fired, or had nothing to give.
    fn catch_up(&mut self, end: EventTime) {
        self.queued = self.queued.max(end);
        self.fired.advance(end);
    }

    fn go_on(&mut self, out: &mut Outputs) -> OpResult<bool> {
        if self.fire(out)? {
            return Ok(true);
        }
        if let Some(batch) = self.waiting.take() {
            let (mut records, origin) = batch.into_records::<Keyed<K, A::In>>();
            self.progress.stamp(&mut records);
            let late = self.take(records)?;
            out.send(1, late, origin);
        }
        Ok(false)
    }
}

impl<K: Key, A: Aggregate> Operator for Running<K, A> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.waiting = Some(batch);
        self.resume(out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.is_behind |= self.progress.on_watermark(watermark);
        self.resume(out)
    }

    fn on_processing_time(&mut self, now_ms: i64, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.progress.on_processing_time(now_ms);
        self.is_behind = true;
        self.resume(out)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.progress.wakeup_ms(|| self.next_window().map(|window| window.end))
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = self.go_on(out).map_err(|error| OperatorError { place: self.place(), error })?;
        Ok(flow(stopped))
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.panes.borrow_mut().freeze(epoch)?;
        let under_way = self.firing.as_ref().filter(|firing| firing.unit > 0).map(|firing| {
            let through = self.queues.groups(firing.unit - 1).end;
            (self.queues.groups(0).start..through, firing.window.end)
        });
        let fired = self.fired.to_bytes_with(under_way.as_ref());
        let mut bytes = (fired.len() as u32).to_le_bytes().to_vec();
        bytes.extend(fired);
        bytes.extend(self.progress.to_bytes());
        Ok(Frozen { bytes, deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}

/// The two parts of what old instances left: what has fired, and watermarks.
fn split(parts: &[RestoredPart]) -> OpResult<(Vec<RestoredPart>, Vec<RestoredPart>)> {
    let (mut fired, mut watermarks) = (Vec::new(), Vec::new());
    for part in parts {
        let bytes = &part.bytes;
        if bytes.is_empty() {
            // It stood for something else before.
            fired.push(part.clone());
            watermarks.push(part.clone());
            continue;
        }
        let unreadable =
            || OpError::from(format!("{} bytes are not what windows by slices leave", bytes.len()));
        let (length, rest) = bytes.split_first_chunk().ok_or_else(unreadable)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (first, second) = rest.split_at_checked(length).ok_or_else(unreadable)?;
        let with = |bytes: &[u8]| RestoredPart { bytes: bytes.to_vec(), ..part.clone() };
        fired.push(with(first));
        watermarks.push(with(second));
    }
    Ok((fired, watermarks))
}
