//! q20, expand bid with auction.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, auctions, bids};
use crate::model::{Auction, Event};

pub fn result(events: &[Event]) -> Rows {
    let selected = auctions(events).filter(|auction| auction.category == 10);
    let selected: BTreeMap<u64, &Auction> = selected.map(|auction| (auction.id, auction)).collect();
    let mut rows = Vec::new();
    for bid in bids(events) {
        let Some(auction) = selected.get(&bid.auction) else { continue };
        rows.push(json!({
            "auction": bid.auction, "bidder": bid.bidder, "price": bid.price, "channel": bid.channel,
            "url": bid.url, "bid_dateTime": bid.date_time, "bid_extra": bid.extra,
            "itemName": auction.item_name, "description": auction.description,
            "initialBid": auction.initial_bid, "reserve": auction.reserve,
            "auction_dateTime": auction.date_time, "expires": auction.expires, "seller": auction.seller,
            "category": auction.category, "auction_extra": auction.extra,
        }));
    }
    rows
}
