//! Running user code on keys: what processes of one input and of several have in common.
//!
//! A [`Logic`] says what a batch of each port is and what to call with its records; [`Running`]
//! looks states up ahead, lends them, fires timers in slices, keeps dead letters and freezes.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::graph::{OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::rank::Rank;
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::source::Rejected;
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{KeyedState, State, StateMut, StateSpec, TOGETHER, TimeDomain, ordered};

use super::context::KeyedContext;
use super::{Processed, store};
use crate::dead_letter::{OnError, dead_letter};
use crate::emit::{Emitter, Feed};
use crate::job::SharedGraph;
use crate::reached::Reached;
use crate::stream::Add;

/// The surroundings of a call of `L`.
pub(crate) type Around<'a, L> = KeyedContext<'a, <L as Logic>::Key, <L as Logic>::Out, <L as Logic>::Side>;

/// What [`Running`] runs: code with state per key, and how its batches become calls.
pub(crate) trait Logic: Send + Sync + Sized + 'static {
    type Key: Key;
    type Out: Data;
    type Side: Data;
    type State: State;
    /// What is left of the batch at hand, of whichever port.
    type Feed: Default;

    /// Takes a batch of input `port` apart.
    fn feed(port: usize, batch: Batch) -> (Self::Feed, Origin);

    /// Calls user code with records of `feed`, by [`Running::each`]; whether it had to stop.
    fn records(run: &mut Running<Self>, feed: &mut Self::Feed, out: &mut Outputs) -> OpResult<bool>;

    fn on_timer(
        &self,
        at: EventTime,
        state: &mut StateMut<'_, Self::State>,
        cx: &mut Around<'_, Self>,
    ) -> OpResult;

    fn on_processing_timer(
        &self,
        at_ms: i64,
        state: &mut StateMut<'_, Self::State>,
        cx: &mut Around<'_, Self>,
    ) -> OpResult;
}

/// Adds an operator that runs `logic` to the graph: `add` has its first output and what `spec`
/// declares.
pub(crate) fn add_process<L: Logic>(
    graph: &SharedGraph,
    mut add: Add,
    spec: StateSpec<L::State>,
    logic: L,
) -> Processed<L::Out, L::Side> {
    add.outputs.push(OutputPort::of::<L::Side>("side"));
    add.outputs.push(OutputPort::of::<Rejected>("rejected"));
    let policy = Arc::new(OnceLock::new());
    let (logic, on_error) = (Arc::new(logic), policy.clone());
    let factory = move |cx: &OperatorContext<'_>| {
        let state = store(cx)?.keyed::<L::Key, L::State>(cx.name, spec.clone())?;
        let running = Running::new(logic.clone(), state, on_error.get().copied(), cx)?;
        Ok::<_, OpError>(Box::new(running) as Box<dyn Operator>)
    };
    let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
    graph.ranks(node, Ranks::KeepsInOrder);
    Processed::new(graph, PortRef { node, port: 0 }, policy)
}

/// What the operator is in the middle of.
#[derive(Clone, Copy)]
enum Busy {
    Records,
    Timers(TimeDomain, i64),
}

pub(crate) struct Running<L: Logic> {
    logic: Arc<L>,
    state: KeyedState<L::Key, L::State>,
    on_error: Option<OnError>,
    name: String,
    groups: KeyGroups,
    clock: Arc<dyn pelton_dataflow::clock::Clock>,
    reached: Reached,
    feed: L::Feed,
    origin: Origin,
    /// Of the records whose state was sought last, those that are still in `feed`.
    sought: Range<usize>,
    busy: Busy,
    at_hand: Option<KeyHash>,
    out: Emitter<L::Out>,
    side: Emitter<L::Side>,
    failed: Emitter<Rejected>,
    /// Timers called at one go.
    slice_timers: usize,
    in_event_order: bool,
    /// Where the ranks of what timers emit begin, if records have ranks here.
    rank: Option<Rank>,
}

impl<L: Logic> Running<L> {
    fn new(
        logic: Arc<L>,
        state: KeyedState<L::Key, L::State>,
        on_error: Option<OnError>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        Ok(Self {
            logic,
            state,
            on_error,
            name: cx.name.to_owned(),
            groups: cx.groups,
            clock: cx.clock.clone(),
            reached: Reached::restore(cx)?,
            feed: L::Feed::default(),
            origin: Origin::default(),
            sought: 0..0,
            busy: Busy::Records,
            at_hand: None,
            out: Emitter::new(0, cx.settings.batch_records),
            side: Emitter::new(1, cx.settings.batch_records),
            failed: Emitter::new(2, cx.settings.batch_records),
            slice_timers: cx.settings.batch_records,
            in_event_order: cx.in_event_order,
            rank: cx.is_ranked.then(|| Rank::of(cx.name)),
        })
    }

    fn go_on(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = match self.busy {
            Busy::Records => {
                let mut feed = std::mem::take(&mut self.feed);
                let stopped = L::records(self, &mut feed, out);
                self.feed = feed;
                stopped
            }
            Busy::Timers(domain, up_to_ms) => self.timers(domain, up_to_ms, out),
        };
        match stopped {
            Ok(true) => Ok(Flow::More),
            Ok(false) => {
                self.ship(out);
                self.at_hand = None;
                Ok(Flow::Done)
            }
            Err(error) => Err(OperatorError { place: self.place(), error }),
        }
    }

    /// Calls `call` with the records of `feed`, each with what is kept of its key; whether it had
    /// to stop.
    pub fn each<T: Data>(
        &mut self,
        feed: &mut Feed<Keyed<L::Key, T>>,
        out: &mut Outputs,
        call: impl Fn(&L, T, &mut StateMut<'_, L::State>, &mut Around<'_, L>) -> OpResult,
    ) -> OpResult<bool> {
        loop {
            if self.sought.is_empty() {
                let ahead = feed.ahead(TOGETHER);
                let keys = ahead.iter().map(|record| (record.value.hash, &record.value.key));
                self.state.values().seek(keys);
                self.sought = 0..ahead.len();
            }
            let Some(Record { time, value: Keyed { hash, key, value } }) = feed.next() else {
                return Ok(false);
            };
            let nth = self.sought.next();
            self.at_hand = Some(hash);
            self.made_from(feed.rank().as_ref());
            let kept = self.on_error.map(|OnError::DeadLetter| value.clone());
            let result = self.call(nth, hash, &key, time, |logic, state, cx| call(logic, value, state, cx));
            if let Err(error) = result {
                let Some(kept) = kept else { return Err(error) };
                self.reject(&key, time, &kept, &error);
            }
            if self.in_event_order {
                self.overdue(time)?;
            }
            if self.is_full(out) {
                return Ok(true);
            }
        }
    }

    /// Calls the timers that a record at `time` has set for what is past, at once: whenever that would be later, it would
    /// depend on other keys and on when the watermark comes. What they emit is of the record's time and rank.
    fn overdue(&mut self, time: EventTime) -> OpResult {
        // All that was due before is done: each time of the order begins with its timers.
        while let Some((at_ms, hash, key)) =
            self.state.timers.pop(TimeDomain::Event, self.reached.told().0)?
        {
            let at = EventTime(at_ms);
            self.call(None, hash, &key, time.max(at), |logic, state, cx| logic.on_timer(at, state, cx))?;
        }
        Ok(())
    }

    /// Calls timers that are due; whether it had to stop. It stops after a number of them also if
    /// nothing is emitted, so that barriers and a stop have their chance.
    fn timers(&mut self, domain: TimeDomain, up_to_ms: i64, out: &mut Outputs) -> OpResult<bool> {
        let mut fired = 0;
        let mut latest: Option<(i64, KeyHash)> = None;
        while let Some((at_ms, hash, key)) = self.state.timers.pop(domain, up_to_ms)? {
            self.at_hand = Some(hash);
            // In event order one that a timer has set for what is past goes on where that one was.
            let by_timer =
                latest.filter(|(latest_ms, of)| at_ms < *latest_ms || (at_ms == *latest_ms && *of == hash));
            let by_timer = by_timer.filter(|_| self.in_event_order);
            let time = EventTime(by_timer.map_or(at_ms, |(latest_ms, _)| latest_ms));
            latest = Some((time.0, hash));
            self.made_from_timer(&key, by_timer.is_some())?;
            let at = EventTime(at_ms);
            match domain {
                TimeDomain::Event => {
                    self.call(None, hash, &key, time, |logic, state, cx| logic.on_timer(at, state, cx))
                }
                TimeDomain::Processing => {
                    let time = self.reached.of(hash);
                    self.call(None, hash, &key, time, |logic, state, cx| {
                        logic.on_processing_timer(at_ms, state, cx)
                    })
                }
            }?;
            fired += 1;
            let has_overdue =
                self.in_event_order && self.state.timers.next(domain).is_some_and(|next| next < time.0);
            if !has_overdue && (fired >= self.slice_timers || self.is_full(out)) {
                // A barrier may fall here: what the timers that are gone from the state have
                // emitted, to whichever output, must be on its way.
                self.ship(out);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is emitted from now on is made by a timer of `key`, or by what it was made by before.
    fn made_from_timer(&mut self, key: &L::Key, goes_on: bool) -> OpResult {
        let Some(rank) = self.rank.as_ref().filter(|_| !goes_on) else { return Ok(()) };
        let mut bytes = Vec::new();
        ordered::encode_into(key, &mut bytes)?;
        let rank = rank.of_key(&bytes);
        self.made_from(Some(&rank));
        Ok(())
    }

    /// Lends the pieces of the key at hand to user code; `nth` of those sought last, if it was sought.
    #[inline]
    fn call(
        &mut self,
        nth: Option<usize>,
        hash: KeyHash,
        key: &L::Key,
        time: EventTime,
        call: impl FnOnce(&L, &mut StateMut<'_, L::State>, &mut Around<'_, L>) -> OpResult,
    ) -> OpResult {
        let KeyedState { values, tables, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = match nth {
            Some(nth) => values.state_at(nth, hash, key)?,
            None => values.state(hash, key)?,
        };
        let mut cx = KeyedContext {
            tables,
            timers,
            hash,
            key,
            time,
            watermark: self.reached.of(hash),
            clock: self.clock.as_ref(),
            out: &mut self.out,
            side: &mut self.side,
            in_event_order: self.in_event_order,
            error: None,
        };
        call(&self.logic, &mut state, &mut cx)?;
        cx.error.map_or(Ok(()), Err)
    }

    fn reject<T: Data>(&mut self, key: &L::Key, time: EventTime, record: &T, error: &OpError) {
        let reason = format!("operator `{}`, key {key:?}: {error}", self.name);
        self.failed.push(time, dead_letter(&self.origin, reason, record));
    }

    /// What is emitted from here on is made from the record or timer of this rank.
    #[inline]
    fn made_from(&mut self, rank: Option<&Rank>) {
        self.out.made_from(rank);
        self.side.made_from(rank);
        self.failed.made_from(rank);
    }

    fn is_full(&mut self, out: &mut Outputs) -> bool {
        let origin = &self.origin;
        self.side.ship_full(origin, out);
        self.failed.ship_full(origin, out);
        self.out.ship_full(origin, out)
    }

    fn ship(&mut self, out: &mut Outputs) {
        let origin = &self.origin;
        self.out.ship(origin, out);
        self.side.ship(origin, out);
        self.failed.ship(origin, out);
    }
}

impl<L: Logic> Operator for Running<L> {
    fn on_batch(&mut self, port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        (self.feed, self.origin) = L::feed(port, batch);
        self.sought = 0..0;
        self.busy = Busy::Records;
        self.go_on(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.go_on(out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.origin = Origin::default();
        self.busy = Busy::Timers(TimeDomain::Event, watermark.0);
        self.go_on(out)
    }

    fn on_processing_time(&mut self, now_ms: i64, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.origin = Origin::default();
        self.busy = Busy::Timers(TimeDomain::Processing, now_ms);
        self.go_on(out)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.state.timers.next(TimeDomain::Processing)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.state.freeze(epoch)?;
        Ok(Frozen { bytes: self.reached.to_bytes(), deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
