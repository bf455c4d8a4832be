//! Time: order, lateness, how long a match may take, and processing time.

use std::time::Duration;

use pelton_operators::Pattern;

use super::{Event, check, is, script};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn a_then_b() -> Pattern<Event> {
    Pattern::begin("a", is('a')).followed_by("b", is('b'))
}

#[test]
fn events_are_matched_by_time_once_the_watermark_has_passed_them() {
    let mut script = script(Pattern::begin("a", is('a')).next("b", is('b')).within(ms(100)));
    script.record(5, Event::read("b1")).record(3, Event::read("a1")).watermark(5);
    assert_eq!(script.output(), [""; 0], "another event at 5 may come");
    script.watermark(6);
    assert_eq!(script.output(), [r#"match@5 "a1 b1""#]);
}

#[test]
fn events_of_one_time_are_matched_as_they_came() {
    let mut first = script(a_then_b());
    first.record(5, Event::read("a1")).record(5, Event::read("b1")).end();
    assert_eq!(first.output(), [r#"match@5 "a1 b1""#]);
    let mut second = script(a_then_b());
    second.record(5, Event::read("b1")).record(5, Event::read("a1")).end();
    assert_eq!(second.output(), [""; 0]);
}

#[test]
fn what_the_watermark_has_passed_is_late_also_if_it_fits_nothing() {
    let mut script = script(a_then_b().within(ms(10)));
    script
        .record(3, Event::read("a1"))
        .watermark(6)
        .record(5, Event::read("b1"))
        .record(5, Event::read("x1"));
    script.record(6, Event::read("b2")).end();
    assert_eq!(script.output(), ["late@5 b1", "late@5 x1", r#"match@6 "a1 b2""#]);
}

#[test]
fn a_match_takes_less_than_within() {
    check(a_then_b().within(ms(10)), "a1@1 b1@10", &["a1 b1"]);
    check(a_then_b().within(ms(10)), "a1@1 b1@11", &[]);
    check(a_then_b().within(ms(20)).within(ms(10)), "a1@1 b1@11", &[]);
}

#[test]
fn what_has_no_more_time_is_told_of_when_its_time_is_up() {
    let mut script = script(a_then_b().followed_by("c", is('c')).within(ms(10)));
    script
        .record(1, Event::read("a1"))
        .record(4, Event::read("b1"))
        .record(5, Event::read("a2"))
        .watermark(10);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(11);
    assert_eq!(script.output(), [r#"partial@11 (TimedOut, "a1 b1")"#]);
    // The next event tells as much as the watermark does.
    script.record(15, Event::read("c1")).end();
    assert_eq!(script.output(), [r#"partial@15 (TimedOut, "a2")"#]);
}

#[test]
fn a_gap_counts_from_the_event_before() {
    let pattern = || a_then_b().within_gap(ms(5)).followed_by("c", is('c')).within_gap(ms(5));
    check(pattern(), "a1@1 b1@5 c1@9", &["a1 b1 c1"]);
    check(pattern(), "a1@1 b1@6 c1@9", &[]);
    check(pattern(), "a1@1 b1@5 c1@10", &[]);
    let mut script = script(pattern());
    script.record(1, Event::read("a1")).record(5, Event::read("b1")).watermark(10);
    assert_eq!(script.output(), [r#"partial@10 (TimedOut, "a1 b1")"#]);
}

/// One way is closed, another is still open: there is nothing to tell.
#[test]
fn a_gap_closes_one_way_only() {
    let pattern = || a_then_b().within_gap(ms(5)).optional().followed_by("c", is('c')).within(ms(100));
    check(pattern(), "a1@1 b1@3 c1@9", &["a1 b1 c1", "a1 c1"]);
    check(pattern(), "a1@1 b1@7 c1@9", &["a1 c1"]);
    let repeated = Pattern::begin("a", is('a')).times(3).within_gap(ms(5));
    check(repeated, "a1@1 a2@4 a3@9 a4@10 a5@11", &["a3 a4 a5"]);
}

#[test]
fn times_at_both_ends_of_time() {
    let mut script = script(a_then_b().within(ms(u64::MAX >> 12)));
    script.record(i64::MIN + 1, Event::read("a1")).record(i64::MIN + 2, Event::read("b1"));
    script.record(i64::MAX - 2, Event::read("a2")).record(i64::MAX - 1, Event::read("b2")).end();
    let early = format!(r#"match@{} "a1 b1""#, i64::MIN + 2);
    let late = format!(r#"match@{} "a2 b2""#, i64::MAX - 1);
    assert_eq!(script.output(), [early, late]);
}

#[test]
fn in_arrival_order_durations_are_of_processing_time() {
    let mut script = script(a_then_b().within(ms(10)).in_arrival_order());
    script.record(9, Event::read("a1")).record(7, Event::read("b1")).record(8, Event::read("a2"));
    assert_eq!(script.output(), [r#"match@7 "a1 b1""#]);
    script.advance(ms(9)).record(8, Event::read("x1"));
    assert_eq!(script.output(), [""; 0]);
    script.barrier().crash().watermark(30).advance(ms(1));
    assert_eq!(script.output(), [r#"partial@30 (TimedOut, "a2")"#]);
    // Nothing is late.
    script.record(2, Event::read("a3")).record(1, Event::read("b3"));
    assert_eq!(script.output(), [r#"match@1 "a3 b3""#]);
}

#[test]
fn in_arrival_order_what_does_not_follow_is_told_of_by_the_clock() {
    let pattern = Pattern::begin("a", is('a')).not_followed_by("not b", is('b')).within(ms(10));
    let mut script = script(pattern.in_arrival_order());
    script.record(1, Event::read("a1")).advance(ms(5)).record(2, Event::read("a2")).advance(ms(5));
    assert_eq!(script.output(), [r#"match@-9223372036854775808 "a1""#]);
    script.record(3, Event::read("b1")).advance(ms(10));
    assert_eq!(script.output(), [""; 0]);
}
