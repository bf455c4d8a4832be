//! Payments made from a seed: honest ones, fraud planted among them with labels, and the dirt of
//! real input: payments that arrive out of order or late, and lines that are no payments.
//!
//! Line *i* is a pure function of (seed, *i*), so that any part of the input can be made on any
//! thread, and again. Lines follow each other every [`STEP_MS`] of event time. One in
//! [`SLOT_EVERY`] lines is a *slot* that belongs to a campaign (`campaign`); the others are
//! honest.

mod campaign;
mod random;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::country::Country;
use super::payment::{CardId, Cents, EventTime, Payment, Rule};
use campaign::{Campaign, Slot};
use random::{Draw, Purpose};

/// When the first payment happens: 2026-01-05, 00:00 UTC.
pub const START: EventTime = EventTime(1_767_571_200_000);
/// Event time from one line to the next, in milliseconds: 50 payments a second.
pub const STEP_MS: i64 = 20;
/// One line in so many belongs to a campaign.
pub const SLOT_EVERY: u64 = 100;

/// How far out of order a payment may arrive and still be on time: what the job's watermarks wait.
pub const OUT_OF_ORDER_MS: i64 = 4_000;
/// How late the latest payments are: terminals without a connection deliver them hours after.
pub const LATENESS_MS: i64 = 2 * 3_600_000;
/// Later than any window waits, however fast the payments are read.
const LEAST_LATE_MS: i64 = 600_000;
const OUT_OF_ORDER_PER_MILLION: u64 = 50_000;
const LATE_PER_MILLION: u64 = 500;
const MALFORMED_PER_MILLION: u64 = 50;

/// A card is abroad for a whole such block of time, or not at all.
const TRIP_MS: i64 = 12 * 3_600_000;
const TRIPS_PER_MILLION: u64 = 200;
/// Honest payments to shops abroad, made at home: no rule can tell them from fraud.
const ORDERS_ABROAD_PER_MILLION: u64 = 8;
const MERCHANTS: u64 = 20_000;

/// What to make: the same scenario always gives the same lines and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// How many cards pay.
    pub cards: u64,
    /// How many lines there are.
    pub lines: u64,
}

/// A line of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A payment.
    Payment(Payment),
    /// Bytes that are none, where a payment of the card was meant to be.
    Malformed(CardId, Vec<u8>),
}

/// A fraud that was planted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The rule that should find it.
    pub rule: Rule,
    /// The card it was done with.
    pub card: CardId,
    /// The ids of its payments, in order.
    pub payments: Vec<u64>,
}

impl Scenario {
    /// `lines` lines, with a card for every 50 of them but at least 100 cards.
    #[must_use]
    pub fn new(seed: u64, lines: u64) -> Self {
        Self { seed, cards: (lines / 50).max(100), lines }
    }

    /// Line `index`.
    #[must_use]
    pub fn line(&self, index: u64) -> Line {
        if let Some(payment) = self.planted(index) {
            return Line::Payment(payment);
        }
        let mut draw = Draw::new(self.seed, Purpose::Line, index);
        let payment = self.honest(index, &mut draw);
        if draw.happens(MALFORMED_PER_MILLION) {
            return Line::Malformed(payment.card, malformed(&payment, &mut draw));
        }
        Line::Payment(payment)
    }

    /// Appends the bytes of line `index`, without a newline, to `out`; gives the card, which is
    /// its partition key.
    pub fn write_line(&self, index: u64, out: &mut Vec<u8>) -> CardId {
        match self.line(index) {
            Line::Payment(payment) => {
                serde_json::to_writer(out, &payment).expect("memory takes any payment");
                payment.card
            }
            Line::Malformed(card, bytes) => {
                out.extend_from_slice(&bytes);
                card
            }
        }
    }

    /// The labels of all fraud whose last payment lies in `lines`: over adjacent ranges each
    /// label comes once.
    pub fn labels(&self, lines: Range<u64>) -> impl Iterator<Item = Label> {
        Campaign::touching(self, lines.start..lines.end.min(self.lines))
            .filter_map(|campaign| campaign.label())
            .filter(move |label| label.payments.last().is_some_and(|last| lines.contains(last)))
    }

    /// The payment of a campaign at line `index`, if there is one.
    fn planted(&self, index: u64) -> Option<Payment> {
        let slot = Slot::at(index)?;
        let step = Campaign::of(self, slot.campaign).step(slot.step)?;
        let mut draw = Draw::new(self.seed, Purpose::Arrival, index);
        let time = self.time(index, draw.out_of_order_ms());
        Some(Payment {
            id: index,
            card: step.card,
            merchant: step.merchant,
            amount: step.amount,
            country: step.country,
            time,
        })
    }

    fn honest(&self, index: u64, draw: &mut Draw) -> Payment {
        let card = self.honest_card(draw);
        let merchant = draw.merchant();
        let amount = draw.amount(self.usual_amount(card));
        let delay_ms = if draw.happens(LATE_PER_MILLION) {
            LEAST_LATE_MS + draw.below((LATENESS_MS - LEAST_LATE_MS) as u64) as i64
        } else {
            draw.out_of_order_ms()
        };
        let time = self.time(index, delay_ms);
        let country = if draw.happens(ORDERS_ABROAD_PER_MILLION) {
            draw.country()
        } else {
            self.whereabouts(card, time)
        };
        Payment { id: index, card, merchant, amount, country, time }
    }

    fn time(&self, index: u64, delay_ms: i64) -> EventTime {
        EventTime(START.0 + index as i64 * STEP_MS - delay_ms)
    }

    /// Some cards pay more often than others: density falls with the cube root.
    fn honest_card(&self, draw: &mut Draw) -> CardId {
        let (a, b) = (draw.below(self.cards), draw.below(self.cards));
        CardId(if draw.happens(500_000) { a.min(b) } else { a })
    }

    fn home(&self, card: CardId) -> Country {
        let mut draw = Draw::new(self.seed, Purpose::Home, card.0);
        // Most cards are of the first few countries on the map.
        draw.country().min(draw.country())
    }

    /// Where an honest card pays: at home, or on a trip to any other country.
    fn whereabouts(&self, card: CardId, time: EventTime) -> Country {
        let block = time.0.div_euclid(TRIP_MS) as u64;
        let mut trip = Draw::new(self.seed ^ block, Purpose::Trip, card.0);
        if trip.happens(TRIPS_PER_MILLION) { trip.country() } else { self.home(card) }
    }

    /// What the card pays on average.
    fn usual_amount(&self, card: CardId) -> Cents {
        Draw::new(self.seed, Purpose::Purse, card.0).purse()
    }
}

/// What dirty input looks like: cut off, not JSON at all, a field of another type, or missing.
fn malformed(payment: &Payment, draw: &mut Draw) -> Vec<u8> {
    let json = serde_json::to_string(payment).expect("a payment has only strings as keys");
    match draw.below(4) {
        0 => json[..json.len() / 2].into(),
        1 => b"GET /health HTTP/1.1".into(),
        2 => json.replace("\"amount\":", "\"amount\":\"many\",\"was\":").into(),
        _ => json.replace("\"card\":", "\"kard\":").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn payments(scenario: &Scenario) -> impl Iterator<Item = Payment> {
        (0..scenario.lines).filter_map(|index| match scenario.line(index) {
            Line::Payment(payment) => Some(payment),
            Line::Malformed(..) => None,
        })
    }

    #[test]
    fn the_same_seed_gives_the_same_lines_and_another_seed_others() {
        let bytes = |seed: u64| {
            let mut bytes = Vec::new();
            (0..5_000).for_each(|index| {
                Scenario::new(seed, 5_000).write_line(index, &mut bytes);
            });
            bytes
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }

    #[test]
    fn labels_of_adjacent_ranges_are_the_labels_of_the_whole() {
        let scenario = Scenario::new(3, 200_000);
        let whole: Vec<_> = scenario.labels(0..200_000).collect();
        let mut parts: Vec<_> = [0..70_001, 70_001..70_002, 70_002..200_000]
            .into_iter()
            .flat_map(|range| scenario.labels(range))
            .collect();
        assert!(whole.len() > 40, "{} labels", whole.len());
        assert_eq!(whole.len(), parts.len());
        parts.retain(|label| !whole.contains(label));
        assert_eq!(parts, []);
    }

    #[test]
    fn labelled_payments_exist_and_are_of_the_labelled_card() {
        let scenario = Scenario::new(11, 300_000);
        let rules: HashSet<Rule> = scenario.labels(0..300_000).map(|label| label.rule).collect();
        assert_eq!(rules.len(), Rule::ALL.len());
        for label in scenario.labels(0..300_000) {
            assert!(label.payments.is_sorted());
            for &id in &label.payments {
                let Line::Payment(payment) = scenario.line(id) else { panic!("line {id} is malformed") };
                assert_eq!((payment.id, payment.card), (id, label.card));
            }
        }
    }

    #[test]
    fn dirt_comes_at_the_stated_rates() {
        let scenario = Scenario::new(5, 400_000);
        let malformed = scenario.lines as usize - payments(&scenario).count();
        assert!((8..40).contains(&malformed), "{malformed} malformed lines, 20 expected");
        let (mut late, mut out_of_order) = (0, 0);
        for payment in payments(&scenario) {
            let delay = START.0 + payment.id as i64 * STEP_MS - payment.time.0;
            assert!((0..=LATENESS_MS).contains(&delay));
            late += usize::from(delay > OUT_OF_ORDER_MS);
            out_of_order += usize::from((1..=OUT_OF_ORDER_MS).contains(&delay));
        }
        assert!((140..260).contains(&late), "{late} late payments, 200 expected");
        assert!((18_000..22_000).contains(&out_of_order), "{out_of_order} out of order, 20,000 expected");
    }

    #[test]
    fn malformed_lines_are_no_payments() {
        let scenario = Scenario::new(5, 400_000);
        let mut bytes = Vec::new();
        for index in 0..scenario.lines {
            if let Line::Malformed(card, _) = scenario.line(index) {
                bytes.clear();
                assert_eq!(scenario.write_line(index, &mut bytes), card);
                assert!(serde_json::from_slice::<Payment>(&bytes).is_err());
            }
        }
    }
}
