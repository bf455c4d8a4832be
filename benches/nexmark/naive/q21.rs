//! q21, add channel id: the parameters of the URL one by one.

use serde_json::json;

use super::{Rows, bids};
use crate::model::Event;

pub fn result(events: &[Event]) -> Rows {
    let mut rows = Vec::new();
    for bid in bids(events) {
        let in_url = bid.url.split('&').find_map(|parameter| parameter.strip_prefix("channel_id="));
        let channel_id = match bid.channel.to_lowercase().as_str() {
            "apple" => Some("0"),
            "google" => Some("1"),
            "facebook" => Some("2"),
            "baidu" => Some("3"),
            _ => in_url,
        };
        let Some(channel_id) = channel_id else { continue };
        rows.push(json!({"auction": bid.auction, "bidder": bid.bidder, "price": bid.price,
            "channel": bid.channel, "channel_id": channel_id}));
    }
    rows
}
