//! Aggregates by functions: [`Reduce`], [`Fold`].

use std::marker::PhantomData;

use pelton_dataflow::record::Data;
use pelton_state::State;

use super::Aggregate;

/// Combines records into one of the same type.
pub struct Reduce<T, F> {
    combine: F,
    types: PhantomData<fn(T)>,
}

impl<T, F: Fn(T, T) -> T> Reduce<T, F> {
    /// The records combined by `combine(so far, next)`; it merges, as what was combined is a record again.
    pub fn new(combine: F) -> Self {
        Self { combine, types: PhantomData }
    }
}

impl<T, F> Aggregate for Reduce<T, F>
where
    T: Data + PartialEq + Sync,
    F: Fn(T, T) -> T + Send + Sync + 'static,
{
    type In = T;
    type Accumulator = Option<T>;
    type Out = T;

    const MERGES: bool = true;

    fn add(&self, accumulator: &mut Option<T>, value: T) {
        *accumulator = Some(match accumulator.take() {
            Some(so_far) => (self.combine)(so_far, value),
            None => value,
        });
    }

    fn merge(&self, accumulator: &mut Option<T>, other: Option<T>) {
        if let Some(other) = other {
            self.add(accumulator, other);
        }
    }

    fn result(&self, accumulator: &Option<T>) -> T {
        accumulator.clone().expect("a result is asked for after the first record")
    }
}

/// Folds records into an accumulator by a function. It does not merge, unless it is told how by
/// [`Fold::merging`].
pub struct Fold<T, A, F> {
    fold: F,
    types: PhantomData<fn(T) -> A>,
}

impl<T, A, F: Fn(&mut A, T)> Fold<T, A, F> {
    /// The fold by `fold`, from the default of `A`.
    pub fn new(fold: F) -> Self {
        Self { fold, types: PhantomData }
    }

    /// The same, where `merge(accumulator, other)` makes one accumulator of two.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::aggregate::Fold;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|flags, taps| {
    ///     let windows = flags.key_by(|_: &u64| 'k').window("flags", Tumbling::of(Duration::from_millis(10)));
    ///     let fold = Fold::new(|seen: &mut u64, flag| *seen |= flag).merging(|seen, other| *seen |= other);
    ///     taps.tap("seen", &windows.aggregate(fold).out.map(|window| window.value));
    /// });
    /// script.record(1, 1).record(2, 4).end();
    /// assert_eq!(script.output(), ["seen@9 5"]);
    /// ```
    pub fn merging<M: Fn(&mut A, A)>(self, merge: M) -> MergingFold<T, A, F, M> {
        MergingFold { fold: self, merge }
    }
}

impl<T, A, F> Aggregate for Fold<T, A, F>
where
    T: Data,
    A: State,
    F: Fn(&mut A, T) + Send + Sync + 'static,
{
    type In = T;
    type Accumulator = A;
    type Out = A;

    fn add(&self, accumulator: &mut A, value: T) {
        (self.fold)(accumulator, value);
    }

    fn result(&self, accumulator: &A) -> A {
        accumulator.clone()
    }
}

/// A [`Fold`] that knows how to merge.
pub struct MergingFold<T, A, F, M> {
    fold: Fold<T, A, F>,
    merge: M,
}

impl<T, A, F, M> Aggregate for MergingFold<T, A, F, M>
where
    T: Data,
    A: State,
    F: Fn(&mut A, T) + Send + Sync + 'static,
    M: Fn(&mut A, A) + Send + Sync + 'static,
{
    type In = T;
    type Accumulator = A;
    type Out = A;

    const MERGES: bool = true;

    fn add(&self, accumulator: &mut A, value: T) {
        self.fold.add(accumulator, value);
    }

    fn merge(&self, accumulator: &mut A, other: A) {
        (self.merge)(accumulator, other);
    }

    fn result(&self, accumulator: &A) -> A {
        accumulator.clone()
    }
}
