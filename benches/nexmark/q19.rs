//! q19, auction top 10: the ten highest bids on each auction, with their ranks.
//!
//! Of equal prices the earlier bid is ahead. A bid that is among the ten gives a row for each rank that
//! it changes, and the last row of an auction and rank is its result.

use pelton::prelude::{Context, Deserialize, KeyedProcess, NoSide, OpResult, Serialize, StateMut, Stream};

use crate::model::{Bid, Event, Shared, Text, Views};
use crate::results::Row;

/// A bid, and its rank so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ranked {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: Text,
    url: Text,
    date_time: i64,
    extra: Shared,
    #[serde(rename = "rank_number")]
    rank_number: u64,
}

impl Row for Ranked {
    fn replaces(&self) -> Option<String> {
        Some(format!("{} {}", self.auction, self.rank_number))
    }
}

/// Ranks of an auction.
const RANKS: usize = 10;

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Ranked> {
    events.bids(Some).key_by(|bid| bid.auction).process("highest", Highest).out
}

struct Highest;

impl KeyedProcess for Highest {
    type Key = u64;
    type In = Bid;
    type Out = Ranked;
    type Side = NoSide;
    type State = Vec<Bid>;

    fn on_record(
        &self,
        bid: Bid,
        highest: &mut StateMut<'_, Vec<Bid>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let ahead = |other: &Bid| {
            other.price > bid.price || (other.price == bid.price && other.date_time <= bid.date_time)
        };
        let place = highest.partition_point(ahead);
        if place == RANKS {
            return Ok(());
        }
        let highest = &mut **highest;
        if highest.capacity() == 0 {
            highest.reserve_exact(RANKS);
        }
        highest.truncate(RANKS - 1);
        highest.insert(place, bid);
        for (rank_number, bid) in (1..).zip(highest.iter()).skip(place) {
            cx.emit(ranked(bid.clone(), rank_number));
        }
        Ok(())
    }
}

fn ranked(bid: Bid, rank_number: u64) -> Ranked {
    let Bid { auction, bidder, price, channel, url, date_time, extra } = bid;
    Ranked { auction, bidder, price, channel, url, date_time, extra, rank_number }
}
