//! Checks on every edge in debug builds: what a sender promises on a channel, it keeps.
//!
//! Epochs never decrease per sender, watermarks never decrease per sender, and nothing comes after
//! the end of time but what the end itself set off.

use crate::time::Moment;

/// The last moment of each sender of one channel.
#[derive(Default)]
pub struct EdgeCheck {
    #[cfg(debug_assertions)]
    name: String,
    #[cfg(debug_assertions)]
    last: Vec<Option<Moment>>,
}

impl EdgeCheck {
    /// A check of the channel `name` with `senders` senders.
    #[cfg(debug_assertions)]
    pub fn new(name: &str, senders: usize) -> Self {
        Self { name: name.to_owned(), last: vec![None; senders] }
    }

    /// In release builds nothing is checked.
    #[cfg(not(debug_assertions))]
    pub fn new(_name: &str, _senders: usize) -> Self {
        Self {}
    }

    /// A batch of `sender` arrived under `moment`.
    #[cfg(debug_assertions)]
    pub fn arrived(&mut self, sender: usize, moment: Moment) {
        if let Some(last) = self.last[sender] {
            assert!(
                moment.epoch >= last.epoch && moment.watermark >= last.watermark,
                "edge {}: worker {sender} sent {moment:?} after {last:?}",
                self.name
            );
        }
        self.last[sender] = Some(moment);
    }

    /// In release builds nothing is checked.
    #[cfg(not(debug_assertions))]
    #[inline]
    pub fn arrived(&mut self, _sender: usize, _moment: Moment) {}
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use crate::time::{Epoch, EventTime};

    #[test]
    #[should_panic(expected = "edge cards: worker 1 sent")]
    fn a_sender_that_goes_back_is_found() {
        let mut check = EdgeCheck::new("cards", 2);
        check.arrived(1, Moment::new(Epoch(1), EventTime(10)));
        check.arrived(0, Moment::new(Epoch(0), EventTime(5)));
        check.arrived(1, Moment::new(Epoch(0), EventTime(20)));
    }
}
