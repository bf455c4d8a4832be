//! The rules: what is remembered of a card, and when a payment raises an alert.
//!
//! Plain functions over plain structs, without any dataflow. What they decide follows from the payments
//! of the card in the order in which they get them.
//!
//! In reading order: [`ProbeThenHit`], [`ImpossibleTravel`], [`VelocityBurst`] and [`Overspend`] are one rule each.
//! [`Rules`] are those whose thresholds may change while the job runs, by a [`RuleChange`]. [`arrival`] puts all
//! four together in another way, for the job `fraud_core`.

pub mod arrival;
mod overspend;
mod probe;
mod travel;
mod velocity;

use serde::{Deserialize, Serialize};

use super::payment::{Alert, EventTime, Scored};

pub use overspend::{Overspend, Spending};
pub use probe::{ProbeThenHit, Probed};
pub use travel::{ImpossibleTravel, Sighting};
pub use velocity::{Recent, VelocityBurst};

/// What is remembered of a card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Where it paid last.
    pub seen: Option<Sighting>,
    /// What it paid in the last minute.
    pub recent: Recent,
}

/// The rules in effect with their thresholds; `None` is one that is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Two places at once.
    pub travel: Option<ImpossibleTravel>,
    /// Many payments in a short time.
    pub velocity: Option<VelocityBurst>,
    /// Far more than usual.
    pub spend: Option<Overspend>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            travel: Some(ImpossibleTravel::default()),
            velocity: Some(VelocityBurst::default()),
            spend: Some(Overspend::default()),
        }
    }
}

/// From a moment on a rule has other thresholds:
/// `{"from":1767573000000,"set":{"overspend":{"factor":4}}}`, what is left out being its default;
/// or is off: `{"from":1767573000000,"set":{"overspend":null}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleChange {
    /// The event time of the first payments that it holds for.
    pub from: EventTime,
    /// The rule.
    pub set: Setting,
}

/// A rule, as it shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Two places at once.
    ImpossibleTravel(Option<ImpossibleTravel>),
    /// Many payments in a short time.
    VelocityBurst(Option<VelocityBurst>),
    /// Far more than usual.
    Overspend(Option<Overspend>),
}

impl Rules {
    /// Changes a rule.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::ImpossibleTravel(rule) => self.travel = rule,
            Setting::VelocityBurst(rule) => self.velocity = rule,
            Setting::Overspend(rule) => self.spend = rule,
        }
    }

    /// Judges a payment by its day and by what is remembered of its card, and remembers it. A rule that is off remembers
    /// nothing.
    pub fn check(&self, Scored { payment, day }: &Scored, card: &mut Card, mut raise: impl FnMut(Alert)) {
        let travel = self.travel.and_then(|rule| rule.check(payment, &mut card.seen));
        let velocity = self.velocity.and_then(|rule| rule.check(payment, &mut card.recent));
        let spend = self.spend.and_then(|rule| rule.check(payment, &Spending::before(payment, day)));
        for alert in [travel, velocity, spend].into_iter().flatten() {
            raise(Alert { day: Some(*day), ..alert });
        }
    }
}

/// A duration as a number of milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        (duration.as_millis() as u64).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Payments for the rules' tests.
#[cfg(test)]
mod fixture {
    use super::super::payment::{CardId, Cents, EventTime, MerchantId, Payment};
    use crate::payments::Country;

    /// A payment of card 1 in Germany.
    pub fn paid(id: u64, at_s: i64, cents: i64) -> Payment {
        paid_in(Country::DE, id, at_s, cents)
    }

    /// A payment of card 1.
    pub fn paid_in(country: Country, id: u64, at_s: i64, cents: i64) -> Payment {
        Payment {
            id,
            card: CardId(1),
            merchant: MerchantId(1),
            amount: Cents(cents),
            country,
            time: EventTime(at_s * 1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{paid, paid_in};
    use super::*;
    use crate::payments::{Country, Day, Rule};

    fn change(json: &str) -> RuleChange {
        let change: RuleChange = serde_json::from_str(json).unwrap();
        assert_eq!(
            serde_json::from_str::<RuleChange>(&serde_json::to_string(&change).unwrap()).unwrap(),
            change
        );
        change
    }

    #[test]
    fn a_change_sets_one_rule_and_leaves_the_others() {
        let mut rules = Rules::default();
        rules.set(change(r#"{"from":5,"set":{"overspend":{"factor":4}}}"#).set);
        assert_eq!(rules.spend, Some(Overspend { factor: 4, ..Overspend::default() }));
        rules.set(change(r#"{"from":6,"set":{"velocity-burst":{"payments":3,"within_ms":500}}}"#).set);
        let within = std::time::Duration::from_millis(500);
        assert_eq!(rules.velocity, Some(VelocityBurst { payments: 3, within }));
        rules.set(change(r#"{"from":7,"set":{"impossible-travel":null}}"#).set);
        assert_eq!(rules.travel, None);
        assert_eq!(rules.spend, Some(Overspend { factor: 4, ..Overspend::default() }));
    }

    #[test]
    fn a_slip_in_a_change_is_told_of() {
        for (json, said) in [
            (r#"{"from":5,"set":{"overspent":{"factor":4}}}"#, "unknown variant `overspent`"),
            (r#"{"from":5,"set":{"overspend":{"faktor":4}}}"#, "unknown field `faktor`"),
            (r#"{"set":{"overspend":{}}}"#, "missing field `from`"),
        ] {
            let error = serde_json::from_str::<RuleChange>(json).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_rule_that_is_off_raises_nothing_and_the_others_know_the_day() {
        let day = Day { payments: 9, sum: super::super::Cents(98_000), merchants: 3 };
        let payments = [paid(1, 0, 100), paid_in(Country::AU, 2, 30, 90_000)];
        let raised = |rules: &Rules| {
            let (mut card, mut alerts) = (Card::default(), Vec::new());
            for payment in payments {
                rules.check(&Scored { payment, day }, &mut card, |alert| alerts.push(alert));
            }
            assert!(alerts.iter().all(|alert: &Alert| alert.day == Some(day)));
            alerts.iter().map(|alert| alert.rule).collect::<Vec<Rule>>()
        };
        assert_eq!(raised(&Rules::default()), [Rule::ImpossibleTravel, Rule::Overspend]);
        assert_eq!(raised(&Rules { spend: None, ..Rules::default() }), [Rule::ImpossibleTravel]);
    }
}
