//! The input: events made from their index, after the description of the public generator
//! (github.com/nexmark/nexmark, `nexmark-flink/.../generator`, with its default configuration).
//!
//! Of 50 events one is a person, three are auctions and 46 are bids. Half of the bids go to the hot
//! auction of the moment, three quarters come from the hot bidder; three quarters of the auctions are
//! the hot seller's. Some bids name auctions that are yet to come.
//!
//! It differs in three things. Event *i* is a function of *i* alone, so that a source can be replayed
//! from any position. Bidders are persons (the public generator adds the first id twice). And there is
//! one event in each millisecond: where the public queries leave open which of two events of equal
//! time wins, here no two are.

use std::cmp::min;

use super::model::{Auction, Bid, Event, Person, Text};
use super::random::Random;
use super::texts::{channel, extra, text};

/// The time of the first event: 50 s before midnight, so that short runs see two days as well.
pub const FIRST_TIME_MS: i64 = 1_436_918_400_000 - 50_000;

/// Milliseconds from one event to the next.
const EVENT_MS: i64 = 1;

const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
const BIDS: u64 = 46;
/// Events after which the kinds begin anew.
pub const ROUND: u64 = PERSONS + AUCTIONS + BIDS;

/// Ids begin here.
pub const FIRST_ID: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

/// One in as many auctions, sellers and bidders is hot.
const HOT: u64 = 100;
/// One in so many bids is not for the hot auction, and so on.
const NOT_HOT_AUCTION: u64 = 2;
const NOT_HOT_SELLER: u64 = 4;
const NOT_HOT_BIDDER: u64 = 4;

/// Auctions and persons that events are about.
const AUCTIONS_IN_FLIGHT: u64 = 100;
const ACTIVE_PERSONS: u64 = 1_000;
/// Ids beyond the newest that events may name.
const LEAD: u64 = 10;

/// Average bytes of an event.
const PERSON_BYTES: u64 = 200;
const AUCTION_BYTES: u64 = 500;
const BID_BYTES: u64 = 100;

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// Event `index` of the input.
#[must_use]
#[inline]
pub fn event(index: u64) -> Event {
    let mut random = Random::of(index);
    match index % ROUND {
        0 => Event::Person(Box::new(person(index, &mut random))),
        1..=AUCTIONS => Event::Auction(Box::new(auction(index, &mut random))),
        _ => Event::Bid(bid(index, &mut random)),
    }
}

/// When event `index` happens.
#[inline]
fn time_ms(index: u64) -> i64 {
    FIRST_TIME_MS + index as i64 * EVENT_MS
}

fn person(index: u64, random: &mut Random) -> Person {
    let name = format!("{} {}", random.one_of(&FIRST_NAMES), random.one_of(&LAST_NAMES));
    let email_address = format!("{}@{}.com", text(random, 7, ' '), text(random, 5, ' '));
    let [a, b, c, d] = [(); 4].map(|()| random.below(10_000));
    let credit_card = format!("{a:04} {b:04} {c:04} {d:04}");
    let (city, state) = (*random.one_of(&CITIES), *random.one_of(&STATES));
    let bytes = 8 + name.len() + email_address.len() + credit_card.len() + city.len() + state.len();
    Person {
        id: FIRST_ID + newest_person(index),
        name,
        email_address,
        credit_card,
        city: Text::Borrowed(city),
        state: Text::Borrowed(state),
        date_time: time_ms(index),
        extra: extra(random, bytes as u64, PERSON_BYTES),
    }
}

fn auction(index: u64, random: &mut Random) -> Auction {
    let seller = match random.below(NOT_HOT_SELLER) {
        0 => some_person(index, random),
        _ => newest_person(index) / HOT * HOT,
    };
    let date_time = time_ms(index);
    // On average it ends when as many auctions as are in flight have come after it.
    let horizon_ms = (AUCTIONS_IN_FLIGHT * ROUND / AUCTIONS) * EVENT_MS as u64;
    let expires = date_time + 1 + random.below(2 * horizon_ms) as i64;
    let (item_name, description) = (text(random, 20, ' '), text(random, 100, ' '));
    let initial_bid = price(random);
    let bytes = 8 + item_name.len() + description.len() + 8 + 8 + 8 + 8 + 8;
    Auction {
        id: FIRST_ID + newest_auction(index),
        item_name,
        description,
        initial_bid,
        reserve: initial_bid + price(random),
        date_time,
        expires,
        seller: FIRST_ID + seller,
        category: FIRST_CATEGORY + random.below(CATEGORIES),
        extra: extra(random, bytes as u64, AUCTION_BYTES),
    }
}

#[inline]
fn bid(index: u64, random: &mut Random) -> Bid {
    let auction = match random.below(NOT_HOT_AUCTION) {
        0 => some_auction(index, random),
        _ => newest_auction(index) / HOT * HOT,
    };
    let bidder = match random.below(NOT_HOT_BIDDER) {
        0 => some_person(index, random),
        // The second of the batch, as the first is the hot seller.
        _ => newest_person(index) / HOT * HOT + 1,
    };
    let price = price(random);
    let (channel, url) = channel(random);
    Bid {
        auction: FIRST_ID + auction,
        bidder: FIRST_ID + bidder,
        price,
        channel,
        url,
        date_time: time_ms(index),
        extra: extra(random, 8 + 8 + 8 + 8, BID_BYTES),
    }
}

/// The newest person at event `index`, counted from 0.
#[inline]
fn newest_person(index: u64) -> u64 {
    index / ROUND
}

/// The newest auction at event `index`, counted from 0; before the first there is none, and that counts
/// as the first.
#[inline]
fn newest_auction(index: u64) -> u64 {
    let (round, offset) = (index / ROUND, index % ROUND);
    (round * AUCTIONS + min(offset, AUCTIONS)).saturating_sub(1)
}

/// One of the active persons, or one that is to come soon.
#[inline]
fn some_person(index: u64, random: &mut Random) -> u64 {
    let persons = newest_person(index) + 1;
    let active = min(persons, ACTIVE_PERSONS);
    persons - active + random.below(active + LEAD)
}

/// One of the auctions in flight, or one that is to come soon.
#[inline]
fn some_auction(index: u64, random: &mut Random) -> u64 {
    let newest = newest_auction(index);
    let oldest = newest.saturating_sub(AUCTIONS_IN_FLIGHT);
    oldest + random.below(newest - oldest + 1 + LEAD)
}

/// Cents: the logarithm is uniform from 1 to 1,000,000 dollars.
#[inline]
fn price(random: &mut Random) -> u64 {
    ((random.fraction() * 6.0 * std::f64::consts::LN_10).exp() * 100.0 + 0.5) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_in_their_proportions_with_ids_in_order() {
        let (mut persons, mut auctions, mut bids) = (Vec::new(), Vec::new(), 0);
        for event in (0..10 * ROUND).map(event) {
            match event {
                Event::Person(person) => persons.push(person.id),
                Event::Auction(auction) => auctions.push(auction.id),
                Event::Bid(_) => bids += 1,
            }
        }
        assert!(persons.into_iter().eq(FIRST_ID..FIRST_ID + 10));
        assert!(auctions.into_iter().eq(FIRST_ID..FIRST_ID + 30));
        assert_eq!(bids, 460);
    }

    #[test]
    fn half_of_the_bids_are_for_hot_auctions_and_few_for_those_to_come() {
        let (mut hot, mut to_come, mut all) = (0, 0, 0);
        for index in 100_000..200_000 {
            let Event::Bid(bid) = event(index) else { continue };
            let newest = FIRST_ID + newest_auction(index);
            all += 1;
            hot += u64::from(bid.auction == FIRST_ID + newest_auction(index) / HOT * HOT);
            to_come += u64::from(bid.auction > newest);
            assert!(bid.auction <= newest + LEAD && bid.bidder <= FIRST_ID + newest_person(index) + LEAD);
            assert!((100..=100_000_000).contains(&bid.price));
            assert!((54..=82).contains(&bid.extra.len()), "{}", bid.extra.len());
        }
        assert!((49 * all..52 * all).contains(&(100 * hot)), "{hot} of {all}");
        assert!((3 * all..7 * all).contains(&(100 * to_come)), "{to_come} of {all}");
    }

    #[test]
    fn no_two_events_have_the_same_time() {
        assert!((0..1_000).all(|index| event(index).time() < event(index + 1).time()));
    }

    #[test]
    fn events_are_about_as_large_as_they_say() {
        let (mut auctions, mut bytes) = (0, 0);
        for event in (0..100_000).map(event) {
            if let Event::Auction(auction) = event {
                auctions += 1;
                bytes += auction.item_name.len() + auction.description.len() + auction.extra.len() + 56;
            }
        }
        assert!((450..550).contains(&(bytes / auctions)), "{}", bytes / auctions);
    }
}
