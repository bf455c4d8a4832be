//! Watermark strategies: how a source tells event time.
//!
//! A watermark `w` says that no record earlier than `w` is to come; one that comes all the same is
//! late. It is kept per split, so that a split which is behind is not late because of another.
//!
//! A time that is more than 100,000,000 days away from 1970 is none: such a record is malformed.

use std::time::Duration;

use pelton_dataflow::time::EventTime;

/// How event times are read from records, and how far the watermark stays behind the latest.
///
/// ```
/// # use std::time::Duration;
/// # use pelton_dataflow::time::EventTime;
/// # use pelton_operators::Watermarks;
/// let strategy = Watermarks::bounded(Duration::from_secs(5), |at: &i64| EventTime(*at))
///     .idle_after(Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Watermarks<F> {
    pub(crate) time_of: F,
    pub(crate) out_of_orderness: Duration,
    pub(crate) idle_after: Option<Duration>,
    pub(crate) by_arrival: bool,
    pub(crate) reject_ahead: Option<Duration>,
}

impl<F> Watermarks<F> {
    /// Event times are what `time_of` says of each record; records are out of order by at most
    /// `out_of_orderness`, later ones are late.
    pub fn bounded<T>(out_of_orderness: Duration, time_of: F) -> Self
    where
        F: Fn(&T) -> EventTime + Send + Sync + 'static,
    {
        Self { time_of, out_of_orderness, idle_after: None, by_arrival: false, reject_ahead: None }
    }

    /// A split without records for `idle_after` of processing time no longer holds the watermark
    /// back. Without this a silent split holds it for ever.
    #[must_use]
    pub fn idle_after(mut self, idle_after: Duration) -> Self {
        self.idle_after = Some(idle_after);
        self
    }

    /// Records whose event time is ahead of the clock by more than `limit` when they are read are
    /// malformed: they go to the dead letters of the source, or fail the job if it has none, and
    /// do not move the watermark. Without this the watermark follows them, and one record of the
    /// year 9999 makes all that come after it late; a warning tells when it is two days ahead.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pelton_dataflow::time::EventTime;
    /// # use pelton_operators::Watermarks;
    /// let strategy = Watermarks::bounded(Duration::from_secs(5), |at: &i64| EventTime(*at))
    ///     .reject_ahead(Duration::from_hours(1));
    /// ```
    #[must_use]
    pub fn reject_ahead(mut self, limit: Duration) -> Self {
        self.reject_ahead = Some(limit);
        self
    }
}

/// How a strategy without a function of the user's reads event times: not at all.
pub type NoTime<T> = fn(&T) -> EventTime;

fn no_time<T>(_: &T) -> EventTime {
    EventTime::MIN
}

impl<T> Watermarks<NoTime<T>> {
    /// Records have no event time: for jobs without windows or timers.
    #[must_use]
    pub fn none() -> Self {
        Self {
            time_of: no_time::<T>,
            out_of_orderness: Duration::ZERO,
            idle_after: None,
            by_arrival: false,
            reject_ahead: None,
        }
    }

    /// Event times are those at which the source took the records in, which are in order within
    /// a split. Sources that keep no such times give records none.
    #[must_use]
    pub fn by_arrival() -> Self {
        Self { by_arrival: true, ..Self::none() }
    }
}
