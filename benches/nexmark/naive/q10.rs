//! q10, log to file system.

use serde_json::json;

use super::{Rows, bids, day, minute};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    bids(events)
        .map(|bid| {
            json!({"auction": bid.auction, "bidder": bid.bidder, "price": bid.price, "dateTime": bid.date_time,
                "extra": bid.extra, "dt": day(bid.date_time), "hm": minute(bid.date_time)})
        })
        .collect()
}
