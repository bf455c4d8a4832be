//! Overspend: a payment far above what the card usually pays.

use serde::{Deserialize, Serialize};

use crate::payments::{Alert, Cents, Day, Payment, Rule};

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

/// What a card has paid before a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// How many payments.
    pub payments: u32,
    /// Their sum.
    pub sum: Cents,
}

impl Spending {
    /// What is in `day` besides `payment`.
    #[must_use]
    pub fn before(payment: &Payment, day: &Day) -> Self {
        let payments = day.payments.saturating_sub(1).try_into().unwrap_or(u32::MAX);
        Self { payments, sum: Cents(day.sum.0.saturating_sub(payment.amount.0)) }
    }

    /// Adds a payment.
    pub fn add(&mut self, payment: &Payment) {
        self.payments = self.payments.saturating_add(1);
        self.sum = Cents(self.sum.0.saturating_add(payment.amount.0));
    }
}

impl Overspend {
    /// Judges `payment` by what the card has paid before.
    #[must_use]
    pub fn check(&self, payment: &Payment, before: &Spending) -> Option<Alert> {
        let (amount, sum) = (i128::from(payment.amount.0), i128::from(before.sum.0));
        let times_the_mean = amount * i128::from(before.payments);
        let is_suspicious = before.payments >= self.after_payments
            && payment.amount >= self.floor
            && times_the_mean > i128::from(self.factor) * sum;
        // Four times the threshold is as sure as it gets.
        let over = times_the_mean * 25 / (i128::from(self.factor) * sum).max(1);
        let score = over.clamp(25, 100) as u8;
        is_suspicious.then(|| Alert::new(Rule::Overspend, payment, vec![payment.id], score))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::paid;
    use super::*;

    /// The scores of the alerts that payments of these cents raise.
    fn raised(cents: &[i64]) -> Vec<u8> {
        let (rule, mut day) = (Overspend::default(), Day::default());
        let score = |(id, &cents): (u64, &i64)| {
            let payment = paid(id, 0, cents);
            (day.payments, day.sum.0) = (day.payments + 1, day.sum.0 + cents);
            rule.check(&payment, &Spending::before(&payment, &day)).map(|alert| alert.score)
        };
        (0..).zip(cents).filter_map(score).collect()
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
}
