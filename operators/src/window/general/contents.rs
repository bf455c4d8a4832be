//! What a window holds of its records: an aggregate of them, or the records themselves.

use std::sync::Arc;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::Key;
use pelton_dataflow::record::{Data, Record};
use pelton_state::{State, StateSpec, TableValue};

use super::assigner::Window;
use super::evictor::{Evicted, Evictor};
use super::open::Open;
use super::rows::{Rows, Runs, records};
use crate::aggregate::Aggregate;

/// The other open windows of a key.
pub(super) struct Others<'a, H: State, S: State> {
    pub before: &'a [Open<H, S>],
    pub after: &'a [Open<H, S>],
}

impl<H: State, S: State> Others<'_, H, S> {
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    fn any(&self, test: impl Fn(&H) -> bool) -> bool {
        self.before.iter().chain(self.after).any(|open| test(&open.held))
    }
}

/// How windows hold their records, and what a function is given of them as a window fires.
pub(super) trait Contents<K: Key, T: Data>: Send + Sync + 'static {
    /// Whether two windows can become one.
    const MERGES: bool;
    /// What one window holds.
    type Held: State;
    /// What each window that takes a record is given of it.
    type Item;
    /// What a window gives as it fires.
    type Fired;

    /// Declares its tables.
    fn declare<S: State>(spec: StateSpec<S>) -> StateSpec<S> {
        spec
    }

    /// Takes a record of a key, to be added to some of its windows.
    fn keep(&self, number: u64, record: Record<T>, rows: &mut Rows<'_, K>) -> OpResult<Self::Item>;

    /// Adds a record to a window that is not its last.
    fn add_shared(&self, held: &mut Self::Held, number: u64, item: &Self::Item);

    /// Adds a record to its last window.
    fn add(&self, held: &mut Self::Held, number: u64, item: Self::Item);

    /// Takes in what a later window holds.
    fn merge(&self, held: &mut Self::Held, later: Self::Held);

    /// Hands what a window gives to `give`; whether it had anything to give.
    fn fire<S: State>(
        &self,
        held: &mut Self::Held,
        window: Window,
        others: &Others<'_, Self::Held, S>,
        rows: &mut Rows<'_, K>,
        give: &mut dyn FnMut(Self::Fired) -> OpResult,
    ) -> OpResult<bool>;

    /// Forgets what a window holds.
    fn clear<S: State>(
        &self,
        _held: Self::Held,
        _others: &Others<'_, Self::Held, S>,
        _rows: &mut Rows<'_, K>,
    ) -> OpResult {
        Ok(())
    }
}

/// An aggregate, added to as records come.
pub(super) struct Aggregated<A>(pub A);

impl<K: Key, A: Aggregate> Contents<K, A::In> for Aggregated<A> {
    const MERGES: bool = A::MERGES;
    type Held = A::Accumulator;
    type Item = A::In;
    type Fired = A::Out;

    #[inline]
    fn keep(&self, _number: u64, record: Record<A::In>, _rows: &mut Rows<'_, K>) -> OpResult<A::In> {
        Ok(record.value)
    }

    #[inline]
    fn add_shared(&self, held: &mut A::Accumulator, _number: u64, value: &A::In) {
        self.0.add_ref(held, value);
    }

    #[inline]
    fn add(&self, held: &mut A::Accumulator, _number: u64, value: A::In) {
        self.0.add(held, value);
    }

    fn merge(&self, held: &mut A::Accumulator, later: A::Accumulator) {
        self.0.merge(held, later);
    }

    fn fire<S: State>(
        &self,
        held: &mut A::Accumulator,
        _window: Window,
        _others: &Others<'_, A::Accumulator, S>,
        _rows: &mut Rows<'_, K>,
        give: &mut dyn FnMut(A::Out) -> OpResult,
    ) -> OpResult<bool> {
        give(self.0.result(held))?;
        Ok(true)
    }
}

/// The records, one row each.
pub(super) struct Kept<T> {
    evictor: Option<Arc<dyn Evictor<T>>>,
}

impl<T> Kept<T> {
    pub fn by(evictor: Option<Arc<dyn Evictor<T>>>) -> Self {
        Self { evictor }
    }
}

impl<T: Data + TableValue> Kept<T> {
    /// Forgets records that no other window holds.
    fn release<K: Key, S: State>(
        gone: &Runs,
        others: &Others<'_, Runs, S>,
        rows: &mut Rows<'_, K>,
    ) -> OpResult {
        rows.forget::<T>(gone.iter().filter(|number| !others.any(|held| held.contains(*number))))
    }
}

/// What is not marked, and what is.
fn part<V>(evicted: &Evicted, all: Vec<V>) -> (Vec<V>, Vec<V>) {
    let (mut kept, mut gone) = (Vec::with_capacity(all.len()), Vec::new());
    for (index, one) in all.into_iter().enumerate() {
        if evicted.contains(index) { gone.push(one) } else { kept.push(one) }
    }
    (kept, gone)
}

impl<K: Key, T: Data + TableValue> Contents<K, T> for Kept<T> {
    const MERGES: bool = true;
    type Held = Runs;
    type Item = ();
    type Fired = Vec<Record<T>>;

    fn declare<S: State>(spec: StateSpec<S>) -> StateSpec<S> {
        spec.map(records::<T>())
    }

    fn keep(&self, number: u64, record: Record<T>, rows: &mut Rows<'_, K>) -> OpResult {
        rows.keep(number, record)
    }

    fn add_shared(&self, held: &mut Runs, number: u64, (): &()) {
        held.push(number);
    }

    fn add(&self, held: &mut Runs, number: u64, (): ()) {
        held.push(number);
    }

    fn merge(&self, held: &mut Runs, later: Runs) {
        held.merge(later);
    }

    fn fire<S: State>(
        &self,
        held: &mut Runs,
        window: Window,
        others: &Others<'_, Runs, S>,
        rows: &mut Rows<'_, K>,
        give: &mut dyn FnMut(Vec<Record<T>>) -> OpResult,
    ) -> OpResult<bool> {
        let found = rows.read::<T>(held)?;
        let Some(evictor) = &self.evictor else {
            give(found)?;
            return Ok(true);
        };
        let mut before = Evicted::of(found.len());
        evictor.before(&found, window, &mut before);
        let (numbers, mut gone) = part(&before, held.iter().collect());
        let (found, _) = part(&before, found);
        // The function cannot change the records, so what has to go after it is marked before.
        let mut after = Evicted::of(found.len());
        evictor.after(&found, window, &mut after);
        let (numbers, gone_after) = part(&after, numbers);
        let is_given = !found.is_empty();
        if is_given {
            give(found)?;
        }
        gone.extend(gone_after);
        if !gone.is_empty() {
            gone.sort_unstable();
            *held = numbers.into_iter().collect();
            Self::release(&gone.into_iter().collect(), others, rows)?;
        }
        Ok(is_given)
    }

    fn clear<S: State>(&self, held: Runs, others: &Others<'_, Runs, S>, rows: &mut Rows<'_, K>) -> OpResult {
        match others.is_empty() {
            true => rows.forget_all::<T>(),
            false => Self::release(&held, others, rows),
        }
    }
}

/// The records, of which an aggregate is made anew at each firing.
pub(super) struct KeptAggregate<A: Aggregate> {
    pub kept: Kept<A::In>,
    pub aggregate: A,
}

impl<K: Key, A: Aggregate> Contents<K, A::In> for KeptAggregate<A>
where
    A::In: TableValue,
{
    const MERGES: bool = true;
    type Held = Runs;
    type Item = ();
    type Fired = A::Out;

    fn declare<S: State>(spec: StateSpec<S>) -> StateSpec<S> {
        <Kept<A::In> as Contents<K, A::In>>::declare(spec)
    }

    fn keep(&self, number: u64, record: Record<A::In>, rows: &mut Rows<'_, K>) -> OpResult {
        self.kept.keep(number, record, rows)
    }

    fn add_shared(&self, held: &mut Runs, number: u64, (): &()) {
        held.push(number);
    }

    fn add(&self, held: &mut Runs, number: u64, (): ()) {
        held.push(number);
    }

    fn merge(&self, held: &mut Runs, later: Runs) {
        held.merge(later);
    }

    fn fire<S: State>(
        &self,
        held: &mut Runs,
        window: Window,
        others: &Others<'_, Runs, S>,
        rows: &mut Rows<'_, K>,
        give: &mut dyn FnMut(A::Out) -> OpResult,
    ) -> OpResult<bool> {
        self.kept.fire(held, window, others, rows, &mut |found| {
            let mut accumulator = A::Accumulator::default();
            found.into_iter().for_each(|record| self.aggregate.add(&mut accumulator, record.value));
            give(self.aggregate.result(&accumulator))
        })
    }

    fn clear<S: State>(&self, held: Runs, others: &Others<'_, Runs, S>, rows: &mut Rows<'_, K>) -> OpResult {
        self.kept.clear(held, others, rows)
    }
}
