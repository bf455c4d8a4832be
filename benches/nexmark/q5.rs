//! q5, hot items: of every 10 seconds, every 2 seconds, the auctions with the most bids.

use std::time::Duration;

use pelton::operators::aggregate::Fold;
use pelton::prelude::{Deserialize, Serialize, Sliding, Stream, Tumbling, WindowResult};

use crate::model::{Event, Views};
use crate::results::Row;

/// An auction that no other had more bids than in some window, and how many.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hot {
    auction: u64,
    num: u64,
}

impl Row for Hot {}

const WINDOW: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(2);

/// The auctions with the most bids so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hottest {
    num: u64,
    auctions: Vec<u64>,
}

impl Hottest {
    fn add(&mut self, auction: u64, num: u64) {
        if num > self.num {
            *self = Self { num, auctions: Vec::new() };
        }
        if num == self.num {
            self.auctions.push(auction);
        }
    }

    fn merge(&mut self, other: Self) {
        other.auctions.into_iter().for_each(|auction| self.add(auction, other.num));
    }
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Hot> {
    let bids = events.bids(|bid| Some(bid.auction)).key_by(|auction| *auction);
    let counts = bids.window("bids", Sliding::of(WINDOW).every(EVERY)).count().out;
    // A count has the time at which its window ends, so each of these windows holds those of one.
    let hottest = Fold::new(|hottest: &mut Hottest, count: WindowResult<u64, u64>| {
        hottest.add(count.key, count.value);
    });
    let hottest =
        counts.window_all("hottest", Tumbling::of(EVERY)).aggregate(hottest.merging(Hottest::merge));
    hottest.out.flat_map(|window| {
        let Hottest { num, auctions } = window.value;
        auctions.into_iter().map(move |auction| Hot { auction, num })
    })
}
