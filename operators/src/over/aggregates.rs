//! What a range can be aggregated by: the trait, and the functions whose partial aggregates are small.

use pelton_dataflow::record::Data;
use pelton_state::TableValue;
use serde::{Deserialize, Serialize};

/// A function of the values in a range that can be put together from partial aggregates of neighbouring
/// stretches: what slides exactly at a constant cost per record.
///
/// `merge` must be associative, with the default for its neutral element; it need not be commutative, as it
/// is always given neighbours in order. A function whose partial aggregates are large (a set of all values)
/// can subtract instead: then one total is kept, and each value is added and subtracted once.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::over::{RangeAggregate, last};
/// use pelton_operators::testing::Harness;
///
/// /// What is left of numbers that come in pairs.
/// struct Xor;
///
/// impl RangeAggregate<u64> for Xor {
///     type Partial = u64;
///     type Out = u64;
///     fn add(&self, partial: &mut u64, value: &u64) { *partial ^= value }
///     fn merge(&self, partial: &mut u64, later: &u64) { *partial ^= later }
///     fn result(&self, partial: &u64) -> u64 { *partial }
/// }
/// let mut script = Harness::new(|pairs, taps| {
///     let xor = pairs.key_by(|_: &u64| 0u8).over("xor", |n| *n).features(last(Duration::from_millis(10)).aggregate(Xor));
///     taps.tap("left", &xor.out.map(|(_, left)| left));
/// });
/// script.record(1, 5).record(2, 6).record(3, 5).end();
/// assert_eq!(script.output(), ["left@1 5", "left@2 3", "left@3 6"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not aggregate values of `{V}`",
    note = "`.of(|value| ..)` takes the part of a kept value that it can; a function of your own implements `RangeAggregate`"
)]
pub trait RangeAggregate<V>: Send + Sync + 'static {
    /// A partial aggregate; that of nothing is its default.
    type Partial: TableValue + Default;
    /// What a record gets.
    type Out: Data;

    /// Whether values leave by [`RangeAggregate::subtract`] and one total is kept.
    const SUBTRACTS: bool = false;

    /// What is wrong with its settings, if anything: a mistake of the graph.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// What a partial aggregate means besides what its type says: how precise it is, whether it is a least or a greatest.
    /// It is part of the shape of what [`Over::coarsen`](super::Over::coarsen) keeps, so that a checkpoint of another
    /// meaning is refused. Empty if there is nothing to tell.
    fn meaning(&self) -> String {
        String::new()
    }

    /// Takes a value in that comes after all in `partial`.
    fn add(&self, partial: &mut Self::Partial, value: &V);

    /// Takes in what comes after all in `partial`.
    fn merge(&self, partial: &mut Self::Partial, later: &Self::Partial);

    /// Takes a value out that was added. It must leave no trace: integers and counts can do it, floating point
    /// sums cannot. The values that come and go need not be in order.
    fn subtract(&self, _partial: &mut Self::Partial, _value: &V) {
        unreachable!("it does not subtract, by its `SUBTRACTS`")
    }

    /// The aggregate. There is at least one value, that of the record which asks.
    fn result(&self, partial: &Self::Partial) -> Self::Out;
}

/// A function of a part of each value.
#[derive(Clone, Debug)]
pub struct Of<F, A> {
    pub(super) of: F,
    pub(super) aggregate: A,
}

impl<V, U, F, A> RangeAggregate<V> for Of<F, A>
where
    F: Fn(&V) -> U + Send + Sync + 'static,
    A: RangeAggregate<U>,
{
    type Partial = A::Partial;
    type Out = A::Out;
    const SUBTRACTS: bool = A::SUBTRACTS;

    fn check(&self) -> Result<(), String> {
        self.aggregate.check()
    }

    fn meaning(&self) -> String {
        self.aggregate.meaning()
    }

    fn add(&self, partial: &mut A::Partial, value: &V) {
        self.aggregate.add(partial, &(self.of)(value));
    }

    fn merge(&self, partial: &mut A::Partial, later: &A::Partial) {
        self.aggregate.merge(partial, later);
    }

    fn subtract(&self, partial: &mut A::Partial, value: &V) {
        self.aggregate.subtract(partial, &(self.of)(value));
    }

    fn result(&self, partial: &A::Partial) -> A::Out {
        self.aggregate.result(partial)
    }
}

/// See [`Last::count`](super::Last::count).
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl<V> RangeAggregate<V> for Count {
    type Partial = u64;
    type Out = u64;

    fn add(&self, count: &mut u64, _: &V) {
        *count += 1;
    }

    fn merge(&self, count: &mut u64, later: &u64) {
        *count += later;
    }

    fn result(&self, count: &u64) -> u64 {
        *count
    }
}

/// What has a sum. Implement it for a newtype by handing on to the number in it.
pub trait Summable {
    /// A partial sum.
    type Total: TableValue + Default;
    /// The sum.
    type Sum: Data;
    /// Adds one more.
    fn add_to(&self, total: &mut Self::Total);
    /// Adds another partial sum.
    fn merge(total: &mut Self::Total, later: &Self::Total);
    /// The sum.
    fn sum(total: &Self::Total) -> Self::Sum;
}

/// What can be taken for a number with a mean.
pub trait Numeric {
    /// The number, or the nearest there is.
    fn to_f64(&self) -> f64;
}

/// A total has twice the bits of the sum: what is in between cannot run over.
macro_rules! integers {
    ($total:ty, $sum:ty: $($type:ty),+) => {$(
        impl Summable for $type {
            type Total = $total;
            type Sum = $sum;
            fn add_to(&self, total: &mut $total) {
                *total += <$total>::from(*self);
            }
            fn merge(total: &mut $total, later: &$total) {
                *total += later;
            }
            fn sum(total: &$total) -> $sum {
                <$sum>::try_from(*total).unwrap_or(if *total > 0 { <$sum>::MAX } else { <$sum>::MIN })
            }
        }

        impl Numeric for $type {
            fn to_f64(&self) -> f64 {
                *self as f64
            }
        }
    )+};
}

integers!(i128, i64: i8, i16, i32, i64);
integers!(u128, u64: u8, u16, u32, u64);

macro_rules! floats {
    ($($type:ty),+) => {$(
        impl Summable for $type {
            type Total = Compensated;
            type Sum = f64;
            fn add_to(&self, total: &mut Compensated) {
                total.add(Compensated { high: f64::from(*self), low: 0.0 });
            }
            fn merge(total: &mut Compensated, later: &Compensated) {
                total.add(*later);
            }
            fn sum(total: &Compensated) -> f64 {
                total.high
            }
        }

        impl Numeric for $type {
            fn to_f64(&self) -> f64 {
                f64::from(*self)
            }
        }
    )+};
}

floats!(f32, f64);

/// A sum of floating point numbers with what it has lost by rounding: the unevaluated sum of two
/// numbers, `high` the nearest one to it (Knuth's two-sum; "double-double" arithmetic). About 106 bits, so
/// that it takes more than 2^50 additions before a sum without cancellation is wrong in its last bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compensated {
    high: f64,
    low: f64,
}

impl Compensated {
    fn add(&mut self, other: Self) {
        let sum = self.high + other.high;
        if !sum.is_finite() {
            // What is lost of infinity is no number.
            *self = Self { high: sum, low: 0.0 };
            return;
        }
        let part = sum - self.high;
        let lost = (self.high - (sum - part)) + (other.high - part);
        let low = self.low + other.low + lost;
        self.high = sum + low;
        self.low = low - (self.high - sum);
    }
}

/// See [`Last::sum`](super::Last::sum).
#[derive(Clone, Copy, Debug)]
pub struct Sum;

impl<V: Summable> RangeAggregate<V> for Sum {
    type Partial = V::Total;
    type Out = V::Sum;

    fn add(&self, total: &mut V::Total, value: &V) {
        value.add_to(total);
    }

    fn merge(&self, total: &mut V::Total, later: &V::Total) {
        V::merge(total, later);
    }

    fn result(&self, total: &V::Total) -> V::Sum {
        V::sum(total)
    }
}

/// The one of two that stays; one that is not even equal to itself gives way.
fn better<V: PartialOrd + Clone>(kept: &mut Option<V>, next: &V, is_better: impl Fn(&V, &V) -> bool) {
    let replaces = match kept {
        None => true,
        Some(kept) if kept.partial_cmp(&kept).is_none() => next.partial_cmp(next).is_some(),
        Some(kept) => is_better(next, kept),
    };
    if replaces {
        *kept = Some(next.clone());
    }
}

const ITSELF: &str = "a record is in its own range";

macro_rules! extremes {
    ($($(#[$doc:meta])* $name:ident($meaning:literal) = $is_better:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl<V: Data + TableValue + PartialOrd> RangeAggregate<V> for $name {
            type Partial = Option<V>;
            type Out = V;

            fn meaning(&self) -> String {
                $meaning.to_owned()
            }

            fn add(&self, kept: &mut Option<V>, value: &V) {
                better(kept, value, $is_better);
            }

            fn merge(&self, kept: &mut Option<V>, later: &Option<V>) {
                if let Some(later) = later {
                    better(kept, later, $is_better);
                }
            }

            fn result(&self, kept: &Option<V>) -> V {
                kept.clone().expect(ITSELF)
            }
        }
    )+};
}

extremes! {
    /// See [`Last::min`](super::Last::min).
    Min("the least") = |next, kept| next < kept;
    /// See [`Last::max`](super::Last::max).
    Max("the greatest") = |next, kept| next > kept;
}

/// See [`Last::mean`](super::Last::mean).
#[derive(Clone, Copy, Debug)]
pub struct Mean;

impl<V: Numeric> RangeAggregate<V> for Mean {
    type Partial = (u64, Compensated);
    type Out = f64;

    fn add(&self, (count, total): &mut (u64, Compensated), value: &V) {
        *count += 1;
        value.to_f64().add_to(total);
    }

    fn merge(&self, (count, total): &mut (u64, Compensated), later: &(u64, Compensated)) {
        *count += later.0;
        total.add(later.1);
    }

    fn result(&self, (count, total): &(u64, Compensated)) -> f64 {
        total.high / *count as f64
    }
}

/// What of the spread is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Statistic {
    /// Divided by `n`.
    Variance,
    /// Divided by `n - 1`.
    SampleVariance,
    /// The root of the variance.
    Deviation,
}

/// See [`Last::variance`](super::Last::variance).
///
/// Kept are the count, the mean, and the sum of squared distances from that mean, merged as Chan, Golub and
/// LeVeque do ("Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979; Welford's
/// update is its case of one). Sums of squares would cancel where the mean is large against the spread, and
/// what was subtracted from them would leave its rounding errors for ever.
#[derive(Clone, Copy, Debug)]
pub struct Spread(pub(super) Statistic);

/// The moments of some numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    mean: f64,
    /// The sum of squared distances from the mean.
    squares: f64,
}

impl Moments {
    fn merge(&mut self, later: &Self) {
        if later.count == 0 {
            return;
        }
        let count = self.count + later.count;
        let (own, other) = (self.count as f64, later.count as f64);
        let distance = later.mean - self.mean;
        self.mean += distance * (other / count as f64);
        self.squares += later.squares + distance * distance * (own * other / count as f64);
        self.count = count;
    }
}

impl<V: Numeric> RangeAggregate<V> for Spread {
    type Partial = Moments;
    type Out = f64;

    fn add(&self, moments: &mut Moments, value: &V) {
        moments.merge(&Moments { count: 1, mean: value.to_f64(), squares: 0.0 });
    }

    fn merge(&self, moments: &mut Moments, later: &Moments) {
        moments.merge(later);
    }

    fn result(&self, moments: &Moments) -> f64 {
        let count = moments.count as f64;
        match self.0 {
            Statistic::Variance => moments.squares / count,
            Statistic::SampleVariance if moments.count == 1 => 0.0,
            Statistic::SampleVariance => moments.squares / (count - 1.0),
            Statistic::Deviation => (moments.squares / count).sqrt(),
        }
    }
}

/// See [`Last::first`](super::Last::first).
#[derive(Clone, Copy, Debug)]
pub struct First;

impl<V: Data + TableValue> RangeAggregate<V> for First {
    type Partial = Option<V>;
    type Out = V;

    fn meaning(&self) -> String {
        "the first".to_owned()
    }

    fn add(&self, first: &mut Option<V>, value: &V) {
        if first.is_none() {
            *first = Some(value.clone());
        }
    }

    fn merge(&self, first: &mut Option<V>, later: &Option<V>) {
        if first.is_none() {
            first.clone_from(later);
        }
    }

    fn result(&self, first: &Option<V>) -> V {
        first.clone().expect(ITSELF)
    }
}

/// See [`Last::latest`](super::Last::latest).
#[derive(Clone, Copy, Debug)]
pub struct Latest;

impl<V: Data + TableValue> RangeAggregate<V> for Latest {
    type Partial = Option<V>;
    type Out = V;

    fn meaning(&self) -> String {
        "the latest".to_owned()
    }

    fn add(&self, latest: &mut Option<V>, value: &V) {
        *latest = Some(value.clone());
    }

    fn merge(&self, latest: &mut Option<V>, later: &Option<V>) {
        if later.is_some() {
            latest.clone_from(later);
        }
    }

    fn result(&self, latest: &Option<V>) -> V {
        latest.clone().expect(ITSELF)
    }
}

/// See [`Last::latest_n`](super::Last::latest_n).
#[derive(Clone, Copy, Debug)]
pub struct LatestN(pub(super) usize);

impl LatestN {
    fn cut<V>(self, latest: &mut Vec<V>) {
        let surplus = latest.len().saturating_sub(self.0);
        latest.drain(..surplus);
    }
}

impl<V: Data + TableValue> RangeAggregate<V> for LatestN {
    type Partial = Vec<V>;
    type Out = Vec<V>;

    fn check(&self) -> Result<(), String> {
        match self.0 {
            0 => Err("the latest 0 records are none: give at least 1".to_owned()),
            _ => Ok(()),
        }
    }

    fn meaning(&self) -> String {
        format!("the latest {}", self.0)
    }

    fn add(&self, latest: &mut Vec<V>, value: &V) {
        latest.push(value.clone());
        self.cut(latest);
    }

    fn merge(&self, latest: &mut Vec<V>, later: &Vec<V>) {
        latest.extend_from_slice(later);
        self.cut(latest);
    }

    fn result(&self, latest: &Vec<V>) -> Vec<V> {
        latest.clone()
    }
}
