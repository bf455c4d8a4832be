//! Triggers: when windows fire.

use std::time::Duration;

use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::trigger::{
    AfterWatermark, AnyOf, AtEnd, Decision, EveryEventTime, EveryProcessingTime, OnCount, Purging, Trigger,
    TriggerContext,
};
use pelton_operators::{CountWindows, GlobalWindow, Session, Stream, Tumbling};

use crate::window_sessions::{message, ms};

/// Windows of 100 ms with a trigger, that stay for another 50: results are (value, firing).
fn hundreds<R: Trigger<u64>>(trigger: R) -> Harness<u64> {
    Harness::new(move |input: Stream<u64>, taps: &mut Taps| {
        let hundreds = input.key_by(|_| 'k').window("hundreds", Tumbling::of(ms(100)));
        let sums = hundreds.trigger(trigger).allowed_lateness(ms(50)).sum(|n| *n);
        taps.tap("sum", &sums.out.map(|window| (window.value, window.firing.to_string())));
        taps.tap("late", &sums.late);
    })
}

fn sums<const N: usize>(results: [(u64, &str); N]) -> Vec<String> {
    results.iter().map(|result| format!("sum@99 {result:?}")).collect()
}

#[test]
fn early_on_time_and_late() {
    let mut script = hundreds(AfterWatermark::early(OnCount::of(2)).late(OnCount::of(2)));
    script.record(1, 1).record(2, 2).record(3, 4).watermark(100);
    assert_eq!(script.output(), sums([(3, "early #0"), (7, "on time #1")]));
    script.record(4, 8);
    assert_eq!(script.output(), [""; 0]);
    script.barrier().crash().record(5, 16).watermark(150).record(6, 32);
    assert_eq!(script.output(), [sums([(31, "late #2")]), vec!["late@6 32".to_owned()]].concat());
    assert_eq!(script.rows(), 0);
}

#[test]
fn what_is_purged_is_not_given_again() {
    let mut script = hundreds(Purging::of(AfterWatermark::early(OnCount::of(2))));
    script.record(1, 1).record(2, 2).record(3, 4).watermark(100).record(4, 8).record(5, 16);
    let fired = [(3, "early #0"), (4, "on time #1"), (8, "late #2"), (16, "late #3")];
    assert_eq!(script.output(), sums(fired));
}

#[test]
fn a_window_that_holds_nothing_gives_nothing() {
    let mut script = hundreds(Purging::of(AfterWatermark::early(OnCount::of(2))));
    script.record(1, 1).record(2, 2).watermark(100);
    assert_eq!(script.output(), sums([(3, "early #0")]));
    // Its time to be on time has passed all the same.
    script.record(3, 4);
    assert_eq!(script.output(), sums([(4, "late #1")]));
}

#[test]
fn at_regular_event_times_if_there_is_news() {
    let mut script = hundreds(AfterWatermark::early(EveryEventTime::of(ms(20))));
    script.record(5, 1).watermark(19);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(20);
    assert_eq!(script.output(), sums([(1, "early #0")]));
    // Nothing new by 40; by 60 there is, whose record waits over a crash.
    script.watermark(45).record(50, 2).barrier().crash().watermark(70);
    assert_eq!(script.output(), sums([(3, "early #1")]));
    // The end is a multiple too, and one firing.
    script.record(95, 4).watermark(100);
    assert_eq!(script.output(), sums([(7, "on time #2")]));
    script.end();
    assert_eq!(script.rows(), 0);
}

/// Their ends are no times that the watermark reaches, and nothing to wait for.
#[test]
fn windows_that_do_not_end_by_time_fire_at_regular_event_times() {
    let mut script = Harness::new(|input: Stream<u64>, taps: &mut Taps| {
        let (keyed, every) = (input.key_by(|_| 'k'), EveryEventTime::of(ms(10)));
        let all = keyed.window("global", GlobalWindow).trigger(every).sum(|n| *n).out;
        taps.tap("all", &all.map(|window| window.value));
        let threes = keyed.window("in-threes", CountWindows::of(3)).trigger(AnyOf::new(AtEnd, every));
        taps.tap("three", &threes.sum(|n| *n).out.map(|window| window.value));
    });
    script.record(3, 1).record(9, 2).watermark(10);
    assert_eq!(script.output(), ["all@9 3", "three@9 3"]);
    script.watermark(30).record(31, 4).watermark(39);
    assert_eq!(script.output(), ["three@31 7"]);
    script.barrier().crash().end();
    assert_eq!(script.output(), ["all@31 7"]);
}

#[test]
fn at_regular_times_of_the_clock_if_there_is_news() {
    let mut script = hundreds(AfterWatermark::early(EveryProcessingTime::of(ms(1_000))));
    script.advance(ms(1_500)).record(5, 1).advance(ms(499));
    assert_eq!(script.output(), [""; 0]);
    script.barrier().crash().advance(ms(1));
    assert_eq!(script.output(), sums([(1, "early #0")]));
    script.advance(ms(5_000)).record(6, 2).advance(ms(1_000)).record(7, 4).watermark(100);
    assert_eq!(script.output(), sums([(3, "early #1"), (7, "on time #2")]));
    // What the early trigger had asked for is forgotten with the window's end.
    script.advance(ms(10_000));
    assert_eq!(script.output(), [""; 0]);
    script.watermark(150);
    assert_eq!(script.rows(), 0);
}

/// Fires at whatever time it is called.
struct Whenever;

impl Trigger<u64> for Whenever {
    type State = ();

    fn on_record(&self, _: &u64, (): &mut (), _cx: &mut TriggerContext<'_>) -> Decision {
        Decision::Continue
    }

    fn on_processing_time(&self, _: i64, (): &mut (), _cx: &mut TriggerContext<'_>) -> Decision {
        Decision::Fire
    }
}

#[test]
fn the_late_trigger_is_not_called_at_times_of_the_early_one() {
    let mut script = hundreds(AfterWatermark::early(EveryProcessingTime::of(ms(1_000))).late(Whenever));
    script.record(1, 1).watermark(100);
    assert_eq!(script.output(), sums([(1, "on time #0")]));
    script.advance(ms(5_000));
    assert_eq!(script.output(), [""; 0]);
}

#[test]
fn late_records_together() {
    let late = EveryProcessingTime::of(ms(1_000));
    let mut script = hundreds(AfterWatermark::new().late(AnyOf::new(OnCount::of(3), late)));
    script.record(1, 1).watermark(100).record(2, 2).record(3, 4);
    assert_eq!(script.output(), sums([(1, "on time #0")]));
    script.record(4, 8);
    assert_eq!(script.output(), sums([(15, "late #1")]));
}

#[test]
fn either_of_two() {
    let mut script = hundreds(AnyOf::new(OnCount::of(3), EveryEventTime::of(ms(20))));
    script.record(1, 1).record(2, 2).watermark(20);
    assert_eq!(script.output(), sums([(3, "early #0")]));
    // That one has fired does not begin the other's count anew.
    script.record(21, 4);
    assert_eq!(script.output(), sums([(7, "early #1")]));
    // The record is news to the other, which is due at 40. Neither fires at the end.
    script.watermark(40).watermark(99);
    assert_eq!(script.output(), sums([(7, "early #2")]));
    script.end();
    assert_eq!(script.output(), [""; 0]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn by_default_at_the_end_and_at_each_late_record() {
    let mut script = hundreds(AtEnd);
    script.record(1, 1).record(2, 2).watermark(100).record(3, 4);
    assert_eq!(script.output(), sums([(3, "on time #0"), (7, "late #1")]));
}

/// Fires the given time after each record, and once more at the same time if it asks for that.
struct After(Duration);

impl Trigger<u64> for After {
    type State = u64;
    const MERGES: bool = true;

    fn on_record(&self, n: &u64, calls: &mut u64, cx: &mut TriggerContext<'_>) -> Decision {
        *calls += 1;
        cx.event_timer_at(cx.time() + self.0);
        if *n == 13 {
            cx.clear_timers();
        }
        Decision::Continue
    }

    fn on_event_time(&self, at: EventTime, calls: &mut u64, cx: &mut TriggerContext<'_>) -> Decision {
        *calls += 100;
        // This would never end.
        cx.event_timer_at(at);
        Decision::of(true, *calls > 300)
    }

    fn on_merge(&self, calls: &mut u64, other: u64) {
        *calls += other;
    }
}

#[test]
fn a_trigger_is_called_at_the_times_that_it_asks_for() {
    let mut script = hundreds(After(ms(5)));
    script.record(1, 1).record(2, 2).record(2, 4).barrier().crash().watermark(6);
    assert_eq!(script.output(), sums([(7, "early #0")]));
    script.watermark(7).record(20, 8).watermark(40);
    // The third time it purges.
    assert_eq!(script.output(), sums([(7, "early #1"), (15, "early #2")]));
    script.record(41, 16).record(42, 13).watermark(60).record(97, 32).watermark(103);
    assert_eq!(script.output(), sums([(61, "on time #3")]));
    script.end();
    assert_eq!(script.rows(), 0);
}

#[test]
fn times_go_with_their_window() {
    let mut script = hundreds(After(ms(80)));
    script.record(10, 1).record(90, 2).watermark(89);
    assert_eq!(script.rows(), 2);
    script.watermark(150);
    assert_eq!(script.output(), sums([(3, "early #0")]));
    assert_eq!(script.rows(), 0);
    script.watermark(180).end();
    assert_eq!(script.output(), [""; 0]);
}

#[test]
fn sessions_keep_the_states_and_times_of_those_that_merge() {
    let mut script = Harness::new(|input: Stream<u64>, taps: &mut Taps| {
        let keyed = input.key_by(|_| 'k');
        let visits = keyed.window("timed", Session::gap(ms(10))).trigger(After(ms(5))).count();
        taps.tap("by-time", &visits.out.map(|visit| (visit.start.0, visit.end.0, visit.value)));
        let visits = keyed.window("counted", Session::gap(ms(10))).trigger(OnCount::of(4)).count();
        taps.tap("by-count", &visits.out.map(|visit| (visit.start.0, visit.end.0, visit.value)));
    });
    script.record(0, 1).record(14, 1).record(15, 1);
    assert_eq!(script.output(), [""; 0]);
    script.record(7, 1);
    assert_eq!(script.output(), ["by-count@24 (0, 25, 4)"]);
    // Called at 5, 12, and at 19 and 20 for the later of the two; the third time it purges.
    script.watermark(25);
    assert_eq!(script.output(), ["by-time@24 (0, 25, 4)"; 3]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn mistakes_are_told() {
    let count = message(|| drop(hundreds(Purging::of(AfterWatermark::early(OnCount::of(0))))));
    assert!(count.contains("a trigger at every 0 records: give at least 1"), "{count}");
    let every = message(|| drop(hundreds(AnyOf::new(AtEnd, EveryProcessingTime::of(Duration::ZERO)))));
    assert!(
        every.contains("a trigger's interval of 0ns is no whole number of milliseconds above 0"),
        "{every}"
    );
}
