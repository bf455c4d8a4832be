//! q0, passthrough: every bid, so that other queries have something to be compared with.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Bid, Event, Shared, Views};
use crate::results::Row;

/// A bid without channel and URL.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Passed {
    auction: u64,
    bidder: u64,
    price: u64,
    date_time: i64,
    extra: Shared,
}

impl Row for Passed {}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Passed> {
    events.bids(|Bid { auction, bidder, price, date_time, extra, .. }| {
        Some(Passed { auction, bidder, price, date_time, extra })
    })
}
