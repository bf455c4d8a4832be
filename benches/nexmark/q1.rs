//! q1, currency: every bid, with its price in euros.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Bid, Event, Shared, Views};
use crate::results::Row;

/// A bid in euros.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Converted {
    auction: u64,
    bidder: u64,
    price: f64,
    date_time: i64,
    extra: Shared,
}

impl Row for Converted {}

/// 1,000 dollars in euros: the public query's 0.908, whose products have three decimals.
const PER_THOUSAND: u64 = 908;

/// A price in thousandths of the euro's unit.
#[inline]
pub fn euro_thousandths(price: u64) -> u64 {
    PER_THOUSAND * price
}

/// The number nearest to the exact price.
#[inline]
pub fn euros(price: u64) -> f64 {
    euro_thousandths(price) as f64 / 1_000.0
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Converted> {
    events.bids(|Bid { auction, bidder, price, date_time, extra, .. }| {
        Some(Converted { auction, bidder, price: euros(price), date_time, extra })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_in_euros_is_exact() {
        assert_eq!((euros(1_000), euros(1), euros(12_345_678)), (908.0, 0.908, 11_209_875.624));
    }
}
