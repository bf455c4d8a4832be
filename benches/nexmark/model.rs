//! The three kinds of event, with the field names of the public Nexmark schema.
//!
//! In JSON an event is `{"event_type": 2, "person": null, "auction": null, "bid": {...}}`, its times
//! are milliseconds since the Unix epoch. Texts of which there are few (channels, URLs, cities) are
//! shared and not copied as long as an event stays in the process that made it.

use std::borrow::Cow;
use std::sync::Arc;

use pelton::dataflow::record::Data;
use pelton::prelude::{EventTime, Stream};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that may be one of the generator's.
pub type Text = Cow<'static, str>;

/// A text of one event, which its copies share.
pub type Shared = Arc<str>;

/// Somebody who sells or bids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the public schema says no more than the names")]
pub struct Person {
    pub id: u64,
    pub name: String,
    pub email_address: String,
    pub credit_card: String,
    pub city: Text,
    pub state: Text,
    pub date_time: i64,
    pub extra: Shared,
}

/// Something that is sold from `date_time` until `expires`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the public schema says no more than the names")]
pub struct Auction {
    pub id: u64,
    pub item_name: String,
    pub description: String,
    pub initial_bid: u64,
    pub reserve: u64,
    pub date_time: i64,
    pub expires: i64,
    pub seller: u64,
    pub category: u64,
    pub extra: Shared,
}

/// What somebody offers for what is sold in an auction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the public schema says no more than the names")]
pub struct Bid {
    pub auction: u64,
    pub bidder: u64,
    pub price: u64,
    pub channel: Text,
    pub url: Text,
    pub date_time: i64,
    pub extra: Shared,
}

/// One event. Persons and auctions are behind a pointer: there are few of them, and they are large.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody has come.
    Person(Box<Person>),
    /// An auction has begun.
    Auction(Box<Auction>),
    /// Somebody has bid.
    Bid(Bid),
}

impl Event {
    /// When it happened.
    #[must_use]
    #[inline]
    pub fn time(&self) -> EventTime {
        EventTime(match self {
            Self::Person(person) => person.date_time,
            Self::Auction(auction) => auction.date_time,
            Self::Bid(bid) => bid.date_time,
        })
    }

    /// The person, if it is one.
    #[must_use]
    #[inline]
    pub fn person(&self) -> Option<&Person> {
        if let Self::Person(person) = self { Some(person) } else { None }
    }

    /// The auction, if it is one.
    #[must_use]
    #[inline]
    pub fn auction(&self) -> Option<&Auction> {
        if let Self::Auction(auction) = self { Some(auction) } else { None }
    }

    /// The bid, if it is one.
    #[must_use]
    #[inline]
    pub fn bid(self) -> Option<Bid> {
        if let Self::Bid(bid) = self { Some(bid) } else { None }
    }
}

/// The views `person`, `auction` and `bid` of the public queries, with the columns that a query needs:
/// what else there is of an event goes no further. Persons and auctions are few, and only looked at.
pub trait Views {
    /// What `columns` takes of each person; `None` leaves it out.
    fn persons<T: Data>(&self, columns: impl Fn(&Person) -> Option<T> + Send + Sync + 'static) -> Stream<T>;
    /// What `columns` takes of each auction.
    fn auctions<T: Data>(&self, columns: impl Fn(&Auction) -> Option<T> + Send + Sync + 'static)
    -> Stream<T>;
    /// What `columns` takes of each bid.
    fn bids<T: Data>(&self, columns: impl Fn(Bid) -> Option<T> + Send + Sync + 'static) -> Stream<T>;
}

impl Views for Stream<Event> {
    #[track_caller]
    fn persons<T: Data>(&self, columns: impl Fn(&Person) -> Option<T> + Send + Sync + 'static) -> Stream<T> {
        self.filter_map(move |event| event.person().and_then(&columns))
    }

    #[track_caller]
    fn auctions<T: Data>(
        &self,
        columns: impl Fn(&Auction) -> Option<T> + Send + Sync + 'static,
    ) -> Stream<T> {
        self.filter_map(move |event| event.auction().and_then(&columns))
    }

    #[track_caller]
    fn bids<T: Data>(&self, columns: impl Fn(Bid) -> Option<T> + Send + Sync + 'static) -> Stream<T> {
        self.flat_map(move |event| event.bid().and_then(&columns))
    }
}

/// The three columns of the public table, one of which has a value.
#[derive(Serialize)]
struct Written<'a> {
    event_type: u8,
    person: Option<&'a Person>,
    auction: Option<&'a Auction>,
    bid: Option<&'a Bid>,
}

/// The same, as it is read.
#[derive(Deserialize)]
struct Read {
    event_type: u8,
    #[serde(default)]
    person: Option<Box<Person>>,
    #[serde(default)]
    auction: Option<Box<Auction>>,
    #[serde(default)]
    bid: Option<Bid>,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = Written { event_type: 0, person: None, auction: None, bid: None };
        match self {
            Self::Person(person) => Written { person: Some(person), ..none },
            Self::Auction(auction) => Written { event_type: 1, auction: Some(auction), ..none },
            Self::Bid(bid) => Written { event_type: 2, bid: Some(bid), ..none },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let problem = <D::Error as serde::de::Error>::custom::<String>;
        let missing =
            |what: &str, event_type| problem(format!("an event of type {event_type} without `{what}`"));
        let Read { event_type, person, auction, bid } = Read::deserialize(deserializer)?;
        match event_type {
            0 => person.map(Self::Person).ok_or_else(|| missing("person", 0)),
            1 => auction.map(Self::Auction).ok_or_else(|| missing("auction", 1)),
            2 => bid.map(Self::Bid).ok_or_else(|| missing("bid", 2)),
            _ => Err(problem(format!("{event_type} is no event type: 0 is a person, 1 an auction, 2 a bid"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_columns_of_the_public_table() {
        let bid = Event::Bid(Bid { auction: 7, channel: "Apple".into(), date_time: 5, ..Bid::default() });
        let json = serde_json::to_value(&bid).unwrap();
        let expected = serde_json::json!({
            "event_type": 2, "person": null, "auction": null,
            "bid": {"auction": 7, "bidder": 0, "price": 0, "channel": "Apple", "url": "", "dateTime": 5, "extra": ""},
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), bid);
    }

    #[test]
    fn an_event_may_leave_out_what_it_is_not() {
        let person = r#"{"event_type": 0, "person": {"id": 1, "name": "a b", "emailAddress": "", "creditCard": "",
            "city": "Bend", "state": "OR", "dateTime": 3, "extra": ""}}"#;
        assert_eq!(serde_json::from_str::<Event>(person).unwrap().time(), EventTime(3));
        let problem = |text| serde_json::from_str::<Event>(text).unwrap_err().to_string();
        assert!(problem(r#"{"event_type": 1}"#).contains("an event of type 1 without `auction`"));
        assert!(problem(r#"{"event_type": 3}"#).contains("3 is no event type"));
    }

    #[test]
    fn a_record_is_small_beside_what_it_holds() {
        assert!(size_of::<Event>() <= 112, "{}", size_of::<Event>());
    }
}
