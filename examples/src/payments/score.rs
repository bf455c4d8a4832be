//! How good the rules are: precision and recall of alerts against the planted labels.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::generator::Label;
use super::payment::{Alert, Rule};

/// How good a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleScore {
    /// The rule.
    pub rule: Rule,
    /// Alerts raised.
    pub alerts: usize,
    /// Alerts with a payment of a planted fraud in their evidence, whichever rule it was planted
    /// for: the hit after a probe is often an overspend too, and rightly told.
    pub right: usize,
    /// Frauds planted.
    pub planted: usize,
    /// Planted frauds that an alert has found.
    pub found: usize,
}

impl RuleScore {
    /// The share of alerts that are right; 1 if there are none.
    #[must_use]
    pub fn precision(&self) -> f64 {
        share(self.right, self.alerts)
    }

    /// The share of planted frauds that were found; 1 if there are none.
    #[must_use]
    pub fn recall(&self) -> f64 {
        share(self.found, self.planted)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for RuleScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<18} {:>6} alerts  precision {:>5.1} %  {:>6} planted  recall {:>5.1} %",
            self.rule.to_string(),
            self.alerts,
            100.0 * self.precision(),
            self.planted,
            100.0 * self.recall(),
        )
    }
}

/// Holds `alerts` against `labels`, rule by rule, in the order of [`Rule::ALL`].
#[must_use]
pub fn score(labels: &[Label], alerts: &[Alert]) -> Vec<RuleScore> {
    let fraud_of: HashMap<u64, usize> = labels
        .iter()
        .enumerate()
        .flat_map(|(at, label)| label.payments.iter().map(move |&payment| (payment, at)))
        .collect();
    let one = |rule: Rule| {
        let mut found: HashSet<usize> = HashSet::new();
        let (mut of_rule, mut right) = (0, 0);
        for alert in alerts.iter().filter(|alert| alert.rule == rule) {
            of_rule += 1;
            let hit: Vec<usize> = alert.evidence.iter().filter_map(|id| fraud_of.get(id).copied()).collect();
            right += usize::from(!hit.is_empty());
            found.extend(hit.into_iter().filter(|&at| labels[at].rule == rule));
        }
        let planted = labels.iter().filter(|label| label.rule == rule).count();
        RuleScore { rule, alerts: of_rule, right, planted, found: found.len() }
    };
    Rule::ALL.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::rules::arrival::{ArrivalCard, ArrivalRules};
    use crate::payments::{CardId, Line, MerchantId, Scenario};

    fn label(rule: Rule, payments: &[u64]) -> Label {
        Label { rule, card: CardId(1), payments: payments.into() }
    }

    fn alert(rule: Rule, evidence: &[u64]) -> Alert {
        Alert {
            rule,
            card: CardId(1),
            evidence: evidence.into(),
            score: 50,
            day: None,
            merchant: MerchantId(1),
            listed: None,
        }
    }

    #[test]
    fn alerts_are_right_by_payment_and_found_by_rule() {
        let labels =
            [label(Rule::Overspend, &[1]), label(Rule::Overspend, &[2]), label(Rule::VelocityBurst, &[5, 6])];
        let alerts = [
            alert(Rule::Overspend, &[1]),
            alert(Rule::Overspend, &[1]),
            alert(Rule::Overspend, &[9]),
            alert(Rule::VelocityBurst, &[4, 5]),
            alert(Rule::ProbeThenHit, &[5, 6]),
        ];
        let scores = score(&labels, &alerts);
        let counts: Vec<_> = scores.iter().map(|s| (s.alerts, s.right, s.planted, s.found)).collect();
        assert_eq!(counts, [(1, 1, 0, 0), (0, 0, 0, 0), (1, 1, 1, 1), (3, 2, 2, 1)]);
        assert_eq!(scores[0].recall(), 1.0);
        assert_eq!(scores[1].precision(), 1.0);
    }

    /// The rules find most of the fraud and raise few false alarms, but neither is perfect: a
    /// scenario that was made to fit the rules would show nothing.
    #[test]
    fn the_rules_are_good_and_not_perfect() {
        let scenario = Scenario::new(42, 1_000_000);
        let rules = ArrivalRules::default();
        let mut cards = vec![ArrivalCard::default(); scenario.cards as usize];
        let mut alerts = Vec::new();
        for index in 0..scenario.lines {
            if let Line::Payment(payment) = scenario.line(index) {
                rules.check(&payment, &mut cards[payment.card.0 as usize], |alert| alerts.push(alert));
            }
        }
        let labels: Vec<Label> = scenario.labels(0..scenario.lines).collect();
        for score in score(&labels, &alerts) {
            println!("{score}");
            assert!(score.planted > 50, "{score}");
            assert!((0.60..0.999).contains(&score.precision()), "{score}");
            assert!((0.60..0.999).contains(&score.recall()), "{score}");
        }
    }
}
