//! What is wrong with a pattern is told when the graph is finished, with the place.

use std::time::Duration;

use pelton_operators::testing::{Collect, Values};
use pelton_operators::{Job, Pattern, Watermarks};

use super::{Event, is, script};

/// The mistakes of a job with `pattern`.
fn mistakes(pattern: Pattern<Event>) -> String {
    let mut job = Job::new();
    let events = job.source("events", Values::of([Event::read("a1")])).watermarks(Watermarks::none());
    events.key_by(|_| ()).pattern("wrong", pattern).matches.sink("out", Collect::new().0);
    let message = job.finish().err().expect("the pattern has a mistake").to_string();
    assert!(message.contains("operator `wrong`") && message.contains("mistakes.rs:"), "{message}");
    message
}

fn a() -> Pattern<Event> {
    Pattern::begin("a", is('a'))
}

#[track_caller]
fn refused(pattern: Pattern<Event>, because: &str) {
    let message = mistakes(pattern);
    assert!(message.contains(because), "{message}");
}

#[test]
fn names_are_unique_and_known() {
    refused(a().next("a", is('b')), "two stages are named `a`, the first at");
    refused(a().followed_by_group(Pattern::begin("a", is('b'))), "two stages are named `a`");
    refused(
        a().next("b", is('b')).skip_to_first("c"),
        "the stage `c`, which takes no event: the pattern has `a`, `b`",
    );
    refused(a().not_next("b", is('b')).skip_to_last("b"), "the stage `b`, which takes no event");
}

#[test]
fn the_stages_that_are_selected_are_known() {
    let mut job = Job::new();
    let events = job.source("events", Values::of([Event::read("a1")])).watermarks(Watermarks::none());
    let found = events.key_by(|_| ()).pattern("pattern", a());
    found.select_stages(["b"], |(), [b]| b.len() as u64).sink("out", Collect::new().0);
    let message = job.finish().err().expect("there is no stage `b`").to_string();
    assert!(message.contains("no stage is named `b`: the pattern has `a`"), "{message}");
    assert!(message.contains("mistakes.rs:"), "{message}");
}

#[test]
fn repetitions_make_sense() {
    refused(a().times(0), "stage `a` is to be there no times");
    #[expect(clippy::reversed_empty_ranges, reason = "it is the mistake that is looked for")]
    refused(a().times_range(3..=2), "stage `a` is to be there no times");
    refused(a().times_range(0..=0), "stage `a` is to be there no times");
    refused(a().times(2).one_or_more(), "stage `a` is told twice");
    refused(a().greedy(), "stage `a` is not repeated, so it cannot be greedy");
    refused(a().consecutive(), "stage `a` is not repeated");
    refused(a().times(2).until(is('b')), "stage `a` ends by itself");
    refused(a().not_next("b", is('b')).times(2), "stage `b` is not to be there");
    refused(a().not_next("b", is('b')).optional(), "stage `b` is not to be there");
    refused(a().times(2_000), "more than 1000 places");
    refused(Pattern::begin_group(a()).greedy(), "a group cannot be greedy");
}

#[test]
fn what_never_matches_is_refused() {
    refused(a().not_followed_by("b", is('b')), "it would never match");
    refused(a().not_followed_by("b", is('b')).not_next("c", is('c')), "it would never match");
    refused(
        a().optional().not_next("b", is('b')).next("c", is('c')),
        "nothing is sure to come before stage `b`",
    );
    let group = a().not_next("b", is('b'));
    refused(Pattern::begin_group(group).next("c", is('c')), "a group ends with stage `b`");
    refused(a().next_group(Pattern::begin("b", is('b')).optional()), "all of a group is optional");
}

#[test]
fn what_is_sure_to_grow_is_refused_unless_it_is_wanted() {
    let many = || a().one_or_more().next("b", is('b'));
    refused(many(), "stage `a` waits for one more event for ever");
    refused(a().followed_by_any("b", is('b')), "stage `b` keeps a partial match for ever");
    refused(a().times(2).allow_combinations(), "stage `a` keeps a partial match for ever");
    refused(a().followed_by_any("b", is('b')).one_or_more().until(is('c')), "stage `b` keeps");
    // Each of these has an end, or is meant so.
    for pattern in [
        many().unbounded(),
        many().within(Duration::from_secs(1)),
        a().one_or_more().consecutive(),
        a().one_or_more().until(is('c')),
        a().one_or_more().within_gap(Duration::from_secs(1)),
        a().followed_by_any("b", is('b')).within_gap(Duration::from_secs(1)),
    ] {
        script(pattern).end();
    }
}

#[test]
fn durations_are_whole_milliseconds_within_time() {
    refused(a().within(Duration::ZERO), "`within` of 0ns leaves no time");
    refused(a().within(Duration::from_micros(1_500)), "not a whole number of milliseconds");
    refused(a().within(Duration::MAX), "longer than event time reaches");
    refused(a().within_gap(Duration::from_secs(1)), "stage `a` has no event before it to count from");
    refused(a().next("b", is('b')).within_gap(Duration::ZERO), "`within_gap` of 0ns leaves no time");
}

#[test]
fn settings_are_given_once_and_to_the_whole_pattern() {
    refused(a().skip_to_next().skip_past_last(), "told twice");
    refused(a().at_most(0), "allowed no partial match");
    refused(
        Pattern::begin_group(a().within(Duration::from_secs(1))),
        "a group has settings of a whole pattern",
    );
    refused(Pattern::begin_group(a()).given(|_, _| true), "a group has no condition");
}

/// What a checkpoint holds is refused by an operator of another pattern: its shape is another one.
#[test]
fn state_belongs_to_the_pattern_that_it_was_kept_for() {
    let shape = |pattern: Pattern<Event>| {
        let mut job = Job::new();
        let events = job.source("events", Values::of([Event::read("a1")])).watermarks(Watermarks::none());
        events.key_by(|_| ()).pattern("pattern", pattern).matches.sink("out", Collect::new().0);
        let graph = job.finish().unwrap();
        let states = graph.nodes().iter().flat_map(|node| &node.states);
        states.map(|state| state.fingerprint.clone()).collect::<Vec<_>>()
    };
    let pattern = || a().followed_by("b", is('b')).times_range(1..=3).within(Duration::from_secs(1));
    assert_eq!(shape(pattern()), shape(pattern()));
    for other in [
        pattern().greedy(),
        pattern().followed_by("c", is('c')),
        a().followed_by("b", is('b')).times_range(1..=4).within(Duration::from_secs(1)),
        a().next("b", is('b')).times_range(1..=3).within(Duration::from_secs(1)),
        pattern().within(Duration::from_millis(999)),
        pattern().in_arrival_order(),
    ] {
        assert_ne!(shape(other), shape(pattern()));
    }
}

/// What fails while it runs.
fn failure(run: impl FnOnce() + std::panic::UnwindSafe) -> String {
    *std::panic::catch_unwind(run).unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn too_many_partial_matches_of_a_key_fail_the_job_and_name_the_key() {
    let pattern = || a().followed_by("b", is('b')).within(Duration::from_secs(1)).at_most(2);
    let message = failure(move || {
        script(pattern())
            .record(1, Event::read("a1"))
            .record(2, Event::read("a2"))
            .record(3, Event::read("a3"))
            .end();
    });
    assert!(
        message.contains("key () has more than 2 partial matches, or events in them, at a time"),
        "{message}"
    );
    assert!(message.contains("operator `pattern` failed"), "{message}");
    let mut dropping = script(pattern().drop_oldest());
    dropping.record(1, Event::read("a1")).record(2, Event::read("a2")).record(3, Event::read("a3"));
    dropping.record(4, Event::read("b1")).end();
    let expected = [r#"partial@3 (Dropped, "a1")"#, r#"match@4 "a2 b1""#, r#"match@4 "a3 b1""#];
    let mut found = dropping.output();
    found.sort_by_key(|line| !line.starts_with("partial"));
    assert_eq!(found, expected);
}

/// One partial match, of ever more events.
#[test]
fn events_are_counted_too() {
    let pattern =
        || a().followed_by("b", is('b')).one_or_more().greedy().followed_by("c", is('c')).unbounded();
    let events = ["a1", "b1", "b2", "b3"];
    let play = move |pattern: Pattern<Event>| {
        let mut script = script(pattern);
        for (at, event) in (1..).zip(events) {
            script.record(at, Event::read(event));
        }
        script.end().output()
    };
    let message = failure(move || drop(play(pattern().at_most(3))));
    assert!(message.contains("more than 3 partial matches, or events in them"), "{message}");
    assert_eq!(play(pattern().at_most(3).drop_oldest()), [r#"partial@4 (Dropped, "a1 b1 b2 b3")"#]);
    assert_eq!(play(pattern().at_most(4)), [""; 0]);
}

#[test]
fn a_condition_that_asks_for_a_stage_that_is_not_there_fails_the_job() {
    let message = failure(|| {
        let pattern = a().given(|_, so_far| so_far.of("b").len() == 0);
        script(pattern).record(1, Event::read("a1")).end();
    });
    assert!(message.contains("asks for the stage `b`, the pattern has `a`"), "{message}");
}

#[test]
fn a_record_without_a_time_says_what_is_missing() {
    let message = failure(|| {
        script(a()).record(i64::MIN, Event::read("a1")).end();
    });
    assert!(message.contains("`.watermarks(...)`") && message.contains("in_arrival_order"), "{message}");
}
