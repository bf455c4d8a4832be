//! q18, find last bid.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, bids};
use crate::model::{Bid, Event};

pub fn result(events: &[Event]) -> Rows {
    let mut last: BTreeMap<(u64, u64), &Bid> = BTreeMap::new();
    for bid in bids(events) {
        let kept = last.entry((bid.bidder, bid.auction)).or_insert(bid);
        if bid.date_time > kept.date_time {
            *kept = bid;
        }
    }
    last.into_values()
        .map(|bid| {
            json!({"auction": bid.auction, "bidder": bid.bidder, "price": bid.price, "channel": bid.channel,
                "url": bid.url, "dateTime": bid.date_time, "extra": bid.extra})
        })
        .collect()
}
