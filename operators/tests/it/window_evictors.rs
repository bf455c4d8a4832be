//! Windows that keep their records: evictors, and functions of all records.

use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::record::Record;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::trigger::{AfterWatermark, OnCount, Purging};
use pelton_operators::{
    Evicted, Evictor, GlobalWindow, Keep, Session, Stream, Tumbling, Window, WindowAssigner, Windows,
};

use crate::window_sessions::{message, ms};

/// All that a global window holds at every second record, by what `evictor` leaves.
fn evicted(evictor: impl Evictor<i64>) -> Harness<i64> {
    Harness::new(move |input: Stream<i64>, taps: &mut Taps| {
        let all = input.key_by(|_| 'k').window("all", GlobalWindow).trigger(OnCount::of(2)).evictor(evictor);
        taps.tap(
            "held",
            &all.process(|_, records, out| {
                out.emit(records.into_iter().map(|record| record.value).collect::<Vec<_>>());
                Ok(())
            })
            .out,
        );
    })
}

#[test]
fn the_last_records_are_kept() {
    let mut script = evicted(Keep::last(3));
    for n in 1..=6 {
        script.record(n, n).barrier().crash();
    }
    assert_eq!(script.output(), ["held@2 [1, 2]", "held@4 [2, 3, 4]", "held@6 [4, 5, 6]"]);
    // A row for the key, one for its timer at the end of the input, and one for each record that is left.
    assert_eq!(script.rows(), 5);
    script.end();
    assert_eq!(script.rows(), 0);
}

#[test]
fn the_function_may_see_what_is_put_out_after_it() {
    let mut script = evicted(Keep::last(1).after_the_function());
    for n in 1..=6 {
        script.record(n, n);
    }
    assert_eq!(script.output(), ["held@2 [1, 2]", "held@4 [2, 3, 4]", "held@6 [4, 5, 6]"]);
}

#[test]
fn old_records_are_put_out_by_the_newest() {
    let mut script = evicted(Keep::within(ms(10)));
    script.record(20, 20).record(11, 11).record(10, 10).record(15, 15);
    assert_eq!(script.output(), ["held@20 [20, 11]", "held@20 [20, 11, 15]"]);
    // What was put out does not come back.
    script.record(29, 29).record(10, 10);
    assert_eq!(script.output(), ["held@29 [20, 29]"]);
}

#[test]
fn records_far_from_the_last_are_put_out() {
    let mut script = evicted(Keep::near(5.0, |one: &i64, last| one.abs_diff(*last) as f64));
    script.record(1, 10).record(2, 14).record(3, 16).record(4, 18);
    assert_eq!(script.output(), ["held@2 [10, 14]", "held@4 [14, 16, 18]"]);
}

/// Puts all out.
struct Nothing;

impl Evictor<i64> for Nothing {
    fn before(&self, records: &[Record<i64>], _window: Window, evicted: &mut Evicted) {
        (0..records.len()).for_each(|index| evicted.put_out(index));
    }
}

#[test]
fn a_window_of_which_all_is_put_out_gives_nothing() {
    let mut script = evicted(Nothing);
    script.record(1, 1).record(2, 2).record(3, 3).record(4, 4);
    assert_eq!(script.output(), [""; 0]);
    assert_eq!(script.rows(), 2);
}

#[test]
fn an_aggregate_is_made_anew_of_what_is_left() {
    let mut script = Harness::new(|input: Stream<(u8, u64)>, taps: &mut Taps| {
        let visits = input.key_by(|(key, _)| *key).window("visits", Session::gap(ms(10)));
        let sums =
            visits.evictor(Keep::last(2)).allowed_lateness(ms(100)).fold(|sum: &mut u64, (_, n)| *sum += n);
        taps.tap("sum", &sums.out.map(|visit| (visit.start.0, visit.end.0, visit.value)));
    });
    // Two sessions, with records of one between those of the other; a fold without a merge merges here.
    script.record(0, (1, 1)).record(20, (1, 2)).record(3, (1, 4)).record(22, (1, 8)).watermark(13);
    assert_eq!(script.output(), ["sum@12 (0, 13, 5)"]);
    script.barrier().crash().record(12, (1, 16)).watermark(32);
    assert_eq!(script.output(), ["sum@31 (0, 32, 24)"]);
    script.end();
    assert_eq!(script.rows(), 0);
}

#[test]
fn a_function_sees_bounds_and_records_in_the_order_of_arrival() {
    let mut script = Harness::new(|input: Stream<(u8, u64)>, taps: &mut Taps| {
        let trigger = AfterWatermark::early(Purging::of(OnCount::of(3)));
        let tens = input.key_by(|(key, _)| *key).window("tens", Tumbling::of(ms(10))).trigger(trigger);
        let shown = tens.allowed_lateness(ms(5)).process(|fired, records, out| {
            for Record { time, value } in records {
                out.emit((*fired.key, fired.window.start.0, fired.firing.to_string(), time.0, value.1));
            }
            Ok(())
        });
        taps.tap("shown", &shown.out);
        taps.tap("late", &shown.late);
    });
    script
        .record(5, (1, 1))
        .record(3, (1, 2))
        .barrier()
        .crash()
        .record(4, (1, 3))
        .record(2, (1, 4))
        .watermark(10);
    script.record(1, (1, 5)).watermark(15).record(1, (1, 6));
    let shown = [
        (1, 0, "early #0", 5, 1),
        (1, 0, "early #0", 3, 2),
        (1, 0, "early #0", 4, 3),
        (1, 0, "on time #1", 2, 4),
        (1, 0, "late #2", 2, 4),
        (1, 0, "late #2", 1, 5),
    ];
    let mut expected = shown.map(|line| format!("shown@9 {line:?}")).to_vec();
    expected.push("late@1 (1, 6)".to_owned());
    assert_eq!(script.output(), expected);
    assert_eq!(script.rows(), 0);
}

/// Each record is in windows of 10, 20 and 30 ms.
struct Nested;

impl WindowAssigner<u64> for Nested {
    fn assign(&self, _record: &u64, time: EventTime, windows: &mut Vec<Window>) -> OpResult {
        windows.extend([10, 20, 30].map(|size| {
            let start = time.0 - time.0.rem_euclid(size);
            Window::of_millis(start, start + size)
        }));
        Ok(())
    }
}

#[test]
fn windows_that_overlap_share_the_rows_of_records() {
    let mut script = Harness::new(|input: Stream<u64>, taps: &mut Taps| {
        let windows =
            input.key_by(|_| 'k').window("nested", Windows::assigned_by(std::sync::Arc::new(Nested)));
        taps.tap(
            "window",
            &windows
                .process(|fired, records, out| {
                    out.emit((
                        fired.window.start.0,
                        records.into_iter().map(|record| record.value).collect::<Vec<_>>(),
                    ));
                    Ok(())
                })
                .out,
        );
    });
    script.record(1, 1).record(15, 2).record(25, 3);
    // The key, its timer, three records.
    assert_eq!(script.rows(), 5);
    script.watermark(10);
    assert_eq!(script.output(), ["window@9 (0, [1])"]);
    assert_eq!(script.rows(), 5);
    script.barrier().crash().watermark(20);
    assert_eq!(script.output(), ["window@19 (0, [1, 2])", "window@19 (10, [2])"]);
    script.watermark(30);
    assert_eq!(script.output(), ["window@29 (0, [1, 2, 3])", "window@29 (20, [3])"]);
    // What the window until 40 needs is left.
    assert_eq!(script.rows(), 3);
    script.end();
    assert_eq!(script.output(), ["window@39 (20, [3])"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn a_window_function_that_fails_names_its_operator() {
    let failed = message(|| {
        let mut script = Harness::new(|input: Stream<u64>, taps: &mut Taps| {
            let tens = input.key_by(|_| 'k').window("tens", Tumbling::of(ms(10)));
            taps.tap(
                "out",
                &tens
                    .process(|fired, _, out| {
                        out.emit(0u64);
                        Err(format!("no sense in {}", fired.window).into())
                    })
                    .out,
            );
        });
        script.record(1, 1).end();
    });
    assert!(
        failed.contains("operator `tens` failed") && failed.contains("no sense in [0ms, 10ms)"),
        "{failed}"
    );
}

#[test]
fn mistakes_are_told() {
    let refused = |keep: fn() -> Keep<i64>| message(move || drop(evicted(keep())));
    assert!(refused(|| Keep::last(0)).contains("an evictor that keeps 0 records leaves none"));
    assert!(refused(|| Keep::within(Duration::ZERO)).contains("an evictor's time of 0ns is no whole number"));
    assert!(refused(|| Keep::near(f64::NAN, |_, _| 0.0)).contains("an evictor's threshold of NaN"));
}
