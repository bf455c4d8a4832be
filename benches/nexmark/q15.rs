//! q15, bidding statistics by day: bids, distinct bidders and distinct auctions, by rank of price too.
//!
//! A day is a single key, so nothing but sums reaches it: bids are counted in parts by window,
//! bidders and auctions by [`distinct`]. Each part that comes gives a row, and the last row of a day
//! is its result.

use std::time::Duration;

use pelton::operators::aggregate::Fold;
use pelton::prelude::{Deserialize, Serialize, Stream, Tumbling};

use crate::calendar::Day;
use crate::distinct::{Statistics, distinct};
use crate::model::{Event, Views};
use crate::ranks::{Counts, rank};
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

/// Bids are counted in windows of this length; a day is a whole number of them.
const PART: Duration = Duration::from_secs(10);

/// Day, auction, bidder and rank of a bid.
type Bid = (Day, u64, u64, u8);

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<OfDay> {
    let bids =
        events.bids(|bid| Some((Day::of(bid.date_time), bid.auction, bid.bidder, rank(bid.price) as u8)));
    let counts = Fold::new(|counts: &mut Counts, (.., rank): Bid| counts.add(usize::from(rank)));
    let counted = bids
        .window_all("bids", Tumbling::of(PART))
        .aggregate(counts.merging(|counts: &mut Counts, more| *counts += more))
        .out
        .map(|part| (Day::of(part.start.0), Statistics { bids: part.value, ..Statistics::default() }));
    let auctions =
        distinct("auctions", &bids.filter_map(|(day, auction, _, rank)| Some((*day, *auction, *rank))))
            .map(|(day, auctions)| (day, Statistics { auctions, ..Statistics::default() }));
    let bidders =
        distinct("bidders", &bids.filter_map(|(day, _, bidder, rank)| Some((*day, *bidder, *rank))))
            .map(|(day, bidders)| (day, Statistics { bidders, ..Statistics::default() }));
    let days = counted.union([auctions, bidders]).key_by(|(day, _)| *day);
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
