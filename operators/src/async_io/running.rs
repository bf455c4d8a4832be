//! The operator of one worker: takes records, asks, and gives answers on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::ask::{Asker, Desk, Outcome, ask};
use super::cache::Remember;
use super::in_flight::InFlight;
use super::settings::{Async, Without};
use super::{NoAnswer, Unanswered, in_flight, runtime};
use crate::emit::Emitter;

/// A record that was taken and has not come out.
struct Taken<T> {
    record: InFlight<T>,
    origin: Arc<Origin>,
}

/// One that was asked about.
struct Asked<T, Q, A> {
    taken: Taken<T>,
    /// For the cache.
    question: Option<Q>,
    outcome: Option<Outcome<A>>,
    task: Option<AbortHandle>,
}

pub(super) struct Running<T: Data, Q, A, U: Data> {
    asking: Arc<Async<T, Q, A, U>>,
    asker: Asker<Q, A>,
    memory: Option<Box<dyn Remember<Q, A>>>,
    tokio: Handle,
    clock: Arc<dyn Clock>,
    watermark: EventTime,
    /// Taken and not asked about: at most the rest of a batch, or of what was restored.
    waiting: VecDeque<Taken<T>>,
    /// Asked about, by number, in order: at most `capacity`.
    asked: BTreeMap<u64, Asked<T, Q, A>>,
    /// Of those, the ones whose outcome has come, as it came; of no use if order is kept.
    done: VecDeque<u64>,
    next: u64,
    desk: Arc<Desk<A>>,
    at_hand: Option<Arc<Origin>>,
    /// Of what is in the emitters.
    origin: Origin,
    merged: Option<Arc<Origin>>,
    out: Emitter<U>,
    failed: Emitter<Unanswered<T>>,
}

impl<T: Data, Q: Clone + Send + 'static, A: Send + 'static, U: Data> Running<T, Q, A, U> {
    pub fn start(asking: Arc<Async<T, Q, A, U>>, cx: &OperatorContext<'_>) -> OpResult<Self> {
        let tokio = runtime::handle(cx)?;
        let within = tokio.enter();
        let asker =
            (asking.open)().map_err(|error| OpError::from(format!("its client does not open: {error}")))?;
        drop(within);
        let (watermark, restored) =
            in_flight::restore(cx.restored, asking.keeps_order, cx.worker, cx.workers)?;
        let memory = asking.memory.as_ref().map(|memory| memory());
        let mut running = Self {
            asking,
            asker,
            memory,
            tokio,
            clock: cx.clock.clone(),
            // What was late before a restart for all instances is late after it, and holds nothing.
            watermark,
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
            done: VecDeque::new(),
            next: 0,
            desk: Arc::new(Desk::new(cx.waker.clone())),
            at_hand: None,
            origin: Origin::default(),
            merged: None,
            out: Emitter::new(0, cx.settings.batch_records),
            failed: Emitter::new(1, cx.settings.batch_records),
        };
        running.wait(restored.into_iter(), Origin::default());
        Ok(running)
    }

    fn wait(&mut self, records: impl Iterator<Item = InFlight<T>>, origin: Origin) {
        let origin = Arc::new(origin);
        self.waiting.extend(records.map(|record| Taken { record, origin: origin.clone() }));
    }

    fn take(&mut self, records: Vec<Record<T>>, origin: Origin) {
        let watermark = self.watermark;
        let records = records.into_iter().map(|Record { time, value: record }| {
            // One that is late stays so; but nothing may come after the end.
            let held = if time < watermark { EventTime::BEFORE_END } else { time.min(EventTime::BEFORE_END) };
            InFlight { time, held, record }
        });
        self.wait(records, origin);
    }

    /// Gives on what is answered and asks about what waits, as far as there is room for both.
    fn go_on(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.collect();
        loop {
            while let Some(asked) = self.next_done() {
                self.give(asked)?;
                if self.ship_full(out) {
                    // A barrier may fall here: what is given on must be on its way.
                    self.ship(out);
                    return Ok(Flow::More);
                }
            }
            let room = self.asking.capacity - self.asked.len();
            if room == 0 || self.waiting.is_empty() {
                break;
            }
            for taken in self.waiting.drain(..room.min(self.waiting.len())).collect::<Vec<_>>() {
                self.ask(taken);
            }
        }
        self.ship(out);
        self.at_hand = None;
        Ok(Flow::Done)
    }

    fn collect(&mut self) {
        for (number, outcome) in self.desk.take() {
            if let Some(asked) = self.asked.get_mut(&number) {
                (asked.outcome, asked.task) = (Some(outcome), None);
                self.done.push_back(number);
            }
        }
    }

    fn next_done(&mut self) -> Option<Asked<T, Q, A>> {
        if self.asking.keeps_order {
            self.done.clear();
            let first = self.asked.first_entry()?;
            first.get().outcome.is_some().then(|| first.remove())
        } else {
            self.asked.remove(&self.done.pop_front()?)
        }
    }

    fn ask(&mut self, taken: Taken<T>) {
        self.at_hand = Some(taken.origin.clone());
        let number = self.next;
        self.next += 1;
        let question = (self.asking.question)(&taken.record.record);
        let known = self.memory.as_mut().and_then(|memory| memory.get(&question, self.clock.now_ms()));
        let mut asked = Asked { taken, question: None, outcome: known.map(Outcome::Answer), task: None };
        if asked.outcome.is_some() {
            self.done.push_back(number);
        } else {
            asked.question = self.memory.is_some().then(|| question.clone());
            let (asker, patience, desk) =
                (self.asker.clone(), self.asking.patience.clone(), self.desk.clone());
            let task = async move { desk.put(number, ask(asker, question, patience).await) };
            asked.task = Some(self.tokio.spawn(task).abort_handle());
        }
        self.asked.insert(number, asked);
    }

    /// Gives on what became of a record.
    fn give(&mut self, asked: Asked<T, Q, A>) -> Result<(), OperatorError> {
        let Asked { taken: Taken { record, origin }, question, outcome, .. } = asked;
        let InFlight { time, record, .. } = record;
        self.at_hand = Some(origin.clone());
        self.note_origin(&origin);
        match outcome.expect("it is done") {
            Outcome::Answer(answer) => {
                let answer = match (question, &mut self.memory) {
                    (Some(question), Some(memory)) => memory.keep(question, answer, self.clock.now_ms()),
                    _ => answer,
                };
                self.out.push(time, (self.asking.join)(record, answer));
            }
            Outcome::NoAnswer(reason) => match &self.asking.unanswered {
                Without::FailJob => {
                    let place = Place { key_group: None, origin: Some((*origin).clone()) };
                    return Err(OperatorError { place, error: unanswered(&reason) });
                }
                Without::Aside => self.failed.push(time, Unanswered { record, reason }),
                Without::Fallback(fallback) => self.out.push(time, fallback(record, &reason)),
            },
            // As if it had panicked here, where the stage tells the place.
            Outcome::Panic(panic) => std::panic::resume_unwind(panic),
        }
        Ok(())
    }

    /// Adds `origin` to that of what is being emitted, once for the records of a batch in a row.
    fn note_origin(&mut self, origin: &Arc<Origin>) {
        if !self.merged.as_ref().is_some_and(|merged| Arc::ptr_eq(merged, origin)) {
            self.origin.merge(origin);
            self.merged = Some(origin.clone());
        }
    }

    fn ship_full(&mut self, out: &mut Outputs) -> bool {
        self.failed.ship_full(&self.origin, out);
        self.out.ship_full(&self.origin, out)
    }

    fn ship(&mut self, out: &mut Outputs) {
        self.out.ship(&self.origin, out);
        self.failed.ship(&self.origin, out);
        (self.origin, self.merged) = (Origin::default(), None);
    }

    fn in_flight(&self) -> impl Iterator<Item = &InFlight<T>> {
        let asked = self.asked.values().map(|asked| &asked.taken);
        asked.chain(&self.waiting).map(|taken| &taken.record)
    }
}

fn unanswered(reason: &NoAnswer) -> OpError {
    format!("{reason}; records without an answer fail the job unless `.fallback(...)` or `.failures_aside()` says what becomes of them")
        .into()
}

impl<T: Data, Q: Clone + Send + 'static, A: Send + 'static, U: Data> Operator for Running<T, Q, A, U> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin) = batch.into_records::<T>();
        self.take(records, origin);
        self.go_on(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.go_on(out)
    }

    fn on_watermark(&mut self, watermark: EventTime, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.watermark = self.watermark.max(watermark);
        Ok(Flow::Done)
    }

    fn on_processing_time(&mut self, _now_ms: i64, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.go_on(out)
    }

    /// At once, if there is something to do.
    fn next_wakeup_ms(&self) -> Option<i64> {
        let can_ask = !self.waiting.is_empty() && self.asked.len() < self.asking.capacity;
        (can_ask || !self.desk.is_empty()).then_some(i64::MIN)
    }

    fn held(&self) -> Option<EventTime> {
        self.in_flight().map(|record| record.held).min()
    }

    fn is_full(&self) -> bool {
        !self.waiting.is_empty() || self.asked.len() >= self.asking.capacity
    }

    fn freeze(&mut self, _epoch: Epoch) -> Result<Frozen, OperatorError> {
        let bytes = in_flight::to_bytes(self.watermark, self.in_flight())?;
        Ok(Frozen { bytes, deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: None, origin: self.at_hand.as_deref().cloned() }
    }
}

impl<T: Data, Q, A, U: Data> Drop for Running<T, Q, A, U> {
    fn drop(&mut self) {
        self.asked.values().filter_map(|asked| asked.task.as_ref()).for_each(AbortHandle::abort);
    }
}
