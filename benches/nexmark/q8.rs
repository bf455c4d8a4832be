//! q8, monitor new users: persons who came and opened an auction within the same 10 seconds.
//!
//! The public query joins the distinct persons and sellers of each window; here the window of an id
//! holds whether it has both.

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

/// The name of a person who has come, or nothing for one who has opened an auction.
type Deed = Option<String>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Deeds {
    /// It is one in all queries that give every person an id.
    names: Vec<String>,
    has_sold: bool,
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<NewSeller> {
    let came = events.persons(|person| Some((person.id, Some(person.name) as Deed)));
    let sold = events.auctions(|auction| Some((auction.seller, None as Deed)));
    let windows = came.union([sold]).key_by(|(id, _)| *id).window("deeds", Tumbling::of(WINDOW));
    let deeds = windows.fold(|deeds: &mut Deeds, (_, deed)| match deed {
        Some(name) if !deeds.names.contains(&name) => deeds.names.push(name),
        Some(_) => {}
        None => deeds.has_sold = true,
    });
    deeds.out.flat_map(|window| {
        let (id, stime) = (window.key, window.start.0);
        let names = if window.value.has_sold { window.value.names } else { Vec::new() };
        names.into_iter().map(move |name| NewSeller { id, name, stime })
    })
}
