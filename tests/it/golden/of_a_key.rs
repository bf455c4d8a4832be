//! The records of a key: sorted, deduplicated, ranked. The events of a key come in order of their numbers.

use std::collections::BTreeMap;

use pelton::operators::Deduplicated;
use pelton::prelude::*;

use super::drive::{Case, Line, Place};
use super::input::Event;

const WITHIN_MS: i64 = 60;

fn line(event: &Event) -> Line {
    (event.key, event.id.to_string())
}

/// The events by event time, and of one time by number.
fn by_time(place: &Place) -> Vec<Event> {
    let mut events: Vec<_> = Event::all(place.seed).collect();
    events.sort_by_key(|event| (event.at, event.id));
    events
}

pub const SORTED: Case = Case {
    covers: &["KeyedStream::sorted"],
    wire: |job, place| {
        let sorted = place.events(job).key_by(|event| event.key).sorted("sort");
        place.keep("sorted", &sorted.out.map(|event| line(&event)));
        place.keep("late", &sorted.late.map(|event| line(&event)));
    },
    check: |place| {
        place.in_order("sorted", by_time(place).iter().map(line));
        place.in_order("late", []);
    },
};

/// The groups of each key, of `events` in their order.
fn groups(events: impl IntoIterator<Item = Event>) -> Vec<Vec<Event>> {
    let mut open: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    let mut over = Vec::new();
    for event in events {
        let group = open.entry(event.key).or_default();
        if group.first().is_some_and(|first| event.at.0 >= first.at.0 + WITHIN_MS) {
            over.push(std::mem::take(group));
        }
        group.push(event);
    }
    over.extend(open.into_values());
    over
}

pub const DEDUPLICATED: Case = Case {
    covers: &["KeyedStream::deduplicate", "Deduplicate::for_ever", "Deduplicate::within"],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        let keep = |name: &str, one: &Stream<Event>| place.keep(name, &one.map(|event| line(&event)));
        keep("distinct", &keyed.distinct("distinct"));
        keep("first", &keyed.deduplicate("first", Kept::First).for_ever());
        keep("last", &keyed.deduplicate("last", Kept::Last).for_ever());
        let within = |name: &str, kept| {
            let Deduplicated { out, late } =
                keyed.deduplicate(name, kept).within(Duration::from_millis(WITHIN_MS.unsigned_abs()));
            keep(name, &out);
            keep(&format!("{name}-late"), &late);
        };
        within("groups-arrived", Kept::FirstArrived);
        within("groups-first", Kept::First);
        within("groups-last", Kept::Last);
    },
    check: |place| {
        let (mut distinct, mut first, mut last) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut latest: BTreeMap<u64, EventTime> = BTreeMap::new();
        Event::all(place.seed).for_each(|event| {
            distinct.entry(event.key).or_insert(line(&event));
            let so_far = latest.entry(event.key).or_insert(event.at);
            if *so_far <= event.at {
                *so_far = event.at;
                last.push(line(&event));
            }
        });
        by_time(place).iter().for_each(|event| {
            first.entry(event.key).or_insert(line(event));
        });
        place.in_order("distinct", distinct.into_values());
        place.in_order("first", first.into_values());
        place.in_order("last", last);
        let arrived = groups(Event::all(place.seed));
        place.in_order("groups-arrived", arrived.iter().map(|group| line(&group[0])));
        let groups = groups(by_time(place));
        place.in_order("groups-first", groups.iter().map(|group| line(&group[0])));
        place.in_order("groups-last", groups.iter().map(|group| line(&group[group.len() - 1])));
        for name in ["groups-arrived-late", "groups-first-late", "groups-last-late"] {
            place.in_order(name, []);
        }
    },
};

pub const RANKED: Case = Case {
    covers: &["KeyedStream::top_n", "KeyedStream::top_n_ranked"],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        let best = keyed.top_n("best", 3, |event| event.amount);
        place.keep(
            "best",
            &best.map(|update| match update {
                Update::Insert(event) => (event.key, format!("+{}", event.id)),
                Update::Delete(event) => (event.key, format!("-{}", event.id)),
            }),
        );
        let places = keyed.top_n_ranked("places", 3, |event| event.amount);
        place.keep("places", &places.map(|it| (it.record.key, format!("{} {}", it.place, it.record.id))));
    },
    check: |place| {
        let mut all: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        let (mut lines, mut places) = (Vec::new(), Vec::new());
        for event in Event::all(place.seed) {
            let (key, id) = (event.key, event.id);
            let events = all.entry(key).or_default();
            events.push(event);
            events.sort_by_key(|event| std::cmp::Reverse(event.amount));
            let gone = (events.len() > 3).then(|| events.remove(3));
            if gone.as_ref().is_none_or(|gone| gone.id != id) {
                lines.extend(gone.map(|gone| (key, format!("-{}", gone.id))));
                lines.push((key, format!("+{id}")));
                let first = events.iter().position(|event| event.id == id).unwrap();
                let moved = events.iter().enumerate().skip(first);
                places.extend(moved.map(|(index, event)| (key, format!("{} {}", index + 1, event.id))));
            }
        }
        place.in_order("best", lines);
        place.in_order("places", places);
    },
};
