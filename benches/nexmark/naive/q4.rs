//! q4, average price per category.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, q9};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut prices: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (auction, bid) in q9::winners(events) {
        prices.entry(auction.category).or_default().push(bid.price);
    }
    prices
        .into_iter()
        .map(|(id, prices)| json!({"id": id, "final": prices.iter().sum::<u64>() / prices.len() as u64}))
        .collect()
}
