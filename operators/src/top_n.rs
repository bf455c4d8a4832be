//! The best of each key: `top_n` as a stream of changes, `top_n_ranked` with their places, and [`TopN`] as an aggregate
//! of windows.
//!
//! A rank is what a function takes from a record; the greatest is the best. Of equal ranks the record that
//! came first stays ahead.

use std::marker::PhantomData;
use std::panic::Location;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_state::StateMut;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::keyed_stream::KeyedStream;
use crate::process::{Context, KeyedProcess, NoSide};
use crate::stream::Stream;

/// A change of a set of records that a reader keeps up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Update<T> {
    /// The record belongs to the set from now on.
    Insert(T),
    /// The record, inserted before, belongs to it no more.
    Delete(T),
}

/// A record in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed<T> {
    /// 1 for the best.
    pub place: u64,
    /// The record that is there.
    pub record: T,
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Keeps the `n` best records of each key and tells of each change: who takes the place of another
    /// comes right after the other's [`Update::Delete`].
    ///
    /// The best are kept for ever; in a window, [`TopN`] gives them once.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|bids, taps| {
    ///     taps.tap("best", &bids.key_by(|_: &u64| 'k').top_n("best-bids", 2, |bid| *bid));
    /// });
    /// script.record(1, 5).record(2, 7).record(3, 4).record(4, 6);
    /// assert_eq!(script.output(), ["best@1 Insert(5)", "best@2 Insert(7)", "best@4 Delete(5)", "best@4 Insert(6)"]);
    /// ```
    #[track_caller]
    pub fn top_n<R: Ord + 'static>(
        &self,
        name: impl Into<String>,
        n: usize,
        rank: impl Fn(&T) -> R + Send + Sync + 'static,
    ) -> Stream<Update<T>> {
        self.best(name.into(), "top_n", Location::caller(), TopN::new(n, rank), changes)
    }

    /// Keeps the `n` best records of each key and tells who is in which place, from 1 on: once for each place
    /// that changes hands. What was in that place of the key before is replaced, so a reader keeps the last of
    /// each key and place.
    ///
    /// A record that becomes the best moves all others: [`KeyedStream::top_n`] tells that in two changes.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|bids, taps| {
    ///     let best = bids.key_by(|_: &u64| 'k').top_n_ranked("best-bids", 2, |bid| *bid);
    ///     taps.tap("best", &best.map(|bid| (bid.place, bid.record)));
    /// });
    /// script.record(1, 5).record(2, 7).record(3, 4).record(4, 6);
    /// assert_eq!(script.output(), ["best@1 (1, 5)", "best@2 (1, 7)", "best@2 (2, 5)", "best@4 (2, 6)"]);
    /// ```
    #[track_caller]
    pub fn top_n_ranked<R: Ord + 'static>(
        &self,
        name: impl Into<String>,
        n: usize,
        rank: impl Fn(&T) -> R + Send + Sync + 'static,
    ) -> Stream<Placed<T>> {
        self.best(name.into(), "top_n_ranked", Location::caller(), TopN::new(n, rank), places)
    }

    fn best<R: Ord + 'static, O: Data>(
        &self,
        name: String,
        kind: &'static str,
        location: &'static Location<'static>,
        top: TopN<T, R, impl Fn(&T) -> R + Send + Sync + 'static>,
        tell: Tell<T, O>,
    ) -> Stream<O> {
        let n = top.n;
        if n == 0 {
            self.stream.graph.mistake(&name, "the best 0 records are none: ask for at least 1", location);
        }
        let ranked = Ranked { top, tell, key: PhantomData::<fn(K)> };
        self.operator(name, (kind, format!("the best {n}")), location, ranked).out
    }
}

/// The best records, the very best first. As keyed state it equals its default when it is empty, and nothing
/// else: records need not be comparable.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
#[serde(transparent)]
pub struct Best<T> {
    records: Vec<T>,
}

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self { records: Vec::new() }
    }
}

impl<T> PartialEq for Best<T> {
    fn eq(&self, other: &Self) -> bool {
        self.records.is_empty() && other.records.is_empty()
    }
}

/// Tells that a record has come to lie among the best, the first of which is at 0, or that none has if it would lie
/// behind them: who has gone, if anyone.
type Tell<T, O> = fn(best: &[T], at: usize, gone: Option<T>, emit: &mut dyn FnMut(O));

fn changes<T: Clone>(best: &[T], at: usize, gone: Option<T>, emit: &mut dyn FnMut(Update<T>)) {
    gone.map(Update::Delete).into_iter().for_each(&mut *emit);
    best.get(at).cloned().map(Update::Insert).into_iter().for_each(emit);
}

fn places<T: Clone>(best: &[T], at: usize, _gone: Option<T>, emit: &mut dyn FnMut(Placed<T>)) {
    for (index, record) in best.iter().enumerate().skip(at) {
        emit(Placed { place: index as u64 + 1, record: record.clone() });
    }
}

struct Ranked<K, T, R, O, F> {
    top: TopN<T, R, F>,
    tell: Tell<T, O>,
    key: PhantomData<fn(K)>,
}

impl<K, T, R, O, F> KeyedProcess for Ranked<K, T, R, O, F>
where
    K: Key,
    T: Data + Sync,
    R: Ord + 'static,
    O: Data,
    F: Fn(&T) -> R + Send + Sync + 'static,
{
    type Key = K;
    type In = T;
    type Out = O;
    type Side = NoSide;
    type State = Best<T>;

    fn on_record(&self, record: T, best: &mut StateMut<'_, Best<T>>, cx: &mut Context<'_, Self>) -> OpResult {
        // There are more of a run that kept more.
        while best.records.len() > self.top.n {
            let gone = best.records.pop();
            (self.tell)(&best.records, best.records.len(), gone, &mut |told| cx.emit(told));
        }
        // Most records are not among the best: they leave the state alone.
        if let Some(at) = self.top.place(best, &record) {
            let gone = self.top.insert(best, at, record);
            (self.tell)(&best.records, at, gone, &mut |told| cx.emit(told));
        }
        Ok(())
    }
}

/// The best records, the very best first.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{TopN, Tumbling, testing::Harness};
///
/// let mut script = Harness::new(|bids, taps| {
///     let windows = bids.key_by(|_: &u64| 'k').window("bids", Tumbling::of(Duration::from_millis(10)));
///     taps.tap("best", &windows.aggregate(TopN::new(2, |bid| *bid)).out.map(|window| window.value));
/// });
/// script.record(1, 5).record(2, 7).record(3, 4).record(4, 6).end();
/// assert_eq!(script.output(), ["best@9 [7, 6]"]);
/// ```
pub struct TopN<T, R, F> {
    n: usize,
    rank: F,
    types: PhantomData<fn(T) -> R>,
}

impl<T, R: Ord, F: Fn(&T) -> R> TopN<T, R, F> {
    /// The `n` records for which `rank` is greatest.
    pub fn new(n: usize, rank: F) -> Self {
        Self { n, rank, types: PhantomData }
    }

    /// Where a record belongs, if it is among the best.
    fn place(&self, best: &Best<T>, record: &T) -> Option<usize> {
        let rank = (self.rank)(record);
        let is_ahead = |other: &T| (self.rank)(other) >= rank;
        if best.records.len() >= self.n && best.records.last().is_none_or(is_ahead) {
            return None;
        }
        Some(best.records.partition_point(is_ahead))
    }

    /// Puts a record in its place; which one is not among the best any more.
    fn insert(&self, best: &mut Best<T>, at: usize, record: T) -> Option<T> {
        let gone = if best.records.len() >= self.n { best.records.pop() } else { None };
        best.records.insert(at, record);
        gone
    }
}

impl<T, R, F> Aggregate for TopN<T, R, F>
where
    T: Data + Sync,
    R: Ord + 'static,
    F: Fn(&T) -> R + Send + Sync + 'static,
{
    type In = T;
    type Accumulator = Best<T>;
    type Out = Vec<T>;

    const MERGES: bool = true;

    fn add(&self, best: &mut Best<T>, record: T) {
        best.records.truncate(self.n);
        if let Some(at) = self.place(best, &record) {
            self.insert(best, at, record);
        }
    }

    fn add_ref(&self, best: &mut Best<T>, record: &T) {
        best.records.truncate(self.n);
        if let Some(at) = self.place(best, record) {
            self.insert(best, at, record.clone());
        }
    }

    fn merge(&self, best: &mut Best<T>, other: Best<T>) {
        other.records.into_iter().for_each(|record| self.add(best, record));
    }

    fn result(&self, best: &Best<T>) -> Vec<T> {
        best.records.iter().take(self.n).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_when_there_were_more_goes() {
        let of_more = || Best { records: vec![9, 7, 5, 3] };
        let two = TopN::new(2, |number: &i32| *number);
        assert_eq!(two.result(&of_more()), [9, 7]);
        let (mut added, mut seen) = (of_more(), of_more());
        two.add(&mut added, 6);
        two.add_ref(&mut seen, &8);
        assert_eq!((added.records, seen.records), (vec![9, 7], vec![9, 8]));
        let mut told = Vec::new();
        changes(&[9, 7], 2, Some(5), &mut |update| told.push(format!("{update:?}")));
        assert_eq!(told, ["Delete(5)"]);
    }
}
