//! What the fraud example is to find, told by loops over the whole input: no engine, no state, no order of arrival
//! but that of a shard. It shares with the job what one rule says of one payment, and nothing else.

use std::collections::BTreeMap;

use pelton::state::codec;
use pelton_examples::payments::generator::OUT_OF_ORDER_MS;
use pelton_examples::payments::{
    Alert, Card, CardId, Cents, Day, Merchant, MerchantId, Payment, ProbeThenHit, Rule, RuleChange, Rules,
    Scored,
};

const DAY_MS: i64 = 24 * 3_600_000;

/// Alerts of each card and rule, in order.
pub type Alerts = BTreeMap<(CardId, Rule), Vec<Alert>>;

/// What is to come out.
pub struct Expected {
    pub alerts: Alerts,
    /// The ids of payments that come too late to be judged, from the least.
    pub late: Vec<u64>,
}

/// What is to come out for the payments of these shards.
pub fn expected(
    shards: &[Vec<Payment>],
    changes: &[RuleChange],
    listed: impl Fn(MerchantId) -> Option<Merchant>,
) -> Expected {
    let (mut cards, mut late) = (BTreeMap::<CardId, Vec<Payment>>::new(), Vec::new());
    for shard in shards {
        let mut latest_ms = i64::MIN;
        for payment in shard {
            if payment.time.0 < latest_ms.saturating_sub(OUT_OF_ORDER_MS + 1_000) {
                late.push(payment.id);
            } else {
                cards.entry(payment.card).or_default().push(*payment);
            }
            latest_ms = latest_ms.max(payment.time.0);
        }
    }
    late.sort_unstable();
    let mut alerts = Alerts::new();
    for payments in cards.into_values() {
        for alert in of_card(payments, changes) {
            let alert = Alert { listed: listed(alert.merchant), ..alert };
            alerts.entry((alert.card, alert.rule)).or_default().push(alert);
        }
    }
    Expected { alerts, late }
}

fn of_card(mut payments: Vec<Payment>, changes: &[RuleChange]) -> Vec<Alert> {
    // Payments of one time come in the order that `over` gives them.
    let bytes = |payment: &Payment| codec::encode(&(payment.merchant, payment.amount)).unwrap();
    payments.sort_by_key(|payment| (payment.time, bytes(payment)));
    let day_of = |at: i64| {
        let of_day = payments.iter().filter(|before| (at - DAY_MS + 1..=at).contains(&before.time.0));
        let mut merchants: Vec<MerchantId> = of_day.clone().map(|payment| payment.merchant).collect();
        merchants.sort_unstable();
        merchants.dedup();
        Day {
            payments: of_day.clone().count() as u64,
            sum: Cents(of_day.map(|payment| payment.amount.0).sum()),
            merchants: merchants.len() as u64,
        }
    };
    let (probe, mut probes) = (ProbeThenHit::default(), Vec::<Payment>::new());
    let (mut card, mut alerts) = (Card::default(), Vec::new());
    for payment in &payments {
        let day = day_of(payment.time.0);
        let mut rules = Rules::default();
        for change in changes.iter().filter(|change| change.from <= payment.time) {
            rules.set(change.set);
        }
        rules.check(&Scored { payment: *payment, day }, &mut card, |alert| alerts.push(alert));

        if probe.is_probe(payment) {
            probes.push(*payment);
        }
        let is_in_time = |tried: &Payment| payment.time.since(tried.time) <= probe.within;
        if probe.is_hit(payment) && probes.iter().any(is_in_time) {
            let first = probes.iter().find(|tried| is_in_time(tried)).unwrap();
            alerts.push(Alert { day: Some(day), ..probe.alert(first.id, payment) });
            probes.clear();
        }
    }
    alerts
}
