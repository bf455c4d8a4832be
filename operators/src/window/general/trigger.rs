//! Triggers: when a window fires.
//!
//! A [`Trigger`] is asked at each record of a window, when the window ends, and at the times that it asked for. It may have
//! the window *fire*, which gives a result of what the window holds, and *purge* it, which forgets that. A window
//! that holds nothing gives no result. Without a purge results accumulate: each replaces the one before.
//!
//! * [`AtEnd`], which windows have if they are given no other: as the window ends, and again at each late record;
//! * [`AfterWatermark`]: early by one trigger, at the end, and late by another;
//! * [`OnCount`]: at every so many records; [`EveryEventTime`], [`EveryProcessingTime`]: at regular times;
//! * [`Purging`]: purges whenever a trigger fires, so that each result is of what came since the one before;
//! * [`AnyOf`]: what either of two triggers says; [`Never`]: nothing.
//!
//! # Rules
//!
//! * The hooks of a window are called in the order of their times; at the same time the times that the trigger asked for come
//!   before the end.
//! * Of [`AnyOf`], both are asked each time, each with its own state: that one fires does not reset the other. It fires if either
//!   fires, and purges if either purges. Both are called at the times that either asked for.
//! * [`AfterWatermark`] forgets the state and the times of its early trigger at the end.
//! * Windows that merge keep the times that either asked for; their states are merged by the trigger. One that
//!   cannot merge is refused by sessions as the graph is built.
//! * With the window goes its trigger's state. A purge leaves both, but closes a [`GlobalWindow`](super::GlobalWindow).

use pelton_dataflow::time::EventTime;
use pelton_state::{State, TimeDomain};

use super::assigner::Window;
use super::open::WindowTimers;

mod after_watermark;
mod at_end;
mod combined;
mod count;
mod every;

pub use after_watermark::AfterWatermark;
pub use at_end::{AtEnd, Never};
pub use combined::{AnyOf, Purging};
pub use count::OnCount;
pub use every::{EveryEventTime, EveryProcessingTime};

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Nothing.
    Continue,
    /// It gives a result and keeps what it holds.
    Fire,
    /// It gives a result and forgets what it held.
    FireAndPurge,
    /// It forgets what it held.
    Purge,
}

impl Decision {
    /// Whether the window gives a result.
    #[must_use]
    #[inline]
    pub fn fires(self) -> bool {
        matches!(self, Self::Fire | Self::FireAndPurge)
    }

    /// Whether the window forgets what it held.
    #[must_use]
    #[inline]
    pub fn purges(self) -> bool {
        matches!(self, Self::Purge | Self::FireAndPurge)
    }

    /// To fire or not, to purge or not.
    pub fn of(fires: bool, purges: bool) -> Self {
        match (fires, purges) {
            (false, false) => Self::Continue,
            (true, false) => Self::Fire,
            (true, true) => Self::FireAndPurge,
            (false, true) => Self::Purge,
        }
    }
}

/// Decides when a window fires. One instance serves all windows, so it holds settings; what it remembers of a
/// window is its `State`.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::trigger::{Decision, Trigger, TriggerContext};
/// use pelton_operators::{Tumbling, testing::Harness};
///
/// /// Fires at a record that is greater than all before it.
/// struct OnGreatest;
/// impl Trigger<u64> for OnGreatest {
///     type State = u64;
///     fn on_record(&self, n: &u64, greatest: &mut u64, _: &mut TriggerContext<'_>) -> Decision {
///         let is_greatest = *n > *greatest;
///         *greatest = *n.max(greatest);
///         Decision::of(is_greatest, false)
///     }
/// }
/// let mut script = Harness::new(|input, taps| {
///     let tens = input.key_by(|_: &u64| 'k').window("tens", Tumbling::of(Duration::from_millis(10)));
///     taps.tap("count", &tens.trigger(OnGreatest).count().out.map(|window| window.value));
/// });
/// script.record(1, 5).record(2, 3).record(3, 7).end();
/// assert_eq!(script.output(), ["count@9 1", "count@9 3"]);
/// ```
pub trait Trigger<T>: Send + Sync + 'static {
    /// What it remembers of a window.
    type State: State;

    /// Whether [`Trigger::on_merge`] is there.
    const MERGES: bool = false;

    /// The window is about to take a record: what it decides is done once it has.
    fn on_record(&self, record: &T, state: &mut Self::State, cx: &mut TriggerContext<'_>) -> Decision;

    /// The window ends: the watermark has reached its end, or processing time, or it is full.
    fn on_end(&self, _state: &mut Self::State, _cx: &mut TriggerContext<'_>) -> Decision {
        Decision::Continue
    }

    /// The watermark has reached a time that was asked for.
    fn on_event_time(
        &self,
        _at: EventTime,
        _state: &mut Self::State,
        _cx: &mut TriggerContext<'_>,
    ) -> Decision {
        Decision::Continue
    }

    /// Processing time, in milliseconds since the Unix epoch, has reached a time that was asked for.
    fn on_processing_time(
        &self,
        _at_ms: i64,
        _state: &mut Self::State,
        _cx: &mut TriggerContext<'_>,
    ) -> Decision {
        Decision::Continue
    }

    /// Takes in the state of a later window that merges into this one. Called only if it
    /// [`MERGES`](Trigger::MERGES).
    fn on_merge(&self, _state: &mut Self::State, _other: Self::State) {
        unreachable!("{} says that it merges, and has no `on_merge`", std::any::type_name::<Self>());
    }

    /// Whether there is anything at which it fires.
    fn fires(&self) -> bool {
        true
    }

    /// Whether it asks for times of the clock. One that does is refused where records are shown in event order, as the
    /// graph is built if it says so here, else as it asks.
    fn goes_by_clock(&self) -> bool {
        false
    }

    /// What is wrong with its settings, if anything: a mistake of the graph.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// What `explain` shows.
    fn describe(&self) -> String {
        let name = std::any::type_name::<Self>();
        name.split('<').next().unwrap_or(name).rsplit("::").next().unwrap_or(name).to_owned()
    }
}

/// The window that a trigger is asked about, and its times.
pub struct TriggerContext<'a> {
    pub(super) window: Window,
    pub(super) time: EventTime,
    pub(super) watermark: EventTime,
    pub(super) now_ms: i64,
    pub(super) ended: bool,
    /// Its end is a time that the watermark reaches, not what it spans or a time of the clock.
    pub(super) ends_by_watermark: bool,
    /// The time of its own at which it is called.
    pub(super) called: Option<(TimeDomain, i64)>,
    pub(super) timers: &'a mut WindowTimers,
}

impl TriggerContext<'_> {
    /// The window's bounds: of a session as they are now, of windows of a number of records what they span.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// In `on_record`, the record's event time; otherwise the watermark.
    #[must_use]
    pub fn time(&self) -> EventTime {
        self.time
    }

    /// The operator's watermark.
    #[must_use]
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Processing time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn processing_time_ms(&self) -> i64 {
        self.now_ms
    }

    /// Whether the window has ended: its records are late.
    #[must_use]
    #[inline]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Asks to be called when the watermark reaches `at`. The same time twice is one. In `on_event_time`, a time that is
    /// not later than the one at hand is not noted; nor is any once the input has ended.
    pub fn event_timer_at(&mut self, at: EventTime) {
        if self.watermark != EventTime::END {
            self.set(TimeDomain::Event, at.0);
        }
    }

    /// Takes back a time; none is no error.
    pub fn delete_event_timer(&mut self, at: EventTime) {
        self.timers.delete(TimeDomain::Event, at.0);
    }

    /// Asks to be called when processing time reaches `at_ms`, in milliseconds since the Unix epoch. In
    /// `on_processing_time`, a time that is not later than the one at hand is not noted.
    pub fn processing_timer_at(&mut self, at_ms: i64) {
        self.set(TimeDomain::Processing, at_ms);
    }

    /// Takes back a time; none is no error.
    pub fn delete_processing_timer(&mut self, at_ms: i64) {
        self.timers.delete(TimeDomain::Processing, at_ms);
    }

    /// Takes back all times of the window.
    pub fn clear_timers(&mut self) {
        self.timers.clear();
    }

    fn set(&mut self, domain: TimeDomain, at_ms: i64) {
        if self.called.is_none_or(|(called, time)| called != domain || time < at_ms) {
            self.timers.set(domain, at_ms);
        }
    }
}
