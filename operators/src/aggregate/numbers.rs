//! Aggregates to numbers: [`Count`], [`Sum`], [`Mean`].

use pelton_dataflow::record::Data;
use std::marker::PhantomData;

use super::{Addend, Aggregate};

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

    const MERGES: bool = true;

    fn add(&self, count: &mut u64, _value: T) {
        *count += 1;
    }

    fn add_ref(&self, count: &mut u64, _value: &T) {
        *count += 1;
    }

    fn merge(&self, count: &mut u64, other: u64) {
        *count += other;
    }

    fn result(&self, count: &u64) -> u64 {
        *count
    }
}

/// Adds up what a function takes from each record: see [`Addend`] for sums that are too large.
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
    V: Addend,
    F: Fn(&T) -> V + Send + Sync + 'static,
{
    type In = T;
    type Accumulator = V;
    type Out = V;

    const MERGES: bool = true;

    fn add(&self, sum: &mut V, value: T) {
        sum.increase(&(self.of)(&value));
    }

    fn add_ref(&self, sum: &mut V, value: &T) {
        sum.increase(&(self.of)(value));
    }

    fn merge(&self, sum: &mut V, other: V) {
        sum.increase(&other);
    }

    fn result(&self, sum: &V) -> V {
        sum.clone()
    }
}

/// The arithmetic mean of what a function takes from each record.
pub struct Mean<T, F> {
    of: F,
    types: PhantomData<fn(T)>,
}

impl<T, F: Fn(&T) -> f64> Mean<T, F> {
    /// The mean of `of` over records.
    pub fn new(of: F) -> Self {
        Self { of, types: PhantomData }
    }
}

impl<T: Data, F: Fn(&T) -> f64 + Send + Sync + 'static> Aggregate for Mean<T, F> {
    type In = T;
    /// The sum, and how many there were.
    type Accumulator = (f64, u64);
    type Out = f64;

    const MERGES: bool = true;

    fn add(&self, accumulator: &mut (f64, u64), value: T) {
        self.add_ref(accumulator, &value);
    }

    fn add_ref(&self, (sum, count): &mut (f64, u64), value: &T) {
        *sum += (self.of)(value);
        *count += 1;
    }

    fn merge(&self, (sum, count): &mut (f64, u64), other: (f64, u64)) {
        *sum += other.0;
        *count += other.1;
    }

    fn result(&self, (sum, count): &(f64, u64)) -> f64 {
        *sum / *count as f64
    }
}
