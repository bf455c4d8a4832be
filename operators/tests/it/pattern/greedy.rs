//! Greedy repetitions: the cases of Flink's `GreedyITCase`.

use pelton_operators::Pattern;

use super::{Event, check, is};

fn c() -> Pattern<Event> {
    Pattern::begin("c", is('c'))
}

fn many(optional: bool) -> Pattern<Event> {
    let many = c().followed_by("a", is('a')).one_or_more().greedy().unbounded();
    if optional { many.optional() } else { many }
}

#[test]
fn all_that_fits_is_taken_before_going_on() {
    for optional in [false, true] {
        let pattern = || many(optional).followed_by("d", is('d'));
        check(pattern(), "c1 a1 a2 a3 d1", &["c1 a1 a2 a3 d1"]);
        check(pattern(), "c1 x1 a1 x2 a2 x3 a3 d1", &["c1 a1 a2 a3 d1"]);
        check(pattern(), "c1 a1 a2 x1 d1", &["c1 a1 a2 d1"]);
        check(pattern(), "c1 x1 d1", if optional { &["c1 d1"] } else { &[] });
    }
}

#[test]
fn it_goes_on_to_what_comes_after_an_optional_stage() {
    let pattern = || many(true).followed_by("d", is('d')).optional().followed_by("e", is('e'));
    check(pattern(), "c1 a1 a2 x1 e1", &["c1 a1 a2 e1"]);
    check(pattern(), "c1 a1 a2 d1 e1", &["c1 a1 a2 e1", "c1 a1 a2 d1 e1"]);
}

#[test]
fn until_ends_it() {
    // What ends the repetitions is an `a` with a number above 3.
    let until = |optional| many(optional).until(|event: &Event| event.number > 3).followed_by("d", is('d'));
    for optional in [false, true] {
        check(until(optional), "c1 a1 a2 a3 a4 d1", &["c1 a1 a2 a3 d1"]);
        check(until(optional), "c1 a4 a1 a2 a3 d1", if optional { &["c1 d1"] } else { &[] });
    }
}

#[test]
fn at_the_end_of_a_pattern_each_repetition_is_a_match() {
    check(many(true), "c1 a1 a2 x1 a3", &["c1", "c1 a1", "c1 a1 a2", "c1 a1 a2 a3"]);
    check(many(true).consecutive(), "c1 a1 a2 x1 a3", &["c1", "c1 a1", "c1 a1 a2"]);
    let ends = many(true).consecutive().followed_by("d", is('d')).optional();
    check(ends, "c1 a1 a2 a3 d1", &["c1", "c1 a1", "c1 a1 a2", "c1 a1 a2 a3", "c1 a1 a2 a3 d1"]);
}

#[test]
fn a_range_is_greedy_too() {
    let range = || c().followed_by("a", is('a')).times_range(2..=5).greedy();
    check(range(), "c1 a1 a2 a3 a4 x1", &["c1 a1 a2", "c1 a1 a2 a3", "c1 a1 a2 a3 a4"]);
    check(range().followed_by("d", is('d')), "c1 a1 a2 a3 a4 d1", &["c1 a1 a2 a3 a4 d1"]);
}

#[test]
fn before_a_group() {
    let group = Pattern::begin("d", is('d')).followed_by("e", is('e'));
    let pattern = many(true).followed_by_group(group).times(2).followed_by("f", is('f'));
    check(pattern, "c1 a1 a2 x1 a3 d1 e1 d2 e2 f1", &["c1 a1 a2 a3 d1 e1 d2 e2 f1"]);
}
