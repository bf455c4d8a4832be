//! The windows of a join: those that lie at the same times for all keys.

use std::fmt;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_state::TimeDomain;

use crate::window::Windows;
use crate::window::aligned::{Apart, Layout};
use crate::window::build::MAX_WINDOWS;
use crate::window::windows::Cut;

pub(super) struct Spans {
    layout: Layout,
    /// For `explain`.
    detail: String,
}

impl Default for Spans {
    /// What stands for windows that cannot be.
    fn default() -> Self {
        let layout = Layout::Apart(Apart::Regular { size: 1, period: 1, offset: 0 });
        Self { layout, detail: String::new() }
    }
}

impl Spans {
    /// What is wrong with the windows, if anything.
    pub fn of<T>(windows: &Windows<T>) -> Result<Self, String> {
        let Cut::Aligned(windows) = &windows.cut else {
            return Err(
                "two streams meet in windows that lie at the same times for all keys: tumbling, sliding, cumulative. In others, \
                 make one stream of both with `union`, and take its windows with `.process(..)`"
                    .to_owned(),
            );
        };
        if windows.domain() == TimeDomain::Processing {
            return Err(
                "records of two streams do not meet by the clock: join in windows of event time".to_owned()
            );
        }
        let layout = windows.layout()?;
        match &layout {
            Layout::Overlapping(overlapping) if overlapping.windows() > MAX_WINDOWS => Err(format!(
                "each record would be kept in {} windows, more than {MAX_WINDOWS}: let them slide in longer steps, or use \
                 `interval_join`",
                overlapping.windows()
            )),
            _ => Ok(Self { layout, detail: windows.to_string() }),
        }
    }

    /// The ends of the windows that `time` falls into, the earliest first; none, if it lies in a gap.
    #[inline]
    pub fn ends_of(&self, time: EventTime) -> OpResult<impl Iterator<Item = EventTime> + use<>> {
        let (one, many) = match &self.layout {
            Layout::Apart(apart) => (apart.window_of(time)?.map(|window| window.end), None),
            Layout::Overlapping(windows) => (None, Some(windows.ends_of(windows.slice_of(time)?))),
        };
        Ok(one.into_iter().chain(many.into_iter().flatten()))
    }

    /// Where the windows lie, as a part of the shape of what is kept by their ends.
    pub fn shape(&self) -> String {
        self.layout.to_string()
    }

    /// The start of the window that ends at `end`.
    pub fn start_of(&self, end: EventTime) -> EventTime {
        self.layout.start_of(end)
    }
}

impl fmt::Display for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
