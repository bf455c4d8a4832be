//! `process` on keyed streams: user code with state, tables, timers and a side output.
//!
//! [`KeyedProcess`] is what users implement; what it is lent at each call is in `context`.

use std::ops::Range;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::graph::{OutputPort, PortRef, Role};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::source::Rejected;
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{KeyedState, State, StateMut, StateStore, TOGETHER, TimeDomain};

use crate::dead_letter::{OnError, dead_letter};
use crate::emit::{Emitter, Feed};
use crate::job::SharedGraph;
use crate::keyed_stream::KeyedStream;
use crate::reached::Reached;
use crate::stream::Stream;

mod context;
mod declare;

pub use context::Context;
pub use declare::Declare;

/// User code on a keyed stream. One instance serves all keys and workers, so it holds settings,
/// never state: what it remembers is [`KeyedProcess::State`], declared tables, and timers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no keyed process",
    note = "implement `KeyedProcess` with its `Key` and `In` equal to those of the stream"
)]
pub trait KeyedProcess: Send + Sync + Sized + 'static {
    /// What the stream is keyed by.
    type Key: Key;
    /// The records of the stream.
    type In: Data;
    /// What it emits.
    type Out: Data;
    /// What goes to the side output; [`NoSide`] if nothing does.
    type Side: Data;
    /// What is remembered of a key. Equal to its default again, it takes no space.
    type State: State;

    /// Declares tables and the schema version.
    fn declare(&self, _states: &mut Declare<Self::State>) {}

    /// A record of the key at hand.
    ///
    /// # Errors
    /// What it returns fails the job with operator, key group, split and position, or sends the
    /// record to the dead letters if the operator has them.
    fn on_record(
        &self,
        record: Self::In,
        state: &mut StateMut<'_, Self::State>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult;

    /// Event time has reached a timer of the key at hand.
    ///
    /// # Errors
    /// Fails the job.
    fn on_timer(
        &self,
        _at: EventTime,
        _state: &mut StateMut<'_, Self::State>,
        _cx: &mut Context<'_, Self>,
    ) -> OpResult {
        Ok(())
    }

    /// Processing time, in milliseconds since the Unix epoch, has reached a timer of the key at
    /// hand.
    ///
    /// # Errors
    /// Fails the job.
    fn on_processing_timer(
        &self,
        _at_ms: i64,
        _state: &mut StateMut<'_, Self::State>,
        _cx: &mut Context<'_, Self>,
    ) -> OpResult {
        Ok(())
    }
}

/// The side output of a process that has none: it has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum NoSide {}

/// What a keyed process gives.
pub struct Processed<O, S> {
    /// What it emitted.
    pub out: Stream<O>,
    /// Its side output.
    pub side: Stream<S>,
    failed: Stream<Rejected>,
    policy: Arc<OnceLock<OnError>>,
}

/// What a keyed process gives when records it fails on do not fail the job.
pub struct ProcessedWithDeadLetters<O, S> {
    /// What it emitted.
    pub out: Stream<O>,
    /// Its side output.
    pub side: Stream<S>,
    /// Records for which `on_record` returned an error, with the reason.
    pub rejected: Stream<Rejected>,
}

impl<O: Data, S: Data> Processed<O, S> {
    /// The ports of a process whose first is `out`.
    pub(crate) fn new(graph: &SharedGraph, out: PortRef, policy: Arc<OnceLock<OnError>>) -> Self {
        let port = |port| PortRef { port, ..out };
        Self {
            out: Stream::new(graph.clone(), port(0)),
            side: Stream::new(graph.clone(), port(1)),
            failed: Stream::new(graph.clone(), port(2)),
            policy,
        }
    }

    /// Sends records for which `on_record` returns an error to a stream of their own instead of
    /// failing the job. What the call had emitted or remembered before the error stays.
    pub fn dead_letters(self) -> ProcessedWithDeadLetters<O, S> {
        // A second setting of the same policy changes nothing.
        let _ = self.policy.set(OnError::DeadLetter);
        ProcessedWithDeadLetters { out: self.out, side: self.side, rejected: self.failed }
    }
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// Runs `process` on each key's records.
    ///
    /// ```
    /// use pelton_dataflow::error::OpResult;
    /// use pelton_operators::{Context, KeyedProcess, NoSide, testing::Harness};
    /// use pelton_state::StateMut;
    ///
    /// /// Lets through what is greater than all before it of its key.
    /// struct Records;
    ///
    /// impl KeyedProcess for Records {
    ///     type Key = char;
    ///     type In = (char, u64);
    ///     type Out = u64;
    ///     type Side = NoSide;
    ///     type State = u64;
    ///
    ///     fn on_record(&self, (_, n): (char, u64), best: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
    ///         if n > **best {
    ///             **best = n;
    ///             cx.emit(n);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let mut script = Harness::new(|jumps, taps| {
    ///     taps.tap("best", &jumps.key_by(|(name, _)| *name).process("records", Records).out);
    /// });
    /// script.record(1, ('a', 5)).record(2, ('b', 3)).record(3, ('a', 4)).record(4, ('a', 6));
    /// assert_eq!(script.output(), ["best@1 5", "best@2 3", "best@4 6"]);
    /// ```
    #[track_caller]
    pub fn process<P>(&self, name: impl Into<String>, process: P) -> Processed<P::Out, P::Side>
    where
        P: KeyedProcess<Key = K, In = T>,
    {
        let name = name.into();
        let location = Location::caller();
        let mut declare = Declare::default();
        process.declare(&mut declare);
        let spec = declare.spec.timers();
        let states = self.decls_or_mistake(&name, spec.decls::<K>(), location);
        let mut add = self.stateful::<P::Out>(name, "process", states, location);
        add.outputs.push(OutputPort::of::<P::Side>("side"));
        add.outputs.push(OutputPort::of::<Rejected>("rejected"));
        let policy = Arc::new(OnceLock::new());
        let process = Arc::new(process);
        let on_error = policy.clone();
        let factory = move |cx: &OperatorContext<'_>| {
            let state = store(cx)?.keyed::<K, P::State>(cx.name, spec.clone())?;
            let running = Running::new(process.clone(), state, on_error.get().copied(), cx)?;
            Ok::<_, OpError>(Box::new(running) as Box<dyn Operator>)
        };
        let graph = self.stream.graph.clone();
        let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        Processed::new(&graph, PortRef { node, port: 0 }, policy)
    }
}

/// The worker's state store.
pub(crate) fn store<'a>(cx: &'a OperatorContext<'_>) -> Result<&'a StateStore, OpError> {
    let store = cx.resources.get::<StateStore>();
    store.ok_or_else(|| "it keeps state, and was started without a state store".into())
}

/// What the operator is in the middle of.
#[derive(Clone, Copy)]
enum Busy {
    Records,
    Timers(TimeDomain, i64),
}

struct Running<P: KeyedProcess> {
    process: Arc<P>,
    state: KeyedState<P::Key, P::State>,
    on_error: Option<OnError>,
    name: String,
    groups: KeyGroups,
    clock: Arc<dyn pelton_dataflow::clock::Clock>,
    reached: Reached,
    feed: Feed<Keyed<P::Key, P::In>>,
    /// Of the records whose state was sought last, those that are still in `feed`.
    sought: Range<usize>,
    busy: Busy,
    at_hand: Option<KeyHash>,
    out: Emitter<P::Out>,
    side: Emitter<P::Side>,
    failed: Emitter<Rejected>,
    /// Timers called at one go.
    slice_timers: usize,
}

impl<P: KeyedProcess> Running<P> {
    fn new(
        process: Arc<P>,
        state: KeyedState<P::Key, P::State>,
        on_error: Option<OnError>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        Ok(Self {
            process,
            state,
            on_error,
            name: cx.name.to_owned(),
            groups: cx.groups,
            clock: cx.clock.clone(),
            reached: Reached::restore(cx)?,
            feed: Feed::default(),
            sought: 0..0,
            busy: Busy::Records,
            at_hand: None,
            out: Emitter::new(0, cx.settings.batch_records),
            side: Emitter::new(1, cx.settings.batch_records),
            failed: Emitter::new(2, cx.settings.batch_records),
            slice_timers: cx.settings.batch_records,
        })
    }

    fn go_on(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = match self.busy {
            Busy::Records => self.records(out),
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

    fn records(&mut self, out: &mut Outputs) -> OpResult<bool> {
        loop {
            if self.sought.is_empty() {
                let ahead = self.feed.ahead(TOGETHER);
                let keys = ahead.iter().map(|record| (record.value.hash, &record.value.key));
                self.state.values().seek(keys);
                self.sought = 0..ahead.len();
            }
            let Some(Record { time, value: Keyed { hash, key, value } }) = self.feed.next() else {
                return Ok(false);
            };
            let nth = self.sought.next();
            self.at_hand = Some(hash);
            let kept = self.on_error.map(|OnError::DeadLetter| value.clone());
            let result =
                self.call(nth, hash, &key, time, |process, state, cx| process.on_record(value, state, cx));
            if let Err(error) = result {
                let Some(kept) = kept else { return Err(error) };
                self.reject(&key, time, &kept, &error);
            }
            if self.is_full(out) {
                return Ok(true);
            }
        }
    }

    /// Calls timers that are due; whether it had to stop. It stops after a number of them also if
    /// nothing is emitted, so that barriers and a stop have their chance.
    fn timers(&mut self, domain: TimeDomain, up_to_ms: i64, out: &mut Outputs) -> OpResult<bool> {
        let mut fired = 0;
        while let Some((at_ms, hash, key)) = self.state.timers.pop(domain, up_to_ms)? {
            self.at_hand = Some(hash);
            let at = EventTime(at_ms);
            match domain {
                TimeDomain::Event => {
                    self.call(None, hash, &key, at, |process, state, cx| process.on_timer(at, state, cx))
                }
                TimeDomain::Processing => {
                    let time = self.reached.of(hash);
                    self.call(None, hash, &key, time, |process, state, cx| {
                        process.on_processing_timer(at_ms, state, cx)
                    })
                }
            }?;
            fired += 1;
            if fired >= self.slice_timers || self.is_full(out) {
                // A barrier may fall here: what the timers that are gone from the state have
                // emitted, to whichever output, must be on its way.
                self.ship(out);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lends the pieces of the key at hand to user code; `nth` of those sought last, if it was sought.
    #[inline]
    fn call(
        &mut self,
        nth: Option<usize>,
        hash: KeyHash,
        key: &P::Key,
        time: EventTime,
        call: impl FnOnce(&P, &mut StateMut<'_, P::State>, &mut Context<'_, P>) -> OpResult,
    ) -> OpResult {
        let KeyedState { values, tables, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = match nth {
            Some(nth) => values.state_at(nth, hash, key)?,
            None => values.state(hash, key)?,
        };
        let mut cx = Context {
            tables,
            timers,
            hash,
            key,
            time,
            watermark: self.reached.of(hash),
            clock: self.clock.as_ref(),
            out: &mut self.out,
            side: &mut self.side,
            error: None,
        };
        call(&self.process, &mut state, &mut cx)?;
        cx.error.map_or(Ok(()), |error| Err(error.into()))
    }

    fn reject(&mut self, key: &P::Key, time: EventTime, record: &P::In, error: &OpError) {
        let reason = format!("operator `{}`, key {key:?}: {error}", self.name);
        self.failed.push(time, dead_letter(&self.feed.origin, reason, record));
    }

    fn is_full(&mut self, out: &mut Outputs) -> bool {
        let origin = &self.feed.origin;
        self.side.ship_full(origin, out);
        self.failed.ship_full(origin, out);
        self.out.ship_full(origin, out)
    }

    fn ship(&mut self, out: &mut Outputs) {
        let origin = &self.feed.origin;
        self.out.ship(origin, out);
        self.side.ship(origin, out);
        self.failed.ship(origin, out);
    }
}

impl<P: KeyedProcess> Operator for Running<P> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        (self.feed, self.sought) = (Feed::of(batch), 0..0);
        self.busy = Busy::Records;
        self.go_on(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.go_on(out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.feed.origin = Origin::default();
        self.busy = Busy::Timers(TimeDomain::Event, watermark.0);
        self.go_on(out)
    }

    fn on_processing_time(&mut self, now_ms: i64, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.feed.origin = Origin::default();
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
