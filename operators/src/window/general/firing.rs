//! What a window gives as it fires.

use std::fmt;

use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use serde::{Deserialize, Serialize};

use super::assigner::Window;

/// Where a result of a window stands to the window's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Timing {
    /// The window has not ended: more may come that is not late.
    Early,
    /// The first result since the window ended, which had been open till then.
    OnTime,
    /// Later than that: the window was opened anew, or changed, by late records.
    Late,
}

/// Which of the results of its window one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Firing {
    /// Where it stands to the window's end.
    pub timing: Timing,
    /// How many results the window has given before, those of windows that have merged into it included. Unless the
    /// trigger purges, this one replaces them.
    pub nth: u32,
}

impl Firing {
    /// Whether the window has given no result before.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.nth == 0
    }
}

impl fmt::Display for Firing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timing = match self.timing {
            Timing::Early => "early",
            Timing::OnTime => "on time",
            Timing::Late => "late",
        };
        write!(f, "{timing} #{}", self.nth)
    }
}

/// One of the results of a window that may give several. Its event time is the last millisecond of the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct WindowUpdate<K: Key, V: Data> {
    /// The key.
    pub key: K,
    /// The window's first instant.
    pub start: EventTime,
    /// The first instant after the window. A session may grow: its next result then has other bounds.
    pub end: EventTime,
    /// What came of the records.
    pub value: V,
    /// Which of the window's results this is.
    pub firing: Firing,
}

/// A window that fires, lent to a window function.
#[derive(Clone, Copy, Debug)]
pub struct FiredWindow<'a, K> {
    /// Its key.
    pub key: &'a K,
    /// Its bounds.
    pub window: Window,
    /// Which of its results this is.
    pub firing: Firing,
}
