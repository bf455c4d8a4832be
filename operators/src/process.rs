//! `process` on keyed streams: user code with state, tables, timers and a side output.
//!
//! [`KeyedProcess`] is what users implement; what it is lent at each call is in `context`.

use std::panic::Location;
use std::sync::{Arc, OnceLock};

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::graph::PortRef;
use pelton_dataflow::key::{Key, Keyed};
use pelton_dataflow::operator::{OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Origin};
use pelton_dataflow::source::Rejected;
use pelton_dataflow::time::EventTime;
use pelton_state::{State, StateMut, StateStore};

use crate::dead_letter::OnError;
use crate::emit::Feed;
use crate::job::SharedGraph;
use crate::keyed_stream::KeyedStream;
use crate::stream::Stream;

mod context;
mod declare;
pub(crate) mod running;

pub use context::KeyedContext;
pub use declare::Declare;
use running::{Around, Logic, Running, add_process};

/// The surroundings of a call of the [`KeyedProcess`] `P`.
pub type Context<'a, P> =
    KeyedContext<'a, <P as KeyedProcess>::Key, <P as KeyedProcess>::Out, <P as KeyedProcess>::Side>;

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
        self.operator(name.into(), ("process", String::new()), Location::caller(), process)
    }

    /// As [`KeyedStream::process`], for operators that are such processes: with their kind and, for
    /// explain, a word on their settings.
    pub(crate) fn operator<P>(
        &self,
        name: String,
        (kind, detail): (&'static str, String),
        location: &'static Location<'static>,
        process: P,
    ) -> Processed<P::Out, P::Side>
    where
        P: KeyedProcess<Key = K, In = T>,
    {
        let mut declare = Declare::default();
        process.declare(&mut declare);
        let spec = declare.spec.timers();
        let states = self.decls_or_mistake(&name, spec.decls::<K>(), location);
        let mut add = self.stateful::<P::Out>(name, kind, states, location);
        add.detail = detail;
        add_process(&self.stream.graph, add, spec, One(process))
    }
}

/// A process of one input.
struct One<P>(P);

impl<P: KeyedProcess> Logic for One<P> {
    type Key = P::Key;
    type Out = P::Out;
    type Side = P::Side;
    type State = P::State;
    type Feed = Feed<Keyed<P::Key, P::In>>;

    fn feed(_port: usize, batch: Batch) -> (Self::Feed, Origin) {
        Feed::with_origin(batch)
    }

    fn records(run: &mut Running<Self>, feed: &mut Self::Feed, out: &mut Outputs) -> OpResult<bool> {
        run.each(feed, out, |process, value, state, cx| process.0.on_record(value, state, cx))
    }

    fn on_timer(
        &self,
        at: EventTime,
        state: &mut StateMut<'_, P::State>,
        cx: &mut Around<'_, Self>,
    ) -> OpResult {
        self.0.on_timer(at, state, cx)
    }

    fn on_processing_timer(
        &self,
        at_ms: i64,
        state: &mut StateMut<'_, P::State>,
        cx: &mut Around<'_, Self>,
    ) -> OpResult {
        self.0.on_processing_timer(at_ms, state, cx)
    }
}

/// The worker's state store.
pub(crate) fn store<'a>(cx: &'a OperatorContext<'_>) -> Result<&'a StateStore, OpError> {
    let store = cx.resources.get::<StateStore>();
    store.ok_or_else(|| "it keeps state, and was started without a state store".into())
}
