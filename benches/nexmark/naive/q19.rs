//! q19, auction top 10: of equal prices the earlier bid is ahead.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, bids};
use crate::model::{Bid, Event};

pub fn result(events: &[Event]) -> Rows {
    let mut of_auction: BTreeMap<u64, Vec<&Bid>> = BTreeMap::new();
    bids(events).for_each(|bid| of_auction.entry(bid.auction).or_default().push(bid));
    let mut rows = Vec::new();
    for mut bids in of_auction.into_values() {
        bids.sort_by_key(|bid| (Reverse(bid.price), bid.date_time));
        for (rank, bid) in (1..=10).zip(bids) {
            rows.push(json!({"auction": bid.auction, "bidder": bid.bidder, "price": bid.price,
                "channel": bid.channel, "url": bid.url, "dateTime": bid.date_time, "extra": bid.extra,
                "rank_number": rank}));
        }
    }
    rows
}
