//! q6, average selling price by seller: over eleven rows in the order of the winning bids.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, q9};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut sales: BTreeMap<u64, Vec<(i64, u64, u64)>> = BTreeMap::new();
    for (auction, bid) in q9::winners(events) {
        sales.entry(auction.seller).or_default().push((bid.date_time, auction.id, bid.price));
    }
    let mut rows = Vec::new();
    for (seller, mut sales) in sales {
        sales.sort_unstable();
        for current in 0..sales.len() {
            let frame = &sales[current.saturating_sub(10)..=current];
            let sum: u64 = frame.iter().map(|(.., price)| price).sum();
            rows.push(json!({"seller": seller, "avg_price": sum / frame.len() as u64}));
        }
    }
    rows
}
