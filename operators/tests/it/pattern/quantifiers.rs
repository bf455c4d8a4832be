//! How often a stage is there: the cases of Flink's `TimesOrMoreITCase`, `TimesRangeITCase` and
//! `UntilConditionITCase`.

use std::time::Duration;

use pelton_operators::Pattern;

use super::{Event, check, is};

fn c() -> Pattern<Event> {
    Pattern::begin("c", is('c'))
}

fn then_b(pattern: Pattern<Event>) -> Pattern<Event> {
    pattern.followed_by("b", is('b')).unbounded()
}

/// The events that most cases are about.
const EVENTS: &str = "c1@1 f1@2 a1@3 f2@4 a2@5 a3@6 b1@7";

#[test]
fn so_often_or_more() {
    let times = |pattern: Pattern<Event>| pattern.times_or_more(2);
    let a = || c().followed_by("a", is('a'));
    let any = || c().followed_by_any("a", is('a'));
    let expected = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a1 a3 b1"];
    check(then_b(times(a()).allow_combinations()), "c1@1 a1@2 a2@3 a3@4 b1@6", &expected);
    let expected = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a1 a3 b1", "c1 a2 a3 b1"];
    check(then_b(times(any()).allow_combinations()), EVENTS, &expected);
    let expected = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1"];
    check(then_b(times(any()).within_gap(Duration::from_millis(3)).allow_combinations()), EVENTS, &expected);
    check(then_b(any().times(2).consecutive()), EVENTS, &["c1 a2 a3 b1"]);
    check(then_b(times(any()).consecutive().optional()), EVENTS, &["c1 a2 a3 b1", "c1 b1"]);
    let next = times(c().next("a", is('a'))).consecutive().optional();
    check(then_b(next), "c1 a1 a2 a3 b1", &["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 b1"]);
    check(then_b(times(a()).optional()), "c1 f1 b1", &["c1 b1"]);
    let expected = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a2 a3 b1", "c1 a1 a3 b1", "c1 b1"];
    check(then_b(times(any()).allow_combinations().optional()), EVENTS, &expected);
}

#[test]
fn a_range() {
    let next = || c().next("a", is('a'));
    let any = || c().followed_by_any("a", is('a'));
    let events = "c1@1 a1@2 a2@3 a3@4 b1@6";
    let expected = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a1 a3 b1", "c1 a1 b1"];
    check(then_b(next().times_range(1..=3).allow_combinations()), events, &expected);
    let expected = ["c1 a1 a2 b1", "c1 a1 a3 b1", "c1 a1 b1", "c1 b1"];
    check(then_b(next().times_range(0..=2).allow_combinations()), events, &expected);
    let expected =
        ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a1 a3 b1", "c1 a2 a3 b1", "c1 a1 b1", "c1 a2 b1", "c1 a3 b1"];
    check(then_b(any().times_range(1..=3).allow_combinations()), EVENTS, &expected);
    let expected = ["c1 a2 a3 b1", "c1 a1 b1", "c1 a2 b1", "c1 a3 b1", "c1 b1"];
    check(then_b(any().times_range(0..=3).consecutive()), EVENTS, &expected);
    check(then_b(any().times_range(1..=3).consecutive().optional()), EVENTS, &expected);
    let expected = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a1 b1", "c1 b1"];
    check(then_b(next().times_range(1..=3).consecutive().optional()), "c1 a1 a2 a3 b1", &expected);
    let a = c().followed_by("a", is('a')).times_range(1..=3).optional();
    check(then_b(a), "c1 f1 b1", &["c1 b1"]);
}

/// `a5` ends the repetitions.
fn ends(event: &Event) -> bool {
    event.number == 5
}

#[test]
fn until_an_event_that_the_next_stage_takes() {
    let then_end = |pattern: Pattern<Event>| pattern.until(ends).followed_by("end", ends);
    let many = |optional: bool| {
        let many = c().followed_by("a", is('a')).one_or_more();
        if optional { many.optional() } else { many }
    };
    let events = "c1 a2 a3 a5 a6";
    let expected = ["c1 a2 a3 a5", "c1 a2 a5"];
    let with_none = ["c1 a2 a3 a5", "c1 a2 a5", "c1 a5"];
    check(then_end(many(false)), events, &expected);
    check(then_end(many(false).consecutive()), events, &expected);
    check(then_end(many(true)), events, &with_none);
    check(then_end(many(true).consecutive()), events, &with_none);
    let events = "c1 a2 a3 a4 a5 a6";
    let all = ["c1 a2 a3 a4 a5", "c1 a2 a3 a5", "c1 a2 a4 a5", "c1 a2 a5"];
    check(then_end(many(false).allow_combinations()), events, &all);
    let all = ["c1 a2 a3 a4 a5", "c1 a2 a3 a5", "c1 a2 a4 a5", "c1 a2 a5", "c1 a5"];
    check(then_end(many(true).allow_combinations()), events, &all);
}

/// The wait for the first of the repetitions goes on.
#[test]
fn until_ends_what_has_begun() {
    let any = || c().followed_by_any("a", is('a')).one_or_more();
    let events = "c1 a2 a3 a5 a6";
    check(any().until(ends).unbounded(), events, &["c1 a2 a3", "c1 a2", "c1 a3", "c1 a6"]);
    check(any().optional().until(ends).unbounded(), events, &["c1 a2 a3", "c1 a2", "c1 a3", "c1 a6", "c1"]);
}
