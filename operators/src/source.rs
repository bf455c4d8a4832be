//! `source`: from the typed contract of connectors, with a watermark strategy, to the graph's
//! erased one. Watermarks are kept per split, inside the source.

use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pelton_dataflow::error::{Malformed, OpError};
use pelton_dataflow::graph::{NewNode, OutputPort, PortRef, Role};
use pelton_dataflow::operator::{OperatorContext, Outputs, Waker};
use pelton_dataflow::record::{Data, Origin, Record, Span};
use pelton_dataflow::source::{
    Enumerator, Fetched, Polled, ReaderContext, Rejected, Source, SourceNode, SourceOperator, SourceTime,
    SplitId, SplitReader, SplitState, SplitStatus,
};
use pelton_dataflow::time::EventTime;

use crate::dead_letter::shown;
use crate::job::SharedGraph;
use crate::stream::Stream;
use crate::watermarks::Watermarks;

mod times;

use times::{TimeCheck, TimesSeen};

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
    pub fn watermarks<F>(self, watermarks: Watermarks<F>) -> Stream<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
    {
        self.add(watermarks, false).out
    }

    fn add<F>(self, watermarks: Watermarks<F>, dead_letters: bool) -> SourceStreams<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
    {
        let detail = self.source.describe();
        let mut outputs = vec![OutputPort::of::<S::Item>("out")];
        outputs.extend(dead_letters.then(|| OutputPort::of::<Rejected>("rejected")));
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
        SourceStreams {
            out: Stream::new(self.graph.clone(), PortRef { node, port: 0 }),
            rejected: Stream::new(self.graph, PortRef { node, port: 1 }),
        }
    }
}

impl<S: Source> DeadLetterSource<S> {
    /// The stream of records, with event times by `watermarks`, and that of malformed ones.
    pub fn watermarks<F>(self, watermarks: Watermarks<F>) -> SourceStreams<S::Item>
    where
        F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
    {
        self.0.add(watermarks, true)
    }
}

struct TypedSource<S, F> {
    source: Arc<S>,
    watermarks: Watermarks<F>,
    dead_letters: bool,
}

impl<S, F> SourceNode for TypedSource<S, F>
where
    S: Source,
    F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
{
    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        self.source.enumerator()
    }

    fn operator(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn SourceOperator>, OpError> {
        Ok(Box::new(Running {
            name: cx.name.to_owned(),
            worker: cx.worker,
            source: self.source.clone(),
            watermarks: self.watermarks.clone(),
            dead_letters: self.dead_letters,
            clock: cx.clock.clone(),
            waker: cx.waker.clone(),
            splits: Vec::new(),
            finished: Vec::new(),
            next: 0,
            fetched: Fetched::default(),
        }))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn locations(&self) -> Vec<PathBuf> {
        self.source.locations()
    }
}

/// A split being read.
struct RunningSplit<T> {
    state: SplitState,
    /// `None` once it is finished.
    reader: Option<Box<dyn SplitReader<Item = T>>>,
    /// Its name in messages.
    name: Arc<str>,
    /// Set by the reader's waker: there may be more.
    awake: Arc<AtomicBool>,
    /// It cannot tell when there is more, and has to be asked.
    unannounced: bool,
    /// Since when it has been found empty at every look, and the last of those looks.
    empty_us: Option<(i64, i64)>,
    /// It has told that its watermark is far ahead of the clock: once is enough.
    is_ahead: bool,
}

impl<T> RunningSplit<T> {
    /// A look found nothing more; `gave` if it gave something before that.
    fn found_empty(&mut self, now_us: i64, gave: bool) {
        let since_us = self.empty_us.filter(|_| !gave).map_or(now_us, |(since_us, _)| since_us);
        self.empty_us = Some((since_us, now_us));
    }

    /// For how long it is known to be empty: a split that nobody has looked at, because its stage
    /// was paused or out of credit, is not.
    fn empty_for(&self, now_us: i64) -> Duration {
        let Some((since_us, last_look_us)) = self.empty_us else { return Duration::ZERO };
        let until_us = match (self.unannounced, self.awake.load(Ordering::Acquire)) {
            (true, _) => last_look_us,
            (false, true) => since_us,
            (false, false) => now_us,
        };
        Duration::from_micros(until_us.saturating_sub(since_us).max(0).unsigned_abs())
    }
}

struct Running<S: Source, F> {
    name: String,
    worker: usize,
    source: Arc<S>,
    watermarks: Watermarks<F>,
    dead_letters: bool,
    clock: Arc<dyn pelton_dataflow::clock::Clock>,
    waker: Waker,
    splits: Vec<RunningSplit<S::Item>>,
    finished: Vec<SplitId>,
    /// The split to be asked next: each gets its turn.
    next: usize,
    fetched: Fetched<S::Item>,
}

impl<S, F> SourceOperator for Running<S, F>
where
    S: Source,
    F: Fn(&S::Item) -> EventTime,
{
    fn assign(&mut self, state: SplitState) -> Result<(), OpError> {
        let awake = Arc::new(AtomicBool::new(true));
        let waker = Waker::new({
            let (awake, stage) = (awake.clone(), self.waker.clone());
            move || {
                awake.store(true, Ordering::Release);
                stage.wake();
            }
        });
        let cx = ReaderContext { waker, worker: self.worker };
        let reader = match state.status {
            SplitStatus::Finished => None,
            _ => Some(self.source.open(&state.info, state.position.as_deref(), &cx)?),
        };
        let name = format!("{}/{}", self.name, state.info.id).into();
        self.splits.push(RunningSplit {
            state,
            reader,
            name,
            awake,
            unannounced: false,
            empty_us: None,
            is_ahead: false,
        });
        Ok(())
    }

    fn poll(&mut self, max_records: usize, out: &mut Outputs) -> Result<Polled, OpError> {
        let mut unannounced = false;
        for _ in 0..self.splits.len() {
            let index = self.next % self.splits.len();
            self.next = index + 1;
            let split = &mut self.splits[index];
            let Some(reader) = &mut split.reader else { continue };
            if !split.unannounced && !split.awake.swap(false, Ordering::AcqRel) {
                continue;
            }
            let polled = reader.poll(max_records, &mut self.fetched)?;
            split.unannounced = polled == Polled::PendingUnannounced;
            unannounced |= split.unannounced;
            match polled {
                Polled::Ready => {
                    split.empty_us = None;
                    split.awake.store(true, Ordering::Release);
                }
                Polled::Finished => self.finish(index),
                Polled::Pending | Polled::PendingUnannounced => {
                    let gave = !self.fetched.values.is_empty() || !self.fetched.rejected.is_empty();
                    split.found_empty(self.clock.now_us(), gave);
                }
            }
            if self.emit(index, out)? || polled == Polled::Finished {
                return Ok(Polled::Ready);
            }
        }
        Ok(if unannounced { Polled::PendingUnannounced } else { Polled::Pending })
    }

    fn event_time(&mut self, now_us: i64) -> SourceTime {
        let idle_after = self.watermarks.idle_after;
        for split in self.splits.iter_mut().filter(|split| split.reader.is_some()) {
            let is_idle = idle_after.is_some_and(|limit| split.empty_for(now_us) >= limit);
            split.state.status = if is_idle { SplitStatus::Idle } else { SplitStatus::Active };
        }
        let active = self.splits.iter().filter(|split| split.state.status == SplitStatus::Active);
        let least = active.map(|split| split.state.max_time - self.watermarks.out_of_orderness).min();
        least.map_or(SourceTime::Idle, SourceTime::Active)
    }

    fn snapshot(&self) -> Vec<SplitState> {
        let position = |split: &RunningSplit<_>| match &split.reader {
            Some(reader) => Some(reader.position()),
            None => split.state.position.clone(),
        };
        self.splits
            .iter()
            .map(|split| SplitState { position: position(split), ..split.state.clone() })
            .collect()
    }

    fn take_finished(&mut self) -> Vec<SplitId> {
        std::mem::take(&mut self.finished)
    }
}

impl<S, F> Running<S, F>
where
    S: Source,
    F: Fn(&S::Item) -> EventTime,
{
    fn finish(&mut self, index: usize) {
        let split = &mut self.splits[index];
        split.state.position = split.reader.take().map(|reader| reader.position());
        split.state.status = SplitStatus::Finished;
        self.finished.push(split.state.info.id.clone());
    }

    /// Sends what a poll has fetched; whether there was anything.
    fn emit(&mut self, index: usize, out: &mut Outputs) -> Result<bool, OpError> {
        let split = &mut self.splits[index];
        let created_us = self.fetched.created_us.take();
        let Fetched { values, times, rejected, span, .. } = &mut self.fetched;
        if values.is_empty() && rejected.is_empty() {
            return Ok(false);
        }
        let now_us = self.clock.now_us();
        let positions = Positions {
            span: *span,
            rejected: rejected.iter().map(|(position, ..)| *position).collect(),
            values: values.len(),
        };
        let spans = span.take().map(|(first, last)| Span { split: split.name.clone(), first, last });
        let created_at_us = created_us.map_or(i64::MAX, |created_us| created_us.min(now_us));
        let spans = spans.into_iter().collect();
        let origin = Origin { spans, truncated: false, read_at_us: now_us, created_at_us };
        if !rejected.is_empty() {
            let letters = rejected.drain(..).map(|(position, reason, raw)| {
                let raw = Rejected::text(&raw);
                Rejected { split: split.name.to_string(), position, reason, raw }
            });
            send_rejected(letters, self.dead_letters, &origin, out).map_err(OpError::from)?;
        }
        let time_of = &self.watermarks.time_of;
        let mut times_seen = TimesSeen::default();
        let mut records: Vec<Record<S::Item>> = Vec::with_capacity(values.len());
        if self.watermarks.by_arrival && times.len() == values.len() {
            records.extend(values.drain(..).zip(times.drain(..)).map(|(value, time)| {
                times_seen.note(time);
                Record::new(time, value)
            }));
        } else {
            records.extend(values.drain(..).map(|value| {
                let time = time_of(&value);
                times_seen.note(time);
                Record::new(time, value)
            }));
        }
        times.clear();
        let check = TimeCheck { now_ms: now_us / 1_000, reject_ahead: self.watermarks.reject_ahead };
        if !check.all_right(&times_seen) {
            let letters = reject_times(&mut records, check, &split.name, &positions);
            times_seen = TimesSeen::of(&records);
            // A time that is wrong by the clock may be right at the next try.
            send_rejected(letters.into_iter(), self.dead_letters, &origin, out)
                .map_err(|malformed| malformed.to_string())?;
        }
        let max_time = split.state.max_time.max(times_seen.greatest());
        let has_moved = max_time > split.state.max_time;
        split.state.max_time = max_time;
        if has_moved
            && !split.is_ahead
            && let Some(warning) = check.warning(max_time)
        {
            split.is_ahead = true;
            tracing::warn!("{warning}; {origin}");
        }
        out.send(0, records, origin);
        Ok(true)
    }
}

/// The positions of the records that a poll has read.
struct Positions {
    span: Option<(u64, u64)>,
    /// Those of records that the reader rejected, ascending.
    rejected: Vec<u64>,
    values: usize,
}

impl Positions {
    /// The position of the value `index`; that of the first record if positions have gaps, when it is
    /// not known.
    fn of(&self, index: usize) -> u64 {
        let Some((first, last)) = self.span else { return 0 };
        let count = (self.values + self.rejected.len()) as u64;
        if last.saturating_sub(first).saturating_add(1) != count {
            return first;
        }
        self.rejected
            .iter()
            .fold(first + index as u64, |position, rejected| position + u64::from(*rejected <= position))
    }
}

/// Takes out of `records` those whose event time cannot be right.
fn reject_times<T: Data>(
    records: &mut Vec<Record<T>>,
    check: TimeCheck,
    split: &str,
    positions: &Positions,
) -> Vec<Rejected> {
    let mut letters = Vec::new();
    let mut index = 0;
    records.retain(|record| {
        let problem = check.problem(record.time);
        let is_right = problem.is_none();
        if let Some(reason) = problem {
            let position = positions.of(index);
            letters.push(Rejected { split: split.to_owned(), position, reason, raw: shown(&record.value) });
        }
        index += 1;
        is_right
    });
    letters
}

fn send_rejected(
    letters: impl Iterator<Item = Rejected>,
    dead_letters: bool,
    origin: &Origin,
    out: &mut Outputs,
) -> Result<(), Malformed> {
    let mut records = Vec::new();
    for letter in letters {
        if !dead_letters {
            let Rejected { split, position, reason, .. } = letter;
            return Err(Malformed { split, position, reason });
        }
        records.push(Record::new(EventTime::MIN, letter));
    }
    out.send(1, records, origin.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(unannounced: bool) -> RunningSplit<u8> {
        let state = SplitState::fresh(pelton_dataflow::source::SplitInfo::root("0"));
        let awake = Arc::new(AtomicBool::new(false));
        RunningSplit {
            state,
            reader: None,
            name: "in/0".into(),
            awake,
            unannounced,
            empty_us: None,
            is_ahead: false,
        }
    }

    #[test]
    fn a_split_that_nobody_looks_at_is_not_idle() {
        let mut announced = split(false);
        assert_eq!(announced.empty_for(9_000), Duration::ZERO);
        announced.found_empty(1_000, true);
        assert_eq!(announced.empty_for(4_000), Duration::from_millis(3));
        announced.awake.store(true, Ordering::Release);
        assert_eq!(announced.empty_for(9_000), Duration::ZERO);

        let mut asked = split(true);
        asked.found_empty(1_000, true);
        assert_eq!(asked.empty_for(9_000), Duration::ZERO);
        asked.found_empty(5_000, false);
        assert_eq!(asked.empty_for(9_000), Duration::from_millis(4));
        asked.found_empty(6_000, true);
        assert_eq!(asked.empty_for(9_000), Duration::ZERO);
    }
}
