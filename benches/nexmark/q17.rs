//! q17, auction statistics: of each auction and day the number of bids, by rank of price too, and the
//! least, greatest, average and total price.
//!
//! Every bid gives a row, and the last row of an auction and day is its result. The average is rounded down.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::calendar::Day;
use crate::model::{Event, Views};
use crate::ranks::{Counts, rank};
use crate::results::Row;

/// The statistics of an auction's day so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the public query's columns")]
pub struct Statistics {
    auction: u64,
    day: Day,
    total_bids: u64,
    rank1_bids: u64,
    rank2_bids: u64,
    rank3_bids: u64,
    min_price: u64,
    max_price: u64,
    avg_price: u64,
    sum_price: u64,
}

impl Row for Statistics {
    fn replaces(&self) -> Option<String> {
        Some(format!("{} {}", self.auction, self.day))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Prices {
    bids: Counts,
    least: u64,
    greatest: u64,
    sum: u64,
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Statistics> {
    let prices = events.bids(|bid| Some(((bid.auction, Day::of(bid.date_time)), bid.price)));
    let days = prices.key_by(|(key, _)| *key).fold("statistics", |prices: &mut Prices, (_, price)| {
        prices.least = if prices.bids.total == 0 { price } else { prices.least.min(price) };
        prices.greatest = prices.greatest.max(price);
        prices.sum += price;
        prices.bids.add(rank(price));
    });
    days.map(|((auction, day), prices)| {
        let Counts { total, by_rank: [rank1_bids, rank2_bids, rank3_bids] } = prices.bids;
        Statistics {
            auction,
            day,
            total_bids: total,
            rank1_bids,
            rank2_bids,
            rank3_bids,
            min_price: prices.least,
            max_price: prices.greatest,
            avg_price: prices.sum / total,
            sum_price: prices.sum,
        }
    })
}
