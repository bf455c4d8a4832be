//! q22, get URL directories.

use serde_json::json;

use super::{Rows, bids};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    bids(events)
        .map(|bid| {
            let parts: Vec<&str> = bid.url.split('/').collect();
            json!({"auction": bid.auction, "bidder": bid.bidder, "price": bid.price, "channel": bid.channel,
                "dir1": parts.get(3), "dir2": parts.get(4), "dir3": parts.get(5)})
        })
        .collect()
}
