//! Window joins and co-groups: records of one key that fall into the same window.
//!
//! A pane keeps both lists of a key. When its window fires, the pairs are made one after the other and sent in
//! slices: what a key of ten thousand records on either side gives, a hundred million pairs, is never held. How far
//! a key has come is a part of its pane; when a barrier falls between slices, the keys that are not done go back
//! into the state.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::vec;

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::graph::{OutputPort, PortRef, Role};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::panes::Fired;
use pelton_state::{Panes, StateSpec};

use super::lists::{Apply, Group, Lists, Pairs, Results};
use super::pair::{FullOuter, Inner, LeftOuter, RightOuter};
use super::spans::Spans;
use super::{Joined, Late};
use crate::emit::{Emitter, flow};
use crate::keyed_stream::KeyedStream;
use crate::process::store;
use crate::reached::Reached;
use crate::stream::Stream;
use crate::window::Windows;

/// The name of the operator's state.
const PANES: &str = "panes";

/// Two keyed streams cut into windows, waiting for the kind of join.
#[must_use = "a join does nothing until its kind is chosen: `.inner(..)`, `.left(..)`, `.right(..)`, `.full(..)`"]
pub struct WindowJoin<K: Key, A: Data, B: Data> {
    left: KeyedStream<K, A>,
    right: KeyedStream<K, B>,
    name: String,
    spans: Spans,
    location: &'static Location<'static>,
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Pairs each record with the records of `right` that fall into the same window. Pairs come as the window fires,
    /// at its last millisecond; a record whose windows have all fired goes to `late`. In windows that overlap it is
    /// kept in each.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|events, taps| {
    ///     let (persons, auctions) = (events.filter(|n| n % 2 == 0), events.filter(|n| n % 2 == 1));
    ///     let (persons, auctions) = (persons.key_by(|_: &u64| 'k'), auctions.key_by(|_| 'k'));
    ///     let join = persons.window_join("new-sellers", &auctions, Tumbling::of(Duration::from_millis(10)));
    ///     taps.tap("out", &join.left(|person, auction| (*person, auction.copied())).out);
    /// });
    /// script.record(5, 2).record(9, 3).record(1, 5).record(12, 4).end();
    /// assert_eq!(script.output(), ["out@9 (2, Some(3))", "out@9 (2, Some(5))", "out@19 (4, None)"]);
    /// ```
    #[track_caller]
    pub fn window_join<U: Data + Sync>(
        &self,
        name: impl Into<String>,
        right: &KeyedStream<K, U>,
        windows: impl Into<Windows<T>>,
    ) -> WindowJoin<K, T, U> {
        let (name, location) = (name.into(), Location::caller());
        let spans = Spans::of(&windows.into()).unwrap_or_else(|problem| {
            self.stream.graph.mistake(&name, problem, location);
            Spans::default()
        });
        WindowJoin { left: self.clone(), right: right.clone(), name, spans, location }
    }

    /// Gives what `group` makes of all records of a key in a window, of this stream and of `right`, as the window
    /// fires. Either list may be empty, not both. What it gives for one key is held until it is sent:
    /// [`window_join`](KeyedStream::window_join) makes pairs without that.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|events, taps| {
    ///     let (even, odd) = (events.filter(|n| n % 2 == 0), events.filter(|n| n % 2 == 1));
    ///     let (even, odd) = (even.key_by(|_: &u64| 'k'), odd.key_by(|_| 'k'));
    ///     let tens = Tumbling::of(Duration::from_millis(10));
    ///     let sums = even.co_group("sums", &odd, tens, |group, even, odd| {
    ///         [(group.start.0, even.iter().sum::<u64>(), odd.iter().sum::<u64>())]
    ///     });
    ///     taps.tap("out", &sums.out);
    /// });
    /// script.record(5, 2).record(9, 3).record(1, 5).record(12, 4).end();
    /// assert_eq!(script.output(), ["out@9 (0, 2, 8)", "out@19 (10, 4, 0)"]);
    /// ```
    #[track_caller]
    pub fn co_group<U: Data + Sync, O: Data, I: IntoIterator<Item = O> + 'static>(
        &self,
        name: impl Into<String>,
        right: &KeyedStream<K, U>,
        windows: impl Into<Windows<T>>,
        group: impl Fn(&Group<'_, K>, &[T], &[U]) -> I + Send + Sync + 'static,
    ) -> Joined<O, T, U> {
        self.window_join(name, right, windows).add("co_group", Apply(group))
    }
}

impl<K: Key, A: Data + Sync, B: Data + Sync> WindowJoin<K, A, B> {
    /// What `pair` makes of each pair.
    pub fn inner<O: Data>(self, pair: impl Fn(&A, &B) -> O + Send + Sync + 'static) -> Joined<O, A, B> {
        self.add("window_join", Pairs(Inner(pair)))
    }

    /// What `pair` makes of each pair, and of each left record that has no partner in its window.
    pub fn left<O: Data>(
        self,
        pair: impl Fn(&A, Option<&B>) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.add("window_join", Pairs(LeftOuter(pair)))
    }

    /// What `pair` makes of each pair, and of each right record that has no partner in its window.
    pub fn right<O: Data>(
        self,
        pair: impl Fn(Option<&A>, &B) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.add("window_join", Pairs(RightOuter(pair)))
    }

    /// What `pair` makes of each pair, and of each record of either side that has no partner in its window.
    pub fn full<O: Data>(
        self,
        pair: impl Fn(Option<&A>, Option<&B>) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.add("window_join", Pairs(FullOuter(pair)))
    }

    fn add<R: Results<K, A, B>>(self, kind: &'static str, results: R) -> Joined<R::Out, A, B> {
        let Self { left, right, name, spans, location } = self;
        let graph = left.stream.graph.clone();
        let spec = StateSpec::<Lists<A, B>>::new();
        let decl = spec.pane_decl::<K>(PANES);
        let mut states = left.decls_or_mistake(&name, decl.map(|decl| vec![decl]), location);
        states.iter_mut().for_each(|state| state.fingerprint += &format!(" / {}", spans.shape()));
        let mut add = left.stateful::<R::Out>(name, kind, states, location);
        add.also_takes(&graph, &right.stream);
        add.outputs.push(OutputPort::of::<Late<A, B>>("late"));
        add.detail = spans.to_string();
        let (results, spans) = (Arc::new(results), Arc::new(spans));
        let factory = move |cx: &OperatorContext<'_>| {
            let panes = store(cx)?.panes::<K, Lists<A, B>>(cx.name, PANES, &spec)?;
            let running = Running::new(results.clone(), spans.clone(), panes, cx)?;
            Ok::<_, OpError>(Box::new(running) as Box<dyn Operator>)
        };
        let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        Joined {
            out: Stream::new(graph.clone(), PortRef { node, port: 0 }),
            late: Stream::new(graph, PortRef { node, port: 1 }),
        }
    }
}

type KeyedPanes<K, A, B> = Rc<RefCell<Panes<K, Lists<A, B>>>>;

struct Running<K: Key, A: Data + Sync, B: Data + Sync, R: Results<K, A, B>> {
    results: Arc<R>,
    spans: Arc<Spans>,
    panes: KeyedPanes<K, A, B>,
    groups: KeyGroups,
    /// Windows that end up to here have fired, or are firing.
    reached: Reached,
    at_hand: Option<KeyHash>,
    /// The end of the window that is being fired, and its keys that were taken out of the state and are not done.
    firing: EventTime,
    taken: vec::IntoIter<Fired<K, Lists<A, B>>>,
    /// The first of them.
    first: Option<Fired<K, Lists<A, B>>>,
    out: Emitter<R::Out>,
    late: Vec<Record<Late<A, B>>>,
    batch_records: usize,
}

impl<K: Key, A: Data + Sync, B: Data + Sync, R: Results<K, A, B>> Running<K, A, B, R> {
    fn new(
        results: Arc<R>,
        spans: Arc<Spans>,
        panes: KeyedPanes<K, A, B>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        Ok(Self {
            results,
            spans,
            panes,
            groups: cx.groups,
            reached: Reached::restore(cx)?,
            at_hand: None,
            firing: EventTime::MIN,
            taken: Vec::new().into_iter(),
            first: None,
            out: Emitter::new(0, cx.settings.batch_records),
            late: Vec::new(),
            batch_records: cx.settings.batch_records,
        })
    }

    /// Takes records of one side into their windows, by `push`; notes those as late whose windows have all fired.
    fn take<T: Data>(
        &mut self,
        records: Vec<Record<Keyed<K, T>>>,
        push: impl Fn(&mut Lists<A, B>, T),
        late: impl Fn(T) -> Late<A, B>,
    ) -> OpResult {
        let mut panes = self.panes.borrow_mut();
        for Record { time, value: Keyed { hash, key, value } } in records {
            self.at_hand = Some(hash);
            let reached = self.reached.of(hash);
            let mut ends = self.spans.ends_of(time)?.peekable();
            let is_in_gap = ends.peek().is_none();
            let mut open = ends.skip_while(|end| *end <= reached).peekable();
            if open.peek().is_none() && !is_in_gap {
                self.late.push(Record::new(time, late(value)));
                continue;
            }
            let mut value = Some(value);
            while let Some(end) = open.next() {
                let own = if open.peek().is_none() { value.take() } else { value.clone() };
                if let Some(own) = own {
                    push(panes.at(end, hash, &key)?, own);
                }
            }
        }
        self.at_hand = None;
        Ok(())
    }

    /// Gives what windows that have ended make; whether it had to stop. It stops after a number of keys also
    /// if nothing is given, so that barriers and a stop have their chance.
    fn fire(&mut self, out: &mut Outputs) -> OpResult<bool> {
        let origin = Origin::default();
        let Self { results, out: emitter, firing, .. } = self;
        while let Some((hash, key, lists)) = &mut self.first {
            self.at_hand = Some(*hash);
            let (start, time) = (self.spans.start_of(*firing), EventTime(firing.0 - 1));
            let group = Group { key, start, end: *firing };
            let is_done = results.give(&group, lists, |value| {
                emitter.push(time, value);
                emitter.ship_full(&origin, out)
            });
            if is_done {
                self.first = self.taken.next();
            }
            if out.is_full() {
                emitter.ship(&origin, out);
                return Ok(true);
            }
        }
        emitter.ship(&origin, out);
        self.at_hand = None;
        let mut panes = self.panes.borrow_mut();
        let Some(end) = panes.next_window().filter(|end| *end <= self.reached.told()) else {
            return Ok(false);
        };
        *firing = end;
        self.taken = panes.drain(end, self.batch_records)?.into_iter();
        self.first = self.taken.next();
        Ok(true)
    }

    /// Puts the keys that are not done back into the state.
    fn put_back(&mut self) -> OpResult {
        let mut panes = self.panes.borrow_mut();
        for (hash, key, lists) in self.first.take().into_iter().chain(self.taken.by_ref()) {
            *panes.at(self.firing, hash, &key)? = lists;
        }
        Ok(())
    }

    fn failed(&self, error: OpError) -> OperatorError {
        OperatorError { place: self.place(), error }
    }
}

impl<K: Key, A: Data + Sync, B: Data + Sync, R: Results<K, A, B>> Operator for Running<K, A, B, R> {
    fn on_batch(&mut self, port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (taken, origin) = if port == 0 {
            let (records, origin) = batch.into_records::<Keyed<K, A>>();
            (self.take(records, |lists, record| lists.left.push(record), Late::Left), origin)
        } else {
            let (records, origin) = batch.into_records::<Keyed<K, B>>();
            (self.take(records, |lists, record| lists.right.push(record), Late::Right), origin)
        };
        taken.map_err(|error| self.failed(error))?;
        out.send(1, std::mem::take(&mut self.late), origin);
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = self.fire(out).map_err(|error| self.failed(error))?;
        Ok(flow(stopped))
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.put_back().map_err(|error| self.failed(error))?;
        self.panes.borrow_mut().freeze(epoch)?;
        Ok(Frozen { bytes: self.reached.to_bytes(), deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
