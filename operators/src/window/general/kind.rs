//! The kinds of windows that the general operator knows.

use std::sync::Arc;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_state::{State, TimeDomain};

use super::assigner::{Window, WindowAssigner};
use super::count::CountWindows;
use super::open::{Alarm, Open};

/// Which windows there are.
pub(crate) enum Kind<T> {
    /// Known by their bounds, in the order of their ends.
    Assigned { assigner: Arc<dyn WindowAssigner<T>>, domain: TimeDomain, merges: bool },
    /// Known by the order in which they are full; the first is full first.
    Count(CountWindows),
    /// One.
    Global,
}

impl<T: 'static> Kind<T> {
    pub fn assigned(assigner: Arc<dyn WindowAssigner<T>>) -> Self {
        let (domain, merges) = (assigner.domain(), assigner.merges());
        Self::Assigned { assigner, domain, merges }
    }

    /// What is wrong, if anything.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Assigned { assigner, .. } => assigner.check(),
            Self::Count(windows) => windows.check(),
            Self::Global => Ok(()),
        }
    }

    pub fn merges(&self) -> bool {
        matches!(self, Self::Assigned { merges: true, .. })
    }

    /// Whether windows end by the watermark before the input does, so that records can be late for them.
    pub fn knows_late(&self) -> bool {
        matches!(self, Self::Assigned { domain: TimeDomain::Event, .. })
    }

    /// Whether windows that are open as the input ends have their end then.
    pub fn ends_with_input(&self) -> bool {
        !matches!(self, Self::Count(CountWindows { partial: false, .. }))
    }

    /// The clock by which windows end.
    #[inline]
    pub fn domain(&self) -> TimeDomain {
        match self {
            Self::Assigned { domain, .. } => *domain,
            Self::Count(_) | Self::Global => TimeDomain::Event,
        }
    }

    /// The windows of a record, by its time on their clock, without duplicates.
    #[inline]
    pub fn assign(&self, record: &T, time: EventTime, windows: &mut Vec<Window>) -> OpResult {
        let Self::Assigned { assigner, .. } = self else { return Ok(()) };
        windows.clear();
        assigner.assign(record, time, windows)?;
        if let Some(empty) = windows.iter().find(|window| window.start >= window.end) {
            return Err(format!(
                "{} gives a record at {time} the window {empty}, which has no instant in it",
                assigner.describe()
            )
            .into());
        }
        if windows.len() > 1 {
            windows.sort_unstable_by_key(|window| (window.end, window.start));
            windows.dedup();
        }
        Ok(())
    }

    /// When a window ends for good, by its clock.
    #[inline]
    pub fn closes_at(&self, end: EventTime, lateness_ms: i64) -> i64 {
        end.0.saturating_add(lateness_ms).min(Alarm::LAST_MS)
    }

    /// When a window wants to be called next by the clock of its own, in milliseconds: at its end, then when it
    /// closes.
    #[inline]
    pub(super) fn own_time<H: State, S: State>(&self, open: &Open<H, S>, lateness_ms: i64) -> Option<i64> {
        match self {
            Self::Assigned { .. } if open.ended => Some(self.closes_at(open.window.end, lateness_ms)),
            Self::Assigned { .. } => Some(open.window.end.0.min(Alarm::LAST_MS)),
            Self::Global | Self::Count(CountWindows { partial: true, .. }) => Some(Alarm::LAST_MS),
            Self::Count(_) => None,
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Assigned { assigner, .. } => assigner.describe(),
            Self::Count(windows) => windows.to_string(),
            Self::Global => "global window".to_owned(),
        }
    }
}
