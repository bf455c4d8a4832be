//! q9, winning bids: each auction that got bids, with the best of them.
//!
//! Each auction gives one row, once it is over.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Auction, Bid, Event, Shared, Views};
use crate::results::Row;
use crate::winning::{Lot, Offer, closed};

/// An auction and its winning bid.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Won {
    id: u64,
    item_name: String,
    description: String,
    initial_bid: u64,
    reserve: u64,
    date_time: i64,
    expires: i64,
    seller: u64,
    category: u64,
    extra: Shared,
    auction: u64,
    bidder: u64,
    price: u64,
    #[serde(rename = "bid_dateTime")]
    bid_date_time: i64,
    #[serde(rename = "bid_extra")]
    bid_extra: Shared,
}

impl Row for Won {}

/// What the result shows of a bid besides price and time.
type Bidder = (u64, Shared);

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Won> {
    let lots = events.auctions(|auction| {
        let (id, starts, expires) = (auction.id, auction.date_time, auction.expires);
        Some(Lot { id, starts, expires, columns: Box::new(auction.clone()) })
    });
    let offers = events.bids(|Bid { auction, bidder, price, date_time, extra, .. }| {
        Some(Offer { auction, price, time: date_time, columns: (bidder, extra) })
    });
    closed(&lots, &offers).flat_map(|closed| closed.best.map(|best| row(*closed.lot.columns, best)))
}

fn row(auction: Auction, best: Offer<Bidder>) -> Won {
    let (bidder, bid_extra) = best.columns;
    Won {
        id: auction.id,
        item_name: auction.item_name,
        description: auction.description,
        initial_bid: auction.initial_bid,
        reserve: auction.reserve,
        date_time: auction.date_time,
        expires: auction.expires,
        seller: auction.seller,
        category: auction.category,
        extra: auction.extra,
        auction: best.auction,
        bidder,
        price: best.price,
        bid_date_time: best.time,
        bid_extra,
    }
}
