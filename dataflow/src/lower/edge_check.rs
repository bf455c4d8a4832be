//! Checks on every edge in debug builds: what a sender promises on a channel, it keeps.
//!
//! Epochs never decrease per sender, watermarks never decrease per sender, and no record of a source
//! comes after the end of time. What a timer of processing time sets off may.

use crate::record::Origin;
#[cfg(debug_assertions)]
use crate::time::EventTime;
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

    /// A batch of `sender`, made from `origin`, arrived under `moment`.
    #[cfg(debug_assertions)]
    pub fn arrived(&mut self, sender: usize, moment: Moment, origin: &Origin) {
        assert!(
            moment.watermark < EventTime::END || origin.spans.is_empty(),
            "edge {}: worker {sender} sent records of {origin} after its end",
            self.name
        );
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
    pub fn arrived(&mut self, _sender: usize, _moment: Moment, _origin: &Origin) {}
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use crate::record::Span;
    use crate::time::Epoch;

    #[test]
    #[should_panic(expected = "edge cards: worker 1 sent")]
    fn a_sender_that_goes_back_is_found() {
        let mut check = EdgeCheck::new("cards", 2);
        check.arrived(1, Moment::new(Epoch(1), EventTime(10)), &Origin::default());
        check.arrived(0, Moment::new(Epoch(0), EventTime(5)), &Origin::default());
        check.arrived(1, Moment::new(Epoch(0), EventTime(20)), &Origin::default());
    }

    #[test]
    #[should_panic(expected = "edge cards: worker 0 sent records of in/0 at 3 after its end")]
    fn a_record_after_the_end_is_found() {
        let mut check = EdgeCheck::new("cards", 1);
        let end = Moment::new(Epoch(1), EventTime::END);
        check.arrived(0, end, &Origin::default());
        check.arrived(0, end, &Origin::of(Span { split: "in/0".into(), first: 3, last: 3 }, 0));
    }
}
