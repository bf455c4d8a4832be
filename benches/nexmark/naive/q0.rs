//! q0, passthrough.

use serde_json::json;

use super::{Rows, bids};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    bids(events)
        .map(|bid| {
            json!({"auction": bid.auction, "bidder": bid.bidder, "price": bid.price, "dateTime": bid.date_time,
                "extra": bid.extra})
        })
        .collect()
}
