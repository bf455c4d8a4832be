//! Operators that check what every edge promises, and do a few simple things besides.
//!
//! Checked at each record: it is of the epoch that the operator is in; it was not sent under a
//! watermark that the operator has passed; nothing of its sender was overtaken. Checked at each
//! watermark: it grows. Checked at each freeze: no batch is half done.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pelton_dataflow::error::{OperatorError, Place};
use pelton_dataflow::key::KeyGroup;
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs, Waker};
use pelton_dataflow::record::{Batch, Origin, Record};
use pelton_dataflow::source::SourceTime;
use pelton_dataflow::time::{Epoch, EventTime};

use super::item::{Item, Sent};
use super::log::Log;

/// What an operator does.
#[derive(Clone)]
pub enum Does {
    /// Passes records on.
    Map,
    /// Passes records on by key, odd ones to its second output.
    Split,
    /// Gives each record so many times, in slices of so many.
    Times(u64, usize),
    /// Keeps records until the watermark reaches them, then gives them in slices of so many.
    Hold(usize),
    /// Takes records and gives none.
    Sink,
    /// Takes nothing to its end while the gate is shut.
    Gate(Arc<AtomicBool>),
    /// Goes wrong at a record, watermark or freeze.
    Fail(FailAt),
    /// Keeps records, as many as it has room for and the rest of a batch, until the test answers them; first of its stage.
    Ask(Arc<Answers>),
    /// Passes records on; event time goes to the latest of them, whatever its inputs say.
    Stamp(Arc<Stamps>),
    /// Asks for processing time at a time, and then again so much later; counts its calls.
    Tick(Arc<Ticks>),
}

/// Where an operator goes wrong; a key group names its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailAt {
    BatchError,
    BatchPanic,
    ResumePanic,
    WatermarkPanic,
    WatermarkError,
    FreezeError,
    FreezePanic,
    TimerPanic,
}

/// A timer of processing time.
pub struct Ticks {
    /// When it wants to be called next; `i64::MAX` for never.
    pub next_ms: AtomicI64,
    /// Zero for once.
    pub period_ms: i64,
    pub calls: AtomicU64,
    /// How often it was asked for its next wake-up: up to three times in a turn of its stage.
    pub asked: AtomicU64,
}

/// How instances that make event time deal with silence.
#[derive(Default)]
pub struct Stamps {
    /// Those whose input is quiet for so long are idle.
    pub idle_after: Option<Duration>,
    wakers: Mutex<Vec<Waker>>,
}

impl Stamps {
    pub fn idle_after_ms(ms: u64) -> Arc<Self> {
        Arc::new(Self { idle_after: Some(Duration::from_millis(ms)), ..Self::default() })
    }

    /// Has all instances look again, as time would.
    pub fn nudge(&self) {
        self.wakers.lock().unwrap().iter().for_each(Waker::wake);
    }
}

/// Answers from outside.
#[derive(Default)]
pub struct Answers {
    pub capacity: usize,
    given: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
}

impl Answers {
    pub fn with_room_for(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, ..Self::default() })
    }

    /// Answers so many records that are asked for now or later, the newest first.
    pub fn give(&self, count: u64) {
        self.given.fetch_add(count, Ordering::SeqCst);
        self.wakers.lock().unwrap().iter().for_each(Waker::wake);
    }
}

impl Ticks {
    pub fn at(next_ms: i64, period_ms: i64) -> Arc<Self> {
        Arc::new(Self {
            next_ms: AtomicI64::new(next_ms),
            period_ms,
            calls: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        })
    }
}

pub struct Op {
    does: Does,
    name: String,
    label: String,
    by: (usize, usize),
    epoch: u64,
    watermark: i64,
    coming: Option<i64>,
    /// The latest time of all records.
    latest: i64,
    seq: u64,
    last: HashMap<(usize, (usize, usize)), u64>,
    /// Records to give, and how often.
    owed: VecDeque<(Record<Item>, u64)>,
    held: Vec<Record<Item>>,
    log: Arc<Log>,
    verbose: bool,
}

impl Op {
    pub fn new(does: Does, node: usize, cx: &OperatorContext<'_>, epoch: u64, log: Arc<Log>) -> Self {
        if let Does::Ask(answers) = &does {
            answers.wakers.lock().unwrap().push(cx.waker.clone());
        }
        if let Does::Stamp(stamps) = &does {
            stamps.wakers.lock().unwrap().push(cx.waker.clone());
        }
        Self {
            does,
            name: cx.name.to_owned(),
            label: format!("{}/{}", cx.name, cx.worker),
            by: (node, cx.worker),
            epoch,
            watermark: i64::MIN,
            coming: None,
            latest: i64::MIN,
            seq: 0,
            last: HashMap::new(),
            owed: VecDeque::new(),
            held: Vec::new(),
            log,
            verbose: true,
        }
    }

    pub fn quiet(mut self) -> Self {
        self.verbose = false;
        self
    }

    fn check(&mut self, port: usize, record: &Record<Item>) {
        let sent = record.value.sent;
        let at = &self.label;
        assert_eq!(sent.epoch, self.epoch, "{at} is in epoch {} and got {record:?}", self.epoch);
        let has_own = matches!(self.does, Does::Stamp(_));
        assert!(
            has_own || sent.watermark >= self.watermark,
            "{at} has passed {} and got {record:?}",
            self.watermark
        );
        assert!(self.coming.is_none(), "{at} got a batch while a watermark's work was under way");
        if let Some(last) = self.last.insert((port, sent.by), sent.seq) {
            assert!(last < sent.seq, "{at} got {record:?} after number {last} of the same sender");
        }
    }

    fn note(&self, record: &Record<Item>) {
        if self.verbose && !record.value.name.is_empty() {
            let verb = if record.time.0 < self.watermark { "late" } else { "got" };
            self.log.write(format!("{} {verb} {}@{}", self.label, record.value.name, record.time.0));
        }
    }

    fn stamped(&mut self, mut record: Record<Item>) -> Record<Item> {
        record.value.sent = Sent { epoch: self.epoch, watermark: self.watermark, by: self.by, seq: self.seq };
        self.seq += 1;
        record
    }

    /// Gives what is owed until the output is full.
    fn give(&mut self, out: &mut Outputs, slice: usize) -> Flow {
        while !self.owed.is_empty() {
            if out.is_full() {
                return Flow::More;
            }
            let mut records = Vec::with_capacity(slice.min(self.owed.len()));
            while records.len() < slice
                && let Some((record, times)) = self.owed.pop_front()
            {
                let record = self.stamped(record);
                if times > 1 {
                    self.owed.push_front((record.clone(), times - 1));
                }
                records.push(record);
            }
            out.send(0, records, Origin::default());
        }
        if let Some(watermark) = self.coming.take() {
            self.arrive(watermark);
        }
        Flow::Done
    }

    fn arrive(&mut self, watermark: i64) {
        self.watermark = watermark;
        self.log.watermarks.lock().unwrap().insert((self.name.clone(), self.by.1), watermark);
    }

    fn fails(&self, at: FailAt) -> bool {
        matches!(self.does, Does::Fail(fails) if fails == at)
    }
}

impl Operator for Op {
    fn on_batch(&mut self, port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.log.stir();
        let (records, origin) = batch.into_records::<Item>();
        for record in &records {
            self.check(port, record);
            self.note(record);
            self.latest = self.latest.max(record.time.0);
        }
        let got = (self.name.clone(), self.epoch);
        *self.log.got.lock().unwrap().entry(got).or_default() += records.len() as u64;
        if self.fails(FailAt::BatchError) {
            let place =
                Place { key_group: Some(KeyGroup(7)), origin: Some(origin.narrowed(0, records.len())) };
            return Err(OperatorError { place, error: "not a payment".into() });
        }
        assert!(!self.fails(FailAt::BatchPanic), "cannot divide by zero");
        match &self.does {
            Does::Sink => {
                let mut sunk = self.log.sunk.lock().unwrap();
                for record in records {
                    *sunk.entry((self.name.clone(), record.value.id)).or_default() += 1;
                }
                Ok(Flow::Done)
            }
            Does::Times(times, slice) => {
                let (times, slice) = (*times, *slice);
                self.owed.extend(records.into_iter().map(|record| (record, times)));
                Ok(self.give(out, slice))
            }
            Does::Hold(_) | Does::Ask(_) => {
                self.held.extend(records);
                Ok(Flow::Done)
            }
            Does::Split => {
                let (odd, even) = records.into_iter().partition(|record| record.value.key % 2 == 1);
                for (port, records) in [even, odd].into_iter().enumerate() {
                    let records: Vec<_> =
                        Vec::into_iter(records).map(|record| self.stamped(record)).collect();
                    out.send(port, records, origin.clone());
                }
                Ok(Flow::Done)
            }
            Does::Gate(_) => {
                self.owed.extend(records.into_iter().map(|record| (record, 1)));
                self.resume(out)
            }
            Does::Fail(FailAt::ResumePanic) => Ok(Flow::More),
            Does::Map | Does::Fail(_) | Does::Tick(_) | Does::Stamp(_) => {
                let records = records.into_iter().map(|record| self.stamped(record)).collect();
                out.send(0, records, origin);
                Ok(Flow::Done)
            }
        }
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        assert!(!self.fails(FailAt::ResumePanic), "cannot go on");
        match &self.does {
            Does::Gate(open) if !open.load(Ordering::SeqCst) => Ok(Flow::More),
            Does::Times(_, slice) | Does::Hold(slice) => {
                let slice = *slice;
                self.log.stir();
                Ok(self.give(out, slice))
            }
            _ => Ok(self.give(out, usize::MAX)),
        }
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.log.stir();
        let at = &self.label;
        assert!(watermark.0 > self.watermark, "{at} was told {watermark} after {}", self.watermark);
        assert!(!self.fails(FailAt::WatermarkPanic), "no window of that size");
        if self.fails(FailAt::WatermarkError) {
            return Err("the window does not close".into());
        }
        if self.verbose {
            self.log.write(format!("{at} reached {watermark}"));
        }
        let Does::Hold(slice) = self.does else {
            self.arrive(watermark.0);
            return Ok(Flow::Done);
        };
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|r| r.time <= watermark);
        self.held = held;
        self.owed.extend(Vec::into_iter(due).map(|record| (record, 1)));
        self.coming = Some(watermark.0);
        Ok(self.give(out, slice))
    }

    fn on_processing_time(&mut self, now_ms: i64, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.log.stir();
        if let Does::Ask(answers) = &self.does {
            let due = answers.given.load(Ordering::SeqCst).min(self.held.len() as u64);
            answers.given.fetch_sub(due, Ordering::SeqCst);
            for _ in 0..due {
                let record = self.held.pop().expect("that many are held");
                let record = self.stamped(record);
                out.send(0, vec![record], Origin::default());
            }
            return Ok(Flow::Done);
        }
        assert!(!self.fails(FailAt::TimerPanic), "the bell is cracked");
        if let Does::Tick(ticks) = &self.does {
            let next = if ticks.period_ms == 0 { i64::MAX } else { now_ms + ticks.period_ms };
            ticks.next_ms.store(next, Ordering::SeqCst);
            ticks.calls.fetch_add(1, Ordering::SeqCst);
            self.log.write(format!("{} rang at {now_ms}", self.label));
        }
        Ok(Flow::Done)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        match &self.does {
            Does::Tick(ticks) => {
                ticks.asked.fetch_add(1, Ordering::SeqCst);
                let next = ticks.next_ms.load(Ordering::SeqCst);
                (next != i64::MAX).then_some(next)
            }
            Does::Fail(FailAt::TimerPanic) => Some(0),
            Does::Ask(answers) => {
                let is_due = answers.given.load(Ordering::SeqCst) > 0 && !self.held.is_empty();
                is_due.then_some(i64::MIN)
            }
            _ => None,
        }
    }

    fn event_time(&self, quiet_for: Duration) -> SourceTime {
        let is_idle =
            matches!(&self.does, Does::Stamp(it) if it.idle_after.is_some_and(|limit| quiet_for >= limit));
        if is_idle { SourceTime::Idle } else { SourceTime::Active(EventTime(self.latest)) }
    }

    fn held(&self) -> Option<EventTime> {
        match &self.does {
            Does::Ask(_) => self.held.iter().map(|record| record.time).min(),
            _ => None,
        }
    }

    fn is_full(&self) -> bool {
        matches!(&self.does, Does::Ask(answers) if self.held.len() >= answers.capacity)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.log.stir();
        assert_eq!(epoch.0, self.epoch, "{} froze another epoch", self.label);
        if !self.owed.is_empty() {
            assert!(self.coming.is_some(), "{} froze in the middle of a batch", self.label);
            self.log.freezes_between_slices.fetch_add(1, Ordering::SeqCst);
        }
        assert!(!self.fails(FailAt::FreezePanic), "too cold");
        if self.fails(FailAt::FreezeError) {
            return Err("no room for the state".into());
        }
        if self.verbose {
            self.log.write(format!("{} froze {epoch}", self.label));
        }
        self.epoch += 1;
        let label = self.label.clone();
        Ok(match self.does {
            Does::Sink => Frozen {
                bytes: Vec::new(),
                deferred: Some(Box::new(move || Ok(Some(format!("{label} in {epoch}").into_bytes())))),
            },
            _ => Frozen { bytes: label.into_bytes(), deferred: None },
        })
    }

    fn place(&self) -> Place {
        match &self.does {
            Does::Fail(_) => Place { key_group: Some(KeyGroup(7)), origin: None },
            _ => Place::default(),
        }
    }
}
