//! The windows of a join: those that lie at the same times for all keys.

use std::fmt;
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;

use crate::window::windows::Cut;
use crate::window::{Tumbling, Windows};

pub(super) struct Spans(Tumbling);

impl Default for Spans {
    /// What stands for windows that cannot be.
    fn default() -> Self {
        Self(Tumbling::of(Duration::from_millis(1)))
    }
}

impl Spans {
    /// What is wrong with the windows, if anything.
    pub fn of<T>(windows: &Windows<T>) -> Result<Self, String> {
        let Cut::Tumbling(windows) = &windows.cut;
        windows.check()?;
        Ok(Self(*windows))
    }

    /// The ends of the windows that `time` falls into, the earliest first.
    #[inline]
    pub fn ends_of(&self, time: EventTime) -> OpResult<impl Iterator<Item = EventTime> + use<>> {
        Ok(std::iter::once(self.0.end_of(time)?))
    }

    /// The start of the window that ends at `end`.
    pub fn start_of(&self, end: EventTime) -> EventTime {
        self.0.start_of(end)
    }
}

impl fmt::Display for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
