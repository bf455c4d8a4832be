//! q14, calculation.

use serde_json::json;

use super::{Rows, bids, euros};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut rows = Vec::new();
    for bid in bids(events) {
        let price = euros(bid.price);
        if price > 1_000_000.0 && price < 50_000_000.0 {
            let hour = bid.date_time / 3_600_000 % 24;
            let time_type = if (8..=18).contains(&hour) {
                "dayTime"
            } else if hour <= 6 || hour >= 20 {
                "nightTime"
            } else {
                "otherTime"
            };
            rows.push(json!({"auction": bid.auction, "bidder": bid.bidder, "price": price,
                "bidTimeType": time_type, "dateTime": bid.date_time, "extra": bid.extra,
                "c_counts": bid.extra.matches('c').count()}));
        }
    }
    rows
}
