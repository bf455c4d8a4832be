//! q17, auction statistics.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, bids, day};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut groups: BTreeMap<(u64, String), Vec<u64>> = BTreeMap::new();
    for bid in bids(events) {
        groups.entry((bid.auction, day(bid.date_time))).or_default().push(bid.price);
    }
    groups
        .into_iter()
        .map(|((auction, day), prices)| {
            let sum: u64 = prices.iter().sum();
            json!({
                "auction": auction, "day": day, "total_bids": prices.len(),
                "rank1_bids": prices.iter().filter(|price| **price < 10_000).count(),
                "rank2_bids": prices.iter().filter(|price| (10_000..1_000_000).contains(*price)).count(),
                "rank3_bids": prices.iter().filter(|price| **price >= 1_000_000).count(),
                "min_price": prices.iter().min(), "max_price": prices.iter().max(),
                "avg_price": sum / prices.len() as u64, "sum_price": sum,
            })
        })
        .collect()
}
