//! Velocity burst: many payments of one card in a short time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::payments::{Alert, EventTime, Payment, Rule};

/// Thresholds of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VelocityBurst {
    /// So many payments are a burst.
    pub payments: usize,
    /// Within this time.
    #[serde(rename = "within_ms", with = "super::millis")]
    pub within: Duration,
}

impl Default for VelocityBurst {
    fn default() -> Self {
        Self { payments: 8, within: Duration::from_secs(60) }
    }
}

/// The latest payments of a card: (time, id) by time, none older than the newest by more than the
/// rule looks back, and at most [`Recent::LIMIT`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// The few that most cards have lie in the struct itself: a list elsewhere is one more wait for
    /// memory at each payment.
    payments: SmallVec<[(EventTime, u64); 2]>,
    /// No further alert before this time: one burst is one alert.
    alerted_until: Option<EventTime>,
}

impl Recent {
    /// A burst is long found by then; a card that never rests shall not grow its state.
    pub const LIMIT: usize = 64;

    /// Inserts a payment by its time, and drops those that are `within` or more behind the newest.
    fn insert(&mut self, at: EventTime, id: u64, within: Duration) {
        let newest = self.payments.last().map_or(at, |&(newest, _)| newest.max(at));
        self.payments.retain(|&mut (time, _)| newest.since(time) < within);
        if newest.since(at) < within {
            let place = self.payments.partition_point(|&(time, _)| time <= at);
            self.payments.insert(place, (at, id));
        }
        let excess = self.payments.len().saturating_sub(Self::LIMIT);
        self.payments.drain(..excess);
    }
}

impl VelocityBurst {
    /// Remembers `payment`, and judges the burst that it may complete.
    pub fn check(&self, payment: &Payment, recent: &mut Recent) -> Option<Alert> {
        recent.insert(payment.time, payment.id, self.within);
        if recent.payments.len() < self.payments
            || recent.alerted_until.is_some_and(|until| payment.time < until)
        {
            return None;
        }
        recent.alerted_until = Some(payment.time + self.within);
        let mut evidence: Vec<u64> =
            recent.payments.iter().map(|&(_, id)| id).filter(|&id| id != payment.id).collect();
        evidence.push(payment.id);
        let fastest = self.within.as_millis() as u64;
        let first = recent.payments.first().map_or(payment.time, |&(first, _)| first);
        let took = payment.time.since(first).as_millis() as u64;
        // A burst that took no time at all is sure.
        let score = (100 - 50 * took.min(fastest) / fastest.max(1)) as u8;
        Some(Alert::new(Rule::VelocityBurst, payment, evidence, score))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::paid;
    use super::*;

    /// The number of payments in the evidence of each alert, for payments at these seconds.
    fn raised(seconds: impl IntoIterator<Item = i64>) -> Vec<usize> {
        let (rule, mut recent) = (VelocityBurst::default(), Recent::default());
        (0..)
            .zip(seconds)
            .filter_map(|(id, at_s)| rule.check(&paid(id, at_s, 1_000), &mut recent))
            .map(|alert| alert.evidence.len())
            .collect()
    }

    #[test]
    fn eight_payments_within_a_minute_are_one_alert() {
        assert_eq!(raised((0..8).map(|i| i * 8)), [8]);
        assert_eq!(raised((0..16).map(|i| i * 2)), [8]);
    }

    #[test]
    fn seven_or_slower_ones_are_none() {
        assert!(raised((0..7).map(|i| i * 2)).is_empty());
        assert!(raised((0..50).map(|i| i * 9)).is_empty());
    }

    #[test]
    fn the_order_of_arrival_does_not_hide_a_burst() {
        assert_eq!(raised([4, 0, 12, 8, 20, 16, 28, 24]), [8]);
    }

    #[test]
    fn a_burst_that_goes_on_is_told_again_after_a_minute() {
        assert_eq!(raised(0..70).len(), 2);
    }

    #[test]
    fn what_is_remembered_stays_bounded() {
        let (rule, mut recent) = (VelocityBurst::default(), Recent::default());
        (0..1_000).for_each(|id| drop(rule.check(&paid(id, 0, 1_000), &mut recent)));
        assert_eq!(recent.payments.len(), Recent::LIMIT);
        rule.check(&paid(1_000, 3_600, 1_000), &mut recent);
        assert_eq!(recent.payments.as_slice(), [(EventTime(3_600_000), 1_000)]);
    }
}
