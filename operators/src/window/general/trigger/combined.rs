//! Triggers of triggers.

use pelton_dataflow::time::EventTime;

use super::{Decision, Trigger, TriggerContext};

/// Purges the window whenever a trigger fires: each result is of what came since the one before.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Tumbling, testing::Harness, trigger::{OnCount, Purging}};
///
/// let mut script = Harness::new(|sales, taps| {
///     let tens = sales.key_by(|_: &u64| 'k').window("tens", Tumbling::of(Duration::from_millis(10)));
///     taps.tap("sum", &tens.trigger(Purging::of(OnCount::of(2))).sum(|price| *price).out.map(|sum| sum.value));
/// });
/// script.record(1, 1).record(2, 10).record(3, 100).record(4, 1000);
/// assert_eq!(script.output(), ["sum@9 11", "sum@9 1100"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purging<A> {
    trigger: A,
}

impl<A> Purging<A> {
    /// When `trigger` fires.
    #[must_use]
    pub fn of(trigger: A) -> Self {
        Self { trigger }
    }
}

fn purging(decision: Decision) -> Decision {
    Decision::of(decision.fires(), decision.fires() || decision.purges())
}

impl<T, A: Trigger<T>> Trigger<T> for Purging<A> {
    type State = A::State;
    const MERGES: bool = A::MERGES;

    #[inline]
    fn on_record(&self, record: &T, state: &mut A::State, cx: &mut TriggerContext<'_>) -> Decision {
        purging(self.trigger.on_record(record, state, cx))
    }

    fn on_end(&self, state: &mut A::State, cx: &mut TriggerContext<'_>) -> Decision {
        purging(self.trigger.on_end(state, cx))
    }

    fn on_event_time(&self, at: EventTime, state: &mut A::State, cx: &mut TriggerContext<'_>) -> Decision {
        purging(self.trigger.on_event_time(at, state, cx))
    }

    fn on_processing_time(&self, at_ms: i64, state: &mut A::State, cx: &mut TriggerContext<'_>) -> Decision {
        purging(self.trigger.on_processing_time(at_ms, state, cx))
    }

    fn on_merge(&self, state: &mut A::State, other: A::State) {
        self.trigger.on_merge(state, other);
    }

    fn fires(&self) -> bool {
        self.trigger.fires()
    }

    fn goes_by_clock(&self) -> bool {
        self.trigger.goes_by_clock()
    }

    fn check(&self) -> Result<(), String> {
        self.trigger.check()
    }

    fn describe(&self) -> String {
        format!("{}, purging", self.trigger.describe())
    }
}

/// Fires if either of two triggers fires.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Tumbling, testing::Harness, trigger::{AnyOf, AtEnd, OnCount}};
///
/// let mut script = Harness::new(|clicks, taps| {
///     let tens = clicks.key_by(|_: &char| 'k').window("tens", Tumbling::of(Duration::from_millis(10)));
///     taps.tap("count", &tens.trigger(AnyOf::new(OnCount::of(2), AtEnd)).count().out.map(|window| window.value));
/// });
/// script.record(1, 'a').record(2, 'b').record(3, 'c').end();
/// assert_eq!(script.output(), ["count@9 2", "count@9 3"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyOf<A, B> {
    first: A,
    second: B,
}

impl<A, B> AnyOf<A, B> {
    /// When `first` or `second` fires.
    #[must_use]
    pub fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

fn either(first: Decision, second: Decision) -> Decision {
    Decision::of(first.fires() || second.fires(), first.purges() || second.purges())
}

impl<T, A: Trigger<T>, B: Trigger<T>> Trigger<T> for AnyOf<A, B> {
    type State = (A::State, B::State);
    const MERGES: bool = A::MERGES && B::MERGES;

    fn on_record(&self, record: &T, state: &mut Self::State, cx: &mut TriggerContext<'_>) -> Decision {
        let first = self.first.on_record(record, &mut state.0, cx);
        either(first, self.second.on_record(record, &mut state.1, cx))
    }

    fn on_end(&self, state: &mut Self::State, cx: &mut TriggerContext<'_>) -> Decision {
        let first = self.first.on_end(&mut state.0, cx);
        either(first, self.second.on_end(&mut state.1, cx))
    }

    fn on_event_time(&self, at: EventTime, state: &mut Self::State, cx: &mut TriggerContext<'_>) -> Decision {
        let first = self.first.on_event_time(at, &mut state.0, cx);
        either(first, self.second.on_event_time(at, &mut state.1, cx))
    }

    fn on_processing_time(
        &self,
        at_ms: i64,
        state: &mut Self::State,
        cx: &mut TriggerContext<'_>,
    ) -> Decision {
        let first = self.first.on_processing_time(at_ms, &mut state.0, cx);
        either(first, self.second.on_processing_time(at_ms, &mut state.1, cx))
    }

    fn on_merge(&self, state: &mut Self::State, other: Self::State) {
        self.first.on_merge(&mut state.0, other.0);
        self.second.on_merge(&mut state.1, other.1);
    }

    fn fires(&self) -> bool {
        self.first.fires() || self.second.fires()
    }

    fn goes_by_clock(&self) -> bool {
        self.first.goes_by_clock() || self.second.goes_by_clock()
    }

    fn check(&self) -> Result<(), String> {
        self.first.check().and_then(|()| self.second.check())
    }

    fn describe(&self) -> String {
        format!("{} or {}", self.first.describe(), self.second.describe())
    }
}
