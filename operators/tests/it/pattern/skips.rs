//! What is skipped after a match: the cases of Flink's `AfterMatchSkipITCase`.

use pelton_operators::Pattern;

use super::{Event, check, is, script};

/// `w` is an `a` and a `b` at once, `x` is all of `x`, `a` and `b`.
fn has(kind: char) -> impl Fn(&Event) -> bool + Send + Sync + 'static {
    move |event| event.kind == kind || (event.kind == 'w' && "ab".contains(kind))
}

#[test]
fn no_skip_and_past_last() {
    let three = || Pattern::begin("a", is('a')).times(3);
    let events = "a1 a2 a3 a4 a5 a6";
    check(three().no_skip(), events, &["a1 a2 a3", "a2 a3 a4", "a3 a4 a5", "a4 a5 a6"]);
    check(three(), events, &["a1 a2 a3", "a2 a3 a4", "a3 a4 a5", "a4 a5 a6"]);
    check(three().skip_past_last(), events, &["a1 a2 a3", "a4 a5 a6"]);
}

#[test]
fn to_next() {
    let any = || Pattern::begin("a", is('a')).followed_by_any("b", is('b')).unbounded();
    check(any(), "a1 b1 a2 b2", &["a1 b1", "a1 b2", "a2 b2"]);
    check(any().skip_to_next(), "a1 b1 a2 b2", &["a1 b1", "a2 b2"]);
    let many = || Pattern::begin("a", is('a')).next("b", is('b')).one_or_more().unbounded();
    check(many(), "a1 b1 b2 b3", &["a1 b1", "a1 b1 b2", "a1 b1 b2 b3"]);
    check(many().skip_to_next(), "a1 b1 b2 b3", &["a1 b1"]);
}

#[test]
fn to_a_stage() {
    let twice = || Pattern::begin("start", has('a')).times(2).next("end", has('b')).times(2);
    check(twice().skip_to_first("end"), "w1 w2 w3 w4 w5 w6", &["w1 w2 w3 w4", "w3 w4 w5 w6"]);
    check(twice().skip_to_last("end"), "w1 w2 w3 w4 w5 w6 w7", &["w1 w2 w3 w4", "w4 w5 w6 w7"]);
    let many = || Pattern::begin("a", is('a')).next("b", is('b')).one_or_more().consecutive();
    check(many().skip_to_first("b"), "a1 b1 a2 b2 b3 a3 b4", &["a1 b1", "a2 b2", "a3 b4"]);
    check(many().skip_to_last("b"), "a1 b1 a2 b2 b3 a3 b4", &["a1 b1", "a2 b2", "a3 b4"]);
}

#[test]
fn to_a_stage_that_a_match_may_not_have() {
    let optional = || {
        let pattern = Pattern::begin("x", is('x')).one_or_more().optional();
        pattern.next("b", is('b')).next("c", is('c')).unbounded()
    };
    check(optional().skip_to_first("b"), "b1 c1 b2 c2", &["b1 c1", "b2 c2"]);
    check(optional().skip_to_first("x"), "b1 c1 b2 c2", &["b1 c1", "b2 c2"]);
    let missed = || {
        let pattern = Pattern::begin("a", is('a')).next("b", is('b')).one_or_more().optional().consecutive();
        pattern.next("c", is('c'))
    };
    check(missed().skip_to_first("b"), "a1 c1", &["a1 c1"]);
    check(missed().skip_to_last("b"), "a1 c1", &["a1 c1"]);
    let start = Pattern::begin("b", is('b')).next("c", is('c')).skip_to_first("b");
    check(start, "b1 c1 b2 c2", &["b1 c1", "b2 c2"]);
}

#[test]
fn past_last_finds_the_first_of_many() {
    let pattern = Pattern::begin("a", is('a')).followed_by_any("b", is('b'));
    let pattern =
        pattern.followed_by_any("c", is('c')).followed_by("d", is('d')).unbounded().skip_past_last();
    check(pattern, "a1 a2 b1 b2 c1 c2 d1 d2", &["a1 b1 c1 d1"]);
    let pattern = Pattern::begin("a", is('a')).next("b", is('b')).skip_past_last();
    check(pattern, "a1 c1 a2 b2", &["a2 b2"]);
}

#[test]
fn the_examples_of_the_documentation() {
    let many = || Pattern::begin("a", is('a')).one_or_more().consecutive().greedy().next("b", is('b'));
    let events = "a1 a2 a3 b1";
    check(many().no_skip(), events, &["a1 a2 a3 b1", "a2 a3 b1", "a3 b1"]);
    check(many().skip_to_next(), events, &["a1 a2 a3 b1", "a2 a3 b1", "a3 b1"]);
    check(many().skip_past_last(), events, &["a1 a2 a3 b1"]);
    check(many().skip_to_first("a"), events, &["a1 a2 a3 b1", "a2 a3 b1", "a3 b1"]);
    check(many().skip_to_last("a"), events, &["a1 a2 a3 b1", "a3 b1"]);
    let either = |first: &'static str| {
        let pattern = Pattern::begin("first", move |event: &Event| first.contains(event.kind));
        let pattern = pattern.followed_by("b or c", |event| "bc".contains(event.kind));
        pattern.followed_by("c", is('c')).one_or_more().greedy().followed_by("d", is('d')).unbounded()
    };
    let events = "a1 b1 c1 c2 c3 d1";
    check(either("abc").no_skip(), events, &["a1 b1 c1 c2 c3 d1", "b1 c1 c2 c3 d1", "c1 c2 c3 d1"]);
    check(either("abc").skip_to_next(), events, &["a1 b1 c1 c2 c3 d1", "b1 c1 c2 c3 d1", "c1 c2 c3 d1"]);
    check(either("abc").skip_past_last(), events, &["a1 b1 c1 c2 c3 d1"]);
    check(either("abc").skip_to_first("c"), events, &["a1 b1 c1 c2 c3 d1", "c1 c2 c3 d1"]);
    check(either("abc").skip_to_last("c"), events, &["a1 b1 c1 c2 c3 d1"]);
    check(either("ac").skip_to_first("c"), events, &["a1 b1 c1 c2 c3 d1", "c1 c2 c3 d1"]);
}

#[test]
fn what_is_skipped_to_may_lie_before_what_was_found_already() {
    // The number of the `b` has to be that of the `a`.
    let pattern = Pattern::begin("a", is('a')).followed_by("c", is('c')).followed_by("b", is('b'));
    let pattern = pattern.given(|b, so_far| so_far.of("a").all(|a| a.number == b.number)).skip_to_first("c");
    check(pattern, "a1 c1 a2 c2 b2 b1", &["a1 c1 b1", "a2 c2 b2"]);
}

#[test]
fn a_match_waits_for_older_partial_ones() {
    // `a1` is still waiting when `a2 b2` is found, and it decides whether that counts.
    let pattern = || {
        let pattern = Pattern::begin("a", is('a')).followed_by("b", |event: &Event| event.kind == 'b');
        let pattern = pattern.given(|b, so_far| so_far.of("a").all(|a| a.number <= b.number));
        pattern.within(std::time::Duration::from_millis(100)).skip_past_last()
    };
    let mut script = script(pattern());
    script
        .record(1, Event::read("a5"))
        .record(2, Event::read("a2"))
        .record(3, Event::read("b2"))
        .watermark(50);
    assert_eq!(script.output(), [""; 0], "`a5` may still be followed by `b5`");
    script.barrier().crash().watermark(101);
    let mut lines = script.output();
    lines.sort();
    assert_eq!(lines, [r#"match@101 "a2 b2""#, r#"partial@101 (TimedOut, "a5")"#]);
    check(pattern(), "a5 a2 b2 b5", &["a5 b5"]);
}
