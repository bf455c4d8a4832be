//! Sliding aggregates per record: what is in range, in which order, and what is late.

use std::time::Duration;

use pelton_operators::over::last;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{Job, Stream, Watermarks};
use proptest::prelude::*;

fn ms(length: u64) -> pelton_operators::over::Last {
    last(Duration::from_millis(length))
}

/// Records are (key, amount); ranges of 10 and 30 ms.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn tens(input: Stream<(u8, u8)>, taps: &mut Taps) {
    let spend = input.key_by(|(key, _)| *key).over("spend", |(_, amount)| *amount);
    let spend = spend.features((ms(10).count(), ms(10).sum(), ms(30).latest_n(4), ms(30).distinct()));
    taps.tap("out", &spend.out);
    taps.tap("late", &spend.late);
}

#[test]
fn a_range_ends_with_its_record_and_begins_behind_its_length() {
    let mut script = Harness::new(tens);
    script
        .record(10, (1, 1))
        .record(19, (1, 2))
        .record(20, (1, 3))
        .record(49, (1, 4))
        .record(50, (1, 5))
        .end();
    assert_eq!(
        script.output(),
        [
            "out@10 ((1, 1), (1, 1, [1], 1))",
            "out@19 ((1, 2), (2, 3, [1, 2], 2))",
            "out@20 ((1, 3), (2, 5, [1, 2, 3], 3))",
            "out@49 ((1, 4), (1, 4, [3, 4], 2))",
            "out@50 ((1, 5), (2, 9, [4, 5], 2))",
        ]
    );
}

#[test]
fn records_wait_for_the_watermark_to_pass_them_and_come_out_by_time() {
    let mut script = Harness::new(tens);
    script.record(7, (1, 7)).record(5, (1, 5)).record(6, (1, 6)).watermark(6);
    assert_eq!(script.output(), ["out@5 ((1, 5), (1, 5, [5], 1))"]);
    // At 6 another of the same time could still come, and it does.
    script.record(6, (1, 60)).watermark(8);
    assert_eq!(
        script.output(),
        [
            "out@6 ((1, 6), (3, 71, [5, 6, 60], 3))",
            "out@6 ((1, 60), (3, 71, [5, 6, 60], 3))",
            "out@7 ((1, 7), (4, 78, [5, 6, 60, 7], 4))",
        ]
    );
    script.record(7, (1, 8)).record(8, (1, 9)).end();
    assert_eq!(script.output(), ["late@7 (1, 8)", "out@8 ((1, 9), (5, 87, [6, 60, 7, 9], 5))"]);
}

#[test]
fn what_waits_and_what_is_kept_survives_a_crash() {
    let mut script = Harness::new(tens);
    script.record(5, (1, 1)).watermark(6).record(8, (1, 2)).barrier();
    assert_eq!(script.output(), ["out@5 ((1, 1), (1, 1, [1], 1))"]);
    script.record(9, (1, 50)).crash().record(9, (1, 3)).record(5, (1, 9)).end();
    assert_eq!(
        script.output(),
        ["late@5 (1, 9)", "out@8 ((1, 2), (2, 3, [1, 2], 2))", "out@9 ((1, 3), (3, 6, [1, 2, 3], 3))",]
    );
}

#[test]
fn a_barrier_between_slices_neither_loses_nor_repeats() {
    let mut script = Harness::new(tens);
    for n in 0..2_500 {
        script.record(n, (1, 1));
    }
    script.watermark_cut_by_barrier_and_crash(2_400);
    let found = script.end().output();
    let time = |line: &String| line["out@".len()..line.find(' ').unwrap()].parse::<i64>().unwrap();
    assert_eq!(found.iter().map(time).collect::<Vec<_>>(), (0..2_500).collect::<Vec<_>>());
    assert!(found[10..].iter().all(|line| line.contains("((1, 1), (10, 10, [1, 1, 1, 1], 1))")));
}

#[test]
fn times_at_the_ends_of_time_neither_panic_nor_fail() {
    let mut script = Harness::new(|input: Stream<i64>, taps: &mut Taps| {
        let all = input.key_by(|_| 0u8).over("all", |n| *n);
        let longest = last(Duration::from_millis(i64::MAX as u64));
        taps.tap("out", &all.features((longest.count(), ms(1).count())).out);
    });
    let times = [i64::MIN + 1, i64::MIN + 2, -1, 0, i64::MAX - 2, i64::MAX - 1];
    for at in times {
        script.record(at, at);
    }
    script.barrier().crash().record(3, 3).end();
    let counts: Vec<String> =
        script.output().iter().map(|line| line.rsplit(", (").next().unwrap().to_owned()).collect();
    assert_eq!(counts, ["1, 1))", "2, 1))", "3, 1))", "3, 1))", "3, 1))", "4, 1))", "4, 1))"]);
}

#[test]
fn a_record_without_a_time_fails_the_job_and_says_why() {
    let failed = std::panic::catch_unwind(|| {
        let mut script = Harness::new(tens);
        script.record(i64::MIN, (1, 1)).end();
    });
    let message = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("operator `spend` failed") && message.contains(".watermarks("), "{message}");
}

#[test]
fn impossible_settings_are_mistakes_with_their_place() {
    let mut job = Job::new();
    let numbers =
        job.source("in", pelton_operators::testing::Values::of([1u64])).watermarks(Watermarks::none());
    let keyed = numbers.key_by(|n| *n);
    let over = |name: &str| keyed.over(name, |n| *n);
    over("none").features(ms(0).count()).out.sink("a", pelton_operators::testing::Collect::new().0);
    drop(over("long").features(last(Duration::MAX).count()));
    drop(over("fine").features(last(Duration::from_micros(1_500)).count()));
    drop(over("zero").features(ms(1).latest_n(0)));
    drop(over("q").features((ms(1).quantile(1.1), ms(1).quantile_about(0.5, 0.0))));
    drop(over("p").features(ms(1).distinct_about(17)));
    drop(over("bucket").coarsen(Duration::ZERO).features(ms(1).count()));
    drop(over("wide").coarsen(Duration::from_millis(11)).features((ms(100).sum(), ms(10).sum())));
    drop(over("both").coarsen(Duration::from_millis(1)).immediately().features(ms(10).sum()));
    let message = job.finish().err().unwrap().to_string();
    for problem in [
        "`none`",
        "give at least 1 ms",
        "`long`",
        "longer than event time reaches",
        "`fine`",
        "not a whole number of milliseconds",
        "`zero`",
        "give at least 1",
        "no quantile 1.1",
        "relative error of 0",
        "precision 17",
        "a bucket of 0ns is empty",
        "buckets of 11ms are longer than its shortest range, 10 ms",
        "which `.immediately()` does not wait for",
    ] {
        assert!(message.contains(problem), "{problem} is not in {message}");
    }
    assert_eq!(message.matches("over.rs:").count(), 10, "{message}");
}

/// Struct, chunks, timers: all of it goes once the last record is out of the longest range.
#[test]
fn a_key_that_falls_silent_leaves_nothing() {
    for build in [tens, at_once, in_buckets] {
        let mut script = Harness::new(build);
        // 600 records in range, which are more than fit into the struct.
        for n in 0..1_200 {
            script.record(n / 20, (1, 1));
        }
        script.watermark(60 + 28);
        assert!(script.rows() > 0);
        script.watermark(60 + 29);
        assert_eq!(script.rows(), 0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Record(i64, u8, u8),
    Watermark(i64),
    Barrier,
    Crash,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        16 => (0i64..40, 0u8..2, 0u8..20).prop_map(|(ahead, key, amount)| Step::Record(ahead, key, amount)),
        3 => (0i64..20).prop_map(Step::Watermark),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..most)
}

/// The slow and obvious operator: a list of all records, copied at a barrier.
#[derive(Clone, Default)]
struct Model {
    /// Sorted by time and amount.
    records: Vec<(i64, u8, u8)>,
    watermark: i64,
    /// A record is in range if the latest of its bucket is that is not later than the record at hand.
    bucket: i64,
}

impl Model {
    fn advance(&mut self, by: i64) -> Vec<String> {
        let before = self.watermark;
        self.watermark += by;
        self.records.sort_unstable();
        let due = self.records.iter().filter(|(at, ..)| *at >= before && *at < self.watermark);
        due.map(|record| self.line(*record)).collect()
    }

    fn line(&self, (at, key, amount): (i64, u8, u8)) -> String {
        let own: Vec<_> = self.records.iter().filter(|(t, other, _)| *other == key && *t <= at).collect();
        let latest_of_bucket = |t: i64| {
            let same = own.iter().map(|(other, ..)| *other);
            same.filter(|other| other.div_euclid(self.bucket) == t.div_euclid(self.bucket)).max().unwrap()
        };
        let within = |length: i64| {
            let own = own.iter().filter(|(t, ..)| at - latest_of_bucket(*t) < length);
            own.map(|(_, _, amount)| *amount).collect::<Vec<_>>()
        };
        let (short, long) = (within(10), within(30));
        let sum: u64 = short.iter().copied().map(u64::from).sum();
        let distinct: std::collections::BTreeSet<_> = long.iter().collect();
        let latest = &long[long.len().saturating_sub(4)..];
        format!("out@{at} {:?}", ((key, amount), (short.len(), sum, latest, distinct.len())))
    }
}

fn agrees_with_the_model(
    build: fn(Stream<(u8, u8)>, &mut Taps),
    bucket: i64,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let mut script = Harness::new(build);
    let mut model = Model { bucket, ..Model::default() };
    let mut saved = model.clone();
    script.watermark(0).barrier();
    let mut expected = Vec::new();
    for step in steps.into_iter().chain([Step::Watermark(100)]) {
        match step {
            Step::Record(ahead, key, amount) => {
                // Some come for what has been released.
                let at = model.watermark + ahead - 3;
                script.record(at, (key, amount));
                if at < model.watermark {
                    expected.push(format!("late@{at} {:?}", (key, amount)));
                } else {
                    model.records.push((at, key, amount));
                }
                continue;
            }
            Step::Watermark(by) => {
                script.watermark(model.watermark + by);
                expected.extend(model.advance(by));
            }
            Step::Barrier => {
                script.barrier();
                saved = model.clone();
            }
            Step::Crash => {
                script.crash();
                model = saved.clone();
            }
        }
        let mut found = script.output();
        found.sort();
        expected.sort();
        prop_assert_eq!(found, std::mem::take(&mut expected));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn ranges_agree_with_the_model(steps in steps(80)) {
        agrees_with_the_model(tens, 1, steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1))]
    #[test]
    fn long_histories_agree_with_the_model(steps in steps(900)) {
        agrees_with_the_model(tens, 1, steps)?;
    }
}

/// Records are (key, amount); answers at once.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn at_once(input: Stream<(u8, u8)>, taps: &mut Taps) {
    let spend = input.key_by(|(key, _)| *key).over("spend", |(_, amount)| *amount).immediately();
    let spend = spend.features((ms(10).count(), ms(10).sum(), ms(30).latest_n(4), ms(30).distinct()));
    taps.tap("out", &spend.out);
    taps.tap("late", &spend.late);
}

#[test]
fn an_answer_at_once_is_over_what_has_arrived() {
    let mut script = Harness::new(at_once);
    script.record(10, (1, 1)).record(19, (1, 2)).record(15, (1, 3)).record(20, (1, 4));
    assert_eq!(
        script.output(),
        [
            "out@10 ((1, 1), (1, 1, [1], 1))",
            "out@19 ((1, 2), (2, 3, [1, 2], 2))",
            "out@15 ((1, 3), (2, 4, [1, 3], 2))",
            "out@20 ((1, 4), (3, 9, [1, 3, 2, 4], 4))",
        ]
    );
    // What has slid out for the record at 50 is still there for that at 25.
    script.watermark(22).record(50, (1, 5)).record(25, (1, 6)).barrier();
    assert_eq!(
        script.output(),
        ["out@50 ((1, 5), (1, 5, [5], 1))", "out@25 ((1, 6), (3, 12, [3, 2, 4, 6], 5))"]
    );
    script.record(40, (1, 9)).crash().record(21, (1, 7)).record(26, (1, 8)).end();
    assert_eq!(
        script.output(),
        [
            "out@40 ((1, 9), (1, 9, [2, 4, 6, 9], 5))",
            "late@21 (1, 7)",
            "out@26 ((1, 8), (4, 20, [2, 4, 6, 8], 6))",
        ]
    );
}

/// The records that have arrived, copied at a barrier.
#[derive(Clone, Default)]
struct Arrived {
    records: Vec<(i64, u8, u8)>,
    watermark: i64,
}

impl Arrived {
    fn answer(&mut self, (at, key, amount): (i64, u8, u8)) -> String {
        if at < self.watermark {
            return format!("late@{at} {:?}", (key, amount));
        }
        let index = self.records.partition_point(|(other_at, ..)| *other_at <= at);
        self.records.insert(index, (at, key, amount));
        let within = |length: i64| {
            let own = self.records.iter().filter(move |(other_at, other, _)| {
                *other == key && *other_at <= at && at - *other_at < length
            });
            own.map(|(_, _, amount)| *amount).collect::<Vec<_>>()
        };
        let (short, long) = (within(10), within(30));
        let sum: u64 = short.iter().copied().map(u64::from).sum();
        let distinct: std::collections::BTreeSet<_> = long.iter().collect();
        let latest = &long[long.len().saturating_sub(4)..];
        format!("out@{at} {:?}", ((key, amount), (short.len(), sum, latest, distinct.len())))
    }
}

fn answers_agree_with_the_model(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut script = Harness::new(at_once);
    let (mut model, mut saved) = (Arrived::default(), Arrived::default());
    script.watermark(0).barrier();
    let mut expected = Vec::new();
    for step in steps.into_iter().chain([Step::Watermark(100)]) {
        match step {
            Step::Record(ahead, key, amount) => {
                let at = model.watermark + ahead - 3;
                script.record(at, (key, amount));
                expected.push(model.answer((at, key, amount)));
                continue;
            }
            Step::Watermark(by) => {
                model.watermark += by;
                script.watermark(model.watermark);
            }
            Step::Barrier => {
                script.barrier();
                saved = model.clone();
            }
            Step::Crash => {
                script.crash();
                model = saved.clone();
            }
        }
        // The outputs are apart, and each is in order.
        let mut found = script.output();
        found.sort_by_key(|line| line.starts_with("late"));
        expected.sort_by_key(|line: &String| line.starts_with("late"));
        prop_assert_eq!(found, std::mem::take(&mut expected));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn answers_at_once_agree_with_the_model(steps in steps(80)) {
        answers_agree_with_the_model(steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1))]
    #[test]
    fn answers_at_once_over_long_histories_agree_with_the_model(steps in steps(900)) {
        answers_agree_with_the_model(steps)?;
    }
}

/// As `tens`, in buckets of 7 ms.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn in_buckets(input: Stream<(u8, u8)>, taps: &mut Taps) {
    let spend = input.key_by(|(key, _)| *key).over("spend", |(_, amount)| *amount);
    let spend = spend.coarsen(Duration::from_millis(7));
    let spend = spend.features((ms(10).count(), ms(10).sum(), ms(30).latest_n(4), ms(30).distinct()));
    taps.tap("out", &spend.out);
    taps.tap("late", &spend.late);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn buckets_agree_with_the_model(steps in steps(100)) {
        agrees_with_the_model(in_buckets, 7, steps)?;
    }
}
