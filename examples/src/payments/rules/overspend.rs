//! Overspend: a payment far above what the card has paid on average so far.

use serde::{Deserialize, Serialize};

use crate::payments::{Alert, Cents, Payment, Rule};

/// Thresholds of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overspend {
    /// This many times the card's mean is too much.
    pub factor: u32,
    /// A mean of fewer payments says nothing.
    pub after_payments: u32,
    /// Less than this is never too much.
    pub floor: Cents,
}

impl Default for Overspend {
    fn default() -> Self {
        Self { factor: 5, after_payments: 5, floor: Cents(5_000) }
    }
}

/// What a card has paid so far, suspicious payments left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// How many payments.
    pub payments: u32,
    /// Their sum.
    pub sum: Cents,
}

impl Overspend {
    /// Judges `payment`, and adds it to the card's mean if it is not suspicious.
    pub fn check(&self, payment: &Payment, spending: &mut Spending) -> Option<Alert> {
        let (amount, sum) = (i128::from(payment.amount.0), i128::from(spending.sum.0));
        let times_the_mean = amount * i128::from(spending.payments);
        let suspicious = spending.payments >= self.after_payments
            && payment.amount >= self.floor
            && times_the_mean > i128::from(self.factor) * sum;
        if !suspicious {
            spending.payments = spending.payments.saturating_add(1);
            spending.sum = Cents(spending.sum.0.saturating_add(payment.amount.0));
            return None;
        }
        // Four times the threshold is as sure as it gets.
        let over = times_the_mean * 25 / (i128::from(self.factor) * sum).max(1);
        Some(Alert {
            rule: Rule::Overspend,
            card: payment.card,
            evidence: vec![payment.id],
            score: over.clamp(25, 100) as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::paid;
    use super::*;

    /// The scores of the alerts that payments of these cents raise.
    fn raised(cents: &[i64]) -> Vec<u8> {
        let (rule, mut spending) = (Overspend::default(), Spending::default());
        (0..)
            .zip(cents)
            .filter_map(|(id, &cents)| rule.check(&paid(id, 0, cents), &mut spending))
            .map(|alert| alert.score)
            .collect()
    }

    #[test]
    fn more_than_five_times_the_mean_is_suspicious() {
        assert_eq!(raised(&[1_000, 1_000, 1_000, 1_000, 1_000, 5_001]), [25]);
        assert_eq!(raised(&[2_000, 1_000, 0, 1_000, 1_000, 20_000]), [100]);
        assert!(raised(&[1_000, 1_000, 1_000, 1_000, 1_000, 5_000]).is_empty());
    }

    #[test]
    fn a_mean_of_few_payments_and_small_amounts_raise_nothing() {
        assert!(raised(&[1_000, 1_000, 1_000, 1_000, 90_000]).is_empty());
        assert!(raised(&[100, 100, 100, 100, 100, 4_999]).is_empty());
    }

    #[test]
    fn a_suspicious_payment_does_not_become_usual() {
        let scores = raised(&[1_000, 1_000, 1_000, 1_000, 1_000, 9_000, 9_000, 9_000]);
        assert_eq!(scores, [45, 45, 45]);
    }
}
