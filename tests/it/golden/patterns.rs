//! Patterns in the events of a key.

use std::collections::BTreeMap;

use pelton::prelude::*;

use super::drive::Case;
use super::input::Event;

/// The events of each key in turn, in order of event time, which is that of their ids.
fn by_key(seed: u64) -> Vec<Vec<Event>> {
    let mut keys: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    Event::all(seed).for_each(|event| keys.entry(event.key).or_default().push(event));
    keys.into_values().collect()
}

const WITHIN_MS: i64 = 100;

fn is_small(event: &Event) -> bool {
    event.amount < 30
}

fn is_large(event: &Event) -> bool {
    event.amount >= 70
}

/// A small event, then the first large one after it, in time.
pub const IN_TIME: Case = Case {
    covers: &["KeyedStream::pattern"],
    wire: |job, place| {
        let pattern = Pattern::begin("small", is_small)
            .followed_by("large", is_large)
            .within(Duration::from_millis(WITHIN_MS.unsigned_abs()));
        let found = place.events(job).key_by(|event| event.key).pattern("small-then-large", pattern);
        let line = |small: &Event, large: &Event| (small.key, format!("{} {}", small.id, large.id));
        place.keep(
            "found",
            &found.select_stages(["small", "large"], move |_, [small, large]| line(small[0], large[0])),
        );
        place.keep("late", &found.late.map(|event| (event.key, event.id.to_string())));
    },
    check: |place| {
        let mut lines = Vec::new();
        for events in by_key(place.seed) {
            for (at, small) in events.iter().enumerate().filter(|(_, event)| is_small(event)) {
                let large = events[at + 1..].iter().find(|event| is_large(event));
                let in_time = large.filter(|large| large.at.0 - small.at.0 < WITHIN_MS);
                lines.extend(in_time.map(|large| (small.key, format!("{} {}", small.id, large.id))));
            }
        }
        place.in_any_order("found", lines);
        place.in_any_order("late", []);
    },
};
