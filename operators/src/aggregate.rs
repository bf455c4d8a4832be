//! Aggregates: how records become one value, for `aggregate` on keyed streams and windows.

use std::marker::PhantomData;
use std::ops::AddAssign;

use pelton_dataflow::record::Data;
use pelton_state::State;

/// An incremental aggregate. Its accumulator begins as its default.
pub trait Aggregate: Send + Sync + 'static {
    /// What is aggregated.
    type In: Data;
    /// What is kept.
    type Accumulator: State;
    /// What is emitted.
    type Out: Data;

    /// Takes a record in.
    fn add(&self, accumulator: &mut Self::Accumulator, value: Self::In);

    /// The aggregate of what was taken in.
    fn result(&self, accumulator: &Self::Accumulator) -> Self::Out;
}

/// Counts records.
pub struct Count<T>(PhantomData<fn(T)>);

impl<T> Count<T> {
    /// The count of records of type `T`.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Count<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Data> Aggregate for Count<T> {
    type In = T;
    type Accumulator = u64;
    type Out = u64;

    fn add(&self, count: &mut u64, _value: T) {
        *count += 1;
    }

    fn result(&self, count: &u64) -> u64 {
        *count
    }
}

/// Adds up what a function takes from each record.
pub struct Sum<T, V, F> {
    of: F,
    types: PhantomData<fn(T) -> V>,
}

impl<T, V, F: Fn(&T) -> V> Sum<T, V, F> {
    /// The sum of `of` over records.
    pub fn new(of: F) -> Self {
        Self { of, types: PhantomData }
    }
}

impl<T, V, F> Aggregate for Sum<T, V, F>
where
    T: Data,
    V: State + AddAssign,
    F: Fn(&T) -> V + Send + Sync + 'static,
{
    type In = T;
    type Accumulator = V;
    type Out = V;

    fn add(&self, sum: &mut V, value: T) {
        *sum += (self.of)(&value);
    }

    fn result(&self, sum: &V) -> V {
        sum.clone()
    }
}

/// Folds records into an accumulator by a function.
pub struct Fold<T, A, F> {
    fold: F,
    types: PhantomData<fn(T) -> A>,
}

impl<T, A, F: Fn(&mut A, T)> Fold<T, A, F> {
    /// The fold by `fold`, from the default of `A`.
    pub fn new(fold: F) -> Self {
        Self { fold, types: PhantomData }
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
