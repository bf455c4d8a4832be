//! q13, bounded side input join: every bid with the text that a small table has for its auction.
//!
//! The public query looks a file up (10,000 rows of a number and its text, by the auction modulo that);
//! here the table is built with the graph and shared by all workers, as it never changes.

use std::collections::HashMap;

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Bid, Event, Text, Views};
use crate::results::Row;

/// Rows of the side input.
const SIDE_ROWS: u64 = 10_000;

/// A bid with what the side input says of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enriched {
    auction: u64,
    bidder: u64,
    price: u64,
    date_time: i64,
    value: Text,
}

impl Row for Enriched {}

/// The side input: for each number its text.
fn side_input() -> HashMap<u64, &'static str> {
    (0..SIDE_ROWS).map(|key| (key, &*key.to_string().leak())).collect()
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Enriched> {
    let side = side_input();
    events.bids(move |Bid { auction, bidder, price, date_time, .. }| {
        let value = Text::Borrowed(*side.get(&(auction % SIDE_ROWS))?);
        Some(Enriched { auction, bidder, price, date_time, value })
    })
}
