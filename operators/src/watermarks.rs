//! Watermark strategies: how a source tells event time.
//!
//! A watermark `w` says that no record earlier than `w` is to come; one that comes all the same is
//! late. It is kept per split, so that a split which is behind is not late because of another.
//! Where watermarks come from is the strategy's *generator*; what is done about splits that are
//! silent, run ahead or lie is the same for all of them.
//!
//! A time that is more than 100,000,000 days away from 1970 is none: such a record is malformed.

use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::time::EventTime;

mod generator;

pub use generator::{Behind, Punctuated, WatermarkGenerator};

/// How event times are read from records, and how far the watermark stays behind the latest.
///
/// ```
/// # use std::time::Duration;
/// # use pelton_dataflow::time::EventTime;
/// # use pelton_operators::Watermarks;
/// let strategy = Watermarks::bounded(Duration::from_secs(5), |at: &i64| EventTime(*at))
///     .idle_after(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct Watermarks<F, G = Behind> {
    pub(crate) time_of: F,
    pub(crate) generator: G,
    /// Records have event times: read from them, or by arrival.
    pub(crate) has_times: bool,
    pub(crate) idle_after: Option<Duration>,
    pub(crate) by_arrival: bool,
    pub(crate) reject_ahead: Option<Duration>,
    pub(crate) clamp_ahead: Option<Duration>,
    pub(crate) aligned: Option<Aligned>,
}

/// With whom a source keeps step.
#[derive(Clone, Debug)]
pub(crate) struct Aligned {
    pub group: Arc<str>,
    pub max_drift: Duration,
}

impl<F> Watermarks<F> {
    /// Event times are what `time_of` says of each record; records are out of order by at most
    /// `out_of_orderness`, later ones are late.
    pub fn bounded<T>(out_of_orderness: Duration, time_of: F) -> Self
    where
        F: Fn(&T) -> EventTime + Send + Sync + 'static,
    {
        Self::new(time_of, Behind(out_of_orderness))
    }

    /// Event times never go back within a split: the watermark is the latest of them.
    ///
    /// ```
    /// # use pelton_dataflow::time::EventTime;
    /// # use pelton_operators::Watermarks;
    /// let strategy = Watermarks::monotonous(|at: &i64| EventTime(*at));
    /// ```
    pub fn monotonous<T>(time_of: F) -> Self
    where
        F: Fn(&T) -> EventTime + Send + Sync + 'static,
    {
        Self::bounded(Duration::ZERO, time_of)
    }
}

impl<F, G> Watermarks<F, G> {
    fn new(time_of: F, generator: G) -> Self {
        Self {
            time_of,
            generator,
            has_times: true,
            idle_after: None,
            by_arrival: false,
            reject_ahead: None,
            clamp_ahead: None,
            aligned: None,
        }
    }

    /// The watermark is what `generator` makes of the records of each split.
    ///
    /// ```
    /// use pelton_dataflow::time::EventTime;
    /// use pelton_operators::{WatermarkGenerator, Watermarks};
    ///
    /// /// The time of the record before the last.
    /// #[derive(Clone)]
    /// struct OneBehind;
    ///
    /// impl WatermarkGenerator<i64> for OneBehind {
    ///     type State = [i64; 2];
    ///     fn on_record(&self, last: &mut [i64; 2], _: &i64, time: EventTime) {
    ///         *last = [last[1], time.0];
    ///     }
    ///     fn watermark(&self, last: &[i64; 2]) -> EventTime {
    ///         EventTime(last[0])
    ///     }
    /// }
    /// let strategy = Watermarks::custom(|at: &i64| EventTime(*at), OneBehind);
    /// ```
    pub fn custom<T>(time_of: F, generator: G) -> Self
    where
        F: Fn(&T) -> EventTime + Send + Sync + 'static,
        G: WatermarkGenerator<T>,
    {
        Self::new(time_of, generator)
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

    /// Records whose event time is ahead of the clock by more than `limit` when they are read are
    /// taken, with the time that they have, but the watermark follows them only to `limit` ahead of
    /// the clock. Beside [`Watermarks::reject_ahead`], which loses such records, this is for clocks
    /// that are somewhat wrong.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pelton_dataflow::time::EventTime;
    /// # use pelton_operators::Watermarks;
    /// let strategy = Watermarks::monotonous(|at: &i64| EventTime(*at))
    ///     .clamp_ahead(Duration::from_mins(1));
    /// ```
    #[must_use]
    pub fn clamp_ahead(mut self, limit: Duration) -> Self {
        self.clamp_ahead = Some(limit);
        self
    }

    /// Keeps the splits of all sources of `group` in step: a split whose watermark is ahead of the
    /// least of the group by more than `max_drift` is not read until the others have followed. So
    /// what waits downstream for the slowest of them stays small. A batch may go beyond the limit.
    ///
    /// Idle and finished splits do not count. A split that is silent without being idle holds the
    /// group back, as it holds back the watermark: give [`Watermarks::idle_after`] too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pelton_dataflow::time::EventTime;
    /// # use pelton_operators::Watermarks;
    /// let strategy = Watermarks::bounded(Duration::from_secs(5), |at: &i64| EventTime(*at))
    ///     .idle_after(Duration::from_secs(30))
    ///     .aligned("orders and payments", Duration::from_mins(1));
    /// ```
    #[must_use]
    pub fn aligned(mut self, group: impl Into<Arc<str>>, max_drift: Duration) -> Self {
        self.aligned = Some(Aligned { group: group.into(), max_drift });
        self
    }

    /// What cannot work, and what to do.
    pub(crate) fn mistake(&self) -> Option<String> {
        let aligned = self.aligned.as_ref()?;
        if aligned.group.is_empty() {
            return Some(
                "it is aligned with a group without a name: give all its sources the same".to_owned(),
            );
        }
        // What is in time's range, but would never hold anybody, is a slip too.
        if i64::try_from(aligned.max_drift.as_millis()).is_err() {
            let drift = aligned.max_drift;
            return Some(format!(
                "a drift of {drift:?} is longer than event time reaches: leave `.aligned` out"
            ));
        }
        None
    }

    /// For explain, behind where the source reads.
    pub(crate) fn describe(&self) -> String {
        let aligned = self.aligned.as_ref();
        aligned
            .map_or_else(String::new, |it| format!(", aligned with `{}` within {:?}", it.group, it.max_drift))
    }
}

impl<T, F, P> Watermarks<F, Punctuated<T, P>> {
    /// The watermark is what `mark` says of records that carry one: the end of a file, a heartbeat,
    /// a transaction's commit time. The last record counts as well as those before it: a
    /// mark promises that what comes *after* it is no earlier.
    ///
    /// ```
    /// # use pelton_dataflow::time::EventTime;
    /// # use pelton_operators::Watermarks;
    /// let strategy = Watermarks::punctuated(
    ///     |(at, _): &(i64, bool)| EventTime(*at),
    ///     |(at, is_last_of_its_second)| is_last_of_its_second.then_some(EventTime(*at)),
    /// );
    /// ```
    pub fn punctuated(time_of: F, mark: P) -> Self
    where
        F: Fn(&T) -> EventTime + Send + Sync + 'static,
        P: Fn(&T) -> Option<EventTime> + Clone + Send + Sync + 'static,
    {
        Self::new(time_of, Punctuated::new(mark))
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
        Self { has_times: false, ..Self::new(no_time::<T>, Behind(Duration::ZERO)) }
    }

    /// Event times are those at which the source took the records in, which are in order within
    /// a split. Sources that keep no such times give records none.
    #[must_use]
    pub fn by_arrival() -> Self {
        Self { by_arrival: true, has_times: true, ..Self::none() }
    }
}
