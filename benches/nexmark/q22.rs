//! q22, get URL directories: the first three directories of the URL of every bid.

use std::ops::Range;

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Bid, Event, Text, Views};
use crate::results::Row;

/// A bid with the directories of its URL; a URL that has less has `null`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Divided {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: Text,
    dir1: Option<Text>,
    dir2: Option<Text>,
    dir3: Option<Text>,
}

impl Row for Divided {}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Divided> {
    events.bids(|Bid { auction, bidder, price, channel, url, .. }| {
        let [dir1, dir2, dir3] = directories(&url).map(|place| place.map(|place| part(&url, place)));
        Some(Divided { auction, bidder, price, channel, dir1, dir2, dir3 })
    })
}

/// Where the parts 3, 4 and 5 of `url` are: scheme, nothing and host come before them.
fn directories(url: &str) -> [Option<Range<usize>>; 3] {
    let mut start = 0;
    let mut parts = url.split('/').map(|part| {
        let place = start..start + part.len();
        start = place.end + 1;
        place
    });
    let first = parts.nth(3);
    [first, parts.next(), parts.next()]
}

fn part(url: &Text, place: Range<usize>) -> Text {
    match url {
        Text::Borrowed(url) => Text::Borrowed(&url[place]),
        Text::Owned(url) => Text::Owned(url[place].to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_those_after_the_host() {
        for (url, expected) in [
            ("https://www.nexmark.com/a_/b/c/item.htm?query=1", [Some("a_"), Some("b"), Some("c")]),
            ("https://x/a/", [Some("a"), Some(""), None]),
            ("https://x", [None, None, None]),
        ] {
            let url = Text::Borrowed(url);
            let found = directories(&url).map(|place| place.map(|place| part(&url, place)));
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{url}");
        }
    }
}
