//! Aggregates: how records become one value, for `aggregate` on keyed streams and windows.
//!
//! An [`Aggregate`] takes records in one by one and keeps what it needs of them in an *accumulator*, not
//! the records. One that can also *merge* two accumulators into one lets windows share work: sliding windows add each
//! record once however many windows it is in, sessions grow together, and workers aggregate a part each.
//!
//! * [`Count`], [`Sum`], [`Mean`]: numbers; [`Addend`] is what has a sum;
//! * [`Min`], [`Max`]: the least and greatest of a value; [`MinBy`], [`MaxBy`]: the record that has it;
//! * [`Reduce`], [`Fold`]: by a function;
//! * a tuple of up to eight aggregates is an aggregate: all of them at once over one stream.
//!
//! ```
//! use std::time::Duration;
//! use pelton_operators::aggregate::{Count, Max, Mean};
//! use pelton_operators::{Tumbling, testing::Harness};
//!
//! let mut script = Harness::new(|bids, taps| {
//!     let windows = bids.key_by(|_: &u32| 'k').window("bids", Tumbling::of(Duration::from_millis(10)));
//!     let all = windows.aggregate((Count::new(), Max::new(|bid| *bid), Mean::new(|bid| f64::from(*bid))));
//!     taps.tap("all", &all.out.map(|window| window.value));
//! });
//! script.record(1, 5).record(2, 7).record(3, 6).end();
//! assert_eq!(script.output(), ["all@9 (3, 7, 6.0)"]);
//! ```

use pelton_dataflow::record::Data;
use pelton_state::State;

mod addend;
mod extremes;
mod functions;
mod numbers;
mod tuples;

pub use addend::Addend;
pub use extremes::{Max, MaxBy, Min, MinBy};
pub use functions::{Fold, MergingFold, Reduce};
pub use numbers::{Count, Mean, Sum};

/// An incremental aggregate. Its accumulator begins as its default.
///
/// Records come in no promised order, so neither the order of additions nor that of merges may change
/// the result, unless any of the results is as good.
pub trait Aggregate: Send + Sync + 'static {
    /// What is aggregated.
    type In: Data;
    /// What is kept.
    type Accumulator: State;
    /// What is emitted.
    type Out: Data;

    /// Whether [`Aggregate::merge`] is there. What needs to merge, such as session windows, refuses an aggregate that
    /// cannot; what only gains by it, such as sliding windows, does without.
    const MERGES: bool = false;

    /// Takes a record in.
    fn add(&self, accumulator: &mut Self::Accumulator, value: Self::In);

    /// As [`Aggregate::add`], of a record that others need too: worth having where a copy can be saved.
    fn add_ref(&self, accumulator: &mut Self::Accumulator, value: &Self::In) {
        self.add(accumulator, value.clone());
    }

    /// Takes in all that `other` has taken in, in general later than `accumulator` has. Called only if it
    /// [`MERGES`](Aggregate::MERGES).
    fn merge(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator) {
        let _ = (accumulator, other);
        unreachable!("{} says that it merges, and has no `merge`", std::any::type_name::<Self>());
    }

    /// The aggregate of what was taken in: at least one record.
    fn result(&self, accumulator: &Self::Accumulator) -> Self::Out;
}
