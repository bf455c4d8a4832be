//! q11, user sessions: bids of a bidder with less than 10 s, or just that, from one to the next.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Rows, bids};
use crate::model::Event;

const GAP_MS: i64 = 10_000;

pub fn result(events: &[Event]) -> Rows {
    let mut times: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for bid in bids(events) {
        times.entry(bid.bidder).or_default().push(bid.date_time);
    }
    let mut rows = Vec::new();
    for (bidder, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|earlier, later| later - earlier <= GAP_MS) {
            let (Some(first), Some(last)) = (session.first(), session.last()) else { continue };
            rows.push(json!({"bidder": bidder, "bid_count": session.len(), "starttime": first,
                "endtime": last + GAP_MS}));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bid;

    #[test]
    fn a_session_ends_where_nothing_came_for_longer_than_the_gap() {
        let bid = |bidder, date_time| Event::Bid(Bid { bidder, date_time, ..Bid::default() });
        let rows = result(&[bid(1, 0), bid(2, 5), bid(1, 20_001), bid(1, 10_000)]);
        let expected = [(1, 2, 0, 20_000), (1, 1, 20_001, 30_001), (2, 1, 5, 10_005)].map(
            |(bidder, count, start, end)| {
                json!({"bidder": bidder, "bid_count": count, "starttime": start, "endtime": end})
            },
        );
        assert_eq!(rows, expected);
    }
}
