//! q9, winning bids.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, auctions, bids};
use crate::model::{Auction, Bid, Event};

/// Each auction that got bids while it ran, with the highest; of equal ones the earliest.
pub fn winners(events: &[Event]) -> Vec<(&Auction, &Bid)> {
    let mut of_auction: BTreeMap<u64, Vec<&Bid>> = BTreeMap::new();
    for bid in bids(events) {
        of_auction.entry(bid.auction).or_default().push(bid);
    }
    let mut winners = Vec::new();
    for auction in auctions(events) {
        let mut bids = of_auction.get(&auction.id).cloned().unwrap_or_default();
        bids.retain(|bid| bid.date_time >= auction.date_time && bid.date_time <= auction.expires);
        bids.sort_by_key(|bid| (std::cmp::Reverse(bid.price), bid.date_time));
        winners.extend(bids.first().map(|bid| (auction, *bid)));
    }
    winners
}

pub fn result(events: &[Event]) -> Rows {
    winners(events)
        .into_iter()
        .map(|(auction, bid)| {
            json!({
                "id": auction.id, "itemName": auction.item_name, "description": auction.description,
                "initialBid": auction.initial_bid, "reserve": auction.reserve, "dateTime": auction.date_time,
                "expires": auction.expires, "seller": auction.seller, "category": auction.category,
                "extra": auction.extra, "auction": bid.auction, "bidder": bid.bidder, "price": bid.price,
                "bid_dateTime": bid.date_time, "bid_extra": bid.extra,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auction(id: u64, date_time: i64, expires: i64) -> Event {
        Event::Auction(Box::new(Auction { id, date_time, expires, ..Auction::default() }))
    }

    fn bid(auction: u64, price: u64, date_time: i64) -> Event {
        Event::Bid(Bid { auction, price, date_time, ..Bid::default() })
    }

    #[test]
    fn the_highest_bid_wins_while_the_auction_runs() {
        let events = [
            bid(1, 90, 9),
            auction(1, 10, 20),
            bid(1, 50, 10),
            bid(1, 60, 15),
            bid(1, 60, 20),
            bid(1, 70, 21),
            auction(2, 11, 12),
            bid(3, 5, 11),
        ];
        let found: Vec<_> =
            winners(&events).iter().map(|(lot, bid)| (lot.id, bid.price, bid.date_time)).collect();
        assert_eq!(found, [(1, 60, 15)]);
    }
}
