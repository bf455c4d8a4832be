//! What must not come: the cases of Flink's `NotPatternITCase`.

use std::time::Duration;

use pelton_operators::Pattern;

use super::{Event, check, is};

fn a() -> Pattern<Event> {
    Pattern::begin("a", is('a'))
}

#[test]
fn not_next_concerns_the_very_next_event() {
    let pattern =
        || a().not_next("not b", is('b')).followed_by_any("c", is('c')).followed_by("d", is('d')).unbounded();
    check(pattern(), "a1 c1 b1 c2 d1", &["a1 c1 d1", "a1 c2 d1"]);
    check(pattern(), "a1 b1 c1 c2 d1", &[]);
}

/// What must not come next holds between repetitions as well, also where the first part of the next one is left out.
#[test]
fn not_next_after_a_group_whose_first_part_is_optional() {
    let pattern = || {
        let group = a().optional().followed_by_any("b", is('b'));
        Pattern::begin_group(group).times_range(1..=2).not_next("not b", is('b')).unbounded()
    };
    check(pattern(), "b1 b2 b3 c1", &["b2 b3", "b3"]);
    check(pattern(), "b1 c1 b2 c2", &["b1", "b1 b2", "b2"]);
}

#[test]
fn not_next_at_the_end_waits_for_the_next_event() {
    let pattern = || {
        let pattern = a().followed_by_any("c", is('c')).followed_by_any("d", is('d'));
        pattern.not_next("not b", is('b')).unbounded()
    };
    check(pattern(), "a1 c1 c2 d1 b1", &[]);
    check(pattern(), "a1 c1 c2 d1 x1 b1", &["a1 c1 d1", "a1 c2 d1"]);
    check(pattern(), "a1 c1 c2 d1", &[]);
}

#[test]
fn not_followed_by_concerns_all_that_is_passed_over() {
    let pattern = || {
        a().not_followed_by("not b", is('b'))
            .followed_by_any("c", is('c'))
            .followed_by("d", is('d'))
            .unbounded()
    };
    check(pattern(), "a1 c1 b1 c2 d1", &["a1 c1 d1"]);
    let pattern = a().not_followed_by("not b", is('b')).followed_by("c", is('c')).followed_by("d", is('d'));
    check(pattern, "a1 b1 c1 a2 c2 d1", &["a2 c2 d1"]);
}

#[test]
fn what_is_optional_takes_over_what_must_not_come_before_it() {
    let optional = || a().not_followed_by("not b", is('b')).followed_by_any("c", is('c')).optional();
    check(optional().followed_by("d", is('d')).unbounded(), "a1 c1 b1 c2 d1", &["a1 c1 d1"]);
    // It may be missing at once, whatever comes.
    check(optional().unbounded(), "a1 c1 b1 c2", &["a1", "a1 c1"]);
    let twice = || a().not_followed_by("not b", is('b')).followed_by_any("c", is('c')).times(2).optional();
    check(twice().followed_by("d", is('d')).unbounded(), "a1 c1 b1 c2 d1", &["a1 c1 c2 d1"]);
    check(twice().followed_by("d", is('d')).unbounded(), "a1 d1 e1 b1 c1 c2 d2", &["a1 d1"]);
}

#[test]
fn it_concerns_what_lies_between_repetitions_too() {
    let twice = || {
        a().followed_by_any("b", is('b')).times(2).not_followed_by("not c", is('c')).followed_by("d", is('d'))
    };
    check(twice().unbounded(), "a1 b1 c1 b2 d1", &[]);
    check(twice().unbounded(), "a1 d1 e1 b1 b2 c1 d2", &[]);
    let next = |pattern: Pattern<Event>| {
        pattern.one_or_more().not_next("not c", is('c')).followed_by("d", is('d')).unbounded()
    };
    check(next(a().followed_by("b", is('b'))), "a1 b1 c1 b2 d1", &[]);
    check(next(a().followed_by_any("b", is('b'))), "a1 b1 c1 b2 d1", &["a1 b2 d1"]);
}

#[test]
fn not_followed_by_after_repetitions() {
    let after = |pattern: Pattern<Event>| {
        pattern.not_followed_by("not c", is('c')).followed_by("d", is('d')).unbounded()
    };
    let events = "a1 b1 b2 b3 c1 b4 b5 b6 d1";
    check(after(a().followed_by("b", is('b')).one_or_more()), events, &[]);
    check(after(a().followed_by("b", is('b')).one_or_more().allow_combinations()), events, &[]);
    let eager = ["a1 b4 b5 b6 d1", "a1 b4 b5 d1", "a1 b4 d1", "a1 b5 b6 d1", "a1 b5 d1", "a1 b6 d1"];
    check(after(a().followed_by_any("b", is('b')).one_or_more()), events, &eager);
    let mut all = eager.to_vec();
    all.push("a1 b4 b6 d1");
    check(after(a().followed_by_any("b", is('b')).one_or_more().allow_combinations()), events, &all);
}

#[test]
fn not_followed_by_before_repetitions() {
    let events = "a1 b1 c1 b4 b5 b6 d1";
    let eager = ["a1 b1 b4 b5 b6 d1", "a1 b1 b4 b5 d1", "a1 b1 b4 d1", "a1 b1 d1"];
    let all = [
        "a1 b1 b4 b5 b6 d1",
        "a1 b1 b4 b6 d1",
        "a1 b1 b4 b5 d1",
        "a1 b1 b4 d1",
        "a1 b1 b5 b6 d1",
        "a1 b1 b5 d1",
        "a1 b1 b6 d1",
        "a1 b1 d1",
    ];
    for is_any in [false, true] {
        for is_optional in [false, true] {
            let before = |combinations: bool| {
                let not = a().not_followed_by("not c", is('c'));
                let not =
                    if is_any { not.followed_by_any("b", is('b')) } else { not.followed_by("b", is('b')) };
                let not = not.one_or_more();
                let not = if is_optional { not.optional() } else { not };
                let not = if combinations { not.allow_combinations() } else { not };
                not.followed_by("d", is('d')).unbounded()
            };
            check(before(false), events, &eager);
            check(before(true), events, &all);
        }
    }
}

#[test]
fn at_the_end_it_is_sure_when_time_is_up() {
    let events = "a1@1 b1@2 a2@4 c1@5 b2@10 a3@11 b3@13";
    let three = Duration::from_millis(3);
    check(a().not_followed_by("not b", is('b')).within(three), events, &["a2"]);
    check(a().not_followed_by("not b", is('b')).within_gap(three), events, &["a2"]);
    let pattern =
        a().not_followed_by("not b", is('b')).followed_by("c", is('c')).times_range(0..=2).within(three);
    let events = "a1@1 b1@2 a2@10 c1@11 c2@12 a3@20 c3@21 c4@24";
    check(pattern, events, &["a1", "a2", "a2 c1", "a2 c1 c2", "a3", "a3 c3"]);
}

#[test]
fn at_the_end_it_skips_as_other_matches_do() {
    let pattern = a().one_or_more().allow_combinations().followed_by("c", is('c'));
    let pattern = pattern.not_followed_by("not b", is('b')).within(Duration::from_millis(5)).skip_past_last();
    check(pattern, "a1@1 a2@2 a3@3 c1@4 c2@10", &["a1 a2 a3 c1"]);
}
