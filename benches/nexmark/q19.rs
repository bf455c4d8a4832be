//! q19, auction top 10: the ten highest bids on each auction, with their ranks.
//!
//! Of equal prices the earlier bid is ahead. A bid that is among the ten gives a row for each rank that
//! it changes, and the last row of an auction and rank is its result.

use std::sync::Arc;

use pelton::prelude::{Context, Deserialize, KeyedProcess, NoSide, OpResult, Serialize, StateMut, Stream};

use crate::model::{Bid, Event, Shared, Text, Views};
use crate::results::Row;

/// A bid, and its rank so far. Bids move from rank to rank, and stay where they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Columns", into = "Columns")]
pub struct Ranked {
    bid: Arc<Bid>,
    rank_number: u64,
}

/// As the public table has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Columns {
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

impl From<Ranked> for Columns {
    fn from(Ranked { bid, rank_number }: Ranked) -> Self {
        let Bid { auction, bidder, price, channel, url, date_time, extra } = Arc::unwrap_or_clone(bid);
        Self { auction, bidder, price, channel, url, date_time, extra, rank_number }
    }
}

impl From<Columns> for Ranked {
    fn from(columns: Columns) -> Self {
        let Columns { auction, bidder, price, channel, url, date_time, extra, rank_number } = columns;
        let bid = Bid { auction, bidder, price, channel, url, date_time, extra };
        Self { bid: Arc::new(bid), rank_number }
    }
}

impl Row for Ranked {
    fn replaces(&self) -> Option<String> {
        Some(format!("{} {}", self.bid.auction, self.rank_number))
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
    type State = Vec<Arc<Bid>>;

    fn on_record(
        &self,
        bid: Bid,
        highest: &mut StateMut<'_, Vec<Arc<Bid>>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let ahead = |other: &Arc<Bid>| {
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
        highest.insert(place, Arc::new(bid));
        for (rank_number, bid) in (1..).zip(highest.iter()).skip(place) {
            cx.emit(Ranked { bid: bid.clone(), rank_number });
        }
        Ok(())
    }
}
