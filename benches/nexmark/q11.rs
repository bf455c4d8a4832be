//! q11, user sessions: how often somebody has bid in a row, with no more than 10 seconds in between.

use std::time::Duration;

use pelton::prelude::{Deserialize, Serialize, Session, Stream};

use crate::model::{Event, Views};
use crate::results::Row;

/// The bids of somebody in a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bids {
    bidder: u64,
    bid_count: u64,
    starttime: i64,
    endtime: i64,
}

impl Row for Bids {}

const GAP: Duration = Duration::from_secs(10);

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Bids> {
    let bids = events.bids(|bid| Some(bid.bidder)).key_by(|bidder| *bidder);
    bids.window("sessions", Session::gap(GAP)).count().out.map(|session| Bids {
        bidder: session.key,
        bid_count: session.value,
        starttime: session.start.0,
        endtime: session.end.0,
    })
}
