//! The least and the greatest: of a value, or the record that has it.
//!
//! Values that are no less, equal or greater than themselves, as a `NaN`, count only where there is nothing
//! else. Of records with equal values the one that was taken in first stays.

use std::marker::PhantomData;

use pelton_dataflow::record::Data;
use pelton_state::State;

use super::Aggregate;

/// Whether `new` takes the place of `held`; `GREATEST` says which way.
fn is_better<V: PartialOrd, const GREATEST: bool>(new: &V, held: &V) -> bool {
    let wins = if GREATEST { new > held } else { new < held };
    wins || (held.partial_cmp(held).is_none() && new.partial_cmp(new).is_some())
}

/// The least or greatest of what a function takes from each record: see [`Min`] and [`Max`].
pub struct Extreme<T, V, F, const GREATEST: bool> {
    of: F,
    types: PhantomData<fn(T) -> V>,
}

/// The least of what a function takes from each record.
pub type Min<T, V, F> = Extreme<T, V, F, false>;

/// The greatest of what a function takes from each record.
pub type Max<T, V, F> = Extreme<T, V, F, true>;

impl<T, V, F: Fn(&T) -> V, const GREATEST: bool> Extreme<T, V, F, GREATEST> {
    /// The extreme of `of` over records.
    pub fn new(of: F) -> Self {
        Self { of, types: PhantomData }
    }
}

impl<T, V, F, const GREATEST: bool> Aggregate for Extreme<T, V, F, GREATEST>
where
    T: Data,
    V: Data + PartialOrd,
    Option<V>: State,
    F: Fn(&T) -> V + Send + Sync + 'static,
{
    type In = T;
    type Accumulator = Option<V>;
    type Out = V;

    const MERGES: bool = true;

    fn add(&self, held: &mut Option<V>, value: T) {
        self.add_ref(held, &value);
    }

    fn add_ref(&self, held: &mut Option<V>, value: &T) {
        self.merge(held, Some((self.of)(value)));
    }

    fn merge(&self, held: &mut Option<V>, other: Option<V>) {
        if let Some(new) = other
            && held.as_ref().is_none_or(|held| is_better::<V, GREATEST>(&new, held))
        {
            *held = Some(new);
        }
    }

    fn result(&self, held: &Option<V>) -> V {
        held.clone().expect("a result is asked for after the first record")
    }
}

/// The record with the least or greatest value of a function: see [`MinBy`] and [`MaxBy`].
pub struct ExtremeBy<T, V, F, const GREATEST: bool> {
    by: F,
    types: PhantomData<fn(T) -> V>,
}

/// The record of which a function's value is least.
pub type MinBy<T, V, F> = ExtremeBy<T, V, F, false>;

/// The record of which a function's value is greatest.
pub type MaxBy<T, V, F> = ExtremeBy<T, V, F, true>;

impl<T, V, F: Fn(&T) -> V, const GREATEST: bool> ExtremeBy<T, V, F, GREATEST> {
    /// The record that is extreme by `by`.
    pub fn new(by: F) -> Self {
        Self { by, types: PhantomData }
    }
}

impl<T, V: PartialOrd, F: Fn(&T) -> V, const GREATEST: bool> ExtremeBy<T, V, F, GREATEST> {
    fn replaces(&self, new: &T, held: Option<&T>) -> bool {
        held.is_none_or(|held| is_better::<V, GREATEST>(&(self.by)(new), &(self.by)(held)))
    }
}

impl<T, V, F, const GREATEST: bool> Aggregate for ExtremeBy<T, V, F, GREATEST>
where
    T: Data,
    V: PartialOrd + 'static,
    Option<T>: State,
    F: Fn(&T) -> V + Send + Sync + 'static,
{
    type In = T;
    type Accumulator = Option<T>;
    type Out = T;

    const MERGES: bool = true;

    fn add(&self, held: &mut Option<T>, value: T) {
        if self.replaces(&value, held.as_ref()) {
            *held = Some(value);
        }
    }

    fn add_ref(&self, held: &mut Option<T>, value: &T) {
        if self.replaces(value, held.as_ref()) {
            *held = Some(value.clone());
        }
    }

    fn merge(&self, held: &mut Option<T>, other: Option<T>) {
        if let Some(other) = other {
            self.add(held, other);
        }
    }

    fn result(&self, held: &Option<T>) -> T {
        held.clone().expect("a result is asked for after the first record")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greatest(values: &[f64]) -> f64 {
        let max = Max::new(|value: &f64| *value);
        let mut held = None;
        values.iter().for_each(|value| max.add(&mut held, *value));
        max.result(&held)
    }

    #[test]
    fn what_is_no_number_counts_only_alone() {
        assert_eq!((greatest(&[f64::NAN, 1.0]), greatest(&[1.0, f64::NAN, 2.0, f64::NAN])), (1.0, 2.0));
        assert!(greatest(&[f64::NAN, f64::NAN]).is_nan());
    }

    #[test]
    fn of_equals_the_first_stays() {
        let min = MinBy::new(|(value, _): &(u32, char)| *value);
        let mut held = None;
        [(2, 'a'), (1, 'b'), (1, 'c'), (3, 'd')].into_iter().for_each(|record| min.add(&mut held, record));
        min.merge(&mut held, Some((1, 'e')));
        min.merge(&mut held, None);
        min.add_ref(&mut held, &(1, 'f'));
        assert_eq!(min.result(&held), (1, 'b'));
    }
}
