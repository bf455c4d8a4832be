//! What operators are told of event time.

use std::collections::BTreeMap;

use pelton::operators::WatermarkGenerator;
use pelton::prelude::*;

use super::drive::{Case, Line, Place};
use super::input::{DISORDER_MS, EVENTS, Event, SPLITS};

/// Tells with each event what its operator's watermark is.
struct Told;

impl KeyedProcess for Told {
    type Key = u64;
    type In = Event;
    type Out = Line;
    type Side = NoSide;
    type State = u64;

    fn on_record(&self, event: Event, count: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        **count += 1;
        cx.emit((event.key, format!("{} {}", **count, cx.watermark().0)));
        Ok(())
    }
}

/// When watermarks arrive differs from run to run; that a key sees none go back does not, whatever happens to
/// the job and whichever worker has the key.
pub const TIME_GOES_ON: Case = Case {
    covers: &[],
    wire: |job, place| {
        let told = place.events(job).key_by(|event| event.key).process("told", Told);
        place.keep("told", &told.out);
    },
    check: |place| {
        let mut last: BTreeMap<u64, (u64, i64)> = BTreeMap::new();
        for (key, line) in place.kept("told") {
            let (count, watermark) = line.split_once(' ').unwrap();
            let (count, watermark) = (count.parse::<u64>().unwrap(), watermark.parse::<i64>().unwrap());
            let (events, reached) = last.entry(key).or_insert((0, i64::MIN));
            assert_eq!(count, *events + 1, "key {key}");
            assert!(watermark >= *reached, "key {key} goes back from {reached} to {watermark}");
            (*events, *reached) = (count, watermark);
        }
        let events: u64 = last.values().map(|(events, _)| events).sum();
        assert_eq!(events, Event::all(place.seed).count() as u64);
    },
};

/// As `Watermarks::bounded`, by hand.
#[derive(Clone)]
struct Behind;

impl WatermarkGenerator<Event> for Behind {
    type State = Option<i64>;

    fn on_record(&self, latest: &mut Option<i64>, _: &Event, time: EventTime) {
        *latest = (*latest).max(Some(time.0));
    }

    fn watermark(&self, latest: &Option<i64>) -> EventTime {
        latest.map_or(EventTime::MIN, |latest| EventTime(latest - DISORDER_MS))
    }
}

const SIZE_MS: i64 = 50;

/// Keeps how many events each window has, and what is late.
fn count<G: WatermarkGenerator<Event>>(
    job: &mut Job,
    place: &Place,
    name: &str,
    strategy: Watermarks<fn(&Event) -> EventTime, G>,
) {
    let seed = place.seed;
    let source = Generator::new(EVENTS, move |index| Event::new(seed, index)).splits(SPLITS);
    let events = job.source(name, place.gated(source)).watermarks(strategy);
    let windows = Tumbling::of(Duration::from_millis(SIZE_MS.unsigned_abs()));
    let counts = events.key_by(|event| event.key).window(format!("{name}-counts"), windows).count();
    let line = |window: WindowResult<u64, u64>| (window.key, format!("{} {}", window.start.0, window.value));
    place.keep(name, &counts.out.map(line));
    place.keep(&format!("{name} late"), &counts.late.map(|event| (event.key, event.id.to_string())));
}

fn check_counts(place: &Place, name: &str, time_of: fn(&Event) -> EventTime) {
    let mut counts: BTreeMap<(u64, i64), u64> = BTreeMap::new();
    for event in Event::all(place.seed) {
        let start = time_of(&event).0.div_euclid(SIZE_MS) * SIZE_MS;
        *counts.entry((event.key, start)).or_default() += 1;
    }
    place.in_order(name, counts.into_iter().map(|((key, start), count)| (key, format!("{start} {count}"))));
    place.in_any_order(&format!("{name} late"), []);
}

const BY_ID: fn(&Event) -> EventTime = |event| EventTime(event.id as i64);
const BY_TIME: fn(&Event) -> EventTime = |event| event.at;

/// Each of the strategies promises what the input keeps: nothing is late, whatever happens to the job.
pub const STRATEGIES: Case = Case {
    covers: &["Watermarks::monotonous", "Watermarks::punctuated", "Watermarks::custom"],
    wire: |job, place| {
        count(job, place, "monotonous", Watermarks::monotonous(BY_ID));
        let mark =
            |event: &Event| event.id.is_multiple_of(7).then_some(EventTime(event.id as i64 - DISORDER_MS));
        count(job, place, "punctuated", Watermarks::punctuated(BY_TIME, mark));
        count(job, place, "custom", Watermarks::custom(BY_TIME, Behind));
    },
    check: |place| {
        check_counts(place, "monotonous", BY_ID);
        check_counts(place, "punctuated", BY_TIME);
        check_counts(place, "custom", BY_TIME);
    },
};

/// Two sources whose splits keep in step, of which one goes through time at half the pace of the other. Whoever is
/// held takes part in checkpoints, and goes on after a restart.
pub const IN_STEP: Case = Case {
    covers: &["Watermarks::aligned"],
    wire: |job, place| {
        let drift = Duration::from_millis(3);
        count(job, place, "by-id", Watermarks::monotonous(BY_ID).aligned("step", drift));
        count(job, place, "by-half", Watermarks::monotonous(BY_HALF).aligned("step", drift));
    },
    check: |place| {
        check_counts(place, "by-id", BY_ID);
        check_counts(place, "by-half", BY_HALF);
    },
};

const BY_HALF: fn(&Event) -> EventTime = |event| EventTime(event.id as i64 / 2);

/// Times that are given again in the middle go by what each worker has seen, so which events are late is not the same
/// in each run. But each event is in one window or late, once, and no window fires twice.
pub const ASSIGNED: Case = Case {
    covers: &["Stream::assign_times"],
    wire: |job, place| {
        let disorder = Duration::from_millis(DISORDER_MS.unsigned_abs());
        let events = place.events(job).map(|event| event);
        let times = events.assign_times("times", Watermarks::bounded(disorder, BY_TIME));
        let windows = Tumbling::of(Duration::from_millis(SIZE_MS.unsigned_abs()));
        let counts = times.out.key_by(|event| event.key).window("counts", windows).count();
        let line =
            |window: WindowResult<u64, u64>| (window.key, format!("{} {}", window.start.0, window.value));
        place.keep("counts", &counts.out.map(line));
        place.keep("late", &counts.late.map(|event| (event.key, event.id.to_string())));
    },
    check: |place| {
        let mut found: BTreeMap<(u64, i64), u64> = BTreeMap::new();
        for (key, line) in place.kept("counts") {
            let (start, count) = line.split_once(' ').unwrap();
            let window = (key, start.parse().unwrap());
            let before = found.insert(window, count.parse().unwrap());
            assert_eq!(before, None, "the window {window:?} has fired twice");
        }
        let events: BTreeMap<u64, Event> = Event::all(place.seed).map(|event| (event.id, event)).collect();
        let window_of = |event: &Event| (event.key, event.at.0.div_euclid(SIZE_MS) * SIZE_MS);
        for (_, id) in place.kept("late") {
            *found.entry(window_of(&events[&id.parse().unwrap()])).or_default() += 1;
        }
        let mut expected = BTreeMap::new();
        for event in events.values() {
            *expected.entry(window_of(event)).or_insert(0) += 1;
        }
        assert_eq!(found, expected, "each event is in a window or late, once");
    },
};

/// Less than events are out of order: some are late for their split.
const TOO_LITTLE_MS: i64 = DISORDER_MS / 2;

/// What is late for its own split goes aside, the same events whatever happens to the job, and none of the others is late.
pub const ASIDE: Case = Case {
    covers: &["DeadLetterSource::late_aside", "LateAsideSource::watermarks"],
    wire: |job, place| {
        let seed = place.seed;
        let source = Generator::new(EVENTS, move |index| Event::new(seed, index)).splits(SPLITS);
        let strategy = Watermarks::bounded(Duration::from_millis(TOO_LITTLE_MS.unsigned_abs()), BY_TIME);
        let events =
            job.source("aside", place.gated(source)).dead_letters().late_aside().watermarks(strategy);
        let windows = Tumbling::of(Duration::from_millis(SIZE_MS.unsigned_abs()));
        let counts = events.out.key_by(|event| event.key).window("aside-counts", windows).count();
        let line =
            |window: WindowResult<u64, u64>| (window.key, format!("{} {}", window.start.0, window.value));
        place.keep("counts", &counts.out.map(line));
        let id = |event: Event| (event.key, event.id.to_string());
        place.keep("late", &events.late.map(id));
        place.keep("late for windows", &counts.late.map(id));
    },
    check: |place| {
        let mut latest = vec![i64::MIN; SPLITS as usize];
        let mut counts: BTreeMap<(u64, i64), u64> = BTreeMap::new();
        let mut late = Vec::new();
        for event in Event::all(place.seed) {
            let latest = &mut latest[(event.id % u64::from(SPLITS)) as usize];
            if event.at.0 < latest.saturating_sub(TOO_LITTLE_MS) {
                late.push((event.key, event.id.to_string()));
            } else {
                *counts.entry((event.key, event.at.0.div_euclid(SIZE_MS) * SIZE_MS)).or_default() += 1;
            }
            *latest = event.at.0.max(*latest);
        }
        assert!(late.len() > 10, "{late:?}");
        place.in_order(
            "counts",
            counts.into_iter().map(|((key, start), count)| (key, format!("{start} {count}"))),
        );
        place.in_any_order("late", late);
        place.in_any_order("late for windows", []);
    },
};
