//! The rules as one function of a card and its next payment, in the order in which payments arrive: what
//! the job `fraud_core` runs.
//!
//! What is decided depends on that order and on event times alone, never on when a watermark comes: timers only
//! free what no payment can need any more ([`ArrivalCard::forget`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ImpossibleTravel, Overspend, ProbeThenHit, Probed, Recent, Sighting, Spending, VelocityBurst};
use crate::payments::generator::LATENESS_MS;
use crate::payments::{Alert, EventTime, Payment};

/// How late a payment may come and still be judged by everything before it: what a rule remembers
/// is kept this much longer than the rule itself looks back.
pub const LATENESS: Duration = Duration::from_millis(LATENESS_MS.unsigned_abs());

/// What is remembered of a card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrivalCard {
    /// A payment that may have tried the card out.
    pub probed: Option<Probed>,
    /// Where it paid last.
    pub seen: Option<Sighting>,
    /// What it paid in the last minute.
    pub recent: Recent,
    /// What it has paid so far, suspicious payments left out.
    pub spending: Spending,
}

impl ArrivalCard {
    /// Frees what no payment can need once event time has reached `at`.
    pub fn forget(&mut self, at: EventTime, rules: &ArrivalRules) {
        if self.probed.is_some_and(|probed| rules.probe.needed_until(&probed) <= at) {
            self.probed = None;
        }
    }
}

/// All rules, with their thresholds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArrivalRules {
    /// A tiny payment, then a large one.
    pub probe: ProbeThenHit,
    /// Two places at once.
    pub travel: ImpossibleTravel,
    /// Many payments in a short time.
    pub velocity: VelocityBurst,
    /// Far more than usual.
    pub spend: Overspend,
}

impl ArrivalRules {
    /// Judges `payment` by what is remembered of its card, and remembers it.
    ///
    /// Gives the time from which [`ArrivalCard::forget`] has something to free, if there is a new one.
    pub fn check(
        &self,
        payment: &Payment,
        card: &mut ArrivalCard,
        mut raise: impl FnMut(Alert),
    ) -> Option<EventTime> {
        if let Some(alert) = self.travel.check(payment, &mut card.seen) {
            raise(alert);
        }
        if let Some(alert) = self.velocity.check(payment, &mut card.recent) {
            raise(alert);
        }
        match self.spend.check(payment, &card.spending) {
            Some(alert) => raise(alert),
            None => card.spending.add(payment),
        }
        let before = card.probed;
        if let Some(alert) = self.probe.check(payment, &mut card.probed) {
            raise(alert);
        }
        card.probed.filter(|_| card.probed != before).map(|probed| self.probe.needed_until(&probed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{paid, paid_in};
    use super::*;
    use crate::payments::{Country, Rule};

    fn raised(payments: &[Payment], mut between: impl FnMut(&mut ArrivalCard, &Payment)) -> Vec<Alert> {
        let (rules, mut card, mut alerts) = (ArrivalRules::default(), ArrivalCard::default(), Vec::new());
        for payment in payments {
            between(&mut card, payment);
            rules.check(payment, &mut card, |alert| alerts.push(alert));
        }
        alerts
    }

    #[test]
    fn one_payment_may_break_several_rules() {
        let alerts = raised(&[paid(1, 0, 100), paid_in(Country::AU, 2, 30, 90_000)], |_, _| ());
        let rules: Vec<Rule> = alerts.iter().map(|alert| alert.rule).collect();
        assert_eq!(rules, [Rule::ImpossibleTravel, Rule::ProbeThenHit]);
        assert!(alerts.iter().all(|alert| alert.evidence == [1, 2]));
    }

    #[test]
    fn a_suspicious_payment_does_not_become_usual() {
        let cents = [1_000, 1_000, 1_000, 1_000, 1_000, 9_000, 9_000, 9_000];
        let payments: Vec<Payment> =
            (0..).zip(cents).map(|(id, cents)| paid(id, 100 * id as i64, cents)).collect();
        let scores: Vec<u8> = raised(&payments, |_, _| ()).iter().map(|alert| alert.score).collect();
        assert_eq!(scores, [45, 45, 45]);
    }

    #[test]
    fn a_check_says_from_when_on_there_is_something_to_forget() {
        let (rules, mut card) = (ArrivalRules::default(), ArrivalCard::default());
        let until = rules.check(&paid(1, 100, 100), &mut card, |_| ()).unwrap();
        assert_eq!(rules.check(&paid(2, 101, 5_000), &mut card, |_| ()), None);
        let before = EventTime(until.0 - 1);
        card.forget(before, &rules);
        assert!(card.probed.is_some());
        card.forget(until, &rules);
        assert!(card.probed.is_none());
    }

    /// Watermarks lie at least a payment's lateness behind, so timers up to there may have fired,
    /// or none at all: the alerts are the same.
    #[test]
    fn when_timers_fire_does_not_matter() {
        let scenario = crate::payments::Scenario { seed: 2, cards: 40, lines: 60_000 };
        let mut by_card = std::collections::BTreeMap::<_, Vec<Payment>>::new();
        for index in 0..scenario.lines {
            if let crate::payments::Line::Payment(payment) = scenario.line(index) {
                by_card.entry(payment.card).or_default().push(payment);
            }
        }
        let mut probes = 0;
        for payments in by_card.values() {
            let never = raised(payments, |card, _| probes += usize::from(card.probed.is_some()));
            let early = raised(payments, |card, payment| {
                card.forget(payment.time + LATENESS, &ArrivalRules::default());
            });
            assert_eq!(never, early);
        }
        assert!(probes > 100, "the scenario has next to no probes: {probes}");
    }
}
