//! q20, expand bid with auction: every bid on an auction of category 10, with the auction.
//!
//! An auction is kept for ever, as the public query keeps it. A bid is kept only until its auction comes:
//! ids are used once, so there is nothing else that it could be joined with. Of auctions of other
//! categories it is kept that they are not looked for.

use pelton::prelude::{
    CoContext, Deserialize, KeyedCoProcess, NoSide, OpResult, Serialize, StateMut, Stream,
};

use crate::model::{Auction, Bid, Event, Shared, Text, Views};
use crate::results::Row;

/// A bid and its auction.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expanded {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: Text,
    url: Text,
    #[serde(rename = "bid_dateTime")]
    bid_date_time: i64,
    #[serde(rename = "bid_extra")]
    bid_extra: Shared,
    item_name: String,
    description: String,
    initial_bid: u64,
    reserve: u64,
    #[serde(rename = "auction_dateTime")]
    auction_date_time: i64,
    expires: i64,
    seller: u64,
    category: u64,
    #[serde(rename = "auction_extra")]
    auction_extra: Shared,
}

impl Row for Expanded {}

/// The category that is looked for.
const CATEGORY: u64 = 10;

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Expanded> {
    let auctions = events.auctions(|auction| {
        let id = auction.id;
        Some((id, (auction.category == CATEGORY).then(|| Box::new(auction.clone()))))
    });
    let bids = events.bids(Some).key_by(|bid| bid.auction);
    auctions.key_by(|(id, _)| *id).connect(&bids).process("expand", Expand).out
}

/// What is known of an auction.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum Known {
    /// Nothing but these bids.
    Bids(Vec<Bid>),
    /// It is of another category.
    Other,
    Auction(Box<Auction>),
}

impl Default for Known {
    fn default() -> Self {
        Self::Bids(Vec::new())
    }
}

struct Expand;

impl KeyedCoProcess for Expand {
    type Key = u64;
    type First = (u64, Option<Box<Auction>>);
    type Second = Bid;
    type Out = Expanded;
    type Side = NoSide;
    type State = Known;

    fn on_first(
        &self,
        (_, auction): (u64, Option<Box<Auction>>),
        known: &mut StateMut<'_, Known>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        let now = auction.map_or(Known::Other, Known::Auction);
        let before = std::mem::replace(&mut **known, now);
        if let (Known::Bids(bids), Known::Auction(auction)) = (before, &**known) {
            bids.into_iter().for_each(|bid| cx.emit(row(bid, auction)));
        }
        Ok(())
    }

    fn on_second(&self, bid: Bid, known: &mut StateMut<'_, Known>, cx: &mut CoContext<'_, Self>) -> OpResult {
        match &**known {
            Known::Auction(auction) => cx.emit(row(bid, auction)),
            Known::Other => {}
            Known::Bids(_) => {
                if let Known::Bids(bids) = &mut **known {
                    bids.push(bid);
                }
            }
        }
        Ok(())
    }
}

fn row(bid: Bid, auction: &Auction) -> Expanded {
    Expanded {
        auction: bid.auction,
        bidder: bid.bidder,
        price: bid.price,
        channel: bid.channel,
        url: bid.url,
        bid_date_time: bid.date_time,
        bid_extra: bid.extra,
        item_name: auction.item_name.clone(),
        description: auction.description.clone(),
        initial_bid: auction.initial_bid,
        reserve: auction.reserve,
        auction_date_time: auction.date_time,
        expires: auction.expires,
        seller: auction.seller,
        category: auction.category,
        auction_extra: auction.extra.clone(),
    }
}
