//! Aggregates of windows as functions of ranges.

use super::aggregates::RangeAggregate;
use crate::aggregate::Aggregate;

/// See [`Last::by`](super::Last::by).
#[derive(Clone, Copy, Debug)]
pub struct By<A>(pub(super) A);

impl<V: 'static, A: Aggregate<In = V>> RangeAggregate<V> for By<A> {
    /// None before the first value: an accumulator that has taken in nothing need not merge.
    type Partial = Option<A::Accumulator>;
    type Out = A::Out;

    fn check(&self) -> Result<(), String> {
        match A::MERGES {
            true => Ok(()),
            false => Err(format!(
                "{} does not merge, which a range needs: give it a `merge`, or implement `RangeAggregate`",
                std::any::type_name::<A>()
            )),
        }
    }

    fn add(&self, partial: &mut Self::Partial, value: &V) {
        self.0.add_ref(partial.get_or_insert_default(), value);
    }

    fn merge(&self, partial: &mut Self::Partial, later: &Self::Partial) {
        match (partial, later) {
            (_, None) => {}
            (Some(partial), Some(later)) => self.0.merge(partial, later.clone()),
            (partial @ None, Some(_)) => partial.clone_from(later),
        }
    }

    fn result(&self, partial: &Self::Partial) -> A::Out {
        self.0.result(partial.as_ref().expect("a record is in its own range"))
    }
}
