//! q16, channel statistics: of each channel and day the latest minute with a bid, and bids, distinct
//! bidders and distinct auctions, by rank of price too.
//!
//! Half of the bids come over four channels, the others over ten thousand. Each part of a day that is over
//! gives a row, and the last row of a channel and day is its result.

use std::time::Duration;

use pelton::prelude::{Deserialize, Serialize, Stream, Tumbling};

use crate::calendar::{Day, Minute};
use crate::distinct::{Passing, Statistics, distinct_of_many};
use crate::model::{Event, Text, Views};
use crate::ranks::rank;
use crate::results::Row;

/// The statistics of a channel's day so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the public query's columns")]
pub struct OfChannel {
    channel: Text,
    day: Day,
    minute: Minute,
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

impl Row for OfChannel {
    fn replaces(&self) -> Option<String> {
        Some(format!("{} {}", self.channel, self.day))
    }
}

/// A channel's day.
type Group = (Text, Day);

/// A channel's bids come to its day in sums over windows of this length; a day is a whole number of them.
const PART: Duration = Duration::from_secs(10);

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<OfChannel> {
    let bids = events.bids(|bid| {
        let (day, minute) = (Day::of(bid.date_time), Minute::of(bid.date_time));
        Some(Passing::new((bid.channel, day), (bid.auction, bid.bidder), minute, rank(bid.price)))
    });
    let parts = distinct_of_many(&bids)
        .key_by(|bid| bid.group.clone())
        .window("parts", Tumbling::of(PART))
        .fold(|part: &mut Statistics, bid| part.count(&bid));
    let channels = parts.out.map(|window| (window.key, window.value)).key_by(|(group, _)| group.clone());
    channels
        .fold("channels", |sum: &mut Statistics, (_, part)| sum.add(&part))
        .map(|(group, sum)| row(group, &sum))
}

fn row((channel, day): Group, sum: &Statistics) -> OfChannel {
    let ([rank1_bids, rank2_bids, rank3_bids], [rank1_bidders, rank2_bidders, rank3_bidders]) =
        (sum.bids.by_rank, sum.bidders.by_rank);
    let [rank1_auctions, rank2_auctions, rank3_auctions] = sum.auctions.by_rank;
    OfChannel {
        channel,
        day,
        minute: sum.minute,
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
