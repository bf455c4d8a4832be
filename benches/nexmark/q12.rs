//! q12, processing time windows: how often somebody has bid in every 10 seconds of the machine's clock.

use std::time::Duration;

use pelton::prelude::{Deserialize, Serialize, Stream, Tumbling};

use crate::model::{Event, Views};
use crate::results::Row;

/// The bids of somebody in a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bids {
    bidder: u64,
    bid_count: u64,
    starttime: i64,
    endtime: i64,
}

impl Row for Bids {}

const WINDOW: Duration = Duration::from_secs(10);

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Bids> {
    let bids = events.bids(|bid| Some(bid.bidder)).key_by(|bidder| *bidder);
    bids.window("bids", Tumbling::of(WINDOW).by_processing_time()).count().out.map(|window| Bids {
        bidder: window.key,
        bid_count: window.value,
        starttime: window.start.0,
        endtime: window.end.0,
    })
}
