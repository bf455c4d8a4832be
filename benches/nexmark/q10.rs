//! q10, log to file system: every bid, in a partition of its day and minute.
//!
//! Where it is measured, the bids are written as the public query writes them: into a directory for each
//! minute. (As JSON lines; a file becomes visible with the checkpoint of its epoch.)

use std::fmt;

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::calendar::{Day, Minute};
use crate::model::{Bid, Event, Shared, Views};
use crate::results::{Results, Row};

/// A bid, and the partition that it lies in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Logged {
    auction: u64,
    bidder: u64,
    price: u64,
    date_time: i64,
    extra: Shared,
    dt: Day,
    hm: Minute,
}

impl Row for Logged {}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Logged> {
    events.bids(|Bid { auction, bidder, price, date_time, extra, .. }| {
        let (dt, hm) = (Day::of(date_time), Minute::of(date_time));
        Some(Logged { auction, bidder, price, date_time, extra, dt, hm })
    })
}

/// Where the bids of a minute are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Partition(Day, Minute);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(day, minute) = self;
        write!(f, "dt={day}/hm={minute}")
    }
}

/// The query, with the files that it is about.
pub fn wire(events: &Stream<Event>, results: Results) {
    results.take_partitioned(&query(events), |bid| Partition(bid.dt, bid.hm));
}
