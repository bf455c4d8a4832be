//! q12, processing time windows: only how often each bidder has bid in all, for how that is spread over
//! windows is known to the clock alone.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, bids};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    bids(events).for_each(|bid| *counts.entry(bid.bidder).or_default() += 1);
    counts.into_iter().map(|(bidder, count)| json!({"bidder": bidder, "bid_count": count})).collect()
}
