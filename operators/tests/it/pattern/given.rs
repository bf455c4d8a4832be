//! Conditions that see what was matched before: the cases of Flink's `IterativeConditionsITCase`.

use pelton_operators::{Matches, Pattern};

use super::{Event, check, is};

/// The sum of a stage's numbers and one more.
fn sum(stage: &str, so_far: &Matches<'_, Event>, event: &Event) -> u32 {
    so_far.of(stage).map(|earlier| earlier.number).sum::<u32>() + event.number
}

fn start() -> Pattern<Event> {
    Pattern::begin("start", is('s'))
}

/// In these cases `f4` counts as 1.
fn foo(event: &Event) -> u32 {
    if event.number == 4 { 1 } else { event.number }
}

#[test]
fn the_events_of_the_stage_itself() {
    let branching = || {
        let middle = start().followed_by("middle", is('f')).one_or_more();
        let middle = middle.given(|event, so_far| so_far.of("middle").map(foo).sum::<u32>() + foo(event) < 5);
        middle.unbounded()
    };
    let events = "s1 f1 f2 s2 f3 f4 n1 e1";
    let eager = ["s1 f1 f2 f4 e1", "s1 f1 f2 e1", "s1 f1 e1", "s2 f3 f4 e1", "s2 f3 e1"];
    check(branching().followed_by("end", is('e')), events, &eager);
    let mut all = eager.to_vec();
    all.extend(["s1 f1 f3 e1", "s1 f1 f4 e1"]);
    check(branching().allow_combinations().followed_by("end", is('e')), events, &all);
}

#[test]
fn in_a_loop_that_begins_the_pattern() {
    let looping = || start().one_or_more().given(|event, so_far| sum("start", so_far, event) < 5).optional();
    let eager = ["s1 s2 e1", "s1 e1", "s2 e1", "s3 e1", "e1"];
    check(looping().followed_by("end", is('e')).unbounded(), "s1 s2 s3 e1", &eager);
    let all = ["s1 s2 e1", "s1 s3 e1", "s1 e1", "s2 e1", "s3 e1", "e1"];
    check(looping().allow_combinations().followed_by("end", is('e')).unbounded(), "s1 s2 s3 e1", &all);
}

#[test]
fn the_events_of_an_earlier_stage() {
    let enough = |event: &Event, so_far: &Matches<'_, Event>| sum("start", so_far, event) > 2;
    let pattern = start().one_or_more().followed_by("end", is('e')).given(enough).unbounded();
    check(pattern, "s1 s2 e1", &["s1 s2 e1", "s2 e1"]);
    let pattern = start().one_or_more().followed_by_any("middle", is('f'));
    let pattern = pattern.followed_by_any("end", is('e')).given(enough).unbounded();
    let expected =
        ["s1 s2 f1 e1", "s2 f1 e1", "s1 s2 f2 e1", "s1 s2 s3 f2 e1", "s2 s3 f2 e1", "s2 f2 e1", "s3 f2 e1"];
    check(pattern, "s1 s2 f1 s3 f2 e1", &expected);
}

#[test]
fn stages_of_the_same_kind_are_told_apart() {
    let pattern = start().followed_by_any("foo", is('f')).followed_by("again", is('s')).one_or_more();
    let pattern = pattern.given(|event, so_far| sum("again", so_far, event) <= 5);
    let expected = ["s1 f1 s2 s3 e1", "s1 f1 s2 e1", "s1 f2 s4 e1", "s2 f2 s4 e1", "s3 f2 s4 e1"];
    check(pattern.followed_by("end", is('e')).unbounded(), "s1 f1 s2 s3 f2 s4 f3 f4 e1", &expected);
}

#[test]
fn the_latest_event_and_the_beginning() {
    let rising = Pattern::begin("first", is('a')).next("more", is('a')).one_or_more().consecutive();
    let rising =
        rising.given(|event, so_far| so_far.latest().is_some_and(|latest| latest.number < event.number));
    check(rising.skip_to_next(), "a1 a2 a3 a2", &["a1 a2", "a2 a3"]);
    let soon = Pattern::begin("first", is('a')).followed_by("then", is('b'));
    let soon = soon.given(|event, so_far| so_far.began().is_some_and(|at| at.0 == i64::from(event.number)));
    check(soon, "a1 a2 b2 b1", &["a2 b2", "a1 b1"]);
}
