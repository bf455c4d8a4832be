//! Windows of the general operator: sessions, counts, triggers, lateness, evictors.

use std::collections::{BTreeMap, BTreeSet};

use pelton::operators::Keep;
use pelton::operators::aggregate::Sum;
use pelton::operators::trigger::{OnCount, Purging};
use pelton::prelude::*;

use super::drive::{Case, Line};
use super::input::{EVENTS, Event, SPLITS, watermarks};

const GAP_MS: i64 = 26;
const SIZE_MS: i64 = 50;

const fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// The events of each key, in the order in which they arrive: a key is in one split.
fn by_key(seed: u64) -> BTreeMap<u64, Vec<Event>> {
    let mut keys: BTreeMap<_, Vec<Event>> = BTreeMap::new();
    Event::all(seed).for_each(|event| keys.entry(event.key).or_default().push(event));
    keys
}

fn sum(events: &[Event]) -> u64 {
    events.iter().map(|event| event.amount).sum()
}

/// From 20 to 39 ms.
fn own_gap(event: &Event) -> i64 {
    20 + (event.amount % 20) as i64
}

/// By definition: a key's events in order of time, cut where the next begins after all before have ended.
fn sessions(seed: u64, gap: fn(&Event) -> i64) -> Vec<Line> {
    let mut lines = Vec::new();
    for (key, mut events) in by_key(seed) {
        events.sort_by_key(|event| event.at);
        let mut open: Option<(i64, i64, u64)> = None;
        for event in &events {
            let (at, end) = (event.at.0, event.at.0 + gap(event));
            open = match open {
                Some((start, until, total)) if at <= until => {
                    Some((start, until.max(end), total + event.amount))
                }
                before => {
                    lines.extend(before.map(|session| (key, format!("{session:?}"))));
                    Some((at, end, event.amount))
                }
            };
        }
        lines.extend(open.map(|session| (key, format!("{session:?}"))));
    }
    lines
}

fn session(window: &WindowResult<u64, u64>) -> Line {
    (window.key, format!("{:?}", (window.start.0, window.end.0, window.value)))
}

/// Sessions of one gap, and of gaps that the events say.
pub const BY_GAPS: Case = Case {
    covers: &["Session::gap", "Session::dynamic"],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        let fixed = keyed.window("fixed", Session::gap(ms(GAP_MS))).sum(|event| event.amount);
        place.keep("fixed", &fixed.out.map(|window| session(&window)));
        let gaps = Session::dynamic(|event| ms(own_gap(event)));
        let dynamic = keyed.window("dynamic", gaps).sum(|event| event.amount);
        place.keep("dynamic", &dynamic.out.map(|window| session(&window)));
        let late = fixed.late.union([dynamic.late]);
        place.keep("late", &late.map(|event| (event.key, format!("{event:?}"))));
    },
    check: |place| {
        let fixed = sessions(place.seed, |_| GAP_MS);
        assert!((40..600).contains(&fixed.len()), "{} sessions", fixed.len());
        place.in_order("fixed", fixed);
        place.in_order("dynamic", sessions(place.seed, own_gap));
        place.in_order("late", []);
    },
};

/// So many records: one after the other, the last few, and what a trigger purges.
pub const COUNTED: Case = Case {
    covers: &[
        "CountWindows::of",
        "CountWindows::sliding",
        "CountWindows::with_partial",
        "WindowedStream::aggregate_then",
        "WindowedStream::trigger",
    ],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        let fours = keyed.window("fours", CountWindows::of(4).with_partial()).sum(|event| event.amount);
        place.keep("fours", &fours.out.map(|four| (four.key, four.value.to_string())));
        let fives = keyed.window("fives", CountWindows::sliding(5, 2)).aggregate_then(
            Sum::new(|event: &Event| event.amount),
            |fired, total, out| {
                out.emit((*fired.key, total.to_string()));
                Ok(())
            },
        );
        place.keep("fives", &fives.out);
        let threes = keyed.window("threes", GlobalWindow).trigger(Purging::of(OnCount::of(3)));
        let threes = threes.sum(|event| event.amount).out;
        place.keep("threes", &threes.map(|three| (three.key, format!("{} {}", three.value, three.firing))));
    },
    check: |place| {
        let mut expected: [Vec<Line>; 3] = Default::default();
        for (key, events) in by_key(place.seed) {
            let [fours, fives, threes] = &mut expected;
            fours.extend(events.chunks(4).map(|four| (key, sum(four).to_string())));
            let ends = (2..=events.len()).step_by(2);
            fives.extend(ends.map(|end| (key, sum(&events[end.saturating_sub(5)..end]).to_string())));
            threes.extend(events.chunks_exact(3).map(|three| (key, format!("{} early #0", sum(three)))));
        }
        for (name, lines) in ["fours", "fives", "threes"].into_iter().zip(expected) {
            place.in_order(name, lines);
        }
    },
};

/// The events that a function sees of each window: all, and the last two to arrive.
pub const KEPT: Case = Case {
    covers: &["WindowedStream::process", "WindowedStream::evictor"],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        let all = keyed.window("all", Tumbling::of(ms(SIZE_MS))).process(|fired, events, out| {
            let ids: Vec<u64> = events.iter().map(|event| event.value.id).collect();
            out.emit((*fired.key, format!("{} {ids:?}", fired.window.start.0)));
            Ok(())
        });
        place.keep("all", &all.out);
        let two = keyed.window("two", Tumbling::of(ms(SIZE_MS))).evictor(Keep::last(2));
        let two = two.fold(|ids: &mut Vec<u64>, event| ids.push(event.id)).out;
        place.keep("two", &two.map(|two| (two.key, format!("{} {:?}", two.start.0, two.value))));
    },
    check: |place| {
        let mut windows: BTreeMap<(u64, i64), Vec<u64>> = BTreeMap::new();
        for event in Event::all(place.seed) {
            let start = event.at.0 - event.at.0.rem_euclid(SIZE_MS);
            windows.entry((event.key, start)).or_default().push(event.id);
        }
        place.in_order("all", windows.iter().map(|((key, start), ids)| (*key, format!("{start} {ids:?}"))));
        let last = |ids: &[u64]| format!("{:?}", &ids[ids.len().saturating_sub(2)..]);
        place.in_order(
            "two",
            windows.iter().map(|((key, start), ids)| (*key, format!("{start} {}", last(ids)))),
        );
    },
};

/// How far behind a late event is, and for how long windows wait.
const LATE_BY_MS: i64 = 3 * SIZE_MS;
const LATENESS_MS: i64 = 4 * SIZE_MS;

fn with_late_ones(seed: u64, index: u64) -> Event {
    let event = Event::new(seed, index);
    let late_by = if index % 10 == 3 { LATE_BY_MS } else { 0 };
    Event { at: EventTime(event.at.0 - late_by), ..event }
}

/// How often a window fires depends on when watermarks arrive; its results are counted through, each holds the
/// one before, and the last holds all.
pub const PATIENT: Case = Case {
    covers: &["WindowedStream::allowed_lateness"],
    wire: |job, place| {
        let seed = place.seed;
        let source = Generator::new(EVENTS, move |index| with_late_ones(seed, index)).splits(SPLITS);
        let events = job.source("events", place.gated(source)).watermarks(watermarks());
        let windows = events.key_by(|event| event.key).window("ids", Tumbling::of(ms(SIZE_MS)));
        let ids = windows.allowed_lateness(ms(LATENESS_MS)).fold(|ids: &mut BTreeSet<u64>, event| {
            ids.insert(event.id);
        });
        let line = |update: WindowUpdate<u64, BTreeSet<u64>>| {
            (update.key, serde_json::to_string(&(update.start.0, update.firing.nth, update.value)).unwrap())
        };
        place.keep("updates", &ids.out.map(line));
        place.keep("late", &ids.late.map(|event| (event.key, format!("{event:?}"))));
    },
    check: |place| {
        let mut given: BTreeMap<(u64, i64), (u32, BTreeSet<u64>)> = BTreeMap::new();
        for (key, line) in place.kept("updates") {
            let (start, nth, ids): (i64, u32, BTreeSet<u64>) = serde_json::from_str(&line).unwrap();
            let (count, before) = given.entry((key, start)).or_default();
            assert_eq!(nth, *count, "of key {key}, window {start}");
            assert!(ids.len() > before.len() && ids.is_superset(before), "{ids:?} after {before:?}");
            (*count, *before) = (nth + 1, ids);
        }
        let mut expected: BTreeMap<(u64, i64), BTreeSet<u64>> = BTreeMap::new();
        for event in (0..EVENTS).map(|index| with_late_ones(place.seed, index)) {
            let start = event.at.0 - event.at.0.rem_euclid(SIZE_MS);
            expected.entry((event.key, start)).or_default().insert(event.id);
        }
        let last: BTreeMap<_, _> = given.into_iter().map(|(window, (_, ids))| (window, ids)).collect();
        assert_eq!(last, expected);
        place.in_order("late", []);
    },
};
