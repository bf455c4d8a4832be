//! q3, local item suggestion: every person of three states with every auction of category 10.

use serde_json::json;

use super::{Rows, auctions, persons};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut rows = Vec::new();
    for auction in auctions(events).filter(|auction| auction.category == 10) {
        for person in persons(events).filter(|person| person.id == auction.seller) {
            if ["OR", "ID", "CA"].contains(&&*person.state) {
                rows.push(json!({"name": person.name, "city": person.city, "state": person.state,
                    "id": auction.id}));
            }
        }
    }
    rows
}
