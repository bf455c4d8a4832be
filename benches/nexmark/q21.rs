//! q21, add channel id: of the four well-known channels by name, of others from the URL; bids without
//! either are left out.
//!
//! The public query takes the id by the regular expression `(&|^)channel_id=([^&]*)`. It is two
//! searches here.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Bid, Event, Text, Views};
use crate::results::Row;

/// A bid with the id of its channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Identified {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: Text,
    channel_id: Text,
}

impl Row for Identified {}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Identified> {
    events.bids(|Bid { auction, bidder, price, channel, url, .. }| {
        let channel_id = match well_known(&channel) {
            Some(id) => Text::Borrowed(id),
            None => in_url(url)?,
        };
        Some(Identified { auction, bidder, price, channel, channel_id })
    })
}

fn well_known(channel: &str) -> Option<&'static str> {
    const CHANNELS: [(&str, &str); 4] = [("apple", "0"), ("google", "1"), ("facebook", "2"), ("baidu", "3")];
    CHANNELS.iter().find(|(name, _)| channel.eq_ignore_ascii_case(name)).map(|(_, id)| *id)
}

/// The value of the first parameter `channel_id`, which begins the text or follows an `&`.
fn in_url(url: Text) -> Option<Text> {
    const FIRST: &str = "channel_id=";
    const LATER: &str = "&channel_id=";
    let start = match url.starts_with(FIRST) {
        true => FIRST.len(),
        false => url.find(LATER)? + LATER.len(),
    };
    Some(match url {
        Text::Borrowed(url) => Text::Borrowed(up_to_ampersand(&url[start..])),
        Text::Owned(url) => Text::Owned(up_to_ampersand(&url[start..]).to_owned()),
    })
}

fn up_to_ampersand(text: &str) -> &str {
    text.split_once('&').map_or(text, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_where_the_regular_expression_finds_it() {
        for (url, id) in [
            ("https://x/item.htm?query=1&channel_id=42", Some("42")),
            ("https://x?a=1&channel_id=42&b=2", Some("42")),
            ("channel_id=7&channel_id=8", Some("7")),
            ("https://x?channel_id=42", None),
            ("https://x?a&channel_id=", Some("")),
            ("https://x?xchannel_id=1", None),
        ] {
            assert_eq!(in_url(url.into()).as_deref(), id, "{url}");
            assert_eq!(in_url(url.to_owned().into()).as_deref(), id, "{url}");
        }
        assert_eq!((well_known("Apple"), well_known("channel-1")), (Some("0"), None));
    }
}
