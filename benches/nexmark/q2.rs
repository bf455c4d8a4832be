//! q2, selection: bids on one auction in 123.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Event, Views};
use crate::results::Row;

/// A bid on one of the auctions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Selected {
    auction: u64,
    price: u64,
}

impl Row for Selected {}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Selected> {
    events.bids(|bid| (bid.auction % 123 == 0).then_some(Selected { auction: bid.auction, price: bid.price }))
}
