//! Windows that lie at the same times for all keys, and the arithmetic of where.
//!
//! They come in two kinds, and an operator is made for each: windows that lie *apart*, where a record is in one at
//! most, and windows that *overlap*, which are put together of slices.
//!
//! Nothing here overflows: a window that event time cannot hold is an error that names the record's time.

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_state::TimeDomain;

use super::days;
use super::{Cumulative, Sliding, Tumbling};

/// Windows of one of the ways to cut.
#[derive(Clone, Debug)]
pub(crate) enum Aligned {
    Tumbling(Tumbling),
    Sliding(Sliding),
    Cumulative(Cumulative),
}

/// `start <= time < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: EventTime,
    pub end: EventTime,
}

impl Span {
    #[inline]
    pub fn contains(self, time: EventTime) -> bool {
        self.start <= time && time < self.end
    }
}

/// Windows of which a time is in one at most.
#[derive(Clone, Debug)]
pub(crate) enum Apart {
    /// `[n * period + offset, n * period + offset + size)`, in ms.
    Regular { size: i64, period: i64, offset: i64 },
    /// Days of a time zone that begin `offset` ms after midnight.
    Days { zone: TimeZone, offset: i64 },
}

/// Windows that overlap, in ms. Offsets are below what they shift.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Overlapping {
    /// `[n * slide + offset, n * slide + offset + size)`.
    Sliding { size: i64, slide: i64, offset: i64 },
    /// `[n * max + offset, n * max + offset + m * step)` for each `m` up to `max / step`.
    Cumulative { max: i64, step: i64, offset: i64 },
}

/// A stretch of time that no window begins or ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub span: Span,
    /// The end of the last window that it belongs to.
    pub last: EventTime,
}

/// What an operator is made for.
#[derive(Debug)]
pub(crate) enum Layout {
    Apart(Apart),
    Overlapping(Overlapping),
}

impl Aligned {
    /// What is wrong with the settings, if anything; else the layout.
    pub fn layout(&self) -> Result<Layout, String> {
        match self {
            Self::Tumbling(windows) => windows.layout().map(Layout::Apart),
            Self::Sliding(windows) => windows.layout(),
            Self::Cumulative(windows) => windows.layout(),
        }
    }

    /// Which clock they go by.
    pub fn domain(&self) -> TimeDomain {
        match self {
            Self::Tumbling(windows) => windows.domain,
            Self::Sliding(windows) => windows.domain,
            Self::Cumulative(windows) => windows.domain,
        }
    }
}

/// Where windows lie, in one line: part of the shape of a state that is kept by the ends of windows, so that a checkpoint is
/// not read by others.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apart(Apart::Regular { size, period, offset }) => {
                write!(f, "windows of {size} ms every {period} ms from {offset} ms")
            }
            Self::Apart(Apart::Days { zone, offset }) => {
                write!(f, "days in {} from {offset} ms", zone.iana_name().unwrap_or("UTC"))
            }
            Self::Overlapping(Overlapping::Sliding { size, slide, offset }) => {
                write!(f, "windows of {size} ms every {slide} ms from {offset} ms")
            }
            Self::Overlapping(Overlapping::Cumulative { max, step, offset }) => {
                write!(f, "windows of up to {max} ms by {step} ms from {offset} ms")
            }
        }
    }
}

impl fmt::Display for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tumbling(windows) => windows.fmt(f)?,
            Self::Sliding(windows) => windows.fmt(f)?,
            Self::Cumulative(windows) => windows.fmt(f)?,
        }
        match self.domain() {
            TimeDomain::Event => Ok(()),
            TimeDomain::Processing => f.write_str(" by processing time"),
        }
    }
}

impl Layout {
    /// Calls `take` with each window that `time` is in, the earliest first.
    pub fn windows_of(&self, time: EventTime, mut take: impl FnMut(Span)) -> OpResult {
        match self {
            Self::Apart(apart) => apart.window_of(time)?.into_iter().for_each(take),
            Self::Overlapping(overlapping) => {
                let slice = overlapping.slice_of(time)?;
                for end in overlapping.ends_of(slice) {
                    take(Span { start: overlapping.start_of(end), end });
                }
            }
        }
        Ok(())
    }

    /// The slice that `time` is in, unless it lies in a gap. What does not overlap is its own slice.
    pub fn slice_of(&self, time: EventTime) -> OpResult<Option<Slice>> {
        match self {
            Self::Apart(apart) => Ok(apart.window_of(time)?.map(|span| Slice { span, last: span.end })),
            Self::Overlapping(overlapping) => overlapping.slice_of(time).map(Some),
        }
    }

    /// The start of the window that ends at `end`.
    pub fn start_of(&self, end: EventTime) -> EventTime {
        match self {
            Self::Apart(apart) => apart.start_of(end),
            Self::Overlapping(overlapping) => overlapping.start_of(end),
        }
    }
}

impl Apart {
    /// The window that `time` is in; there may be gaps between them.
    pub fn window_of(&self, time: EventTime) -> OpResult<Option<Span>> {
        let window = match self {
            Self::Regular { size, period, offset } => {
                let into = into_period(time.0, *period, *offset);
                if into >= *size {
                    return Ok(None);
                }
                span(time.0.checked_sub(into), *size)
            }
            Self::Days { zone, offset } => days::day_of(zone, time, *offset),
        };
        match window {
            Some(window) if time != EventTime::MIN => Ok(Some(window)),
            _ => Err(beyond(time).into()),
        }
    }

    /// The start of the window that ends at `end`.
    pub fn start_of(&self, end: EventTime) -> EventTime {
        match self {
            Self::Regular { size, .. } => EventTime(end.0 - size),
            Self::Days { zone, offset } => {
                let day = days::day_of(zone, EventTime(end.0 - 1), *offset);
                day.expect("a record has been in this window").start
            }
        }
    }
}

impl Overlapping {
    /// The slice that `time` is in.
    pub fn slice_of(self, time: EventTime) -> OpResult<Slice> {
        let slice = match self {
            Self::Sliding { size, slide, offset } => sliding_slice(time.0, size, slide, offset),
            Self::Cumulative { max, step, offset } => cumulative_slice(time.0, max, step, offset),
        };
        match slice {
            Some(slice) if time != EventTime::MIN => Ok(slice),
            _ => Err(beyond(time).into()),
        }
    }

    /// The earliest end of a window behind `time`, if event time has one.
    pub fn next_end(self, time: EventTime) -> Option<EventTime> {
        let (period, offset) = self.ends();
        time.0.checked_add(period - into_period(time.0, period, offset)).map(EventTime)
    }

    /// The latest end of a window that `time` has reached.
    pub fn last_end(self, time: EventTime) -> EventTime {
        let (period, offset) = self.ends();
        match time {
            EventTime::END => time,
            _ => EventTime(time.0.saturating_sub(into_period(time.0, period, offset))),
        }
    }

    /// The ends of the windows that a slice belongs to, in order.
    pub fn ends_of(self, slice: Slice) -> impl Iterator<Item = EventTime> {
        let before = EventTime(slice.span.end.0 - 1);
        let ends = std::iter::successors(self.next_end(before), move |end| self.next_end(*end));
        ends.take_while(move |end| *end <= slice.last)
    }

    /// The start of the window that ends at `end`.
    pub fn start_of(self, end: EventTime) -> EventTime {
        match self {
            Self::Sliding { size, .. } => EventTime(end.0.saturating_sub(size)),
            Self::Cumulative { max, offset, .. } => {
                let last = end.0.saturating_sub(1);
                EventTime(last.saturating_sub(into_period(last, max, offset)))
            }
        }
    }

    /// How many windows a record is in, at most.
    pub fn windows(self) -> i64 {
        match self {
            Self::Sliding { size, slide, .. } => size / slide + i64::from(size % slide != 0),
            Self::Cumulative { max, step, .. } => max / step,
        }
    }

    /// How many slices a window is made of, at most.
    pub fn slices(self) -> i64 {
        match self {
            Self::Sliding { size, slide, .. } if size % slide == 0 => size / slide,
            Self::Sliding { size, slide, .. } => 2 * (size / slide) + 1,
            Self::Cumulative { max, step, .. } => max / step,
        }
    }

    /// The period of the windows' ends, and how they are shifted.
    fn ends(self) -> (i64, i64) {
        match self {
            Self::Sliding { size, slide, offset } => {
                let (into, room) = (size % slide, slide - offset);
                (slide, if into >= room { into - room } else { into + offset })
            }
            Self::Cumulative { step, offset, .. } => (step, offset % step),
        }
    }
}

/// How far `time` is into its period. `offset` is at least 0 and less than `period`.
#[inline]
fn into_period(time: i64, period: i64, offset: i64) -> i64 {
    let into = time.rem_euclid(period) - offset;
    if into < 0 { into + period } else { into }
}

fn span(start: Option<i64>, length: i64) -> Option<Span> {
    let end = start?.checked_add(length)?;
    Some(Span { start: EventTime(start?), end: EventTime(end) })
}

/// Windows begin and end at two times of each slide: so there are two slices in it, or one.
fn sliding_slice(time: i64, size: i64, slide: i64, offset: i64) -> Option<Slice> {
    let into = into_period(time, slide, offset);
    let base = time.checked_sub(into)?;
    let ends_at = size % slide;
    let (from, to) = if into < ends_at { (0, ends_at) } else { (ends_at, slide) };
    // The earliest of its windows begins so much before.
    base.checked_sub(size)?;
    Some(Slice { span: span(base.checked_add(from), to - from)?, last: EventTime(base.checked_add(size)?) })
}

fn cumulative_slice(time: i64, max: i64, step: i64, offset: i64) -> Option<Slice> {
    let into = into_period(time, max, offset);
    let base = time.checked_sub(into)?;
    let last = base.checked_add(max)?;
    Some(Slice { span: span(base.checked_add(into - into % step), step)?, last: EventTime(last) })
}

#[cold]
fn beyond(time: EventTime) -> String {
    format!(
        "a record at {time} falls into no window: give the source `.watermarks(...)` that read its event time"
    )
}

/// The milliseconds of a length of time, or what is wrong with it. `what` is what it is the length of.
pub(super) fn millis(what: &str, length: Duration) -> Result<i64, String> {
    if length < Duration::from_millis(1) {
        return Err(format!("{what} of {length:?} is empty: give at least 1 ms"));
    }
    if !length.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(format!("{what} of {length:?} is not a whole number of milliseconds"));
    }
    i64::try_from(length.as_millis())
        .map_err(|_| format!("{what} of {length:?} is longer than event time reaches"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layouts() -> impl Strategy<Value = Layout> {
        let regular = (1i64..20, 1i64..20, -30i64..30).prop_map(|(size, period, offset)| {
            let millis = |ms: i64| Duration::from_millis(ms.unsigned_abs());
            Aligned::Sliding(Sliding::of(millis(size)).every(millis(period)).offset(offset))
        });
        let cumulative = (1i64..6, 1i64..6, -30i64..30).prop_map(|(steps, step, offset)| {
            let millis = |ms: i64| Duration::from_millis(ms.unsigned_abs());
            Aligned::Cumulative(Cumulative::of(millis(steps * step)).step(millis(step)).offset(offset))
        });
        prop_oneof![regular, cumulative].prop_map(|windows| windows.layout().unwrap())
    }

    /// All windows, by their definition, that `time` is in.
    fn by_definition(layout: &Layout, time: i64) -> Vec<(i64, i64)> {
        let (period, offset, lengths): (i64, i64, Vec<i64>) = match layout {
            Layout::Apart(Apart::Regular { size, period, offset })
            | Layout::Overlapping(Overlapping::Sliding { size, slide: period, offset }) => {
                (*period, *offset, vec![*size])
            }
            Layout::Overlapping(Overlapping::Cumulative { max, step, offset }) => {
                (*max, *offset, (1..=max / step).map(|steps| steps * step).collect())
            }
            Layout::Apart(Apart::Days { .. }) => unreachable!("not made here"),
        };
        let starts = (-200..200).map(|n| n * period + offset);
        let all = starts.flat_map(|start| lengths.iter().map(move |length| (start, start + length)));
        let mut found: Vec<_> = all.filter(|(start, end)| (*start..*end).contains(&time)).collect();
        found.sort_by_key(|(_, end)| *end);
        found
    }

    fn windows_of(layout: &Layout, time: i64) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        layout.windows_of(EventTime(time), |span| found.push((span.start.0, span.end.0))).unwrap();
        found
    }

    proptest! {
        #[test]
        fn a_time_is_in_the_windows_that_the_definition_says(layout in layouts(), time in -60i64..60) {
            prop_assert_eq!(windows_of(&layout, time), by_definition(&layout, time));
        }

        /// Slices follow each other without a gap, are in the same windows throughout, and ends of windows are ends of slices.
        #[test]
        fn slices_tile_the_windows(layout in layouts(), from in -60i64..60) {
            let Layout::Overlapping(windows) = layout else { return Ok(()) };
            let mut time = from;
            while time < from + 60 {
                let slice = windows.slice_of(EventTime(time)).unwrap();
                prop_assert!(slice.span.contains(EventTime(time)));
                for time in slice.span.start.0..slice.span.end.0 {
                    prop_assert_eq!(windows.slice_of(EventTime(time)).unwrap(), slice);
                    prop_assert_eq!(windows_of(&layout, time), windows_of(&layout, slice.span.start.0));
                    let ended = windows.last_end(EventTime(time));
                    prop_assert!(ended.0 <= time && windows.next_end(EventTime(time)).unwrap().0 > time);
                    prop_assert_eq!(windows.next_end(EventTime(ended.0 - 1)), Some(ended));
                }
                prop_assert_eq!(windows_of(&layout, time).last().unwrap().1, slice.last.0);
                time = slice.span.end.0;
            }
        }

        #[test]
        fn no_time_is_too_early_or_too_late_to_be_asked_about(layout in layouts(), near in 0i64..100) {
            for time in [i64::MIN + near, i64::MAX - near] {
                let mut found = Vec::new();
                if layout.windows_of(EventTime(time), |span| found.push(span)).is_ok() {
                    prop_assert!(found.iter().all(|span| span.contains(EventTime(time))), "{:?} of {}", found, time);
                }
                if let Layout::Overlapping(windows) = &layout {
                    prop_assert!(windows.last_end(EventTime(time)).0 <= time);
                    prop_assert!(windows.next_end(EventTime(time)).is_none_or(|end| end.0 > time));
                }
            }
        }
    }

    #[test]
    fn the_largest_windows_have_bounds_too() {
        let all =
            Layout::Overlapping(Overlapping::Sliding { size: i64::MAX, slide: i64::MAX - 1, offset: 5 });
        assert!(all.windows_of(EventTime(i64::MAX - 1), |_| ()).is_err());
        assert!(all.windows_of(EventTime(i64::MIN + 1), |_| ()).is_err());
        let huge = Apart::Regular { size: i64::MAX, period: i64::MAX, offset: 0 };
        assert_eq!(
            huge.window_of(EventTime(7)).unwrap(),
            Some(Span { start: EventTime(0), end: EventTime::END })
        );
    }
}
