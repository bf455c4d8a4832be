//! q14, calculation: bids of a middle price, in euros, with the time of day and the letters `c` of their
//! extra text.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::calendar::hour;
use crate::model::{Bid, Event, Shared, Text, Views};
use crate::q1::{euro_thousandths, euros};
use crate::results::Row;

/// A bid, and what was made out about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calculated {
    auction: u64,
    bidder: u64,
    price: f64,
    bid_time_type: Text,
    date_time: i64,
    extra: Shared,
    #[serde(rename = "c_counts")]
    c_counts: u64,
}

impl Row for Calculated {}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Calculated> {
    events.bids(|Bid { auction, bidder, price, date_time, extra, .. }| {
        let thousandths = euro_thousandths(price);
        (thousandths > 1_000_000_000 && thousandths < 50_000_000_000).then(|| Calculated {
            auction,
            bidder,
            price: euros(price),
            bid_time_type: Text::Borrowed(time_of_day(hour(date_time))),
            date_time,
            c_counts: extra.bytes().filter(|byte| *byte == b'c').count() as u64,
            extra,
        })
    })
}

fn time_of_day(hour: u8) -> &'static str {
    match hour {
        8..=18 => "dayTime",
        7 | 19 => "otherTime",
        _ => "nightTime",
    }
}

#[cfg(test)]
mod tests {
    use super::time_of_day;

    #[test]
    fn hours_are_those_of_the_public_query() {
        let expected = |hour| match hour {
            hour if (8..=18).contains(&hour) => "dayTime",
            hour if hour <= 6 || hour >= 20 => "nightTime",
            _ => "otherTime",
        };
        assert!((0..24).all(|hour| time_of_day(hour) == expected(hour)));
    }
}
