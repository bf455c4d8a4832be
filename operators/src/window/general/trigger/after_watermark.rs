//! Early, on time, late.

use pelton_dataflow::time::EventTime;
use pelton_state::State;

use super::count::OnCount;
use super::{Decision, Never, Trigger, TriggerContext};

/// Fires as the window ends; before, by one trigger; for late records, by another.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::trigger::{AfterWatermark, OnCount};
/// use pelton_operators::{Tumbling, testing::Harness};
///
/// let mut script = Harness::new(|clicks, taps| {
///     let tens = clicks.key_by(|_: &char| 'k').window("tens", Tumbling::of(Duration::from_millis(10)));
///     let trigger = AfterWatermark::early(OnCount::of(2)).late(OnCount::of(1));
///     let counts = tens.allowed_lateness(Duration::from_millis(5)).trigger(trigger).count();
///     taps.tap("count", &counts.out.map(|window| (window.firing.to_string(), window.value)));
/// });
/// script.record(1, 'a').record(2, 'b').record(3, 'c').watermark(10).record(4, 'd').watermark(15).end();
/// assert_eq!(script.output(), [r#"count@9 ("early #0", 2)"#, r#"count@9 ("on time #1", 3)"#, r#"count@9 ("late #2", 4)"#]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterWatermark<E = Never, L = OnCount> {
    early: E,
    late: L,
}

/// What an [`AfterWatermark`] remembers of a window: its two triggers' states.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(bound = "")]
pub struct EarlyAndLate<E: State, L: State> {
    early: E,
    late: L,
}

impl AfterWatermark {
    /// Nothing early; on time; at each late record.
    #[must_use]
    pub fn new() -> Self {
        Self::early(Never)
    }
}

impl Default for AfterWatermark {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> AfterWatermark<E, OnCount> {
    /// Early by `early`; on time; at each late record.
    #[must_use]
    pub fn early(early: E) -> Self {
        Self { early, late: OnCount::of(1) }
    }
}

impl<E, L> AfterWatermark<E, L> {
    /// Late records by `late`, in place of each.
    #[must_use]
    pub fn late<L2>(self, late: L2) -> AfterWatermark<E, L2> {
        AfterWatermark { early: self.early, late }
    }
}

impl<T, E: Trigger<T>, L: Trigger<T>> Trigger<T> for AfterWatermark<E, L> {
    type State = EarlyAndLate<E::State, L::State>;
    const MERGES: bool = E::MERGES && L::MERGES;

    #[inline]
    fn on_record(&self, record: &T, state: &mut Self::State, cx: &mut TriggerContext<'_>) -> Decision {
        match cx.has_ended() {
            false => self.early.on_record(record, &mut state.early, cx),
            true => self.late.on_record(record, &mut state.late, cx),
        }
    }

    fn on_end(&self, state: &mut Self::State, cx: &mut TriggerContext<'_>) -> Decision {
        state.early = E::State::default();
        cx.clear_timers();
        Decision::Fire
    }

    fn on_event_time(&self, at: EventTime, state: &mut Self::State, cx: &mut TriggerContext<'_>) -> Decision {
        match cx.has_ended() {
            false => self.early.on_event_time(at, &mut state.early, cx),
            true => self.late.on_event_time(at, &mut state.late, cx),
        }
    }

    fn on_processing_time(
        &self,
        at_ms: i64,
        state: &mut Self::State,
        cx: &mut TriggerContext<'_>,
    ) -> Decision {
        match cx.has_ended() {
            false => self.early.on_processing_time(at_ms, &mut state.early, cx),
            true => self.late.on_processing_time(at_ms, &mut state.late, cx),
        }
    }

    fn on_merge(&self, state: &mut Self::State, other: Self::State) {
        self.early.on_merge(&mut state.early, other.early);
        self.late.on_merge(&mut state.late, other.late);
    }

    fn goes_by_clock(&self) -> bool {
        self.early.goes_by_clock() || self.late.goes_by_clock()
    }

    fn check(&self) -> Result<(), String> {
        self.early.check().and_then(|()| self.late.check())
    }

    fn describe(&self) -> String {
        format!("at the end, early {}, late {}", self.early.describe(), self.late.describe())
    }
}
