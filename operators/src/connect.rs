//! `connect`: two streams of different types into one operator.
//!
//! On keyed streams both inputs share what is kept of a key: rules meet the payments they judge,
//! orders meet their shipments. [`KeyedCoProcess`] is what users implement; it is a
//! [`KeyedProcess`](crate::KeyedProcess) with a call for each input, and runs on the same machinery.
//! Records of one input keep their order for a key; between the inputs there is none, except what
//! event time and timers give. The watermark is the lesser of the inputs'.
//!
//! On streams without keys, `connect` gives one stream of what both become.

use std::panic::Location;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::{Key, Keyed};
use pelton_dataflow::operator::Outputs;
use pelton_dataflow::record::{Batch, Data, Origin};
use pelton_dataflow::time::EventTime;
use pelton_state::{State, StateMut};

use crate::emit::Feed;
use crate::keyed_stream::KeyedStream;
use crate::process::running::{Around, Logic, Running, add_process};
use crate::process::{Declare, KeyedContext, Processed};
use crate::stream::Stream;

/// The surroundings of a call of the [`KeyedCoProcess`] `P`.
pub type CoContext<'a, P> =
    KeyedContext<'a, <P as KeyedCoProcess>::Key, <P as KeyedCoProcess>::Out, <P as KeyedCoProcess>::Side>;

/// User code on two keyed streams that share a key. One instance serves all keys and workers, so it
/// holds settings, never state: what it remembers is [`KeyedCoProcess::State`], declared tables, and
/// timers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no keyed process of two inputs",
    note = "implement `KeyedCoProcess` with its `Key`, `First` and `Second` equal to those of the streams"
)]
pub trait KeyedCoProcess: Send + Sync + Sized + 'static {
    /// What both streams are keyed by.
    type Key: Key;
    /// The records of the first stream.
    type First: Data;
    /// The records of the second stream.
    type Second: Data;
    /// What it emits.
    type Out: Data;
    /// What goes to the side output; [`NoSide`](crate::NoSide) if nothing does.
    type Side: Data;
    /// What is remembered of a key. Equal to its default again, it takes no space.
    type State: State;

    /// Declares tables and the schema version.
    fn declare(&self, _states: &mut Declare<Self::State>) {}

    /// A record of the first stream, of the key at hand.
    ///
    /// # Errors
    /// What it returns fails the job with operator, key group, split and position, or sends the
    /// record to the dead letters if the operator has them.
    fn on_first(
        &self,
        record: Self::First,
        state: &mut StateMut<'_, Self::State>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult;

    /// A record of the second stream, of the key at hand.
    ///
    /// # Errors
    /// As [`KeyedCoProcess::on_first`].
    fn on_second(
        &self,
        record: Self::Second,
        state: &mut StateMut<'_, Self::State>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult;

    /// Event time has reached a timer of the key at hand.
    ///
    /// # Errors
    /// Fails the job.
    fn on_timer(
        &self,
        _at: EventTime,
        _state: &mut StateMut<'_, Self::State>,
        _cx: &mut CoContext<'_, Self>,
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
        _cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        Ok(())
    }
}

/// Two keyed streams side by side, waiting for what to make of them.
#[must_use = "connected streams do nothing until they are processed: `.process(name, ...)`"]
pub struct KeyedConnected<K: Key, A: Data, B: Data> {
    first: KeyedStream<K, A>,
    second: KeyedStream<K, B>,
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// Puts `second` beside this stream: what is kept of a key serves the records of both.
    ///
    /// ```
    /// use pelton_dataflow::error::OpResult;
    /// use pelton_operators::{CoContext, KeyedCoProcess, NoSide, testing::Harness};
    /// use pelton_state::StateMut;
    ///
    /// /// Lets amounts through that are above the limit set last.
    /// struct Above;
    ///
    /// impl KeyedCoProcess for Above {
    ///     type Key = char;
    ///     type First = u64;
    ///     type Second = u64;
    ///     type Out = u64;
    ///     type Side = NoSide;
    ///     type State = u64;
    ///
    ///     fn on_first(&self, amount: u64, limit: &mut StateMut<'_, u64>, cx: &mut CoContext<'_, Self>) -> OpResult {
    ///         if amount > **limit { cx.emit(amount); }
    ///         Ok(())
    ///     }
    ///     fn on_second(&self, new: u64, limit: &mut StateMut<'_, u64>, _: &mut CoContext<'_, Self>) -> OpResult {
    ///         **limit = new;
    ///         Ok(())
    ///     }
    /// }
    /// let mut script = Harness::new(|numbers, taps| {
    ///     let (amounts, limits) = (numbers.filter(|n| n % 10 > 0), numbers.filter(|n| n % 10 == 0));
    ///     let both = amounts.key_by(|_| 'k').connect(&limits.key_by(|_| 'k'));
    ///     taps.tap("out", &both.process("above", Above).out);
    /// });
    /// script.record(1, 5).output();
    /// script.record(2, 20).output();
    /// script.record(3, 19).record(4, 21);
    /// assert_eq!(script.output(), ["out@4 21"]);
    /// ```
    pub fn connect<U: Data>(&self, second: &KeyedStream<K, U>) -> KeyedConnected<K, T, U> {
        KeyedConnected { first: self.clone(), second: second.clone() }
    }
}

impl<K: Key, A: Data, B: Data> KeyedConnected<K, A, B> {
    /// Runs `process` on each key's records.
    #[track_caller]
    pub fn process<P>(self, name: impl Into<String>, process: P) -> Processed<P::Out, P::Side>
    where
        P: KeyedCoProcess<Key = K, First = A, Second = B>,
    {
        self.operator(name.into(), ("connect", String::new()), Location::caller(), process)
    }

    /// As [`KeyedConnected::process`], for operators that are such processes: with their kind and,
    /// for explain, a word on their settings.
    pub(crate) fn operator<P>(
        self,
        name: String,
        (kind, detail): (&'static str, String),
        location: &'static Location<'static>,
        process: P,
    ) -> Processed<P::Out, P::Side>
    where
        P: KeyedCoProcess<Key = K, First = A, Second = B>,
    {
        let mut declare = Declare::default();
        process.declare(&mut declare);
        let spec = declare.spec.timers();
        let states = self.first.decls_or_mistake(&name, spec.decls::<K>(), location);
        let mut add = self.first.stateful::<P::Out>(name, kind, states, location);
        add.also_takes(&self.first.stream.graph, &self.second.stream);
        add.detail = detail;
        add_process(&self.first.stream.graph, add, spec, Two(process))
    }

    /// Notes a mistake in a setting of `operator`.
    pub(crate) fn mistake(&self, operator: &str, problem: String, at: &'static Location<'static>) {
        self.first.stream.graph.mistake(operator, problem, at);
    }
}

/// A process of two inputs.
struct Two<P>(P);

/// What is left of a batch of either input.
enum Either<A, B> {
    First(A),
    Second(B),
}

impl<A: Default, B> Default for Either<A, B> {
    fn default() -> Self {
        Self::First(A::default())
    }
}

impl<P: KeyedCoProcess> Logic for Two<P> {
    type Key = P::Key;
    type Out = P::Out;
    type Side = P::Side;
    type State = P::State;
    type Feed = Either<Feed<Keyed<P::Key, P::First>>, Feed<Keyed<P::Key, P::Second>>>;

    fn feed(port: usize, batch: Batch) -> (Self::Feed, Origin) {
        if port == 0 {
            let (feed, origin) = Feed::with_origin(batch);
            (Either::First(feed), origin)
        } else {
            let (feed, origin) = Feed::with_origin(batch);
            (Either::Second(feed), origin)
        }
    }

    fn records(run: &mut Running<Self>, feed: &mut Self::Feed, out: &mut Outputs) -> OpResult<bool> {
        match feed {
            Either::First(feed) => {
                run.each(feed, out, |process, value, state, cx| process.0.on_first(value, state, cx))
            }
            Either::Second(feed) => {
                run.each(feed, out, |process, value, state, cx| process.0.on_second(value, state, cx))
            }
        }
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

/// Two streams side by side, waiting for what to make of them.
#[must_use = "connected streams do nothing until both are turned into one: `.map(..)`, `.flat_map(..)`"]
pub struct Connected<A: Data, B: Data> {
    first: Stream<A>,
    second: Stream<B>,
}

impl<T: Data> Stream<T> {
    /// Puts `second` beside this stream, to become one stream of one type.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let mut both = run_stateless([1u64, 2, 3], |numbers| {
    ///     let (odd, even) = (numbers.filter(|n| n % 2 == 1), numbers.filter(|n| n % 2 == 0).map(|n| n as u8));
    ///     odd.connect(&even).map(|odd| format!("odd {odd}"), |even| format!("even {even}"))
    /// });
    /// both.sort();
    /// assert_eq!(both, ["even 2", "odd 1", "odd 3"]);
    /// ```
    pub fn connect<U: Data>(&self, second: &Stream<U>) -> Connected<T, U> {
        Connected { first: self.clone(), second: second.clone() }
    }
}

impl<A: Data, B: Data> Connected<A, B> {
    /// Turns each record of either stream into one of `O`; it keeps its event time.
    #[track_caller]
    pub fn map<O: Data>(
        self,
        first: impl Fn(A) -> O + Send + Sync + 'static,
        second: impl Fn(B) -> O + Send + Sync + 'static,
    ) -> Stream<O> {
        self.first.map(first).union([self.second.map(second)])
    }

    /// Turns each record of either stream into any number of `O`, which keep its event time.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let mut both = run_stateless([1u64, 2], |n| {
    ///     n.connect(&n.map(|n| n as u8)).flat_map(|n| [n, n], |n| (n > 1).then_some(10))
    /// });
    /// both.sort();
    /// assert_eq!(both, [1, 1, 2, 2, 10]);
    /// ```
    #[track_caller]
    pub fn flat_map<O: Data, I, J>(
        self,
        first: impl Fn(A) -> I + Send + Sync + 'static,
        second: impl Fn(B) -> J + Send + Sync + 'static,
    ) -> Stream<O>
    where
        I: IntoIterator<Item = O> + 'static,
        J: IntoIterator<Item = O> + 'static,
    {
        self.first.flat_map(first).union([self.second.flat_map(second)])
    }
}
