//! Allowed lateness, and which firing of its window a result is.

use std::time::Duration;

use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{Session, Stream, Tumbling};

use crate::window_sessions::{message, ms};

/// Records are (key, amount); windows of 10 ms that stay for another 15.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn tens(input: Stream<(u8, u64)>, taps: &mut Taps) {
    let tens = input.key_by(|(key, _)| *key).window("tens", Tumbling::of(ms(10))).allowed_lateness(ms(15));
    let sums = tens.sum(|(_, amount)| *amount);
    taps.tap("sum", &sums.out.map(|ten| (ten.key, ten.start.0, ten.value, ten.firing.to_string())));
    taps.tap("late", &sums.late);
}

#[test]
fn a_late_record_within_the_lateness_gives_an_updated_result() {
    let mut script = Harness::new(tens);
    script.record(3, (1, 1)).watermark(9);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(10);
    assert_eq!(script.output(), [r#"sum@9 (1, 0, 1, "on time #0")"#]);
    script.record(4, (1, 2)).record(5, (1, 4)).record(6, (2, 8)).watermark(24).record(7, (1, 16));
    let late = [(1, 0, 3, "late #1"), (1, 0, 7, "late #2"), (2, 0, 8, "late #0"), (1, 0, 23, "late #3")];
    assert_eq!(script.output(), late.map(|sum| format!("sum@9 {sum:?}")));
    script.watermark(25).record(8, (1, 32)).end();
    assert_eq!(script.output(), ["late@8 (1, 32)"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn late_before_the_crash_is_late_after_it() {
    let mut script = Harness::new(tens);
    script.record(3, (1, 1)).watermark(10).barrier();
    assert_eq!(script.output(), [r#"sum@9 (1, 0, 1, "on time #0")"#]);
    script.crash().record(4, (1, 2));
    assert_eq!(script.output(), [r#"sum@9 (1, 0, 3, "late #1")"#]);
    script.watermark(25).barrier().crash().record(4, (1, 4)).end();
    assert_eq!(script.output(), ["late@4 (1, 4)"]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn what_is_kept_of_windows_goes_with_them() {
    let mut script = Harness::new(tens);
    for at in 0..200 {
        script.record(at, ((at % 5) as u8, 1)).watermark(at - 3);
    }
    // Five keys: a row and a timer each.
    assert_eq!(script.rows(), 10);
    script.watermark(200 + 15);
    assert_eq!(script.rows(), 0);
    script.output();
    script.record(199, (1, 1)).end();
    assert_eq!(script.output(), ["late@199 (1, 1)"]);
}

#[test]
fn a_lateness_longer_than_time_keeps_windows_till_the_end() {
    let mut script = Harness::new(|input: Stream<u64>, taps| {
        let tens = input.key_by(|_| 0u8).window("tens", Tumbling::of(ms(10)));
        let counts = tens.allowed_lateness(ms(i64::MAX as u64)).count();
        taps.tap("count", &counts.out.map(|ten| (ten.value, ten.firing.to_string())));
        taps.tap("late", &counts.late);
    });
    script.record(3, 1).watermark(1 << 60).record(3, 1);
    assert_eq!(script.output(), [r#"count@9 (1, "on time #0")"#, r#"count@9 (2, "late #1")"#]);
    script.end();
    assert_eq!(script.output(), [""; 0]);
    assert_eq!(script.rows(), 0);
}

#[test]
fn mistakes_are_told() {
    let refused = |lateness: Duration| {
        message(move || {
            let _script = Harness::new(|input: Stream<u64>, taps| {
                let tens = input.key_by(|_| 0u8).window("tens", Tumbling::of(Duration::ZERO));
                taps.tap("count", &tens.allowed_lateness(lateness).count().out.map(|ten| ten.value));
            });
        })
    };
    // All that is wrong, at once.
    let two = refused(Duration::from_micros(500));
    assert!(two.contains("a window of 0ns is empty"), "{two}");
    assert!(two.contains("an allowed lateness of 500µs is no whole number of milliseconds"), "{two}");
    assert!(refused(ms(u64::MAX)).contains("is longer than event time reaches"));
    let processing = message(|| {
        let _script = Harness::new(|input: Stream<u64>, taps| {
            let visits = input.key_by(|_| 0u8).window("visits", Session::gap(ms(10)).by_processing_time());
            taps.tap("count", &visits.allowed_lateness(ms(5)).count().out.map(|visit| visit.value));
        });
    });
    assert!(processing.contains("of processing time know no late records"), "{processing}");
}
