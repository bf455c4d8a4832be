//! q16, channel statistics: of each channel and day the latest minute with a bid, and bids, distinct
//! bidders and distinct auctions, by rank of price too.
//!
//! Built as `q15`, for half of the bids come over four channels. Each part that comes gives a row,
//! and the last row of a channel and day is its result.

use std::time::Duration;

use pelton::prelude::{Deserialize, Serialize, Stream, Tumbling};

use crate::calendar::{Day, Minute};
use crate::distinct::{Seen, Statistics, distinct_of_many};
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

/// Bids are counted in windows of this length; a day is a whole number of them.
const PART: Duration = Duration::from_secs(10);

#[derive(Clone, Serialize, Deserialize)]
struct Counted {
    group: Group,
    auction: u64,
    bidder: u64,
    rank: u8,
    minute: Minute,
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<OfChannel> {
    let bids = events.bids(|bid| {
        let (day, minute) = (Day::of(bid.date_time), Minute::of(bid.date_time));
        let (auction, bidder, rank) = (bid.auction, bid.bidder, rank(bid.price) as u8);
        Some(Counted { group: (bid.channel, day), auction, bidder, rank, minute })
    });
    let counted = bids
        .key_by(|bid| bid.group.clone())
        .window("bids", Tumbling::of(PART))
        .fold(|part: &mut Statistics, bid| {
            part.bids.add(usize::from(bid.rank));
            part.minute = part.minute.max(bid.minute);
        })
        .out
        .map(|window| (window.key, window.value));
    let auctions = distinct_of_many("auctions", &seen(&bids, |bid| bid.auction))
        .map(|(group, auctions)| (group, Statistics { auctions, ..Statistics::default() }));
    let bidders = distinct_of_many("bidders", &seen(&bids, |bid| bid.bidder))
        .map(|(group, bidders)| (group, Statistics { bidders, ..Statistics::default() }));
    let channels = counted.union([auctions, bidders]).key_by(|(group, _)| group.clone());
    channels
        .fold("channels", |sum: &mut Statistics, (_, part)| sum.add(&part))
        .map(|(group, sum)| row(group, &sum))
}

fn seen(bids: &Stream<Counted>, id: impl Fn(&Counted) -> u64 + Send + Sync + 'static) -> Stream<Seen<Group>> {
    bids.filter_map(move |bid| Some((bid.group.clone(), id(bid), bid.rank)))
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
