//! Groups: the cases of Flink's `GroupITCase`.

use pelton_operators::Pattern;

use super::{Event, check, is};

fn c() -> Pattern<Event> {
    Pattern::begin("c", is('c'))
}

/// `a` followed by `b`.
fn ab() -> Pattern<Event> {
    Pattern::begin("a", is('a')).followed_by("b", is('b'))
}

fn then_d(pattern: Pattern<Event>) -> Pattern<Event> {
    pattern.followed_by("d", is('d')).unbounded()
}

#[test]
fn a_group_is_repeated_as_a_whole() {
    let group = || c().followed_by_group(ab());
    let events = "c1 a1 b1 a2 b2 d1";
    check(then_d(group().times(2)), events, &["c1 a1 b1 a2 b2 d1"]);
    check(then_d(group().one_or_more()), events, &["c1 a1 b1 d1", "c1 a1 b1 a2 b2 d1"]);
    check(then_d(group().one_or_more().optional()), events, &["c1 d1", "c1 a1 b1 d1", "c1 a1 b1 a2 b2 d1"]);
    check(then_d(group().one_or_more().until(is('d'))), events, &["c1 a1 b1 d1", "c1 a1 b1 a2 b2 d1"]);
}

#[test]
fn a_group_may_be_missing() {
    check(then_d(c().followed_by_group(ab()).optional()), "c1 a1 a2 b1 d1", &["c1 d1", "c1 a1 b1 d1"]);
    check(then_d(c().followed_by_group(ab()).times(2).optional()), "c1 a1 d1", &["c1 d1"]);
    let group = Pattern::begin("b", is('b')).next("c", is('c'));
    let pattern = Pattern::begin("a", is('a')).followed_by_group(group).optional().next("d", is('d'));
    check(pattern, "a1 d1 d2", &["a1 d1"]);
}

#[test]
fn any_group() {
    let group = || c().followed_by_any_group(ab());
    let events = "c1 a1 b1 a2 b2 a3 b3 d1";
    let expected = ["c1 a1 b1 a2 b2 d1", "c1 a1 b1 a3 b3 d1", "c1 a2 b2 a3 b3 d1"];
    check(then_d(group().times(2).allow_combinations()), events, &expected);
    let expected = ["c1 d1", "c1 a1 b1 a2 b2 d1", "c1 a2 b2 a3 b3 d1"];
    check(then_d(group().times(2).optional()), events, &expected);
    let expected = [
        "c1 a1 b1 d1",
        "c1 a2 b2 d1",
        "c1 a3 b3 d1",
        "c1 a1 b1 a2 b2 d1",
        "c1 a2 b2 a3 b3 d1",
        "c1 a1 b1 a2 b2 a3 b3 d1",
    ];
    check(then_d(group().one_or_more()), events, &expected);
}

#[test]
fn the_next_group() {
    let pattern = c().next_group(ab()).one_or_more().optional().consecutive();
    let expected = ["c1 d1", "c1 a1 b1 d1", "c1 a1 b1 a2 b2 d1", "c1 a1 b1 a2 b2 a3 b3 d1"];
    check(then_d(pattern), "c1 a1 b1 a2 b2 a3 b3 d1", &expected);
}

#[test]
fn what_must_not_follow_a_group() {
    let group = || c().followed_by_any_group(ab());
    let then_e = |pattern: Pattern<Event>| pattern.followed_by("e", is('e')).unbounded();
    let events = "c1 a1 b1 d1 a2 b2 e1";
    check(then_e(group().not_followed_by("not d", is('d'))), events, &["c1 a2 b2 e1"]);
    check(then_e(group().not_next("not d", is('d'))), events, &["c1 a2 b2 e1"]);
}

#[test]
fn groups_in_groups() {
    let then_e = |pattern: Pattern<Event>| pattern.followed_by("e", is('e')).unbounded();
    let d = || Pattern::begin("d", is('d'));
    let bc = || Pattern::begin("b", is('b')).followed_by("c", is('c'));
    let inner = || Pattern::begin("a", is('a')).followed_by_group(bc());
    let pattern = then_e(d().followed_by_group(inner().one_or_more().optional()).optional());
    let expected = ["d1 e1", "d1 a1 e1", "d1 a1 b1 c1 e1", "d1 a1 b1 c1 b2 c2 e1"];
    check(pattern, "d1 a1 b1 c1 b2 c2 e1", &expected);
    let pattern = then_e(d().followed_by_any_group(inner().times(3)).times_range(0..=2));
    let expected = [
        "d1 e1",
        "d1 a1 b1 c1 b2 c2 b3 c3 e1",
        "d1 a2 b4 c4 b5 c5 b6 c6 e1",
        "d1 a1 b1 c1 b2 c2 b3 c3 a2 b4 c4 b5 c5 b6 c6 e1",
    ];
    check(pattern, "d1 a1 b1 c1 b2 c2 b3 c3 a2 b4 c4 b5 c5 b6 c6 e1", &expected);
    let consecutive = inner().times(3).consecutive();
    let pattern = then_e(d().followed_by_any_group(consecutive).times_range(0..=2).consecutive());
    let expected = ["d1 e1", "d1 a1 b1 c1 b2 c2 b3 c3 e1"];
    check(pattern, "d1 a1 b1 c1 b2 c2 b3 c3 a2 b4 c4 x1 b5 c5 b6 c6 e1", &expected);
}

#[test]
fn a_pattern_that_begins_with_a_group() {
    let pattern = Pattern::begin_group(ab()).times_range(1..=2);
    check(then_d(pattern), "a1 b1 a2 b2 d1", &["a1 b1 d1", "a2 b2 d1", "a1 b1 a2 b2 d1"]);
    let group = Pattern::begin("b", is('b')).optional().next("c", is('c'));
    let pattern = Pattern::begin("a", is('a')).next_group(group).next("d", is('d'));
    check(pattern, "a1 c1 d1", &["a1 c1 d1"]);
}
