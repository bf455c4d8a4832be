//! q5, hot items: windows of 10 s that begin every 2 s.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, bids, window};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut windows: BTreeMap<i64, BTreeMap<u64, u64>> = BTreeMap::new();
    for bid in bids(events) {
        for nth in 0..5 {
            let start = window(bid.date_time, 2_000) - nth * 2_000;
            *windows.entry(start).or_default().entry(bid.auction).or_default() += 1;
        }
    }
    let mut rows = Vec::new();
    for counts in windows.values() {
        let most = counts.values().max();
        let hot = counts.iter().filter(|(_, count)| Some(*count) == most);
        rows.extend(hot.map(|(auction, num)| json!({"auction": auction, "num": num})));
    }
    rows
}
