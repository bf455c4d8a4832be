//! Payments, what the job adds to them, and alerts: what flows into it, through it and out of it.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use pelton::prelude::EventTime;

use super::country::Country;
use super::merchants::Merchant;

/// A card; what payments are keyed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CardId(pub u64);

/// Whom was paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MerchantId(pub u32);

/// An amount of money, in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cents(pub i64);

/// A card payment: JSON of about 100 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Unique.
    pub id: u64,
    /// The card.
    pub card: CardId,
    /// Whom it paid.
    pub merchant: MerchantId,
    /// How much.
    pub amount: Cents,
    /// Where.
    pub country: Country,
    /// When, by the terminal's clock, in milliseconds since the Unix epoch.
    pub time: EventTime,
}

/// What a rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A tiny payment that tries a stolen card, then a large one.
    ProbeThenHit,
    /// Two payments that no traveller could make.
    ImpossibleTravel,
    /// Many payments in a short time.
    VelocityBurst,
    /// A payment far above what the card usually pays.
    Overspend,
}

impl Rule {
    /// All rules, in order.
    pub const ALL: [Self; 4] =
        [Self::ProbeThenHit, Self::ImpossibleTravel, Self::VelocityBurst, Self::Overspend];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProbeThenHit => "probe-then-hit",
            Self::ImpossibleTravel => "impossible-travel",
            Self::VelocityBurst => "velocity-burst",
            Self::Overspend => "overspend",
        })
    }
}

/// What a card has paid in the 24 hours up to a payment, with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day {
    /// How many payments.
    pub payments: u64,
    /// Their sum.
    pub sum: Cents,
    /// To how many merchants.
    pub merchants: u64,
}

/// A payment, and the day of its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scored {
    /// The payment.
    pub payment: Payment,
    /// What its card has paid in 24 hours.
    pub day: Day,
}

/// A suspicion, with what raised it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alert {
    /// The rule that raised it. A rule raises at most one alert at a payment, so that rule and
    /// last payment make an alert unique.
    pub rule: Rule,
    /// The card.
    pub card: CardId,
    /// The ids of the payments that are the evidence, the one that raised the alert last.
    pub evidence: Vec<u64>,
    /// How sure the rule is: 1 to 100.
    pub score: u8,
    /// What the card had paid in 24 hours, where the job knows.
    pub day: Option<Day>,
    /// Whom the payment that raised it paid.
    pub merchant: MerchantId,
    /// What the directory says of the merchant; nothing if it does not know him, or did not answer.
    pub listed: Option<Merchant>,
}

impl Alert {
    /// What `rule` says at `payment`, with nothing known around it yet.
    #[must_use]
    pub fn new(rule: Rule, payment: &Payment, evidence: Vec<u64>, score: u8) -> Self {
        let Payment { card, merchant, .. } = *payment;
        Self { rule, card, evidence, score, day: None, merchant, listed: None }
    }
}

/// What was paid in a country in five minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turnover {
    /// How many payments.
    pub payments: u64,
    /// Their sum.
    pub sum: Cents,
}

impl Turnover {
    /// Adds a payment.
    pub fn add(&mut self, payment: &Payment) {
        self.payments += 1;
        self.sum.0 += payment.amount.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_flat_json_of_about_a_hundred_bytes() {
        let payment = Payment {
            id: 4_999_999,
            card: CardId(83_421),
            merchant: MerchantId(5_123),
            amount: Cents(1_999),
            country: Country::DE,
            time: EventTime(1_767_225_600_000),
        };
        let json = serde_json::to_string(&payment).unwrap();
        assert_eq!(
            json,
            r#"{"id":4999999,"card":83421,"merchant":5123,"amount":1999,"country":"DE","time":1767225600000}"#
        );
        assert_eq!(serde_json::from_str::<Payment>(&json).unwrap(), payment);
    }

    #[test]
    fn a_rule_has_one_name() {
        for rule in Rule::ALL {
            assert_eq!(serde_json::to_string(&rule).unwrap(), format!("\"{rule}\""));
        }
    }
}
