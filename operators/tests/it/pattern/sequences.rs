//! How stages follow each other: the cases of Flink's `NFAITCase` that no other file has.

use std::time::Duration;

use pelton_operators::Pattern;

use super::{Event, check, is, script};

fn c() -> Pattern<Event> {
    Pattern::begin("c", is('c'))
}

fn then_b(pattern: Pattern<Event>) -> Pattern<Event> {
    pattern.followed_by("b", is('b')).unbounded()
}

#[test]
fn without_conditions() {
    let first = || Pattern::begin("start", |_: &Event| true);
    let events = "a1 b1 c1 d1 e1";
    check(first().followed_by("end", |_| true), events, &["a1 b1", "b1 c1", "c1 d1", "d1 e1"]);
    let all = ["a1 b1", "a1 c1", "a1 d1", "a1 e1", "b1 c1", "b1 d1", "b1 e1", "c1 d1", "c1 e1", "d1 e1"];
    check(first().followed_by_any("end", |_| true).unbounded(), events, &all);
}

#[test]
fn one_after_the_other() {
    let simple = Pattern::begin("start", is('s')).followed_by("middle", is('m')).followed_by("end", is('e'));
    check(simple, "s1 x1 y1 m1 s2 e1", &["s1 m1 e1"]);
    let strict = || Pattern::begin("a", is('a')).next("b", is('b'));
    check(strict(), "a1 b1", &["a1 b1"]);
    check(strict(), "a1 c1 b1", &[]);
}

#[test]
fn branching() {
    let start = || Pattern::begin("start", is('s'));
    let events = "s1 m1 m2 m3 n1 n2 e1";
    let any = start().followed_by_any("m", is('m')).followed_by_any("n", is('n'));
    let expected = ["s1 m1 n1 e1", "s1 m2 n1 e1", "s1 m3 n1 e1", "s1 m1 n2 e1", "s1 m2 n2 e1", "s1 m3 n2 e1"];
    check(any.followed_by_any("e", is('e')).unbounded(), events, &expected);
    let first = start().followed_by("m", is('m')).followed_by("n", is('n'));
    check(first.followed_by_any("e", is('e')).unbounded(), events, &["s1 m1 n1 e1"]);
    let mixed = start().followed_by_any("m", is('m')).followed_by("n", is('n'));
    let expected = ["s1 m1 n1 e1", "s1 m2 n1 e1", "s1 m3 n1 e1"];
    check(mixed.followed_by_any("e", is('e')).unbounded(), events, &expected);
}

#[test]
fn branching_after_any_number() {
    let any = c().followed_by_any("a", is('a')).one_or_more().allow_combinations().optional();
    let any = any.followed_by_any("b", is('b')).followed_by_any("d", is('d'));
    let beginnings = ["c1 a1 a2 a3", "c1 a1 a2", "c1 a1 a3", "c1 a2 a3", "c1 a1", "c1 a2", "c1 a3", "c1"];
    let expected: Vec<String> = ["d1", "d2"]
        .iter()
        .flat_map(|d| beginnings.iter().map(move |beginning| format!("{beginning} b1 {d} e1")))
        .collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(any.followed_by_any("e", is('e')).unbounded(), "c1 a1 a2 a3 b1 d1 d2 e1", &expected);
    let merging = c().followed_by_any("a", is('a')).followed_by_any("f", is('f'));
    let merging = merging.followed_by_any("d", is('d')).one_or_more().allow_combinations().optional();
    let expected: Vec<String> = ["a1", "a2"]
        .iter()
        .flat_map(|a| ["", " d1", " d2", " d1 d2"].map(move |d| format!("c1 {a} f1{d} e1")))
        .collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(merging.followed_by("e", is('e')).unbounded(), "c1 a1 a2 f1 d1 d2 e1", &expected);
}

#[test]
fn any_number() {
    let any = || c().followed_by_any("a", is('a')).one_or_more();
    let expected = ["c1 a1 a2 b1", "c1 a1 b1", "c1 a2 b1", "c1 b1"];
    check(then_b(any().allow_combinations().optional()), "c1 a1 a2 b1", &expected);
    check(then_b(any().allow_combinations()), "c1 a1 a2 b1", &expected[..3]);
    let a = || c().followed_by("a", is('a')).one_or_more();
    let expected = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a1 b1", "c1 b1"];
    check(then_b(a().optional()), "c1 a1 a2 d1 a3 b1", &expected);
    let next = c().next("a", is('a')).one_or_more().optional().consecutive();
    check(then_b(next), "c1 x1 a1 a2 a3 b1", &["c1 b1"]);
    let expected = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a2 a3 b1", "c1 a3 b1", "c1 a2 b1", "c1 a1 b1"];
    check(any().followed_by_any("b", is('b')).unbounded(), "c1 a1 a2 a3 b1", &expected);
    let twice = any().allow_combinations().optional();
    let twice = twice.followed_by("d", is('d')).one_or_more().allow_combinations().optional();
    let expected = ["c1 a1 d1 d2 e1", "c1 a1 d1 e1", "c1 d1 d2 e1", "c1 d1 e1", "c1 a1 e1", "c1 e1"];
    check(twice.followed_by("e", is('e')).unbounded(), "c1 a1 d1 d2 e1", &expected);
}

#[test]
fn any_number_at_the_beginning() {
    let a = || Pattern::begin("a", is('a')).one_or_more();
    let relaxed = ["a1 a2 a3 b1", "a1 a2 b1", "a2 a3 b1", "a1 b1", "a2 b1", "a3 b1", "b1"];
    check(then_b(a().optional()), "a1 a2 a3 b1", &relaxed);
    let all = ["a1 a2 a3 b1", "a1 a2 b1", "a1 a3 b1", "a2 a3 b1", "a1 b1", "a2 b1", "a3 b1"];
    check(then_b(a().allow_combinations()), "a1 a2 a3 b1", &all);
    check(
        then_b(Pattern::begin("a", is('a')).times(2).consecutive()),
        "a1 a2 a3 b1",
        &["a1 a2 b1", "a2 a3 b1"],
    );
    check(then_b(c().optional()), "c1 b1", &["c1 b1", "b1"]);
    let alone = ["a1 a2 a3", "a1 a2", "a1", "a2 a3", "a2", "a3"];
    check(a().optional().unbounded(), "c1 a1 a2 a3 d1 d2 d3", &alone);
    let strict = ["a1", "a2 a3", "a2", "a3"];
    check(a().consecutive(), "c1 a1 c2 a2 a3", &strict);
    check(a().consecutive().optional(), "c1 a1 c2 a2 a3", &strict);
}

#[test]
fn any_number_at_the_end() {
    let a = || c().followed_by("a", is('a'));
    let expected = ["c1 a1 a2 a3", "c1 a1 a2", "c1 a1", "c1"];
    check(a().one_or_more().optional().unbounded(), "c1 a1 a2 a3", &expected);
    check(a().one_or_more().unbounded(), "c1 a1 a2 a3", &expected[..3]);
    check(a().optional(), "c1 a1", &["c1 a1", "c1"]);
}

#[test]
fn the_next_event_after_any_number() {
    let d = || Pattern::begin("d", is('d'));
    let a = d().followed_by("a", is('a')).one_or_more().optional().next("b", is('b')).unbounded();
    check(a, "d1 a1 a2 c1 b1", &[]);
    let any = d().followed_by_any("a", is('a')).one_or_more().optional().allow_combinations();
    check(any.next("b", is('b')).unbounded(), "d1 a1 a2 b1", &["d1 a1 a2 b1", "d1 a2 b1"]);
}

#[test]
fn so_often() {
    let next = || c().next("a", is('a')).times(2);
    let a = || c().followed_by("a", is('a'));
    let any = || c().followed_by_any("a", is('a')).times(2);
    let expected = ["c1 a1 a2 b1", "c1 a1 a3 b1"];
    check(then_b(next().allow_combinations()), "c1 a1 a2 a3 b1", &expected);
    check(then_b(next().allow_combinations()), "c1 a1 f1 a2 f2 a3 b1", &expected);
    check(then_b(next().consecutive()), "c1 a1 f1 a2 a3 b1", &[]);
    check(then_b(next().consecutive().optional()), "c1 a1 a2 a3 b1", &["c1 a1 a2 b1", "c1 b1"]);
    let expected = ["c1 a1 a2 b1", "c1 a1 a3 b1", "c1 b1"];
    check(then_b(next().allow_combinations().optional()), "c1 a1 f1 a2 f2 a3 b1", &expected);
    check(then_b(a().times(2)), "c1 a1 a2 a3 b1", &["c1 a1 a2 b1"]);
    check(then_b(a().times(3).optional()), "c1 f1 b1", &["c1 b1"]);
    check(then_b(a().optional()), "c1 a1 b1", &["c1 a1 b1", "c1 b1"]);
    let events = "c1 f1 a1 f2 a2 a3 b1";
    let expected = ["c1 a1 a2 b1", "c1 a1 a3 b1", "c1 a2 a3 b1", "c1 b1"];
    check(then_b(any().allow_combinations().optional()), events, &expected);
    check(then_b(any().allow_combinations()), events, &expected[..3]);
    check(then_b(any().optional()), events, &["c1 a1 a2 b1", "c1 a2 a3 b1", "c1 b1"]);
    check(then_b(any().consecutive().optional()), events, &["c1 a2 a3 b1", "c1 b1"]);
}

#[test]
fn between_repetitions() {
    let a = |is_optional: bool| {
        let a = c().followed_by("a", is('a')).one_or_more();
        if is_optional { a.optional() } else { a }
    };
    let events = "c1 d1 a1 a2 a3 d2 a4 b1";
    let strict = ["c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a1 b1"];
    let relaxed = ["c1 a1 a2 a3 a4 b1", "c1 a1 a2 a3 b1", "c1 a1 a2 b1", "c1 a1 b1"];
    let all = [
        "c1 a1 a2 a3 a4 b1",
        "c1 a1 a3 a4 b1",
        "c1 a1 a2 a3 b1",
        "c1 a1 a2 a4 b1",
        "c1 a1 a2 b1",
        "c1 a1 a3 b1",
        "c1 a1 a4 b1",
        "c1 a1 b1",
    ];
    for is_optional in [false, true] {
        let with_none = |expected: &[&'static str]| {
            expected.iter().copied().chain(is_optional.then_some("c1 b1")).collect::<Vec<_>>()
        };
        check(then_b(a(is_optional).consecutive()), events, &with_none(&strict));
        check(then_b(a(is_optional)), events, &with_none(&relaxed));
        check(then_b(a(is_optional).allow_combinations()), events, &with_none(&all));
    }
    let any = c().followed_by_any("a", is('a')).one_or_more().consecutive().optional();
    let expected = ["c1 a2 a3 b1", "c1 a1 b1", "c1 a2 b1", "c1 a3 b1", "c1 b1"];
    check(then_b(any), "c1 f1 a1 f2 a2 a3 b1", &expected);
}

/// Two loops over the same kind of events: how they are shared out is told apart.
#[test]
fn two_stages_for_the_same_events() {
    let pattern = c().followed_by("first", is('a')).one_or_more().allow_combinations();
    let pattern = pattern.followed_by("second", is('a')).one_or_more().allow_combinations();
    let expected = [
        "c1 a1 a2 a3 a4 a5 b1",
        "c1 a1 a2 a3 a4 a5 b1",
        "c1 a1 a2 a3 a4 a5 b1",
        "c1 a1 a2 a3 a4 a5 b1",
        "c1 a1 a2 a3 a4 b1",
        "c1 a1 a2 a4 a5 b1",
        "c1 a1 a2 a3 a4 b1",
        "c1 a1 a2 a3 a5 b1",
        "c1 a1 a3 a4 a5 b1",
        "c1 a1 a3 a4 a5 b1",
        "c1 a1 a2 a3 a4 b1",
        "c1 a1 a2 a3 a5 b1",
        "c1 a1 a2 a4 a5 b1",
        "c1 a1 a2 a3 b1",
        "c1 a1 a3 a4 b1",
        "c1 a1 a4 a5 b1",
        "c1 a1 a2 a3 b1",
        "c1 a1 a2 a4 b1",
        "c1 a1 a2 a5 b1",
        "c1 a1 a2 b1",
    ];
    check(then_b(pattern), "c1 a1 a2 a3 a4 a5 b1", &expected);
}

#[test]
fn equal_events_are_different_ones() {
    let pattern = then_b(c().followed_by("a", is('a')).one_or_more().optional());
    let expected = [
        "c1 a1 a1 a1 a2 a3 a3 b1",
        "c1 a1 a1 a1 a2 a3 b1",
        "c1 a1 a1 a1 a2 b1",
        "c1 a1 a1 a1 b1",
        "c1 a1 a1 b1",
        "c1 a1 b1",
        "c1 b1",
    ];
    check(pattern, "c1@1 a1@3 a1@3 a1@3 a2@4 d1@5 a3@6 a3@6 b1@7", &expected);
}

#[test]
fn a_time_for_all() {
    let pattern = |is_any: bool| {
        let start = Pattern::begin("start", is('s'));
        let pattern = match is_any {
            true => start.followed_by_any("middle", is('m')).followed_by_any("end", is('e')),
            false => start.followed_by("middle", is('m')).followed_by("end", is('e')),
        };
        pattern.within(Duration::from_millis(10))
    };
    let events = [(1, "s1"), (2, "s2"), (3, "m3"), (4, "x4"), (11, "e5"), (13, "e6")];
    check(pattern(false), "s1@1 s2@2 m3@3 x4@4 e5@11 e6@13", &["s2 m3 e5"]);
    let mut script = script(pattern(true));
    for (at, event) in events {
        script.record(at, Event::read(event));
    }
    let mut lines = script.end().output();
    lines.sort();
    let expected = [
        r#"match@11 "s2 m3 e5""#,
        r#"partial@11 (TimedOut, "s1 m3")"#,
        r#"partial@11 (TimedOut, "s1")"#,
        r#"partial@12 (TimedOut, "s2 m3")"#,
        r#"partial@12 (TimedOut, "s2")"#,
    ];
    assert_eq!(lines, expected);
}

/// The pictures of `docs/patterns.md`.
#[test]
fn the_pictures_of_the_guide() {
    let a = || Pattern::begin("a", is('a'));
    check(a().next("b", is('b')), "a1 c1 b1 b2", &[]);
    check(a().followed_by("b", is('b')), "a1 c1 b1 b2", &["a1 b1"]);
    check(a().followed_by_any("b", is('b')).unbounded(), "a1 c1 b1 b2", &["a1 b1", "a1 b2"]);
    let optional = || {
        let pattern = a().not_followed_by("b", is('b')).followed_by("c", is('c')).optional();
        pattern.followed_by("d", is('d'))
    };
    check(optional(), "a1 c1 b1 d1", &["a1 c1 d1"]);
    check(optional(), "a1 b1 d1", &[]);
    let many = || c().followed_by("a", is('a')).one_or_more();
    let events = "c1 a1 x1 a2 b1";
    check(then_b(many()), events, &["c1 a1 a2 b1", "c1 a1 b1"]);
    check(then_b(many().consecutive()), events, &["c1 a1 b1"]);
    check(then_b(many().greedy()), events, &["c1 a1 a2 b1"]);
    let any = c().followed_by_any("a", is('a')).one_or_more().allow_combinations();
    check(then_b(any), events, &["c1 a1 a2 b1", "c1 a1 b1", "c1 a2 b1"]);
}
