//! The struct that is kept of a key, and its timers.

use pelton_dataflow::key::{Key, KeyHash};
use pelton_dataflow::time::EventTime;
use pelton_state::timers::Timers;
use pelton_state::{StateError, TableValue, TimeDomain};
use serde::{Deserialize, Serialize};

use super::history::TableRows;
use super::keep::Open;
use super::sliding::Window;

/// What is kept of a key. `W` is what is not yet in the window.
#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "W: Serialize, E: Serialize",
    deserialize = "W: Deserialize<'de>, E: Deserialize<'de>"
))]
pub(super) struct Kept<W, E, S> {
    pub waiting: W,
    pub window: Window<E, S>,
    pub open: Open<E>,
    pub alarms: Alarms,
}

impl<W: Default, E, S> Default for Kept<W, E, S> {
    fn default() -> Self {
        Self { waiting: W::default(), window: Window::default(), open: None, alarms: Alarms::default() }
    }
}

impl<W: Clone, E: Clone, S> Clone for Kept<W, E, S> {
    fn clone(&self) -> Self {
        let Self { waiting, window, open, alarms } = self;
        Self { waiting: waiting.clone(), window: window.clone(), open: open.clone(), alarms: *alarms }
    }
}

/// Compared with its default alone: as long as there is anything, an alarm is set.
impl<W, E, S> PartialEq for Kept<W, E, S> {
    fn eq(&self, other: &Self) -> bool {
        self.alarms == other.alarms
    }
}

impl<W, E: TableValue, S> Kept<W, E, S> {
    /// Lets go of all that is kept if even the last of it is out of range by the watermark, and says so; else has
    /// the key called once it may be.
    pub fn expire<K: Key>(
        &mut self,
        last_ms: Option<i64>,
        reach_ms: i64,
        watermark: EventTime,
        timers: &mut Timers<K>,
        rows: &mut TableRows<'_, K>,
    ) -> Result<bool, StateError> {
        let Some(last_ms) = last_ms else { return Ok(false) };
        let expires_ms = last_ms.saturating_add(reach_ms);
        if expires_ms > watermark.0 {
            self.alarms.expire_at(expires_ms, timers, (rows.hash, rows.key))?;
            return Ok(false);
        }
        self.open = None;
        self.window.clear(rows)?;
        Ok(true)
    }
}

/// When the key wants to be called. Both alarms may be one timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Alarms {
    /// The earliest record that waits can be released.
    release_ms: Option<i64>,
    /// All that is kept is out of range by then.
    expire_ms: Option<i64>,
}

impl Alarms {
    /// Whoever is called at `watermark` has heard the alarms up to there.
    pub fn heard(&mut self, watermark: EventTime) {
        for alarm in [&mut self.release_ms, &mut self.expire_ms] {
            alarm.take_if(|at_ms| *at_ms <= watermark.0);
        }
    }

    /// Has the key called once a record at `first_ms` can be released, if it is not called before.
    pub fn release_after<K: Key>(
        &mut self,
        first_ms: i64,
        timers: &mut Timers<K>,
        (hash, key): (KeyHash, &K),
    ) -> Result<(), StateError> {
        let at_ms = first_ms.saturating_add(1);
        match self.release_ms {
            Some(known) if known <= at_ms => return Ok(()),
            Some(known) if self.expire_ms != Some(known) => {
                timers.delete(TimeDomain::Event, hash, key, known)?;
            }
            _ => {}
        }
        self.release_ms = Some(at_ms);
        timers.set(TimeDomain::Event, hash, key, at_ms)
    }

    /// Has the key called at `at_ms` or before, to see whether all is out of range.
    pub fn expire_at<K: Key>(
        &mut self,
        at_ms: i64,
        timers: &mut Timers<K>,
        (hash, key): (KeyHash, &K),
    ) -> Result<(), StateError> {
        if self.expire_ms.is_some() {
            return Ok(());
        }
        self.expire_ms = Some(at_ms);
        timers.set(TimeDomain::Event, hash, key, at_ms)
    }
}
