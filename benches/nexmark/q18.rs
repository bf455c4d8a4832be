//! q18, find last bid: of each bidder the last bid on each auction.
//!
//! A bid that is not earlier than those before it gives a row, and the last row of a bidder and auction is its
//! result.

use pelton::operators::Kept;
use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Bid, Event, Views};
use crate::results::Row;

/// The last bid of somebody on something so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Last(Bid);

impl Row for Last {
    fn replaces(&self) -> Option<String> {
        Some(format!("{} {}", self.0.bidder, self.0.auction))
    }
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Last> {
    let bids = events.bids(Some).key_by(|bid| (bid.bidder, bid.auction));
    bids.deduplicate("last", Kept::Last).for_ever().map(Last)
}
