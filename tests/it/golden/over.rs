//! Aggregates over ranges before each record.

use std::collections::BTreeSet;

use pelton::operators::over::{Last, last};
use pelton::operators::{Featured, Over};
use pelton::prelude::*;

use super::drive::{Case, Line, Place};
use super::input::Event;

/// A key has an event every 24 ms or so.
const SHORT_MS: i64 = 60;
const LONG_MS: i64 = 500;

fn ms(length_ms: i64) -> Last {
    last(Duration::from_millis(length_ms.unsigned_abs()))
}

type Results = (u64, u64, f64, u64, u64, Vec<u64>);

fn spend(over: Over<u64, Event, u64>) -> Featured<Event, Results> {
    let (short, long) = (ms(SHORT_MS), ms(LONG_MS));
    over.features((
        short.count(),
        long.sum(),
        long.variance(),
        short.max(),
        long.distinct(),
        ms(2 * SHORT_MS).latest_n(3),
    ))
}

fn shown((event, (count, sum, variance, max, distinct, latest)): (Event, Results)) -> Line {
    // The last bits of a variance are those of one way to add up among others.
    let id = event.id;
    (event.key, format!("{id}: {count} {sum} {variance:.6} {max} {distinct} {latest:?}"))
}

fn keep(place: &Place, name: &str, spend: &Featured<Event, Results>) {
    place.keep(name, &spend.out.map(shown));
    place.keep(&format!("{name} late"), &spend.late.map(|event| (event.key, format!("{event:?}"))));
}

/// The amounts of the last `length_ms` up to the last of `own`.
fn in_range(own: &[Event], length_ms: i64) -> Vec<u64> {
    let now = own[own.len() - 1].at.0;
    own.iter().filter(|event| event.at.0 > now - length_ms).map(|event| event.amount).collect()
}

fn expected(seed: u64) -> Vec<Line> {
    let mut events: Vec<Event> = Event::all(seed).collect();
    events.sort_by_key(|event| (event.key, event.at));
    let line = |nth: usize| {
        let event = &events[nth];
        let first = events.partition_point(|other| other.key < event.key);
        let own = &events[first..=nth];
        let (short, long) = (in_range(own, SHORT_MS), in_range(own, LONG_MS));
        let latest = in_range(own, 2 * SHORT_MS);
        let count = long.len() as f64;
        let mean = long.iter().sum::<u64>() as f64 / count;
        let squares: f64 = long.iter().map(|amount| (*amount as f64 - mean).powi(2)).sum();
        let distinct: BTreeSet<_> = long.iter().collect();
        shown((
            event.clone(),
            (
                short.len() as u64,
                long.iter().sum(),
                squares / count,
                short.into_iter().max().unwrap(),
                distinct.len() as u64,
                latest[latest.len().saturating_sub(3)..].to_vec(),
            ),
        ))
    };
    (0..events.len()).map(line).collect()
}

/// No event is late, and a key has none of equal times, so that answers at once are the same: of each key
/// the events come in order.
pub const RANGES: Case = Case {
    covers: &["KeyedStream::over"],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        keep(place, "waited", &spend(keyed.over("waited", |event| event.amount)));
        keep(place, "at once", &spend(keyed.over("at-once", |event| event.amount).immediately()));
    },
    check: |place| {
        for name in ["waited", "at once"] {
            place.in_order(name, expected(place.seed));
            place.in_order(&format!("{name} late"), []);
        }
    },
};
