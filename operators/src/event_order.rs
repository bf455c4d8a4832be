//! `in_event_order`: the records of each key one after the other as they happened, not as they arrived.
//!
//! Most operators take records as they come: by the time two splits, read at different paces, meet
//! at a key, the order between them is an accident, and a result that depends on it comes out
//! differently in the next run. Here records wait until the watermark says that no earlier one is to come,
//! and go on in the order of (event time, source and split, position). So the same input gives
//! the same output for every key, byte for byte, at any parallelism, whatever arrived when and whatever
//! crashed. The price is the delay of the watermark, and a row of state for each record that waits.
//!
//! Everything that is built on the stream sees that order, timers and windows included: a timer at `t` fires after the
//! records earlier than `t` and before the others, however far the watermark jumps. Why this is so, and how, is
//! in `docs/decisions/0009-event-order-is-a-rank-and-a-buffer-with-steps.md`.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::graph::{OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::rank::Rank;
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{KeyedState, MapTable, StateSpec, TimeDomain};

use crate::keyed_stream::KeyedStream;
use crate::process::store;
use crate::reached::Reached;
use crate::stream::Stream;

/// The name of the records that wait, in checkpoints.
const WAITING: &str = "waiting";

/// Where a record stands: what waits is ordered by it.
type Standing = (EventTime, Rank);

/// A keyed stream in event order.
pub struct InEventOrder<K: Key, T: Data> {
    /// The records of each key in event order: an operator built on it sees them so.
    pub out: KeyedStream<K, T>,
    /// Records that came later than their split had promised by its watermark, as they came.
    pub late: Stream<T>,
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Holds records until the watermark has passed them, and gives those of a key on in the order of event time, then
    /// source and split, then position.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|readings, taps| {
    ///     let meters = readings.key_by(|(meter, _): &(char, u64)| *meter).in_event_order("by-time");
    ///     let last = meters.out.reduce("changes", |before, now| (now.0, now.1.abs_diff(before.1)));
    ///     taps.tap("change", &last.map(|(_, change)| change));
    ///     taps.tap("late", &meters.late);
    /// });
    /// script.record(3, ('a', 7)).record(1, ('a', 10)).record(2, ('a', 15)).watermark(4).record(3, ('a', 0));
    /// assert_eq!(script.output(), ["change@1 10", "change@2 5", "change@3 2", "late@3 ('a', 0)"]);
    /// ```
    #[track_caller]
    pub fn in_event_order(&self, name: impl Into<String>) -> InEventOrder<K, T> {
        let name = name.into();
        let location = Location::caller();
        let spec = StateSpec::<()>::new().map(MapTable::<Standing, T>::new(WAITING)).timers();
        let states = self.decls_or_mistake(&name, spec.decls::<K>(), location);
        let mut add = self.stateful::<Keyed<K, T>>(name, "in_event_order", states, location);
        add.outputs.push(OutputPort::of::<T>("late"));
        let factory = move |cx: &OperatorContext<'_>| {
            let state = store(cx)?.keyed::<K, ()>(cx.name, spec.clone())?;
            Ok::<_, OpError>(Box::new(Running::<K, T>::new(state, cx)?) as Box<dyn Operator>)
        };
        let graph = self.stream.graph.clone();
        let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        graph.ranks(node, Ranks::Orders);
        InEventOrder {
            out: KeyedStream::new(Stream::new(graph.clone(), PortRef { node, port: 0 })),
            late: Stream::new(graph, PortRef { node, port: 1 }),
        }
    }
}

struct Running<K: Key, T: Data + Sync> {
    state: KeyedState<K, ()>,
    waiting: MapTable<Standing, T>,
    groups: KeyGroups,
    reached: Reached,
    at_hand: Option<KeyHash>,
    /// The time whose records are being given out, if some of them are left.
    releasing: Option<EventTime>,
    is_ranked: bool,
    batch_records: usize,
}

/// Records that leave together.
struct Released<K: Key, T: Data> {
    records: Vec<Record<Keyed<K, T>>>,
    ranks: Vec<Rank>,
}

impl<K: Key, T: Data + Sync> Running<K, T> {
    fn new(state: KeyedState<K, ()>, cx: &OperatorContext<'_>) -> OpResult<Self> {
        Ok(Self {
            state,
            waiting: MapTable::new(WAITING),
            groups: cx.groups,
            reached: Reached::restore(cx)?,
            at_hand: None,
            releasing: None,
            is_ranked: cx.is_ranked,
            batch_records: cx.settings.batch_records,
        })
    }

    /// Has records wait; gives those back that are late, with their ranks.
    fn take(
        &mut self,
        records: Vec<Record<Keyed<K, T>>>,
        ranks: Vec<Rank>,
    ) -> OpResult<(Vec<Record<T>>, Vec<Rank>)> {
        let (mut late, mut late_ranks) = (Vec::new(), Vec::new());
        for (Record { time, value: Keyed { hash, key, value } }, rank) in records.into_iter().zip(ranks) {
            self.at_hand = Some(hash);
            if time == EventTime::MIN {
                return Err("a record without event time has no place in event order: give the source \
                            `.watermarks(...)` that read its event time"
                    .into());
            }
            if rank.is_late() || time < self.reached.of(hash) {
                late.push(Record::new(time, value));
                late_ranks.push(rank);
                continue;
            }
            // The index of what is due: of a key and a time, however many records.
            self.state.set_timer(TimeDomain::Event, hash, &key, time.0)?;
            self.state.map(&self.waiting, hash, &key)?.insert(&(time, rank), value)?;
        }
        self.at_hand = None;
        Ok((late, late_ranks))
    }

    /// Gives out what has been passed by the watermark, time by time; how far it came.
    fn release(&mut self, out: &mut Outputs) -> OpResult<Flow> {
        let mut given = 0;
        loop {
            let due = self.state.next_timer(TimeDomain::Event).map(EventTime);
            let Some(at) = due.filter(|at| *at < self.reached.told()) else { return Ok(Flow::Done) };
            if self.releasing != Some(at) {
                if given >= self.batch_records {
                    return Ok(Flow::More);
                }
                self.releasing = Some(at);
                out.forward(0, Batch::step(at));
            }
            given += self.release_some(at, out)?;
            let has_more = self.state.next_timer(TimeDomain::Event) == Some(at.0);
            if has_more && out.is_full() && given >= self.batch_records {
                // Timers that these records set may be of the past: none of them may come between these
                // records and those that are left of the same time, as it would after a restart.
                return Ok(Flow::MoreOfOne);
            }
        }
    }

    /// Gives out a batch of the records of `at`, or fewer if there are no more; how many.
    fn release_some(&mut self, at: EventTime, out: &mut Outputs) -> OpResult<usize> {
        let mut released = Released { records: Vec::new(), ranks: Vec::new() };
        while released.records.len() < self.batch_records {
            let Some((_, hash, key)) = self.state.pop_timer(TimeDomain::Event, at.0)? else { break };
            self.at_hand = Some(hash);
            let most = self.batch_records - released.records.len();
            if self.release_key(at, (hash, &key), most, &mut released)? {
                self.state.set_timer(TimeDomain::Event, hash, &key, at.0)?;
            }
        }
        self.at_hand = None;
        let count = released.records.len();
        let ranks = self.is_ranked.then_some(released.ranks);
        out.send_ranked(0, released.records, Origin::default(), ranks);
        Ok(count)
    }

    /// Takes up to `most` records of `at` out of what waits of a key; whether there are more.
    fn release_key(
        &mut self,
        at: EventTime,
        (hash, key): (KeyHash, &K),
        most: usize,
        released: &mut Released<K, T>,
    ) -> OpResult<bool> {
        let mut waiting = self.state.map(&self.waiting, hash, key)?;
        let mut found: Vec<(Standing, T)> = Vec::new();
        let mut has_more = false;
        for row in waiting.iter_from(&(at, Rank::FIRST))? {
            let (standing, value) = row?;
            if standing.0 != at {
                break;
            }
            if found.len() == most {
                has_more = true;
                break;
            }
            found.push((standing, value));
        }
        for (standing, value) in found {
            waiting.remove(&standing)?;
            released.records.push(Record::new(at, Keyed { hash, key: key.clone(), value }));
            released.ranks.push(standing.1);
        }
        Ok(has_more)
    }

    fn failed(&self, error: OpError) -> OperatorError {
        OperatorError { place: self.place(), error }
    }
}

impl<K: Key, T: Data + Sync> Operator for Running<K, T> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin, ranks) = batch.into_ranked::<Keyed<K, T>>();
        let ranks = ranks.expect("the graph was refused if what comes in here had no ranks");
        let (late, late_ranks) = self.take(records, ranks).map_err(|error| self.failed(error))?;
        out.send_ranked(1, late, origin, self.is_ranked.then_some(late_ranks));
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let flow = self.release(out).map_err(|error| self.failed(error))?;
        if flow != Flow::MoreOfOne {
            self.releasing = None;
        }
        Ok(flow)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.state.freeze(epoch)?;
        Ok(Frozen { bytes: self.reached.to_bytes(), deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
