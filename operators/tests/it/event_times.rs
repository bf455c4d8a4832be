//! Event times that cannot be right, as sources meet them.

use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::clock::ManualClock;
use pelton_dataflow::operator::Resources;
use pelton_dataflow::settings::Settings;
use pelton_dataflow::testing::run_with;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Collect, Values};
use pelton_operators::{Job, Watermarks};

const NOW_MS: i64 = 1_767_571_200_000;
const YEAR_9999: i64 = 253_402_300_799_000;

/// What a source of `times`, each its own event time, gives at `NOW_MS`: records, and dead letters as
/// `split@position: raw reason`.
fn read(
    times: impl IntoIterator<Item = i64>,
    watermarks: Watermarks<fn(&i64) -> EventTime>,
) -> (Vec<i64>, Vec<String>) {
    let mut job = Job::new();
    let source = job.source("in", Values::of(times)).dead_letters().watermarks(watermarks);
    let (sink, records) = Collect::new();
    source.out.sink("records", sink);
    let (sink, letters) = Collect::new();
    source.rejected.sink("letters", sink);
    run(job).unwrap();
    let shown = letters.values().into_iter();
    let shown = shown.map(|it| format!("{}@{}: {} {}", it.split, it.position, it.raw, it.reason)).collect();
    (records.values(), shown)
}

fn run(job: Job) -> Result<(), String> {
    let clock = Arc::new(ManualClock::at_ms(NOW_MS));
    run_with(&job.finish().unwrap(), Resources::default(), clock, Settings::default())
        .map_err(|error| error.to_string())
}

fn in_order() -> Watermarks<fn(&i64) -> EventTime> {
    Watermarks::bounded(Duration::ZERO, |at| EventTime(*at))
}

#[test]
fn a_time_beyond_all_dates_is_a_dead_letter_with_its_place() {
    let (records, letters) = read([5, i64::MAX, -7, i64::MAX - 1, i64::MIN + 1, 6], in_order());
    assert_eq!(records, [5, -7, 6]);
    let reason =
        |at: i64| format!("its event time, {at} ms since 1970, is beyond the year 275760: check its unit");
    let letter = |position: u64, at: i64| format!("in/values@{position}: {at} {}", reason(at));
    assert_eq!(letters, [letter(1, i64::MAX), letter(3, i64::MAX - 1), letter(4, i64::MIN + 1)]);
}

#[test]
fn without_dead_letters_such_a_time_fails_the_job_and_says_what_to_do() {
    let mut job = Job::new();
    let (sink, _) = Collect::new();
    job.source("in", Values::of([5, i64::MAX])).watermarks(in_order()).sink("records", sink);
    let message = run(job).unwrap_err();
    assert!(
        message
            .contains("malformed record in in/values at position 1: its event time, 9223372036854775807 ms"),
        "{message}"
    );
    assert!(message.contains("`.dead_letters()`"), "{message}");
}

#[test]
fn a_time_far_ahead_is_taken_unless_it_is_to_be_rejected() {
    let times = [NOW_MS, YEAR_9999, NOW_MS + 1];
    assert_eq!(read(times, in_order()), (times.to_vec(), vec![]));
    let (records, letters) = read(times, in_order().reject_ahead(Duration::from_hours(1)));
    assert_eq!(records, [NOW_MS, NOW_MS + 1]);
    let expected = format!(
        "in/values@1: {YEAR_9999} its event time, {YEAR_9999} ms since 1970, is 2912438 days ahead of the clock"
    );
    assert_eq!(letters, [expected]);
}
