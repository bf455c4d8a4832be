//! q16, channel statistics.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Rows, bids, day, minute, q15};
use crate::model::{Bid, Event};

pub fn result(events: &[Event]) -> Rows {
    let mut groups: BTreeMap<(&str, String), Vec<&Bid>> = BTreeMap::new();
    bids(events).for_each(|bid| groups.entry((&bid.channel, day(bid.date_time))).or_default().push(bid));
    groups
        .into_iter()
        .map(|((channel, day), bids)| {
            let mut row = q15::statistics(&bids);
            row.insert("channel".to_owned(), json!(channel));
            row.insert("day".to_owned(), json!(day));
            row.insert("minute".to_owned(), json!(bids.iter().map(|bid| minute(bid.date_time)).max()));
            Value::Object(row)
        })
        .collect()
}
