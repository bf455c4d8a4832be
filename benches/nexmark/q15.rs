//! q15, bidding statistics by day: bids, distinct bidders and distinct auctions, by rank of price too.
//!
//! A day is a single key, so nothing but sums reaches it: whether an auction or a bidder is new to it is found where
//! they are kept ([`distinct`]), and each worker counts its bids by window. Each part of a day that is over gives a row,
//! and the last row of a day is its result.

use std::time::Duration;

use pelton::operators::aggregate::Fold;
use pelton::prelude::{Deserialize, Serialize, Stream, Tumbling};

use crate::calendar::{Day, Minute};
use crate::distinct::{Passing, Statistics, distinct};
use crate::model::{Event, Views};
use crate::ranks::rank;
use crate::results::Row;

/// The statistics of a day so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the public query's columns")]
pub struct OfDay {
    day: Day,
    total_bids: u64,
    rank1_bids: u64,
    rank2_bids: u64,
    rank3_bids: u64,
    total_bidders: u64,
    rank1_bidders: u64,
    rank2_bidders: u64,
    rank3_bidders: u64,
    total_auctions: u64,
    rank1_auctions: u64,
    rank2_auctions: u64,
    rank3_auctions: u64,
}

impl Row for OfDay {
    fn replaces(&self) -> Option<String> {
        Some(self.day.to_string())
    }
}

/// Bids come to their day in sums over windows of this length; a day is a whole number of them.
const PART: Duration = Duration::from_secs(10);

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<OfDay> {
    let bids = events.bids(|bid| {
        let (day, minute) = (Day::of(bid.date_time), Minute::of(bid.date_time));
        Some(Passing::new(day, (bid.auction, bid.bidder), minute, rank(bid.price)))
    });
    let count = Fold::new(|part: &mut Statistics, bid: Passing<Day>| part.count(&bid));
    let parts = distinct(&bids)
        .window_all("parts", Tumbling::of(PART))
        .aggregate(count.merging(|part: &mut Statistics, more: Statistics| part.add(&more)));
    let days = parts.out.map(|part| (Day::of(part.start.0), part.value)).key_by(|(day, _)| *day);
    days.fold("days", |sum: &mut Statistics, (_, part)| sum.add(&part)).map(|(day, sum)| row(day, &sum))
}

fn row(day: Day, sum: &Statistics) -> OfDay {
    let ([rank1_bids, rank2_bids, rank3_bids], [rank1_bidders, rank2_bidders, rank3_bidders]) =
        (sum.bids.by_rank, sum.bidders.by_rank);
    let [rank1_auctions, rank2_auctions, rank3_auctions] = sum.auctions.by_rank;
    OfDay {
        day,
        total_bids: sum.bids.total,
        rank1_bids,
        rank2_bids,
        rank3_bids,
        total_bidders: sum.bidders.total,
        rank1_bidders,
        rank2_bidders,
        rank3_bidders,
        total_auctions: sum.auctions.total,
        rank1_auctions,
        rank2_auctions,
        rank3_auctions,
    }
}
