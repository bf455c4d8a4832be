//! q8, monitor new users: persons who came and opened an auction within the same 10 seconds.
//!
//! The public query joins the distinct persons and sellers of each window.

use std::time::Duration;

use pelton::prelude::{Deserialize, Serialize, Stream, Tumbling};

use crate::model::{Event, Views};
use crate::results::Row;

/// A person, and the beginning of the window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewSeller {
    id: u64,
    name: String,
    stime: i64,
}

impl Row for NewSeller {}

const WINDOW: Duration = Duration::from_secs(10);

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<NewSeller> {
    let persons = events.persons(|person| Some((person.id, person.name.clone()))).key_by(|(id, _)| *id);
    let sellers = events.auctions(|auction| Some(auction.seller)).key_by(|seller| *seller);
    let groups = persons.co_group("new-sellers", &sellers, Tumbling::of(WINDOW), |window, persons, sold| {
        let mut persons: Vec<_> = if sold.is_empty() { Vec::new() } else { persons.to_vec() };
        persons.sort();
        persons.dedup();
        let stime = window.start.0;
        persons.into_iter().map(move |(id, name)| NewSeller { id, name, stime })
    });
    groups.out
}
