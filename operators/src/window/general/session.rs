//! Sessions: windows that last as long as records of a key follow each other closely.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_state::TimeDomain;

use super::assigner::{Window, WindowAssigner, check_length};

/// Sessions: a record at `time` opens the window `[time, time + gap)`; windows of a key that overlap or touch become
/// one. So a session ends when its key has had no record for longer than the gap, and records exactly a gap apart are in one
/// session. A late record can join two sessions; what both held is then merged.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Session, testing::Harness};
///
/// let mut script = Harness::new(|clicks, taps| {
///     let visits = clicks.key_by(|user: &char| *user).window("visits", Session::gap(Duration::from_millis(10)));
///     taps.tap("visit", &visits.count().out.map(|visit| (visit.key, visit.start.0, visit.end.0, visit.value)));
/// });
/// script.record(1, 'a').record(9, 'a').record(30, 'a').watermark(20).end();
/// assert_eq!(script.output(), ["visit@18 ('a', 1, 19, 2)", "visit@39 ('a', 30, 40, 1)"]);
/// ```
pub struct Session<T> {
    gap: Gap<T>,
    domain: TimeDomain,
}

enum Gap<T> {
    Fixed(Duration),
    Of(Arc<dyn Fn(&T) -> Duration + Send + Sync>),
}

impl<T> Session<T> {
    /// Sessions that end after a `gap` without records, in whole milliseconds.
    #[must_use]
    pub fn gap(gap: Duration) -> Self {
        Self { gap: Gap::Fixed(gap), domain: TimeDomain::Event }
    }

    /// Sessions whose gap each record says itself: it ends the session no earlier than that after it. Fractions
    /// of a millisecond are cut off; less than a millisecond fails the job.
    #[must_use]
    pub fn dynamic(gap: impl Fn(&T) -> Duration + Send + Sync + 'static) -> Self {
        Self { gap: Gap::Of(Arc::new(gap)), domain: TimeDomain::Event }
    }

    /// Takes records by when they arrive, not by their event time: a session ends when none has come for
    /// the gap, or as the input ends.
    #[must_use]
    pub fn by_processing_time(self) -> Self {
        Self { domain: TimeDomain::Processing, ..self }
    }

    #[inline]
    fn window(&self, record: &T, time: EventTime) -> OpResult<Window> {
        let gap = match &self.gap {
            Gap::Fixed(gap) => *gap,
            Gap::Of(gap) => gap(record),
        };
        let gap_ms = i64::try_from(gap.as_millis()).unwrap_or(i64::MAX);
        if gap_ms < 1 {
            return Err(format!(
                "the gap of a session is at least 1 ms, and a record at {time} asks for {gap:?}"
            )
            .into());
        }
        match time.0.checked_add(gap_ms) {
            Some(end) if time != EventTime::MIN => Ok(Window { start: time, end: EventTime(end) }),
            Some(_) => Err(format!(
                "a record at {time} is in no session: give the source `.watermarks(...)` that read its event time"
            )
            .into()),
            None => Err(format!("a session of a record at {time} with a gap of {gap:?} ends after all time").into()),
        }
    }
}

impl<T: 'static> WindowAssigner<T> for Session<T> {
    #[inline]
    fn assign(&self, record: &T, time: EventTime, windows: &mut Vec<Window>) -> OpResult {
        windows.push(self.window(record, time)?);
        Ok(())
    }

    fn domain(&self) -> TimeDomain {
        self.domain
    }

    fn merges(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        match &self.gap {
            Gap::Fixed(gap) => check_length("a session gap", *gap),
            Gap::Of(_) => Ok(()),
        }
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl<T> fmt::Display for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gap {
            Gap::Fixed(gap) => write!(f, "sessions with a gap of {gap:?}")?,
            Gap::Of(_) => write!(f, "sessions with gaps of the records")?,
        }
        if self.domain == TimeDomain::Processing { write!(f, " of processing time") } else { Ok(()) }
    }
}
