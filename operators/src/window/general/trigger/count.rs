//! At every so many records.

use super::{Decision, Trigger, TriggerContext};

/// Fires at every `count` records of a window since it fired last; not at the window's end.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Tumbling, testing::Harness, trigger::OnCount};
///
/// let mut script = Harness::new(|clicks, taps| {
///     let tens = clicks.key_by(|_: &char| 'k').window("tens", Tumbling::of(Duration::from_millis(10)));
///     taps.tap("count", &tens.trigger(OnCount::of(2)).count().out.map(|window| window.value));
/// });
/// script.record(1, 'a').record(2, 'b').record(3, 'c').record(4, 'd').record(5, 'e').end();
/// assert_eq!(script.output(), ["count@9 2", "count@9 4"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnCount {
    count: u64,
}

impl OnCount {
    /// At every `count` records.
    #[must_use]
    pub fn of(count: u64) -> Self {
        Self { count }
    }
}

impl<T> Trigger<T> for OnCount {
    type State = u64;
    const MERGES: bool = true;

    #[inline]
    fn on_record(&self, _record: &T, taken: &mut u64, _cx: &mut TriggerContext<'_>) -> Decision {
        *taken += 1;
        let is_full = *taken >= self.count;
        if is_full {
            *taken = 0;
        }
        Decision::of(is_full, false)
    }

    /// Windows that have more together fire at the next record.
    fn on_merge(&self, taken: &mut u64, other: u64) {
        *taken += other;
    }

    fn check(&self) -> Result<(), String> {
        if self.count == 0 {
            return Err("a trigger at every 0 records: give at least 1".to_owned());
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("at every {} records", self.count)
    }
}
