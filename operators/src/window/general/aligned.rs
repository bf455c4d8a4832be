//! Windows that are aligned to time, as the general operator takes them: for lateness, triggers and evictors.

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_state::TimeDomain;

use super::assigner::{Window, WindowAssigner};
use crate::window::aligned::{Aligned, Layout};

/// Windows that a record may be in: each is an addition per record, to a window that is kept by itself.
const MAX_WINDOWS: i64 = 1_024;

/// The windows of a layout.
pub(crate) struct OfLayout {
    windows: Aligned,
    layout: Result<Layout, String>,
}

impl OfLayout {
    pub fn new(windows: Aligned) -> Self {
        let layout = windows.layout();
        Self { windows, layout }
    }
}

impl<T> WindowAssigner<T> for OfLayout {
    fn assign(&self, _record: &T, time: EventTime, windows: &mut Vec<Window>) -> OpResult {
        let layout = self.layout.as_ref().map_err(String::as_str)?;
        layout.windows_of(time, |span| windows.push(Window { start: span.start, end: span.end }))
    }

    fn domain(&self) -> TimeDomain {
        self.windows.domain()
    }

    fn check(&self) -> Result<(), String> {
        match &self.layout {
            Ok(Layout::Overlapping(windows)) if windows.windows() > MAX_WINDOWS => Err(format!(
                "windows with a lateness, a trigger or an evictor are kept one by one: each record would be added to {} \
                 of them, more than {MAX_WINDOWS}",
                windows.windows()
            )),
            Ok(_) => Ok(()),
            Err(problem) => Err(problem.clone()),
        }
    }

    fn describe(&self) -> String {
        self.windows.to_string()
    }
}
