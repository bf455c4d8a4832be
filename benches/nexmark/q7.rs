//! q7, highest bid: of every 10 seconds the bids with the highest price.
//!
//! All bids of a window that have its highest price are in the result. (The public query's `BETWEEN` includes
//! the first instant after the window too; a bid in it counts here for its own window alone.)

use std::time::Duration;

use pelton::operators::aggregate::Fold;
use pelton::prelude::{Deserialize, Serialize, Stream, Tumbling};

use crate::model::{Bid, Event, Shared, Views};
use crate::results::Row;

/// A bid with the highest price of its window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Highest {
    auction: u64,
    bidder: u64,
    price: u64,
    date_time: i64,
    extra: Shared,
}

impl Row for Highest {}

const WINDOW: Duration = Duration::from_secs(10);

/// The bids with the highest price so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Best(Vec<Highest>);

impl Best {
    fn add(&mut self, bid: Highest) {
        let best = self.0.first().map_or(0, |best| best.price);
        if bid.price > best {
            self.0.clear();
        }
        if bid.price >= best {
            self.0.push(bid);
        }
    }

    fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|bid| self.add(bid));
    }
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Highest> {
    let bids = events.bids(|Bid { auction, bidder, price, date_time, extra, .. }| {
        Some(Highest { auction, bidder, price, date_time, extra })
    });
    let best = Fold::new(Best::add).merging(Best::merge);
    let windows = bids.window_all("highest", Tumbling::of(WINDOW)).aggregate(best);
    windows.out.flat_map(|window| window.value.0)
}
