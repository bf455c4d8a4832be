//! How far the clock of an operator's windows has come: event time, or that of the machine.

use std::sync::Arc;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::KeyHash;
use pelton_dataflow::operator::OperatorContext;
use pelton_dataflow::record::Record;
use pelton_dataflow::time::EventTime;
use pelton_state::TimeDomain;

use crate::reached::Reached;

/// Which windows are due.
pub(super) struct Progress {
    reached: Reached,
    /// If windows go by processing time.
    clock: Option<Arc<dyn Clock>>,
    /// The input has ended: all windows are due, whatever the clock says.
    is_over: bool,
}

impl Progress {
    pub fn restore(cx: &OperatorContext<'_>, domain: TimeDomain, reached: Reached) -> Self {
        let clock = (domain == TimeDomain::Processing).then(|| cx.clock.clone());
        let mut progress = Self { reached, clock, is_over: false };
        if progress.clock.is_some() {
            // One clock for all keys: it goes on where the fastest was.
            progress.reached.advance(progress.reached.furthest());
        }
        progress
    }

    /// Gives records the time that counts for their windows.
    pub fn stamp<T>(&self, records: &mut [Record<T>]) {
        if let Some(clock) = &self.clock {
            // A clock that was set back does not open windows again that have fired.
            let now = EventTime(clock.now_ms()).max(self.reached.told());
            records.iter_mut().for_each(|record| record.time = now);
        }
    }

    /// Takes a watermark in; whether windows may be due by it.
    pub fn on_watermark(&mut self, watermark: EventTime) -> bool {
        if self.clock.is_some() {
            self.is_over |= watermark == EventTime::END;
            return self.is_over;
        }
        self.reached.advance(watermark);
        true
    }

    pub fn on_processing_time(&mut self, now_ms: i64) {
        if self.clock.is_some() {
            self.reached.advance(EventTime(now_ms));
        }
    }

    /// When the clock of the machine has to be looked at, if `next` is the end of the earliest window.
    pub fn wakeup_ms(&self, next: impl FnOnce() -> Option<EventTime>) -> Option<i64> {
        self.clock.as_ref().and_then(|_| next()).map(|end| end.0)
    }

    /// Windows that end up to here are due.
    #[inline]
    pub fn due(&self) -> EventTime {
        if self.is_over { EventTime::END } else { self.reached.told() }
    }

    /// What ends up to here is late for all keys.
    #[inline]
    pub fn told(&self) -> EventTime {
        self.reached.told()
    }

    /// Whether all keys have come as far.
    #[inline]
    pub fn is_even(&self) -> bool {
        self.reached.is_even()
    }

    /// What ends up to here is late for a key of this hash.
    #[inline]
    pub fn of(&self, hash: KeyHash) -> EventTime {
        self.reached.of(hash)
    }

    /// As a checkpoint keeps it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.reached.to_bytes()
    }
}

/// What an operator leaves that keeps nothing besides its progress.
pub(super) fn restore(cx: &OperatorContext<'_>, domain: TimeDomain) -> OpResult<Progress> {
    Ok(Progress::restore(cx, domain, Reached::restore(cx)?))
}
