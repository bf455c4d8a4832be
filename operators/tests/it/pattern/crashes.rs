//! A match is found once, wherever a crash cuts it.

use std::time::Duration;

use pelton_operators::Pattern;
use pelton_operators::testing::Harness;

use super::{Event, is, script};

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
