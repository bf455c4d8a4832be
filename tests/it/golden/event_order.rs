//! Event order: every life of a job, on any number of workers, tells each key the same story, in the
//! same words.

use std::collections::{BTreeMap, BTreeSet};

use pelton::prelude::*;

use super::drive::{Case, Line, Place};
use super::input::{EVENTS, Event, SPLITS};

/// The events of a key are in all splits.
const STORIES: u64 = 5;
/// Less than events are behind: some are late.
const PATIENCE_MS: i64 = 9;
const WAIT: Duration = Duration::from_millis(4);

/// Tells of each event and timer, with what came before it of its key.
struct Story;

impl KeyedProcess for Story {
    type Key = u64;
    type In = Event;
    type Out = Line;
    type Side = NoSide;
    type State = u64;

    fn on_record(&self, event: Event, story: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        **story = after(**story, event.id);
        cx.emit((*cx.key(), format!("{} {}", event.id, **story)));
        cx.timer_at(event.at + WAIT);
        cx.timer_at(EventTime(event.at.0 - 1));
        Ok(())
    }

    fn on_timer(&self, at: EventTime, story: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        **story = after(**story, at.0.unsigned_abs() + EVENTS);
        cx.emit((*cx.key(), format!("timer {}", **story)));
        Ok(())
    }
}

fn after(story: u64, next: u64) -> u64 {
    (story * 31 + next) % 1_000_003
}

/// The events of the generator, those that are late by their own split apart, each in its order.
fn told_and_late(seed: u64) -> (Vec<Event>, Vec<Event>) {
    let mut latest: BTreeMap<u64, i64> = BTreeMap::new();
    let (mut told, mut late) = (Vec::new(), Vec::new());
    for event in Event::all(seed) {
        let latest = latest.entry(event.id % u64::from(SPLITS)).or_insert(event.at.0);
        if event.at.0 < *latest - PATIENCE_MS {
            late.push(event);
        } else {
            *latest = (*latest).max(event.at.0);
            told.push(event);
        }
    }
    told.sort_by_key(|event| (event.at, event.id % u64::from(SPLITS), event.id));
    (told, late)
}

fn events(job: &mut Job, place: &Place) -> Stream<Event> {
    let seed = place.seed;
    let source = Generator::new(EVENTS, move |index| Event::new(seed, index)).splits(SPLITS);
    let patience = Duration::from_millis(PATIENCE_MS.unsigned_abs());
    job.source("events", place.gated(source))
        .watermarks(Watermarks::bounded(patience, |event: &Event| event.at))
}

/// What [`Story`] tells of the events of one key.
fn story(key: u64, events: &[Event]) -> Vec<Line> {
    let (mut story, mut timers, mut lines) = (0, BTreeSet::new(), Vec::new());
    let fire = |up_to: i64, timers: &mut BTreeSet<i64>, story: &mut u64, lines: &mut Vec<Line>| {
        while timers.first().is_some_and(|at| *at <= up_to) {
            let at = timers.pop_first().unwrap();
            *story = after(*story, at.unsigned_abs() + EVENTS);
            lines.push((key, format!("timer {story}")));
        }
    };
    for event in events {
        let at = event.at.0;
        fire(at, &mut timers, &mut story, &mut lines);
        story = after(story, event.id);
        lines.push((key, format!("{} {story}", event.id)));
        timers.extend([at + WAIT.as_millis() as i64, at - 1]);
        // What is set for the past comes at once.
        fire(at, &mut timers, &mut story, &mut lines);
    }
    fire(i64::MAX, &mut timers, &mut story, &mut lines);
    lines
}

/// Stories of keys whose events are in all splits, and what is late.
pub const STORY: Case = Case {
    covers: &["KeyedStream::in_event_order"],
    wire: |job, place| {
        let ordered = events(job, place).key_by(|event| event.id % STORIES).in_event_order("by-time");
        place.keep("stories", &ordered.out.process("story", Story).out);
        place.keep("late", &ordered.late.map(|event| (event.key, event.id.to_string())));
    },
    check: |place| {
        let (told, late) = told_and_late(place.seed);
        assert!(!late.is_empty(), "nothing is late, and that is not looked at");
        for key in 0..STORIES {
            let events: Vec<Event> = told.iter().filter(|event| event.id % STORIES == key).cloned().collect();
            let found = place.kept("stories").into_iter().filter(|(of, _)| *of == key);
            assert_eq!(found.collect::<Vec<_>>(), story(key, &events), "the story of key {key}");
        }
        place.in_any_order("late", late.into_iter().map(|event| (event.key, event.id.to_string())));
    },
};

/// Both halves of a split stream and copies of one of them meet again in one key: a total order of all.
pub const TOTAL: Case = Case {
    covers: &[],
    wire: |job, place| {
        let halves = events(job, place).split(|event| event.amount % 2 == 0);
        let copies = halves.rest.rebalance().flat_map(|event| [event.clone(), Event { amount: 0, ..event }]);
        let all = copies.union([halves.matching]).key_by(|_| 0u64).in_event_order("by-time");
        let counted = all.out.fold("count", |(count, event): &mut (u64, Option<Event>), next| {
            *count += 1;
            *event = Some(next);
        });
        // By a key of their own, and in order again.
        let again = counted
            .map(|(_, (count, event))| (count, event.unwrap()))
            .key_by(|(_, event)| event.id % STORIES)
            .in_event_order("again");
        let last = again.out.reduce("last", |_, next| next);
        place.keep(
            "all",
            &last
                .map(|(count, event)| (event.id % STORIES, format!("{count} {} {}", event.id, event.amount))),
        );
    },
    check: |place| {
        let (told, _) = told_and_late(place.seed);
        let copies = told.into_iter().flat_map(|event| match event.amount % 2 {
            0 => vec![event],
            _ => vec![event.clone(), Event { amount: 0, ..event }],
        });
        let lines = copies.zip(1..);
        place.in_order(
            "all",
            lines
                .map(|(event, count)| (event.id % STORIES, format!("{count} {} {}", event.id, event.amount))),
        );
    },
};
