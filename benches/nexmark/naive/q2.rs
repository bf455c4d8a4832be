//! q2, selection.

use serde_json::json;

use super::{Rows, bids};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let selected = bids(events).filter(|bid| bid.auction.is_multiple_of(123));
    selected.map(|bid| json!({"auction": bid.auction, "price": bid.price})).collect()
}
