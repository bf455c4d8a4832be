//! Two streams of one key, against nested loops: connected, and joined by time, window and version.

use std::collections::BTreeMap;

use pelton::dataflow::record::Data;
use pelton::operators::{Joined, KeyedStream, Stream};
use pelton::prelude::*;

use super::drive::{Case, Line, Place};
use super::input::{Event, KEYS};

const SPAN_MS: i64 = 50;

/// Of the events of a key every other one is a left one.
fn is_left(event: &Event) -> bool {
    (event.id / KEYS).is_multiple_of(2)
}

fn split(job: &mut Job, place: &Place) -> [Stream<Event>; 2] {
    let sides = place.events(job).split(is_left);
    [sides.matching, sides.rest]
}

fn sides(job: &mut Job, place: &Place) -> [KeyedStream<u64, Event>; 2] {
    split(job, place).map(|side| side.key_by(|event| event.key))
}

/// All events of one side.
fn side(place: &Place, left: bool) -> Vec<Event> {
    Event::all(place.seed).filter(|event| is_left(event) == left).collect()
}

fn end_of(at: EventTime) -> EventTime {
    EventTime((at.0.div_euclid(SPAN_MS) + 1) * SPAN_MS)
}

fn spans() -> Tumbling {
    Tumbling::of(Duration::from_millis(SPAN_MS.unsigned_abs()))
}

/// Counts the events of both sides in each span.
struct Counts;

impl Counts {
    fn count(event: &Event, left: bool, counts: &mut BTreeMap<EventTime, [u64; 2]>) -> EventTime {
        let end = end_of(event.at);
        counts.entry(end).or_default()[usize::from(left)] += 1;
        end
    }
}

impl KeyedCoProcess for Counts {
    type Key = u64;
    type First = Event;
    type Second = Event;
    type Out = Line;
    type Side = Line;
    type State = BTreeMap<EventTime, [u64; 2]>;

    fn on_first(
        &self,
        event: Event,
        counts: &mut StateMut<'_, Self::State>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        cx.timer_at(Self::count(&event, true, counts));
        Ok(())
    }

    fn on_second(
        &self,
        event: Event,
        counts: &mut StateMut<'_, Self::State>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        cx.timer_at(Self::count(&event, false, counts));
        cx.side((event.key, event.id.to_string()));
        Ok(())
    }

    fn on_timer(
        &self,
        at: EventTime,
        counts: &mut StateMut<'_, Self::State>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        let counted = counts.remove(&at);
        let key = *cx.key();
        cx.emit((key, format!("{at} {counted:?}")));
        Ok(())
    }
}

pub const CONNECTED: Case = Case {
    covers: &["KeyedStream::connect", "KeyedConnected::process", "Connected::map", "Connected::flat_map"],
    wire: |job, place| {
        let [left, right] = split(job, place);
        let both =
            left.connect(&right).map(|a| (a.key, format!("left {}", a.id)), |b| (b.key, format!("{}", b.id)));
        place.keep("mapped", &both);
        let twice = |event: Event| [(event.key, event.id.to_string()), (event.key, String::new())];
        let few = |event: Event| (event.amount > 50).then(|| (event.key, event.id.to_string()));
        place.keep("flat", &left.connect(&right).flat_map(twice, few));
        let counts = left.key_by(|event| event.key).connect(&right.key_by(|event| event.key));
        let counts = counts.process("counts", Counts);
        place.keep("counts", &counts.out);
        place.keep("seconds", &counts.side);
    },
    check: |place| {
        let (left, right) = (side(place, true), side(place, false));
        let lefts = left.iter().map(|event| (event.key, format!("left {}", event.id)));
        let rights = right.iter().map(|event| (event.key, event.id.to_string()));
        place.in_any_order("mapped", lefts.chain(rights.clone()));
        let twice =
            left.iter().flat_map(|event| [(event.key, event.id.to_string()), (event.key, String::new())]);
        let few =
            right.iter().filter(|event| event.amount > 50).map(|event| (event.key, event.id.to_string()));
        place.in_any_order("flat", twice.chain(few));
        let mut counts: BTreeMap<u64, BTreeMap<EventTime, [u64; 2]>> = BTreeMap::new();
        for event in Event::all(place.seed) {
            Counts::count(&event, is_left(&event), counts.entry(event.key).or_default());
        }
        let line = |key: u64, (end, counted)| (key, format!("{end} {:?}", Some(counted)));
        let lines =
            counts.into_iter().flat_map(|(key, spans)| spans.into_iter().map(move |span| line(key, span)));
        place.in_order("counts", lines);
        place.in_order("seconds", rights);
    },
};

/// What is made of a pair: its key, and the numbers of both.
fn pair(left: Option<&Event>, right: Option<&Event>) -> Line {
    let key = left.or(right).map_or(0, |event| event.key);
    (key, format!("{:?} {:?}", left.map(|event| event.id), right.map(|event| event.id)))
}

/// Keeps what a join gives, and what should not be there.
fn keep<A: Data, B: Data>(place: &Place, name: &str, joined: &Joined<Line, A, B>) {
    place.keep(name, &joined.out);
    place.keep(&format!("{name} late"), &joined.late.map(|_| (0, String::new())));
}

/// The pairs for which `meets` holds, and the events of the sides without a partner, if asked for.
fn nested_loops(
    place: &Place,
    meets: impl Fn(&Event, &Event) -> bool,
    [lefts, rights]: [bool; 2],
) -> Vec<Line> {
    let (left, right) = (side(place, true), side(place, false));
    let meets = |a: &Event, b: &Event| a.key == b.key && meets(a, b);
    let mut lines = Vec::new();
    for a in &left {
        lines.extend(right.iter().filter(|b| meets(a, b)).map(|b| pair(Some(a), Some(b))));
    }
    if lefts {
        lines.extend(left.iter().filter(|a| !right.iter().any(|b| meets(a, b))).map(|a| pair(Some(a), None)));
    }
    if rights {
        lines.extend(right.iter().filter(|b| !left.iter().any(|a| meets(a, b))).map(|b| pair(None, Some(b))));
    }
    lines
}

fn check(place: &Place, name: &str, meets: impl Fn(&Event, &Event) -> bool, outer: [bool; 2]) {
    place.in_any_order(name, nested_loops(place, meets, outer));
    place.in_any_order(&format!("{name} late"), []);
}

pub const BY_TIME: Case = Case {
    covers: &[
        "KeyedStream::interval_join",
        "IntervalJoin::inner",
        "IntervalJoin::left",
        "IntervalJoin::right",
        "IntervalJoin::full",
        "KeyedStream::join",
        "Join::keep_left",
        "Join::keep_right",
        "Join::inner",
        "Join::left",
        "Join::right",
        "Join::full",
    ],
    wire: |job, place| {
        let [left, right] = sides(job, place);
        let interval = |name: &str| left.interval_join(name, &right, -20..=30);
        keep(place, "inner", &interval("inner").inner(|a, b| pair(Some(a), Some(b))));
        keep(place, "left", &interval("left").left(|a, b| pair(Some(a), b)));
        keep(place, "right", &interval("right").right(|a, b| pair(a, Some(b))));
        keep(place, "full", &interval("full").full(pair));
        keep(place, "all", &left.join("all", &right).inner(|a, b| pair(Some(a), Some(b))));
        let ms = Duration::from_millis;
        let kept = left.join("kept", &right).keep_left(ms(40)).keep_right(ms(10));
        keep(place, "kept", &kept.left(|a, b| pair(Some(a), b)));
        let kept = left.join("right-kept", &right).keep_left(ms(40)).keep_right(ms(10));
        keep(place, "right-kept", &kept.right(|a, b| pair(a, Some(b))));
        keep(place, "full-kept", &left.join("full-kept", &right).keep_left(ms(40)).full(pair));
    },
    check: |place| {
        let within = |a: &Event, b: &Event| (-20..=30).contains(&(b.at.0 - a.at.0));
        check(place, "inner", within, [false, false]);
        check(place, "left", within, [true, false]);
        check(place, "right", within, [false, true]);
        check(place, "full", within, [true, true]);
        check(place, "all", |_, _| true, [false, false]);
        let kept = |a: &Event, b: &Event| (-10..=40).contains(&(b.at.0 - a.at.0));
        check(place, "kept", kept, [true, false]);
        check(place, "right-kept", kept, [false, true]);
        check(place, "full-kept", |a, b| b.at.0 - a.at.0 <= 40, [true, true]);
    },
};

pub const BY_WINDOW: Case = Case {
    covers: &[
        "KeyedStream::window_join",
        "WindowJoin::inner",
        "WindowJoin::left",
        "WindowJoin::right",
        "WindowJoin::full",
        "KeyedStream::co_group",
    ],
    wire: |job, place| {
        let [left, right] = sides(job, place);
        keep(
            place,
            "inner",
            &left.window_join("inner", &right, spans()).inner(|a, b| pair(Some(a), Some(b))),
        );
        keep(place, "left", &left.window_join("left", &right, spans()).left(|a, b| pair(Some(a), b)));
        keep(place, "right", &left.window_join("right", &right, spans()).right(|a, b| pair(a, Some(b))));
        let sliding = Sliding::of(Duration::from_millis(40)).every(Duration::from_millis(20));
        keep(place, "full", &left.window_join("full", &right, sliding).full(pair));
        let groups = left.co_group("groups", &right, spans(), |group, left, right| {
            [(*group.key, format!("{} {} {}", group.end, left.len(), right.len()))]
        });
        keep(place, "groups", &groups);
    },
    check: |place| {
        let same = |a: &Event, b: &Event| end_of(a.at) == end_of(b.at);
        check(place, "inner", same, [false, false]);
        check(place, "left", same, [true, false]);
        check(place, "right", same, [false, true]);
        let mut lines = Vec::new();
        let ends = |event: &Event| {
            let first = (event.at.0.div_euclid(20) + 1) * 20;
            [first, first + 20]
        };
        let mut windows: BTreeMap<(i64, u64), [Vec<Event>; 2]> = BTreeMap::new();
        let mut groups: BTreeMap<(EventTime, u64), [u64; 2]> = BTreeMap::new();
        for event in Event::all(place.seed) {
            let side = usize::from(!is_left(&event));
            groups.entry((end_of(event.at), event.key)).or_default()[side] += 1;
            for end in ends(&event) {
                windows.entry((end, event.key)).or_default()[side].push(event.clone());
            }
        }
        for [left, right] in windows.values() {
            match (left.as_slice(), right.as_slice()) {
                (left, []) => lines.extend(left.iter().map(|a| pair(Some(a), None))),
                ([], right) => lines.extend(right.iter().map(|b| pair(None, Some(b)))),
                (left, right) => {
                    lines.extend(left.iter().flat_map(|a| right.iter().map(move |b| pair(Some(a), Some(b)))));
                }
            }
        }
        place.in_any_order("full", lines);
        place.in_any_order("full late", []);
        let groups =
            groups.into_iter().map(|((end, key), [left, right])| (key, format!("{end} {left} {right}")));
        place.in_order("groups", groups);
        place.in_any_order("groups late", []);
    },
};

pub const BY_VERSION: Case = Case {
    covers: &["KeyedStream::temporal_join", "TemporalJoin::inner", "TemporalJoin::left"],
    wire: |job, place| {
        let [records, versions] = sides(job, place);
        let join = |name: &str| records.temporal_join(name, &versions);
        keep(place, "inner", &join("inner").inner(|a, b| pair(Some(a), Some(b))));
        keep(place, "left", &join("left").left(|a, b| pair(Some(a), b)));
    },
    check: |place| {
        let versions = side(place, false);
        let with = |record: &Event| {
            let valid =
                versions.iter().filter(|version| version.key == record.key && version.at <= record.at);
            // Of one time the one that came last counts.
            pair(Some(record), valid.max_by_key(|version| (version.at, version.id)))
        };
        let all: Vec<Line> = side(place, true).iter().map(with).collect();
        place.in_any_order("inner", all.iter().filter(|(_, line)| !line.ends_with("None")).cloned());
        place.in_any_order("left", all);
        place.in_any_order("inner late", []);
        place.in_any_order("left late", []);
    },
};
