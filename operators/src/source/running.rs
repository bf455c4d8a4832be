//! A source at work on one worker: polls its splits in turn, and says how far event time has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pelton_dataflow::alignment::AlignedSplit;
use pelton_dataflow::clock::Clock;
use pelton_dataflow::error::{Malformed, OpError};
use pelton_dataflow::operator::{OperatorContext, Outputs, Waker};
use pelton_dataflow::rank::Rank;
use pelton_dataflow::record::{Data, Origin, Record, Span};
use pelton_dataflow::source::{
    Fetched, Polled, ReaderContext, Rejected, Source, SourceOperator, SourceTime, SplitId, SplitState,
    SplitStatus,
};
use pelton_dataflow::time::EventTime;
use pelton_dataflow::watermarks::WatermarkBoard;

use super::Aside;
use super::memory::{self, SplitMemory};
use super::split::RunningSplit;
use super::times::{TimeCheck, TimesSeen};
use crate::dead_letter::shown;
use crate::watermarks::{WatermarkGenerator, Watermarks};

pub(super) struct Running<S: Source, F, G: WatermarkGenerator<S::Item>> {
    name: String,
    worker: usize,
    source: Arc<S>,
    watermarks: Watermarks<F, G>,
    aside: Aside,
    is_ranked: bool,
    clock: Arc<dyn Clock>,
    waker: Waker,
    board: Arc<WatermarkBoard>,
    /// What old instances remembered of splits that may be assigned here.
    remembered: HashMap<SplitId, SplitMemory>,
    splits: Vec<RunningSplit<S::Item, G>>,
    finished: Vec<SplitId>,
    /// The split to be asked next: each gets its turn.
    next: usize,
    fetched: Fetched<S::Item>,
}

impl<S, F, G> Running<S, F, G>
where
    S: Source,
    F: Fn(&S::Item) -> EventTime,
    G: WatermarkGenerator<S::Item>,
{
    pub fn new(
        source: Arc<S>,
        watermarks: Watermarks<F, G>,
        aside: Aside,
        cx: &OperatorContext<'_>,
    ) -> Result<Self, OpError> {
        Ok(Self {
            name: cx.name.to_owned(),
            worker: cx.worker,
            source,
            watermarks,
            aside,
            is_ranked: cx.is_ranked,
            clock: cx.clock.clone(),
            waker: cx.waker.clone(),
            board: cx.board.clone(),
            remembered: memory::decode(cx.restored)?,
            splits: Vec::new(),
            finished: Vec::new(),
            next: 0,
            fetched: Fetched::default(),
        })
    }

    fn join_group(&self, split: &RunningSplit<S::Item, G>) -> Option<AlignedSplit> {
        let aligned = self.watermarks.aligned.as_ref()?;
        let member = self.board.alignment().join(&aligned.group);
        member.reached(split.watermark);
        Some(member)
    }

    /// Whether a split is so far ahead of its group that it has to wait. It is woken when that may be over.
    fn is_held(&mut self, index: usize) -> bool {
        let split = &mut self.splits[index];
        let Some((aligned, member)) = self.watermarks.aligned.as_ref().zip(split.aligned.as_ref()) else {
            return false;
        };
        split.is_held = !member.may_read(split.watermark, aligned.max_drift, &self.waker);
        split.is_held
    }

    fn finish(&mut self, index: usize) {
        let split = &mut self.splits[index];
        split.state.position = split.reader.take().map(|reader| reader.position());
        split.state.status = SplitStatus::Finished;
        split.aligned = None;
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
        let number = split.read;
        split.read += (values.len() + rejected.len()) as u64;
        if !rejected.is_empty() {
            let letters = rejected.drain(..).map(|(position, reason, raw)| {
                let raw = Rejected::text(&raw);
                Rejected { split: split.name.to_string(), position, reason, raw }
            });
            send_rejected(letters, (self.aside, self.source.counted_in()), &origin, out)
                .map_err(OpError::from)?;
        }
        let (mut records, mut times_seen) = timed(values, times, &self.watermarks);
        let Watermarks { generator, reject_ahead, clamp_ahead, .. } = &self.watermarks;
        let check = TimeCheck { now_ms: now_us / 1_000, reject_ahead: *reject_ahead };
        if !check.all_right(&times_seen) {
            let letters = reject_times(&mut records, check, &split.name, &positions);
            times_seen = TimesSeen::of(&records);
            // A time that is wrong by the clock may be right at the next try.
            send_rejected(letters.into_iter(), (self.aside, self.source.counted_in()), &origin, out)
                .map_err(|malformed| malformed.to_string())?;
        }
        let cut = clamp_ahead.map_or(EventTime::END, |limit| EventTime(check.now_ms) + limit);
        let before = split.state.max_time;
        let latest = times_seen.greatest().min(cut);
        let mut ranks = None;
        let mut late = Late::default();
        match (self.is_ranked, self.aside == Aside::RejectedAndLate) {
            (false, false) => split.note(generator, &records, cut, latest),
            (true, false) => ranks = Some(split.rank(generator, &records, cut, number)),
            (false, true) => late.records = split.note_late(generator, &mut records, cut),
            (true, true) => {
                let all = split.rank(generator, &records, cut, number);
                (records, ranks) = late.take(records, all);
            }
        }
        if let Some(member) = &split.aligned {
            member.reached(split.watermark);
        }
        if split.state.max_time > before
            && !split.is_ahead
            && let Some(warning) = check.warning(split.state.max_time)
        {
            split.is_ahead = true;
            tracing::warn!("{warning}; {origin}");
        }
        if !late.records.is_empty() {
            out.send_ranked(2, late.records, origin.clone(), late.ranks);
        }
        out.send_ranked(0, records, origin, ranks);
        Ok(true)
    }
}

/// Records that are sent aside, with their ranks if they have some.
struct Late<T> {
    records: Vec<Record<T>>,
    ranks: Option<Vec<Rank>>,
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self { records: Vec::new(), ranks: None }
    }
}

impl<T> Late<T> {
    /// Takes the late ones of `records`, and gives the others back.
    fn take(&mut self, records: Vec<Record<T>>, ranks: Vec<Rank>) -> (Vec<Record<T>>, Option<Vec<Rank>>) {
        let (late, on_time): (Vec<_>, Vec<_>) =
            records.into_iter().zip(ranks).partition(|(_, rank)| rank.is_late());
        let (records, ranks) = late.into_iter().unzip();
        *self = Self { records, ranks: Some(ranks) };
        let (records, ranks) = on_time.into_iter().unzip();
        (records, Some(ranks))
    }
}

impl<S, F, G> SourceOperator for Running<S, F, G>
where
    S: Source,
    F: Fn(&S::Item) -> EventTime,
    G: WatermarkGenerator<S::Item>,
{
    fn assign(&mut self, state: SplitState) -> Result<(), OpError> {
        let name = format!("{}/{}", self.name, state.info.id).into();
        let memory = self.remembered.remove(&state.info.id);
        let mut split = RunningSplit::new(state, name, &self.watermarks.generator, memory)?;
        let waker = Waker::new({
            let (awake, stage) = (split.awake.clone(), self.waker.clone());
            move || {
                awake.store(true, Ordering::Release);
                stage.wake();
            }
        });
        if split.state.status != SplitStatus::Finished {
            let cx = ReaderContext { waker, worker: self.worker };
            split.reader = Some(self.source.open(&split.state.info, split.state.position.as_deref(), &cx)?);
            split.aligned = self.join_group(&split);
        }
        self.splits.push(split);
        Ok(())
    }

    fn poll(&mut self, max_records: usize, out: &mut Outputs) -> Result<Polled, OpError> {
        let mut unannounced = false;
        for _ in 0..self.splits.len() {
            let index = self.next % self.splits.len();
            self.next = index + 1;
            if self.is_held(index) {
                continue;
            }
            let split = &mut self.splits[index];
            let Some(reader) = &mut split.reader else { continue };
            if !split.unannounced && !split.awake.swap(false, Ordering::AcqRel) {
                continue;
            }
            let polled = reader.poll(max_records, &mut self.fetched)?;
            split.unannounced = polled == Polled::PendingUnannounced;
            unannounced |= split.unannounced;
            match polled {
                Polled::Ready => split.found_more(),
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
            match &split.aligned {
                Some(member) if is_idle => member.steps_aside(),
                Some(member) => member.reached(split.watermark),
                None => {}
            }
            if let Some(aligned) = self.watermarks.aligned.as_ref().filter(|_| idle_after.is_none()) {
                split.tell_silence(now_us, &aligned.group);
            }
        }
        let active = self.splits.iter().filter(|split| split.state.status == SplitStatus::Active);
        let least = active.map(|split| split.watermark).min();
        least.map_or(SourceTime::Idle, SourceTime::Active)
    }

    fn snapshot(&self) -> Vec<SplitState> {
        let position = |split: &RunningSplit<_, _>| match &split.reader {
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

    fn memory(&self) -> Result<Vec<u8>, OpError> {
        let mut memories = Vec::new();
        for split in self.splits.iter().filter(|split| split.reader.is_some()) {
            let memory = split.memory(&self.watermarks.generator, self.is_ranked)?;
            memories.extend(memory.map(|memory| (split.state.info.id.clone(), memory)));
        }
        memory::encode(&memories)
    }

    fn held_splits(&self) -> usize {
        self.splits.iter().filter(|split| split.is_held).count()
    }
}

/// The records of `values`, with their event times.
fn timed<T, F: Fn(&T) -> EventTime, G>(
    values: &mut Vec<T>,
    times: &mut Vec<EventTime>,
    watermarks: &Watermarks<F, G>,
) -> (Vec<Record<T>>, TimesSeen) {
    let mut seen = TimesSeen::default();
    let mut records: Vec<Record<T>> = Vec::with_capacity(values.len());
    if watermarks.by_arrival && times.len() == values.len() {
        records.extend(values.drain(..).zip(times.drain(..)).map(|(value, time)| {
            seen.note(time);
            Record::new(time, value)
        }));
    } else {
        records.extend(values.drain(..).map(|value| {
            let time = (watermarks.time_of)(&value);
            seen.note(time);
            Record::new(time, value)
        }));
    }
    times.clear();
    (records, seen)
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
    (aside, counted_in): (Aside, &'static str),
    origin: &Origin,
    out: &mut Outputs,
) -> Result<(), Malformed> {
    let mut records = Vec::new();
    for letter in letters {
        if aside == Aside::Nothing {
            let Rejected { split, position, reason, .. } = letter;
            return Err(Malformed { split, counted_in, position, reason });
        }
        records.push(Record::new(EventTime::MIN, letter));
    }
    out.send(1, records, origin.clone());
    Ok(())
}
