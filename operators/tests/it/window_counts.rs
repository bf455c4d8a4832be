//! Count windows, global windows, and windows of one's own making.

use std::sync::Arc;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::trigger::{AtEnd, Never, OnCount, Purging};
use pelton_operators::{CountWindows, GlobalWindow, Stream, Tumbling, Window, WindowAssigner, Windows};

use crate::window_sessions::{message, ms};

fn counted(windows: CountWindows) -> Harness<(u8, u64)> {
    Harness::new(move |input: Stream<(u8, u64)>, taps: &mut Taps| {
        let sums = input.key_by(|(key, _)| *key).window("counted", windows).sum(|(_, amount)| *amount);
        taps.tap("sum", &sums.out.map(|window| (window.key, window.start.0, window.end.0, window.value)));
        taps.tap("late", &sums.late);
    })
}

#[test]
fn a_window_is_full_after_so_many_records_of_its_key() {
    let mut script = counted(CountWindows::of(3));
    script.record(5, (1, 1)).record(90, (2, 1)).record(2, (1, 2)).watermark(100).record(9, (1, 4));
    // Records are never late for it; its bounds are what it spans.
    assert_eq!(script.output(), ["sum@9 (1, 2, 10, 7)"]);
    script.record(1, (1, 8)).record(1, (1, 16)).record(1, (1, 32));
    assert_eq!(script.output(), ["sum@1 (1, 1, 2, 56)"]);
    // What is not full when the input ends is dropped.
    script.end();
    assert_eq!(script.output(), [""; 0]);
}

#[test]
fn what_is_left_at_the_end_is_given_on_demand() {
    let mut script = counted(CountWindows::of(3).with_partial());
    for n in 0..5 {
        script.record(n, (1, 1));
    }
    assert_eq!(script.output(), ["sum@2 (1, 0, 3, 3)"]);
    script.barrier().crash().end();
    assert_eq!(script.output(), ["sum@4 (1, 3, 5, 2)"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn after_every_few_records_the_last_so_many() {
    let mut script = counted(CountWindows::sliding(5, 2));
    for n in 0..9 {
        script.record(n, (1, 1 << n)).barrier().crash();
    }
    let sums = [(1, 0, 2, 0b11), (1, 0, 4, 0b1111), (1, 1, 6, 0b11_1110), (1, 3, 8, 0b1111_1000)];
    assert_eq!(script.output(), sums.map(|sum| format!("sum@{} {sum:?}", sum.2 - 1)));
}

#[test]
fn records_between_windows_are_in_none() {
    let mut script = counted(CountWindows::sliding(2, 5));
    for n in 0..10 {
        script.record(n, (1, 1)).barrier().crash();
    }
    let late = |n: i64| format!("late@{n} (1, 1)");
    let sum = |n: i64| format!("sum@{n} (1, {}, {}, 2)", n - 1, n + 1);
    let expected = [late(0), late(1), late(2), sum(4), late(5), late(6), late(7), sum(9)];
    assert_eq!(script.output(), expected);
    assert_eq!(script.rows(), 0);
}

#[test]
fn what_is_full_leaves_nothing() {
    let mut script = counted(CountWindows::of(2));
    for n in 0..1_000 {
        script.record(n, ((n % 100) as u8, 1));
    }
    assert_eq!(script.rows(), 0);
    script.record(0, (7, 1));
    assert_eq!(script.rows(), 1);
}

#[test]
fn a_global_window_fires_by_its_trigger_alone() {
    let mut script = Harness::new(|input: Stream<(u8, u64)>, taps: &mut Taps| {
        let keyed = input.key_by(|(key, _)| *key);
        let purged = keyed.window("purged", GlobalWindow).trigger(Purging::of(OnCount::of(2)));
        let sums = purged.sum(|(_, amount)| *amount);
        taps.tap("sum", &sums.out.map(|sum| (sum.key, sum.start.0, sum.end.0, sum.value, sum.firing.nth)));
        taps.tap("late", &sums.late);
        let all = keyed.window("all", GlobalWindow).trigger(AtEnd).count();
        taps.tap("count", &all.out.map(|count| (count.key, count.value, count.firing.to_string())));
    });
    script.record(5, (1, 1)).watermark(100).record(3, (1, 2)).record(7, (2, 4));
    assert_eq!(script.output(), ["sum@5 (1, 3, 6, 3, 0)"]);
    script.barrier().crash().record(9, (2, 8)).end();
    let ends =
        [r#"count@5 (1, 2, "on time #0")"#, r#"count@9 (2, 2, "on time #0")"#, "sum@9 (2, 7, 10, 12, 0)"];
    let mut found = script.output();
    found.sort();
    assert_eq!(found, ends);
    assert_eq!(script.rows(), 0);
}

#[test]
fn a_global_window_that_is_purged_is_gone() {
    let mut script = Harness::new(|input: Stream<u64>, taps: &mut Taps| {
        let purged = input.key_by(|_| 'k').window("pairs", GlobalWindow).trigger(Purging::of(OnCount::of(2)));
        let sums = purged.sum(|n| *n);
        taps.tap("sum", &sums.out.map(|sum| (sum.start.0, sum.end.0, sum.value, sum.firing.nth)));
    });
    script.record(1, 1).record(2, 2);
    assert_eq!(script.rows(), 0);
    script.record(3, 4).record(4, 8);
    assert_eq!(script.output(), ["sum@2 (1, 3, 3, 0)", "sum@4 (3, 5, 12, 0)"]);
}

/// Hundreds, of which a record is in as many as it says; one that says 7 is in one that lasts no time.
struct Hundreds;

impl WindowAssigner<i64> for Hundreds {
    fn assign(&self, count: &i64, time: EventTime, windows: &mut Vec<Window>) -> OpResult {
        let start = time.0 - time.0.rem_euclid(100);
        if *count == 7 {
            windows.push(Window::of_millis(start, start));
        } else {
            windows.extend((0..*count).map(|n| Window::of_millis(start - n * 100, start + 100)));
            windows.extend(windows.first().copied());
        }
        Ok(())
    }
}

fn hundreds() -> Harness<i64> {
    Harness::new(|input: Stream<i64>, taps: &mut Taps| {
        let windows = Windows::assigned_by(Arc::new(Hundreds));
        let counts = input.key_by(|_| 0u8).window("hundreds", windows).count();
        taps.tap("count", &counts.out.map(|count| (count.start.0, count.end.0, count.value)));
        taps.tap("late", &counts.late);
    })
}

#[test]
fn an_assigner_gives_a_record_any_windows() {
    let mut script = hundreds();
    script.record(210, 1).record(220, 2).barrier().crash().record(230, 3).record(240, 0).watermark(300);
    // The window that was given twice is one; the record without a window is not lost.
    let counts = ["count@299 (0, 300, 1)", "count@299 (100, 300, 2)", "count@299 (200, 300, 3)"];
    assert_eq!(script.output(), [&["late@240 0"], &counts[..]].concat());
    script.record(250, 2);
    assert_eq!(script.output(), ["late@250 2"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn a_window_without_an_instant_fails_the_job() {
    let failed = message(|| {
        hundreds().record(210, 7).end();
    });
    assert!(failed.contains("Hundreds gives a record at 210ms the window [200ms, 200ms)"), "{failed}");
}

#[test]
fn mistakes_are_told() {
    let none = message(|| drop(counted(CountWindows::of(0))));
    assert!(none.contains("windows of 0 records: give at least 1 record"), "{none}");
    assert!(
        message(|| drop(counted(CountWindows::sliding(1, 0)))).contains("every 0: give at least 1 record")
    );
    let many = message(|| drop(counted(CountWindows::sliding(u64::MAX, 1))));
    assert!(many.contains("more than 1024 windows") && many.contains("`.evictor(Keep::last("), "{many}");

    let global = |build: fn(Stream<u64>, &mut Taps)| message(move || drop(Harness::new(build)));
    let silent = global(|input, taps| {
        let all = input.key_by(|_| 0u8).window("all", GlobalWindow).count();
        taps.tap("count", &all.out.map(|count| count.value));
    });
    assert!(silent.contains("on an endless one it never fires") && silent.contains("`.trigger("), "{silent}");
    let never = global(|input, taps| {
        let tens =
            input.key_by(|_| 0u8).window("tens", Tumbling::of(ms(10))).trigger(Purging::of(Never)).count();
        taps.tap("count", &tens.out.map(|count| count.value));
    });
    assert!(never.contains("the trigger `never, purging` has no window fire"), "{never}");
    let late = global(|input, taps| {
        let fives =
            input.key_by(|_| 0u8).window("fives", CountWindows::of(5)).allowed_lateness(ms(5)).count();
        taps.tap("count", &fives.out.map(|count| count.value));
    });
    assert!(late.contains("windows of 5 records know no late records"), "{late}");
}
