//! q8, monitor new users.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Rows, auctions, persons, window};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let sold: BTreeSet<(i64, u64)> =
        auctions(events).map(|auction| (window(auction.date_time, 10_000), auction.seller)).collect();
    let came: BTreeSet<(i64, u64, &str)> =
        persons(events).map(|person| (window(person.date_time, 10_000), person.id, &*person.name)).collect();
    came.into_iter()
        .filter(|(start, id, _)| sold.contains(&(*start, *id)))
        .map(|(start, id, name)| json!({"id": id, "name": name, "stime": start}))
        .collect()
}
