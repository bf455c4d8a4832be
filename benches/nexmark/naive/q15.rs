//! q15, bidding statistics by day.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Rows, bids, day};
use crate::model::{Bid, Event};

pub fn result(events: &[Event]) -> Rows {
    let mut days: BTreeMap<String, Vec<&Bid>> = BTreeMap::new();
    bids(events).for_each(|bid| days.entry(day(bid.date_time)).or_default().push(bid));
    days.into_iter()
        .map(|(day, bids)| {
            let mut row = statistics(&bids);
            row.insert("day".to_owned(), json!(day));
            Value::Object(row)
        })
        .collect()
}

/// Whether a price counts.
type IsIn = fn(u64) -> bool;

/// The columns that `q15` and `q16` have of their groups.
pub fn statistics(bids: &[&Bid]) -> Map<String, Value> {
    let ranks: [(&str, IsIn); 4] = [
        ("total", |_| true),
        ("rank1", |price| price < 10_000),
        ("rank2", |price| (10_000..1_000_000).contains(&price)),
        ("rank3", |price| price >= 1_000_000),
    ];
    let mut row = Map::new();
    for (name, is_in) in ranks {
        let bids: Vec<_> = bids.iter().filter(|bid| is_in(bid.price)).collect();
        let bidders: BTreeSet<_> = bids.iter().map(|bid| bid.bidder).collect();
        let auctions: BTreeSet<_> = bids.iter().map(|bid| bid.auction).collect();
        row.insert(format!("{name}_bids"), json!(bids.len()));
        row.insert(format!("{name}_bidders"), json!(bidders.len()));
        row.insert(format!("{name}_auctions"), json!(auctions.len()));
    }
    row
}
