//! Sessions: windows that merge.

use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::aggregate::Fold;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::trigger::{Decision, Trigger, TriggerContext};
use pelton_operators::{Session, Stream, Tumbling, Window, WindowAssigner, Windows};

/// Milliseconds.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a graph with a mistake, or a script that fails, says.
pub fn message(failing: impl FnOnce() + std::panic::UnwindSafe) -> String {
    *std::panic::catch_unwind(failing).err().unwrap().downcast::<String>().unwrap()
}

/// Records are (key, amount); sessions with a gap of 10 ms.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn sessions(input: Stream<(u8, u64)>, taps: &mut Taps) {
    let sums =
        input.key_by(|(key, _)| *key).window("visits", Session::gap(ms(10))).sum(|(_, amount)| *amount);
    taps.tap("sum", &sums.out.map(|visit| (visit.key, visit.start.0, visit.end.0, visit.value)));
    taps.tap("late", &sums.late);
}

/// The same, kept for 20 ms after their end.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn patient(input: Stream<(u8, u64)>, taps: &mut Taps) {
    let visits = input.key_by(|(key, _)| *key).window("visits", Session::gap(ms(10)));
    let sums = visits.allowed_lateness(ms(20)).sum(|(_, amount)| *amount);
    let shown = sums.out.map(|visit| (visit.start.0, visit.end.0, visit.value, visit.firing.to_string()));
    taps.tap("sum", &shown);
    taps.tap("late", &sums.late);
}

#[test]
fn records_up_to_a_gap_apart_are_one_session() {
    let mut script = Harness::new(sessions);
    script.record(0, (1, 1)).record(10, (1, 2)).record(21, (1, 4)).record(5, (2, 8)).watermark(20);
    assert_eq!(script.output(), ["sum@14 (2, 5, 15, 8)", "sum@19 (1, 0, 20, 3)"]);
    script.end();
    assert_eq!(script.output(), ["sum@30 (1, 21, 31, 4)"]);
}

#[test]
fn a_session_lasts_as_long_as_records_come() {
    let mut script = Harness::new(sessions);
    for at in 0..50 {
        script.record(at * 10, (1, 1)).watermark(at * 10);
    }
    assert_eq!(script.output(), [""; 0]);
    script.watermark(500);
    assert_eq!(script.output(), ["sum@499 (1, 0, 500, 50)"]);
}

#[test]
fn a_record_between_two_sessions_makes_them_one() {
    let mut script = Harness::new(sessions);
    script.record(0, (1, 1)).record(40, (1, 8)).record(20, (1, 4)).record(30, (1, 16)).record(10, (1, 2));
    script.watermark(49);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(50);
    assert_eq!(script.output(), ["sum@49 (1, 0, 50, 31)"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn a_late_record_is_taken_if_it_touches_an_open_session() {
    let mut script = Harness::new(sessions);
    script.record(20, (1, 1)).watermark(25);
    // On its own each of them would have ended at or before 25.
    script.record(15, (1, 2)).record(10, (1, 4)).record(9, (2, 8)).record(0, (1, 16));
    assert_eq!(script.output(), ["late@9 (2, 8)"]);
    script.watermark(30);
    assert_eq!(script.output(), ["sum@29 (1, 0, 30, 23)"]);
    script.record(19, (1, 32));
    assert_eq!(script.output(), ["late@19 (1, 32)"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn a_session_that_has_fired_grows_and_fires_again() {
    let mut script = Harness::new(patient);
    script.record(0, (1, 1)).watermark(15);
    assert_eq!(script.output(), [r#"sum@9 (0, 10, 1, "on time #0")"#]);
    // Late, and no later than the session that it joins: an update.
    script.record(0, (1, 2));
    assert_eq!(script.output(), [r#"sum@9 (0, 10, 3, "late #1")"#]);
    // Late itself, but it takes the session's end beyond the watermark: that end is on time.
    script.record(9, (1, 4));
    assert_eq!(script.output(), [""; 0]);
    script.watermark(19);
    assert_eq!(script.output(), [r#"sum@18 (0, 19, 7, "on time #2")"#]);
    script.watermark(38).record(9, (1, 8)).watermark(39).record(9, (1, 16));
    assert_eq!(script.output(), [r#"sum@18 (0, 19, 15, "late #3")"#, "late@9 (1, 16)"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn sessions_that_have_fired_merge_and_say_how_many_results_they_replace() {
    let mut script = Harness::new(patient);
    script.record(0, (1, 1)).record(15, (1, 2)).watermark(25);
    assert_eq!(script.output(), [r#"sum@9 (0, 10, 1, "on time #0")"#, r#"sum@24 (15, 25, 2, "on time #0")"#]);
    script.record(8, (1, 4));
    assert_eq!(script.output(), [r#"sum@24 (0, 25, 7, "late #2")"#]);
    // A session of late records alone has no result that is on time.
    script.record(10, (2, 8));
    assert_eq!(script.output(), [r#"sum@19 (10, 20, 8, "late #0")"#]);
    script.end();
    assert_eq!(script.output(), [""; 0]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn each_record_may_say_its_gap() {
    let mut script = Harness::new(|input: Stream<u64>, taps| {
        let visits = input.key_by(|_| 0u8).window("visits", Session::dynamic(|gap| ms(*gap)));
        taps.tap("sum", &visits.count().out.map(|visit| (visit.start.0, visit.end.0, visit.value)));
    });
    script.record(0, 100).record(20, 5).record(110, 3).record(95, 15).end();
    assert_eq!(script.output(), ["sum@112 (0, 113, 4)"]);
}

#[test]
fn a_gap_of_nothing_fails_the_job() {
    let failed = message(|| {
        let mut script = Harness::new(|input: Stream<u64>, taps| {
            let visits = input.key_by(|_| 0u8).window("visits", Session::dynamic(|gap| ms(*gap)));
            taps.tap("sum", &visits.count().out.map(|visit| visit.value));
        });
        script.record(5, 0).end();
    });
    assert!(failed.contains("operator `visits` failed"), "{failed}");
    assert!(
        failed.contains("the gap of a session is at least 1 ms, and a record at 5ms asks for 0ns"),
        "{failed}"
    );
}

#[test]
fn times_at_the_ends_of_time_fail_the_job() {
    let failed = |at: i64| {
        message(move || {
            Harness::new(sessions).record(at, (1, 1)).end();
        })
    };
    assert!(failed(i64::MIN).contains("give the source `.watermarks(...)`"), "{}", failed(i64::MIN));
    assert!(failed(i64::MAX - 9).contains("ends after all time"), "{}", failed(i64::MAX - 9));
    let mut script = Harness::new(sessions);
    script.record(i64::MIN + 1, (1, 1)).record(i64::MAX - 10, (1, 1)).end();
    assert_eq!(script.output().len(), 2);
}

#[test]
fn sessions_of_processing_time_end_by_the_clock() {
    let mut script = Harness::new(|input: Stream<(u8, u64)>, taps| {
        let visits =
            input.key_by(|(key, _)| *key).window("visits", Session::gap(ms(10)).by_processing_time());
        let sums = visits.sum(|(_, amount)| *amount);
        taps.tap("sum", &sums.out.map(|visit| (visit.key, visit.start.0, visit.end.0, visit.value)));
        taps.tap("late", &sums.late);
    });
    // Their event times and the watermark have no say.
    script.record(500, (1, 1)).watermark(1_000).advance(ms(9)).record(3, (1, 2)).advance(ms(9));
    assert_eq!(script.output(), [""; 0]);
    script.barrier().crash().advance(ms(1));
    assert_eq!(script.output(), ["sum@18 (1, 0, 19, 3)"]);
    script.advance(ms(1)).record(4, (1, 4)).end();
    assert_eq!(script.output(), ["sum@29 (1, 20, 30, 4)"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn sessions_survive_a_crash_and_fire_once() {
    let mut script = Harness::new(sessions);
    script.record(0, (1, 1)).record(30, (1, 4)).barrier().record(5, (1, 64)).crash();
    script.record(5, (1, 2)).barrier().crash().watermark(15).barrier();
    assert_eq!(script.output(), ["sum@14 (1, 0, 15, 3)"]);
    script.crash().record(5, (1, 16)).record(25, (1, 8)).end();
    assert_eq!(script.output(), ["late@5 (1, 16)", "sum@39 (1, 25, 40, 12)"]);
    assert_eq!(script.rows(), 0);
}

/// Marks open windows of their own length; windows that touch merge.
struct Spans;

impl WindowAssigner<(i64, i64)> for Spans {
    fn assign(&self, span: &(i64, i64), _time: EventTime, windows: &mut Vec<Window>) -> OpResult {
        windows.push(Window::of_millis(span.0, span.1));
        if span.1 - span.0 > 50 {
            windows.push(Window::of_millis(span.0 + 500, span.1 + 500));
        }
        Ok(())
    }

    fn merges(&self) -> bool {
        true
    }
}

#[test]
fn windows_of_ones_own_merge_too() {
    let mut script = Harness::new(|input: Stream<(i64, i64)>, taps| {
        let spans = Windows::assigned_by(Arc::new(Spans));
        let counts = input.key_by(|_| 0u8).window("spans", spans).count();
        taps.tap("count", &counts.out.map(|span| (span.start.0, span.end.0, span.value)));
    });
    script.record(0, (0, 10)).record(0, (20, 30)).record(0, (550, 560)).record(0, (9, 70)).end();
    assert_eq!(script.output(), ["count@69 (0, 70, 3)", "count@569 (509, 570, 2)"]);
}

/// Fires at a record and cannot merge.
struct Plain;

impl<T> Trigger<T> for Plain {
    type State = ();

    fn on_record(&self, _record: &T, (): &mut (), _cx: &mut TriggerContext<'_>) -> Decision {
        Decision::Fire
    }
}

#[test]
fn mistakes_are_told_with_their_place_and_what_to_do() {
    let refused = |gap: Duration| {
        message(move || {
            let _script = Harness::new(|input: Stream<u64>, taps| {
                let visits = input.key_by(|_| 0u8).window("visits", Session::gap(gap));
                taps.tap("count", &visits.count().out.map(|visit| visit.value));
            });
        })
    };
    let zero = refused(Duration::ZERO);
    assert!(zero.contains("operator `visits`") && zero.contains("window_sessions.rs"), "{zero}");
    assert!(zero.contains("a session gap of 0ns is no whole number of milliseconds above 0"), "{zero}");
    assert!(refused(Duration::from_micros(1_500)).contains("a session gap of 1.5ms"));
    assert!(refused(ms(u64::MAX)).contains("longer than event time reaches"));

    let fold = message(|| {
        let _script = Harness::new(|input: Stream<u64>, taps| {
            let visits = input.key_by(|_| 0u8).window("visits", Session::gap(ms(10)));
            let sums = visits.aggregate(Fold::new(|sum: &mut u64, n| *sum += n));
            taps.tap("sum", &sums.out.map(|visit| visit.value));
        });
    });
    assert!(
        fold.contains("the aggregate does not merge") && fold.contains("Fold::new(..).merging(..)"),
        "{fold}"
    );

    let trigger = message(|| {
        let _script = Harness::new(|input: Stream<u64>, taps| {
            let visits = input.key_by(|_| 0u8).window("visits", Session::gap(ms(10))).trigger(Plain);
            taps.tap("count", &visits.count().out.map(|visit| visit.value));
        });
    });
    assert!(trigger.contains("the trigger `Plain` does not merge"), "{trigger}");

    // What need not merge does without.
    let _script = Harness::new(|input: Stream<u64>, taps| {
        let tens = input.key_by(|_| 0u8).window("tens", Tumbling::of(ms(10))).trigger(Plain);
        taps.tap("sum", &tens.fold(|sum: &mut u64, n| *sum += n).out.map(|ten| ten.value));
    });
}
