//! Windows that lie at the same times for all keys.

use std::collections::{BTreeMap, BTreeSet};

use pelton::dataflow::record::Data;
use pelton::operators::aggregate::{Count, Sum};
use pelton::operators::{WindowTotal, Windowed};
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
        "WindowedStream::reduce",
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
        let last = keyed.window("reduce", windows()).reduce(|a, b| if a.id > b.id { a } else { b });
        keep(place, "last ids", &last, |event| event.id.to_string());
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
        check(place, "last ids", |events| events.iter().map(|event| event.id).max().unwrap().to_string());
        check(place, "aggregates", |events| events.len().to_string());
    },
};

/// The sums of a key in all windows of a kind: those of a length that begin at a distance.
fn sums_of(seed: u64, period_ms: i64, lengths_ms: &[i64]) -> BTreeMap<(u64, i64, i64), u64> {
    let mut sums = BTreeMap::new();
    for event in Event::all(seed) {
        let last = start_of(event.at, period_ms, OFFSET_MS);
        for length in lengths_ms {
            let starts = (0..).map(|back| last - back * period_ms);
            for start in starts.take_while(|start| start + length > event.at.0) {
                *sums.entry((event.key, start + length, start)).or_default() += event.amount;
            }
        }
    }
    sums
}

/// A time zone in which no clock is changed while the events happen.
const ZONE: &str = "Asia/Kolkata";
const HALF_PAST_FIVE_MS: i64 = (5 * 60 + 30) * 60_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// Windows that overlap, by slices and one by one, and those with gaps; calendar days.
pub const OVERLAPPING: Case = Case {
    covers: &[
        "Sliding::of",
        "Sliding::every",
        "Sliding::offset",
        "Cumulative::of",
        "Cumulative::step",
        "Cumulative::offset",
        "Tumbling::days",
        "Tumbling::in_zone",
    ],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        let ms = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        let sliding = Sliding::of(ms(SIZE_MS)).every(ms(20)).offset(OFFSET_MS);
        let sum = |event: &Event| event.amount;
        keep(place, "sliding", &keyed.window("sliding", sliding).sum(sum), u64::to_string);
        let each = keyed.window("each", sliding).fold(|sum: &mut u64, event| *sum += event.amount);
        keep(place, "each", &each, u64::to_string);
        let gaps = Sliding::of(ms(20)).every(ms(SIZE_MS)).offset(OFFSET_MS);
        keep(place, "gaps", &keyed.window("gaps", gaps).sum(sum), u64::to_string);
        let steps = Cumulative::of(ms(60)).step(ms(20)).offset(OFFSET_MS);
        keep(place, "steps", &keyed.window("steps", steps).sum(sum), u64::to_string);
        keep(place, "days", &keyed.window("days", Tumbling::days().in_zone(ZONE)).sum(sum), u64::to_string);
    },
    check: |place| {
        let check = |name: &str, period_ms: i64, lengths_ms: &[i64]| {
            let sums = sums_of(place.seed, period_ms, lengths_ms);
            let line =
                |((key, end, start), sum): ((u64, i64, i64), u64)| line(key, start, end, &sum.to_string());
            place.in_order(name, sums.into_iter().map(line));
            place.in_order(&format!("{name} late"), []);
        };
        check("sliding", 20, &[SIZE_MS]);
        check("each", 20, &[SIZE_MS]);
        check("gaps", SIZE_MS, &[20]);
        check("steps", 60, &[20, 40, 60]);
        let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
        Event::all(place.seed).for_each(|event| *sums.entry(event.key).or_default() += event.amount);
        let (start, end) = (-HALF_PAST_FIVE_MS, DAY_MS - HALF_PAST_FIVE_MS);
        place.in_order("days", sums.into_iter().map(|(key, sum)| line(key, start, end, &sum.to_string())));
    },
};

/// All keys together: a part on each worker, and all on one.
pub const ALL: Case = Case {
    covers: &[
        "Stream::window_all",
        "AllWindows::count",
        "AllWindows::sum",
        "AllWindows::reduce",
        "AllWindows::fold",
        "AllWindows::aggregate",
    ],
    wire: |job, place| {
        let events = place.events(job);
        let sliding = || {
            let size = Duration::from_millis(SIZE_MS.unsigned_abs());
            Sliding::of(size).every(Duration::from_millis(20)).offset(OFFSET_MS)
        };
        let show =
            |window: WindowTotal<u64>| line(0, window.start.0, window.end.0, &window.value.to_string());
        let sums = events.window_all("sums", sliding()).sum(|event| event.amount);
        place.keep("sums", &sums.out.map(show));
        let fold = events.window_all("fold", sliding()).fold(|sum: &mut u64, event| *sum += event.amount);
        place.keep("fold", &fold.out.map(show));
        let tumbling =
            events.window_all("tumbling", windows()).aggregate(Sum::new(|event: &Event| event.amount));
        place.keep("tumbling", &tumbling.out.map(show));
        let counts = events.window_all("counts", windows()).count();
        let last = events.window_all("last", windows()).reduce(|a, b| if a.id > b.id { a } else { b });
        place.keep("counts", &counts.out.map(|window| (0, format!("{} {}", window.start, window.value))));
        place.keep("last", &last.out.map(|window| (0, format!("{} {}", window.start, window.value.id))));
        place.keep(
            "late",
            &sums.late.union([fold.late, tumbling.late]).map(|event| (event.key, format!("{event:?}"))),
        );
    },
    check: |place| {
        let check = |name: &str, period_ms: i64| {
            let mut sums: BTreeMap<(i64, i64), u64> = BTreeMap::new();
            for ((_, end, start), sum) in sums_of(place.seed, period_ms, &[SIZE_MS]) {
                *sums.entry((end, start)).or_default() += sum;
            }
            let lines = sums.into_iter().map(|((end, start), sum)| line(0, start, end, &sum.to_string()));
            place.in_order(name, lines);
        };
        check("sums", 20);
        check("fold", 20);
        check("tumbling", SIZE_MS);
        place.in_order("late", []);
        let mut groups: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        Event::all(place.seed).for_each(|event| {
            groups.entry(start_of(event.at, SIZE_MS, OFFSET_MS)).or_default().push(event.id);
        });
        let counts = groups.iter().map(|(start, ids)| (0, format!("{} {}", EventTime(*start), ids.len())));
        place.in_order("counts", counts);
        let last = groups
            .iter()
            .map(|(start, ids)| (0, format!("{} {}", EventTime(*start), ids.iter().max().unwrap())));
        place.in_order("last", last);
    },
};

/// Windows by the clock of the machine: which one an event is in is not told, but that it is in as many as it should be.
pub const BY_PROCESSING_TIME: Case = Case {
    covers: &[
        "Tumbling::by_processing_time",
        "Sliding::by_processing_time",
        "Cumulative::by_processing_time",
    ],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        let ms = Duration::from_millis;
        let tumbling = Tumbling::of(ms(3)).by_processing_time();
        keep(
            place,
            "tumbling",
            &keyed.window("tumbling", tumbling).sum(|event| event.amount),
            u64::to_string,
        );
        let sliding = Sliding::of(ms(6)).every(ms(2)).by_processing_time();
        keep(place, "sliding", &keyed.window("sliding", sliding).sum(|event| event.amount), u64::to_string);
        let steps = Cumulative::of(ms(6)).step(ms(6)).by_processing_time();
        keep(place, "steps", &keyed.window("steps", steps).sum(|event| event.amount), u64::to_string);
    },
    check: |place| {
        let total: u64 = Event::all(place.seed).map(|event| event.amount).sum();
        for (name, windows) in [("tumbling", 1), ("sliding", 3), ("steps", 1)] {
            let sums = place.kept(name);
            let once: BTreeSet<_> = sums.iter().map(|(key, line)| (key, line.split(')').next())).collect();
            assert_eq!(once.len(), sums.len(), "a window of `{name}` fired twice: {sums:?}");
            let sum = |(_, line): &Line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
            assert_eq!(sums.iter().map(sum).sum::<u64>(), windows * total, "{name}");
            place.in_order(&format!("{name} late"), []);
        }
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
