//! q3, local item suggestion: auctions of category 10 whose seller lives in Oregon, Idaho or California.
//!
//! Persons and auctions are kept for ever, as the public query keeps them: whichever comes first
//! waits for the other.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Event, Text, Views};
use crate::results::Row;

/// A seller and an auction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Suggestion {
    name: String,
    city: Text,
    state: Text,
    id: u64,
}

impl Row for Suggestion {}

const CATEGORY: u64 = 10;
const STATES: [&str; 3] = ["OR", "ID", "CA"];

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seller {
    id: u64,
    name: String,
    city: Text,
    state: Text,
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Suggestion> {
    let sellers = events.persons(|person| {
        let is_local = STATES.contains(&&*person.state);
        is_local.then_some(Seller {
            id: person.id,
            name: person.name.clone(),
            city: person.city.clone(),
            state: person.state.clone(),
        })
    });
    let auctions =
        events.auctions(|auction| (auction.category == CATEGORY).then_some((auction.seller, auction.id)));
    let auctions = auctions.key_by(|(seller, _)| *seller);
    let pairs = sellers.key_by(|seller| seller.id).join("suggestions", &auctions);
    let suggestions = pairs.inner(|seller, (_, auction)| Suggestion {
        name: seller.name.clone(),
        city: seller.city.clone(),
        state: seller.state.clone(),
        id: *auction,
    });
    suggestions.out
}
