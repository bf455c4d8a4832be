//! A match is found once, wherever a crash cuts it.

use std::time::Duration;

use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{Pattern, Stream};
use proptest::prelude::*;

use super::{Event, is, script};
use crate::model::{Model, agree, steps};

fn pattern() -> Pattern<Event> {
    let pattern =
        Pattern::begin("a", is('a')).followed_by_any("b", is('b')).one_or_more().allow_combinations();
    pattern.followed_by("c", is('c')).not_next("not d", is('d')).within(Duration::from_millis(100))
}

/// The steps of a match with a watermark after each record, then what is left of time.
fn play(mut step: impl FnMut(&mut Harness<Event>, usize)) -> Vec<String> {
    let mut script = script(pattern());
    let mut lines = Vec::new();
    let events = ["a1", "b1", "x1", "b2", "a2", "b3", "c1", "e1"];
    for (index, event) in events.iter().enumerate() {
        let at = 10 + 10 * index as i64;
        script.record(at, Event::read(event));
        step(&mut script, 2 * index);
        lines.extend(script.watermark(at + 1).output());
        step(&mut script, 2 * index + 1);
    }
    lines.extend(script.end().output());
    lines
}

#[test]
fn it_is_the_same_with_a_crash_at_every_point() {
    let expected = play(|_, _| {});
    assert_eq!(expected.iter().filter(|line| line.starts_with("match")).count(), 8, "{expected:?}");
    for at in 0..16 {
        let found = play(|script, step| {
            if step == at {
                script.barrier().crash();
            }
        });
        assert_eq!(found, expected, "with a crash after step {at}");
    }
    let found = play(|script, _| {
        script.barrier().crash();
    });
    assert_eq!(found, expected, "with a crash after every step");
}

#[test]
fn what_came_after_the_barrier_is_forgotten() {
    let mut script = script(Pattern::begin("a", is('a')).next("b", is('b')));
    script.record(1, Event::read("a1")).barrier().record(2, Event::read("x1")).crash();
    script.record(2, Event::read("b1")).end();
    assert_eq!(script.output(), [r#"match@2 "a1 b1""#]);
}

#[test]
fn late_before_a_crash_is_late_after_it() {
    let mut script = script(Pattern::begin("a", is('a')).next("b", is('b')));
    script.record(1, Event::read("a1")).watermark(5).barrier().crash().record(4, Event::read("b1")).end();
    assert_eq!(script.output(), ["late@4 b1"]);
}

/// One watermark sets off more matches than one slice holds; a barrier falls between slices.
#[test]
fn matches_are_emitted_in_slices() {
    let pattern = || {
        let pattern = Pattern::begin("a", is('a')).followed_by_any("b", is('b'));
        pattern.followed_by_any("c", is('c')).within(Duration::from_secs(10))
    };
    let fill = |script: &mut Harness<Event>| {
        for at in 0..30 {
            let kind = if at < 10 { 'a' } else { 'b' };
            script.record(at, Event { kind, number: at as u32 });
        }
        for at in 30..130 {
            script.record(at, Event { kind: 'c', number: at as u32 });
        }
    };
    let mut whole = script(pattern());
    fill(&mut whole);
    let mut expected = whole.watermark(1_000).output();
    assert_eq!(expected.len(), 10 * 20 * 100);
    let mut cut = script(pattern());
    fill(&mut cut);
    let mut found = cut.watermark_cut_by_barrier_and_crash(1_000).output();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

/// A key, and a kind of event.
type Keyed = (u8, char);

/// An `a`, any later `b`, and the first `c` after that, all in less than 15.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn any_and_first(input: Stream<Keyed>, taps: &mut Taps) {
    let of = |kind: char| move |event: &Keyed| event.1 == kind;
    let pattern = Pattern::begin("a", of('a')).followed_by_any("b", of('b')).followed_by("c", of('c'));
    let found = input.key_by(|(key, _)| *key).pattern("pattern", pattern.within(Duration::from_millis(15)));
    let times = |found: &pelton_operators::Match<u8, Keyed>| {
        (found.key, found.events.iter().map(|(_, record)| record.time.0).collect::<Vec<_>>())
    };
    taps.tap("match", &found.select(times));
    taps.tap("late", &found.late);
}

/// Three loops over all that has come in time.
#[derive(Clone)]
struct ThreeLoops {
    came: Vec<(i64, Keyed)>,
    watermark: i64,
}

impl Model for ThreeLoops {
    type Record = Keyed;

    fn record(&mut self, at: i64, record: Keyed) -> Vec<String> {
        if at < self.watermark {
            return vec![format!("late@{at} {record:?}")];
        }
        self.came.push((at, record));
        Vec::new()
    }

    fn watermark(&mut self, at: i64) -> Vec<String> {
        let from = std::mem::replace(&mut self.watermark, at);
        let mut lines = Vec::new();
        let mut events = self.came.clone();
        events.sort_by_key(|(time, _)| *time);
        for (first, (start, (key, _))) in events.iter().enumerate().filter(|(_, (_, event))| event.1 == 'a') {
            for (second, (middle, _)) in
                events.iter().enumerate().filter(|(_, (_, event))| *event == (*key, 'b'))
            {
                let third = events
                    .iter()
                    .enumerate()
                    .find(|(third, (_, event))| *third > second && *event == (*key, 'c'));
                let Some((_, (end, _))) = third.filter(|_| second > first) else { continue };
                if end - start < 15 && (from..at).contains(end) {
                    lines.push(format!("match@{end} {:?}", (key, [start, middle, end])));
                }
            }
        }
        lines
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn out_of_order_with_barriers_and_crashes(steps in steps(40, (0u8..2, prop_oneof![Just('a'), Just('b'), Just('c'), Just('x')]))) {
        agree(any_and_first, ThreeLoops { came: Vec::new(), watermark: i64::MIN }, steps);
    }
}
