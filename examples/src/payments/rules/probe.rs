//! Probe then hit: a stolen card is tried with a tiny payment, then used for a large one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::arrival::LATENESS;
use crate::payments::{Alert, Cents, EventTime, Payment, Rule};

/// Thresholds of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeThenHit {
    /// The largest amount that is a probe.
    pub probe: Cents,
    /// The least amount that is a hit.
    pub hit: Cents,
    /// The longest time from probe to hit.
    pub within: Duration,
}

impl Default for ProbeThenHit {
    fn default() -> Self {
        Self { probe: Cents(200), hit: Cents(30_000), within: Duration::from_secs(57) }
    }
}

/// A payment that may have been a probe: the latest of its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// When.
    pub at: EventTime,
    /// The payment.
    pub id: u64,
}

impl ProbeThenHit {
    /// Judges `payment`, and remembers it if it may be a probe.
    pub fn check(&self, payment: &Payment, probed: &mut Option<Probed>) -> Option<Alert> {
        if self.is_probe(payment) {
            if probed.is_none_or(|probed| probed.at <= payment.time) {
                *probed = Some(Probed { at: payment.time, id: payment.id });
            }
            return None;
        }
        let probe = (*probed)?;
        let hits =
            self.is_hit(payment) && payment.time >= probe.at && payment.time.since(probe.at) <= self.within;
        hits.then(|| self.alert(probe.id, payment))
    }

    /// Whether `payment` may try a card out.
    #[must_use]
    pub fn is_probe(&self, payment: &Payment) -> bool {
        payment.amount <= self.probe
    }

    /// Whether `payment` may be what a probe was for.
    #[must_use]
    pub fn is_hit(&self, payment: &Payment) -> bool {
        payment.amount >= self.hit
    }

    /// What is to be said of a payment with the id `probe`, and the hit after it.
    #[must_use]
    pub fn alert(&self, probe: u64, hit: &Payment) -> Alert {
        // A hit of ten times the threshold is as sure as it gets.
        let score = (60 + 4 * hit.amount.0 / self.hit.0.max(1)).clamp(60, 100) as u8;
        Alert::new(Rule::ProbeThenHit, hit, vec![probe, hit.id], score)
    }

    /// When no payment can come any more that this probe belongs to.
    #[must_use]
    pub fn needed_until(&self, probed: &Probed) -> EventTime {
        // A payment at the very end of `within` still counts.
        probed.at + self.within + LATENESS + Duration::from_millis(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::paid;
    use super::*;

    /// Ids of payments given as (second, cents), numbered from 0, that raise an alert.
    fn raised(payments: &[(i64, i64)]) -> Vec<Vec<u64>> {
        let (rule, mut probed) = (ProbeThenHit::default(), None);
        (0..)
            .zip(payments)
            .filter_map(|(id, &(at_s, cents))| rule.check(&paid(id, at_s, cents), &mut probed))
            .map(|alert| alert.evidence)
            .collect()
    }

    #[test]
    fn a_large_payment_soon_after_a_tiny_one_is_a_hit() {
        assert_eq!(raised(&[(0, 100), (30, 50_000)]), [[0, 1]]);
        assert_eq!(raised(&[(0, 100), (57, 30_000)]), [[0, 1]]);
        assert_eq!(raised(&[(0, 200), (5, 4_000), (10, 50_000), (20, 60_000)]), [[0, 2], [0, 3]]);
    }

    #[test]
    fn too_late_too_small_or_the_other_way_round_is_none() {
        let none: Vec<Vec<u64>> = vec![];
        assert_eq!(raised(&[(0, 100), (58, 50_000)]), none);
        assert_eq!(raised(&[(0, 201), (30, 50_000)]), none);
        assert_eq!(raised(&[(0, 100), (30, 29_999)]), none);
        assert_eq!(raised(&[(0, 50_000), (30, 100)]), none);
        assert_eq!(raised(&[(30, 100), (29, 50_000)]), none);
    }

    #[test]
    fn the_latest_probe_by_event_time_counts() {
        assert_eq!(raised(&[(10, 100), (5, 100), (60, 50_000)]), [[0, 2]]);
    }
}
