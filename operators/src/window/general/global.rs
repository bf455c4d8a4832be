//! The global window: all records of a key.

/// One window for all records of a key. It ends as the input does, so on an endless input only a
/// [`Trigger`](super::Trigger) makes it fire, and a graph that gives none is refused.
///
/// Its bounds are the event times of what it holds. A trigger that purges it closes it: the next record opens another.
///
/// ```
/// use pelton_operators::{GlobalWindow, testing::Harness, trigger::OnCount};
///
/// let mut script = Harness::new(|sales, taps| {
///     let all = sales.key_by(|_: &u64| 'k').window("all", GlobalWindow).trigger(OnCount::of(2));
///     taps.tap("sum", &all.sum(|price| *price).out.map(|sum| (sum.firing.nth, sum.value)));
/// });
/// script.record(1, 1).record(2, 10).record(3, 100).record(4, 1000).record(5, 10000);
/// assert_eq!(script.output(), ["sum@2 (0, 11)", "sum@4 (1, 1111)"]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalWindow;
