//! Tumbling windows.

use std::collections::{BTreeMap, BTreeSet};

use pelton::dataflow::record::Data;
use pelton::operators::Windowed;
use pelton::operators::aggregate::Count;
use pelton::prelude::*;

use super::drive::{Case, Line, Place};
use super::input::{EVENTS, Event, KEYS, SPLITS, watermarks};

const SIZE_MS: i64 = 50;
/// Windows begin at 7, 57, 107, ...
const OFFSET_MS: i64 = 7;
/// Several windows of the smaller size fall into one of these.
const LARGE_MS: i64 = 200;

fn windows() -> Tumbling {
    Tumbling::of(Duration::from_millis(SIZE_MS.unsigned_abs())).offset(OFFSET_MS)
}

fn start_of(at: EventTime, size_ms: i64, offset_ms: i64) -> i64 {
    at.0 - (at.0 - offset_ms).rem_euclid(size_ms)
}

/// The events of each key and window.
fn grouped(events: impl Iterator<Item = Event>) -> BTreeMap<(u64, i64), Vec<Event>> {
    let mut groups: BTreeMap<_, Vec<Event>> = BTreeMap::new();
    for event in events {
        groups.entry((event.key, start_of(event.at, SIZE_MS, OFFSET_MS))).or_default().push(event);
    }
    groups
}

fn line(key: u64, start: i64, end: i64, value: &str) -> Line {
    (key, format!("[{start}, {end}) {value}"))
}

/// Keeps the results, and what should not be there, as `name` and `name late`.
fn keep<V>(place: &Place, name: &str, windows: &Windowed<u64, V, Event>, show: fn(&V) -> String)
where
    V: Data,
{
    let shown = move |window: WindowResult<u64, V>| {
        line(window.key, window.start.0, window.end.0, &show(&window.value))
    };
    place.keep(name, &windows.out.map(shown));
    place.keep(&format!("{name} late"), &windows.late.map(|event| (event.key, format!("{event:?}"))));
}

/// Fails unless the results are those of the groups.
fn check(place: &Place, name: &str, value: fn(&[Event]) -> String) {
    let groups = grouped(Event::all(place.seed));
    let expected =
        groups.iter().map(|((key, start), events)| line(*key, *start, start + SIZE_MS, &value(events)));
    // Groups are ordered by key and start, and a key's windows fire in that order.
    place.in_order(name, expected);
    place.in_order(&format!("{name} late"), []);
}

fn ids(events: &[Event]) -> String {
    let ids: BTreeSet<u64> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), events.len(), "an event came twice");
    format!("{ids:?}")
}

/// All aggregates; no event is late, so every result is exact, and nothing comes out late.
pub const AGGREGATES: Case = Case {
    covers: &[
        "KeyedStream::window",
        "WindowedStream::count",
        "WindowedStream::sum",
        "WindowedStream::fold",
        "WindowedStream::aggregate",
        "Tumbling::of",
        "Tumbling::offset",
    ],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        keep(place, "counts", &keyed.window("count", windows()).count(), u64::to_string);
        keep(place, "sums", &keyed.window("sum", windows()).sum(|event| event.amount), u64::to_string);
        let ids = keyed.window("fold", windows()).fold(|ids: &mut BTreeSet<u64>, event| {
            ids.insert(event.id);
        });
        keep(place, "ids", &ids, |ids| format!("{ids:?}"));
        keep(
            place,
            "aggregates",
            &keyed.window("aggregate", windows()).aggregate(Count::new()),
            u64::to_string,
        );
    },
    check: |place| {
        check(place, "counts", |events| events.len().to_string());
        check(place, "sums", |events| events.iter().map(|event| event.amount).sum::<u64>().to_string());
        check(place, "ids", ids);
        check(place, "aggregates", |events| events.len().to_string());
    },
};

/// Windows of what windows give: by another key, so that their results cross workers.
pub const CHAINED: Case = Case {
    covers: &[],
    wire: |job, place| {
        let small =
            place.events(job).key_by(|event| event.key).window("small", windows()).sum(|event| event.amount);
        let large = Tumbling::of(Duration::from_millis(LARGE_MS.unsigned_abs()));
        let all = small.out.key_by(|window| window.key % 5).window("large", large).sum(|window| window.value);
        place.keep("sums", &all.out.map(|window| (window.key, format!("{} {}", window.start, window.value))));
        place.keep("late", &all.late.map(|window| (window.key, format!("{window:?}"))));
    },
    check: |place| {
        let mut sums: BTreeMap<(u64, i64), u64> = BTreeMap::new();
        for ((key, start), events) in grouped(Event::all(place.seed)) {
            let at = EventTime(start + SIZE_MS - 1);
            *sums.entry((key % 5, start_of(at, LARGE_MS, 0))).or_default() +=
                events.iter().map(|event| event.amount).sum::<u64>();
        }
        let line = |((key, start), sum)| (key, format!("{} {sum}", EventTime(start)));
        place.in_order("sums", sums.into_iter().map(line));
        place.in_order("late", []);
    },
};

/// How far behind a late event is.
const LATE_BY_MS: i64 = 3 * SIZE_MS;

fn may_be_late(id: u64) -> bool {
    id % 10 == 3
}

fn with_late_ones(seed: u64, index: u64) -> Event {
    let event = Event::new(seed, index);
    let late_by = if may_be_late(index) { LATE_BY_MS } else { 0 };
    Event { at: EventTime(event.at.0 - late_by), ..event }
}

/// Some events may be late; which ones are depends on when watermarks arrive. Each event is counted once,
/// in its window or as late, each window fires once, and what cannot be late is not.
pub const LATE: Case = Case {
    covers: &[],
    wire: |job, place| {
        let seed = place.seed;
        let source = Generator::new(EVENTS, move |index| with_late_ones(seed, index)).splits(SPLITS);
        let events = job.source("events", place.gated(source)).watermarks(watermarks());
        let ids = events.key_by(|event| event.key).window("ids", windows()).fold(
            |ids: &mut BTreeSet<u64>, event| {
                ids.insert(event.id);
            },
        );
        let lines = |window: WindowResult<u64, BTreeSet<u64>>| {
            let start = window.start.0;
            window.value.into_iter().map(move |id| (id, start.to_string())).collect::<Vec<_>>()
        };
        place.keep("windows", &ids.out.map(|window| (window.key, window.start.0.to_string())));
        place.keep("on time", &ids.out.flat_map(lines));
        place.keep("late", &ids.late.map(|event| (event.id, String::new())));
    },
    check: |place| {
        let windows = place.kept("windows");
        let once: BTreeSet<&Line> = windows.iter().collect();
        assert_eq!(once.len(), windows.len(), "a window fired twice: {windows:?}");
        let (on_time, late) = (place.kept("on time"), place.kept("late"));
        for (id, start) in &on_time {
            let at = with_late_ones(place.seed, *id).at;
            assert_eq!(*start, start_of(at, SIZE_MS, OFFSET_MS).to_string(), "the window of event {id}");
        }
        let wrong: Vec<_> = late.iter().filter(|(id, _)| !may_be_late(*id)).collect();
        assert!(wrong.is_empty(), "these events were on time: {wrong:?}");
        let mut ids: Vec<u64> = on_time.iter().chain(&late).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(0..EVENTS), "each event is counted once, late or not: {ids:?}");
        assert!(windows.iter().all(|(key, _)| *key < KEYS));
    },
};
