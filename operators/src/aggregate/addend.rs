//! What can be added up without running over.

use std::ops::Add;
use std::time::Duration;

use pelton_state::State;

/// What [`Sum`](super::Sum) adds up, beginning with its default. A sum of integers that is beyond what its type holds stays
/// at that bound, as in [`over`](crate::over::Last::sum), whose sums have 64 bits: it neither comes round to something small,
/// nor does one record end the job. With signed numbers the bound may be reached in between, and the sum then go on from
/// there; take a wider type where that can be.
///
/// A newtype hands on to the number in it:
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::aggregate::Addend;
/// use pelton_operators::{Tumbling, testing::Harness};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
/// struct Cents(u64);
///
/// impl Addend for Cents {
///     fn increase(&mut self, by: &Self) { self.0.increase(&by.0) }
/// }
/// let mut script = Harness::new(|prices, taps| {
///     let windows = prices.key_by(|_: &u64| 'k').window("sales", Tumbling::of(Duration::from_millis(10)));
///     taps.tap("sum", &windows.sum(|price| Cents(*price)).out.map(|window| window.value));
/// });
/// script.record(1, 5).record(2, 7).record(11, 5).record(12, u64::MAX).end();
/// assert_eq!(script.output(), ["sum@9 Cents(12)", "sum@19 Cents(18446744073709551615)"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be added up",
    note = "implement `Addend` for it, by handing on to the numbers in it; or take the sum of a number: `.sum(|it| it.amount)`"
)]
pub trait Addend: State {
    /// Adds `by` to what there is.
    fn increase(&mut self, by: &Self);
}

macro_rules! addends {
    ($add:ident: $($type:ty),+) => {$(
        impl Addend for $type {
            #[inline]
            fn increase(&mut self, by: &Self) {
                *self = <$type>::$add(*self, *by);
            }
        }
    )+};
}

addends!(saturating_add: u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, Duration);
addends!(add: f32, f64);
