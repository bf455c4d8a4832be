//! `broadcast` and `connect_broadcast`: rules that every worker has, against records that each key has its own of.
//!
//! Each worker keeps a copy of what the rules add up to ([`BroadcastProcess::Rules`], a plain struct), and lends it to
//! the calls for records and timers, which cannot change it.
//!
//! **When a rule takes effect.** Between two streams there is no order of arrival, so a rule is placed by its event
//! time: at each instant timers come first, then rules, then records. A record is judged by the rules whose time is
//! not after its own, and by no others, wherever and whenever either of them arrived: records wait for that until the
//! watermark of both streams has passed them, and are then handed on in the order of event time. So the same
//! input gives the same results on any number of workers, and after any crash; rules of one time are applied in
//! the order of their bytes. The price is the delay of the watermark and a row of state for each record that
//! waits. Records that come later than the watermark allows find their rules gone: they go to the side output
//! `late`. A rule that comes late takes effect at the watermark of where it was read, for all workers.
//!
//! That is [`TakesEffect::InEventTime`], the default. With [`TakesEffect::OnceKnown`] records do not wait, and are judged by
//! the rules that the watermark has passed when they arrive: quicker, and different in each run.
//!
//! A stream of rules without event times holds records back until it ends; a silent one needs
//! [`idle_after`](crate::Watermarks::idle_after), or it holds them back for ever.
//!
//! In a checkpoint all copies are the same but for how far each worker's watermark has come; the one that has come least
//! far is where all workers go on from, on any number of them. A restore checks that the others can be
//! made from it, so [`BroadcastProcess::on_rule`] must do the same on each worker.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OpResult, OperatorError};
use pelton_dataflow::graph::{OutputPort, PortRef, Role, StateDecl};
use pelton_dataflow::key::Key;
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs, RestoredPart};
use pelton_dataflow::partition::Partitioner;
use pelton_dataflow::record::{Batch, Data};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{State, StateMut};

use crate::keyed_stream::KeyedStream;
use crate::process::{Declare, store};
use crate::stream::{Add, Stream};
use crate::told;

mod book;
mod context;
mod running;

pub use context::BroadcastContext;

use running::{Running, waiting};

/// A stream of which each worker has a copy.
#[must_use = "a broadcast stream does nothing until a keyed stream is connected to it"]
pub struct BroadcastStream<R> {
    stream: Stream<R>,
}

impl<R> Clone for BroadcastStream<R> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone() }
    }
}

/// When a rule takes effect for records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesEffect {
    /// For those of its event time and later, whatever arrived when: records wait for the watermark.
    InEventTime,
    /// For those that arrive once the watermark has passed it. Results differ from run to run.
    OnceKnown,
}

/// User code on a keyed stream and a broadcast one. One instance serves all keys and workers, so it holds
/// settings, never state.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no broadcast process",
    note = "implement `BroadcastProcess` with its `Key`, `In` and `Rule` equal to those of the streams"
)]
pub trait BroadcastProcess: Send + Sync + Sized + 'static {
    /// What the keyed stream is keyed by.
    type Key: Key;
    /// The records of the keyed stream.
    type In: Data + Sync;
    /// The records of the broadcast stream.
    type Rule: Data;
    /// What the rules add up to; each worker has a copy.
    type Rules: State;
    /// What is remembered of a key. Equal to its default again, it takes no space.
    type State: State;
    /// What it emits.
    type Out: Data;
    /// What goes to the side output; [`NoSide`](crate::NoSide) if nothing does.
    type Side: Data;

    /// Declares tables and the schema version of the state of a key.
    fn declare(&self, _states: &mut Declare<Self::State>) {}

    /// When rules take effect.
    fn takes_effect(&self) -> TakesEffect {
        TakesEffect::InEventTime
    }

    /// A rule takes effect at `at`. It is called once for each rule on each worker, in the same order, and must do
    /// the same on each: what it reads is the rule and `rules`, nothing else.
    ///
    /// # Errors
    /// Fails the job.
    fn on_rule(&self, rule: Self::Rule, rules: &mut Self::Rules, at: EventTime) -> OpResult;

    /// A record of the key at hand, with the rules that are in effect for it.
    ///
    /// # Errors
    /// Fails the job.
    fn on_record(
        &self,
        record: Self::In,
        rules: &Self::Rules,
        state: &mut StateMut<'_, Self::State>,
        cx: &mut BroadcastContext<'_, Self>,
    ) -> OpResult;

    /// Event time has reached a timer of the key at hand; rules of that time are not in effect yet.
    ///
    /// # Errors
    /// Fails the job.
    fn on_timer(
        &self,
        _at: EventTime,
        _rules: &Self::Rules,
        _state: &mut StateMut<'_, Self::State>,
        _cx: &mut BroadcastContext<'_, Self>,
    ) -> OpResult {
        Ok(())
    }
}

/// What a broadcast process gives.
pub struct Judged<O, S, T> {
    /// What it emitted.
    pub out: Stream<O>,
    /// Its side output.
    pub side: Stream<S>,
    /// Records that came after the watermark that said they would not, as they came; none with
    /// [`TakesEffect::OnceKnown`].
    pub late: Stream<T>,
}

impl<R: Data> Stream<R> {
    /// Gives each worker a copy of this stream, for [`KeyedStream::connect_broadcast`]. Under `name` a checkpoint knows how
    /// far event time had come here, which is when a rule that comes late takes effect.
    #[track_caller]
    pub fn broadcast(&self, name: impl Into<String>) -> BroadcastStream<R> {
        let location = Location::caller();
        let mut add = Add::stateless::<R>("on_time", self.port, location);
        add.name = Some(name.into());
        add.states = vec![watermark_decl()];
        let on_time = self.then::<R, _>(add, |cx| OnTime {
            watermark: OnTime::<R>::restored(cx.restored),
            types: std::marker::PhantomData::<fn() -> R>,
        });
        let factory = |cx: &OperatorContext<'_>| Box::new(ToAll(cx.workers)) as Box<dyn Partitioner>;
        let add = Add::stateless::<R>("broadcast", on_time.port, location);
        let node = self.graph.add(add.into_node(Role::Exchange(Arc::new(factory))));
        BroadcastStream { stream: Stream::new(self.graph.clone(), PortRef { node, port: 0 }) }
    }
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Judges each key's records by the rules of a broadcast stream. The [module](crate::broadcast) says when a rule
    /// takes effect.
    ///
    /// ```
    /// # use pelton_dataflow::{error::OpResult, time::EventTime};
    /// # use pelton_operators::{BroadcastContext, BroadcastProcess, NoSide, testing::Harness};
    /// # use pelton_state::StateMut;
    /// struct Above;
    /// impl BroadcastProcess for Above {
    ///     type Key = char; type In = u64; type Rule = u64; type Rules = u64;
    ///     type State = (); type Out = u64; type Side = NoSide;
    ///
    ///     fn on_rule(&self, new: u64, limit: &mut u64, _: EventTime) -> OpResult { *limit = new; Ok(()) }
    ///
    ///     fn on_record(&self, n: u64, limit: &u64, _: &mut StateMut<'_, ()>, cx: &mut BroadcastContext<'_, Self>) -> OpResult {
    ///         if n > *limit { cx.emit(n); }
    ///         Ok(())
    ///     }
    /// }
    /// let mut script = Harness::new(|numbers, taps| {
    ///     let limits = numbers.filter(|n: &u64| n % 10 == 0).broadcast("new-limits");
    ///     let amounts = numbers.filter(|n| n % 10 > 0).key_by(|_| 'k');
    ///     taps.tap("above", &amounts.connect_broadcast("limits", &limits, Above).out);
    /// });
    /// script.record(3, 11).record(1, 12).record(2, 20).record(4, 21).end();
    /// assert_eq!(script.output(), ["above@1 12", "above@4 21"]);
    /// ```
    #[track_caller]
    pub fn connect_broadcast<P>(
        &self,
        name: impl Into<String>,
        rules: &BroadcastStream<P::Rule>,
        process: P,
    ) -> Judged<P::Out, P::Side, T>
    where
        P: BroadcastProcess<Key = K, In = T>,
    {
        let (name, location) = (name.into(), Location::caller());
        let mut declare = Declare::default();
        process.declare(&mut declare);
        let spec = declare.spec.map(waiting::<T>()).timers();
        let states = self.decls_or_mistake(&name, spec.decls::<K>(), location);
        let graph = &self.stream.graph;
        let shapes = [graph.shape::<P::Rules>(&name, location), graph.shape::<P::Rule>(&name, location)];
        let mut add = self.stateful::<P::Out>(name, "connect_broadcast", states, location);
        add.also_takes(&self.stream.graph, &rules.stream);
        add.states.push(rules_decl::<P>(&shapes));
        add.detail = format!("{:?}", process.takes_effect());
        add.outputs.extend([OutputPort::of::<P::Side>("side"), OutputPort::of::<T>("late")]);
        let process = Arc::new(process);
        let factory = move |cx: &OperatorContext<'_>| {
            let state = store(cx)?.keyed::<K, P::State>(cx.name, spec.clone())?;
            let running = Running::new(process.clone(), state, cx)?;
            Ok::<_, OpError>(Box::new(running) as Box<dyn Operator>)
        };
        let graph = self.stream.graph.clone();
        let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        Judged {
            out: Stream::new(graph.clone(), PortRef { node, port: 0 }),
            side: Stream::new(graph.clone(), PortRef { node, port: 1 }),
            late: Stream::new(graph, PortRef { node, port: 2 }),
        }
    }
}

/// Declared so that a restore tells if rules would be dropped, or are of another type now.
fn rules_decl<P: BroadcastProcess>([rules, rule]: &[String; 2]) -> StateDecl {
    let type_name = std::any::type_name::<P::Rules>().to_owned();
    let shape = format!("{rules} of {rule}");
    StateDecl { name: "rules", kind: StateDecl::OPERATOR, type_name, fingerprint: shape, version: 1 }
}

/// Declared so that a restore tells if it would be lost.
fn watermark_decl() -> StateDecl {
    let word = "EventTime".to_owned();
    StateDecl {
        name: "watermark",
        kind: StateDecl::OPERATOR,
        type_name: word.clone(),
        fingerprint: word,
        version: 1,
    }
}

/// Has rules that come late take effect at the watermark of the worker that read them. That is what this
/// worker tells all others, so none of them has passed it, and to all of them the rule is on time.
struct OnTime<R> {
    watermark: EventTime,
    types: std::marker::PhantomData<fn() -> R>,
}

impl<R> OnTime<R> {
    fn restored(parts: &[RestoredPart]) -> EventTime {
        told::least(parts.iter().map(|part| told::split(&part.bytes).map_or(EventTime::MIN, |(at, _)| at)))
    }
}

impl<R: Data> Operator for OnTime<R> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (mut records, origin) = batch.into_records::<R>();
        records.iter_mut().for_each(|record| record.time = record.time.max(self.watermark));
        out.send(0, records, origin);
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: EventTime, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.watermark = self.watermark.max(watermark);
        Ok(Flow::Done)
    }

    fn freeze(&mut self, _epoch: Epoch) -> Result<Frozen, OperatorError> {
        Ok(Frozen { bytes: told::to_bytes(self.watermark), deferred: None })
    }
}

/// Sends each batch to each of so many workers.
struct ToAll(usize);

impl Partitioner for ToAll {
    fn partition(&mut self, batch: Batch, full: &mut Vec<(usize, Batch)>) -> OpResult {
        full.extend((1..self.0).map(|worker| (worker, batch.clone())));
        full.push((0, batch));
        Ok(())
    }

    fn flush(&mut self, _full: &mut Vec<(usize, Batch)>) {}

    fn is_empty(&self) -> bool {
        true
    }
}
