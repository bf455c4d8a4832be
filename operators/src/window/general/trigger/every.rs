//! At regular times, if there is news.

use std::time::Duration;

use pelton_dataflow::time::EventTime;

use super::{Decision, Trigger, TriggerContext};
use crate::window::general::assigner::check_length;

/// Fires a window that has not ended when the watermark reaches a multiple of an interval, if there has been a
/// record since. Not at the window's end: `AfterWatermark::early(EveryEventTime::of(..))` does both.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Tumbling, testing::Harness, trigger::{AfterWatermark, EveryEventTime}};
///
/// let mut script = Harness::new(|clicks, taps| {
///     let hundreds = clicks.key_by(|_: &char| 'k').window("hundreds", Tumbling::of(Duration::from_millis(100)));
///     let early = AfterWatermark::early(EveryEventTime::of(Duration::from_millis(10)));
///     taps.tap("count", &hundreds.trigger(early).count().out.map(|window| (window.firing.nth, window.value)));
/// });
/// script.record(1, 'a').record(2, 'b').watermark(10).watermark(30).record(31, 'c').watermark(40).end();
/// assert_eq!(script.output(), ["count@99 (0, 2)", "count@99 (1, 3)", "count@99 (2, 3)"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EveryEventTime {
    interval: Duration,
}

/// Fires a window that has not ended when the clock reaches a multiple of an interval, if there has been a record
/// since. Not at the window's end: `AfterWatermark::early(EveryProcessingTime::of(..))` does both.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Tumbling, testing::Harness, trigger::{AfterWatermark, EveryProcessingTime}};
///
/// let mut script = Harness::new(|clicks, taps| {
///     let hundreds = clicks.key_by(|_: &char| 'k').window("hundreds", Tumbling::of(Duration::from_millis(100)));
///     let early = AfterWatermark::early(EveryProcessingTime::of(Duration::from_secs(1)));
///     taps.tap("count", &hundreds.trigger(early).count().out.map(|window| (window.firing.nth, window.value)));
/// });
/// script.record(1, 'a').record(2, 'b').advance(Duration::from_secs(5)).record(3, 'c').end();
/// assert_eq!(script.output(), ["count@99 (0, 2)", "count@99 (1, 3)"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EveryProcessingTime {
    interval: Duration,
}

/// The first multiple of `interval` after `at_ms`.
fn after(at_ms: i64, interval: Duration) -> i64 {
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    at_ms.saturating_sub(at_ms.rem_euclid(interval_ms)).saturating_add(interval_ms)
}

fn is_multiple(at_ms: i64, interval: Duration) -> bool {
    i64::try_from(interval.as_millis()).is_ok_and(|interval_ms| at_ms.rem_euclid(interval_ms) == 0)
}

impl EveryEventTime {
    /// At multiples of `interval`, in whole milliseconds, of event time.
    #[must_use]
    pub fn of(interval: Duration) -> Self {
        Self { interval }
    }
}

impl EveryProcessingTime {
    /// At multiples of `interval`, in whole milliseconds, of processing time.
    #[must_use]
    pub fn of(interval: Duration) -> Self {
        Self { interval }
    }
}

impl<T> Trigger<T> for EveryEventTime {
    type State = ();
    const MERGES: bool = true;

    fn on_record(&self, _record: &T, (): &mut (), cx: &mut TriggerContext<'_>) -> Decision {
        let next = EventTime(after(cx.time().max(cx.watermark()).0, self.interval));
        if !cx.has_ended() && next < EventTime::END {
            cx.event_timer_at(next);
        }
        Decision::Continue
    }

    fn on_event_time(&self, at: EventTime, (): &mut (), cx: &mut TriggerContext<'_>) -> Decision {
        // At the end it fires by that, if it is a time at all.
        let is_end = cx.ends_by_watermark && at >= cx.window().end;
        let is_before_end = !cx.has_ended() && !is_end;
        Decision::of(is_before_end && is_multiple(at.0, self.interval), false)
    }

    fn on_merge(&self, (): &mut (), (): ()) {}

    fn check(&self) -> Result<(), String> {
        check_length("a trigger's interval", self.interval)
    }

    fn describe(&self) -> String {
        format!("every {:?} of event time", self.interval)
    }
}

impl<T> Trigger<T> for EveryProcessingTime {
    type State = ();
    const MERGES: bool = true;

    fn on_record(&self, _record: &T, (): &mut (), cx: &mut TriggerContext<'_>) -> Decision {
        if !cx.has_ended() {
            cx.processing_timer_at(after(cx.processing_time_ms(), self.interval));
        }
        Decision::Continue
    }

    fn on_processing_time(&self, at_ms: i64, (): &mut (), cx: &mut TriggerContext<'_>) -> Decision {
        Decision::of(!cx.has_ended() && is_multiple(at_ms, self.interval), false)
    }

    fn on_merge(&self, (): &mut (), (): ()) {}

    fn goes_by_clock(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        check_length("a trigger's interval", self.interval)
    }

    fn describe(&self) -> String {
        format!("every {:?} of processing time", self.interval)
    }
}
