//! What each query has to give, by code that shares nothing with the queries but the events: loops over
//! all of them, without regard to what that costs.
//!
//! A result is rows of JSON in any order. Where a query updates its rows, it is the last of each.

use serde_json::Value;

use crate::model::{Auction, Bid, Event, Person};

pub mod q0;
pub mod q1;
pub mod q10;
pub mod q11;
pub mod q12;
pub mod q13;
pub mod q14;
pub mod q15;
pub mod q16;
pub mod q17;
pub mod q18;
pub mod q19;
pub mod q2;
pub mod q20;
pub mod q21;
pub mod q22;
pub mod q3;
pub mod q4;
pub mod q5;
pub mod q6;
pub mod q7;
pub mod q8;
pub mod q9;

/// Rows of a result.
pub type Rows = Vec<Value>;

fn persons(events: &[Event]) -> impl Iterator<Item = &Person> {
    events.iter().filter_map(|event| if let Event::Person(person) = event { Some(&**person) } else { None })
}

fn auctions(events: &[Event]) -> impl Iterator<Item = &Auction> {
    events
        .iter()
        .filter_map(|event| if let Event::Auction(auction) = event { Some(&**auction) } else { None })
}

fn bids(events: &[Event]) -> impl Iterator<Item = &Bid> {
    events.iter().filter_map(|event| if let Event::Bid(bid) = event { Some(bid) } else { None })
}

/// The start of the window of `length_ms` that `time_ms` is in.
fn window(time_ms: i64, length_ms: i64) -> i64 {
    time_ms.div_euclid(length_ms) * length_ms
}

/// The day of a time of 1970 or later, found by counting years and months.
fn day(time_ms: i64) -> String {
    let mut days = time_ms / 86_400_000;
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 0;
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

/// The minute of the day of a time of 1970 or later.
fn minute(time_ms: i64) -> String {
    let minutes = time_ms / 60_000 % 1_440;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A price in euros.
fn euros(price: u64) -> f64 {
    // The number that stands in the result is the one nearest to the decimal.
    format!("{}.{:03}", price * 908 / 1_000, price * 908 % 1_000).parse().unwrap_or(f64::NAN)
}
