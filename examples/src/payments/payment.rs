//! Payments and alerts: what flows into the job and out of it, as JSON of about 100 bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use pelton::prelude::EventTime;

use super::country::Country;

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

/// A card payment.
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
