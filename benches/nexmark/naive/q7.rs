//! q7, highest bid.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, bids, window};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut most: BTreeMap<i64, u64> = BTreeMap::new();
    for bid in bids(events) {
        let price = most.entry(window(bid.date_time, 10_000)).or_default();
        *price = bid.price.max(*price);
    }
    bids(events)
        .filter(|bid| most[&window(bid.date_time, 10_000)] == bid.price)
        .map(|bid| {
            json!({"auction": bid.auction, "bidder": bid.bidder, "price": bid.price, "dateTime": bid.date_time,
                "extra": bid.extra})
        })
        .collect()
}
