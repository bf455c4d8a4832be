//! q13, bounded side input join.

use serde_json::json;

use super::{Rows, bids};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    bids(events)
        .map(|bid| {
            json!({"auction": bid.auction, "bidder": bid.bidder, "price": bid.price, "dateTime": bid.date_time,
                "value": (bid.auction % 10_000).to_string()})
        })
        .collect()
}
