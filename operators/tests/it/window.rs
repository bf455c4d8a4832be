//! Tumbling windows.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_operators::over::last;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{Session, Stream, Tumbling};
use proptest::prelude::*;

/// Records are (key, amount); windows of 10 ms.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn tens(input: Stream<(u8, u64)>, taps: &mut Taps) {
    let windows = input
        .key_by(|(key, _)| *key)
        .window("tens", Tumbling::of(Duration::from_millis(10)))
        .sum(|(_, amount)| *amount);
    taps.tap("sum", &windows.out.map(|window| (window.key, window.start.0, window.end.0, window.value)));
    taps.tap("late", &windows.late);
}

#[test]
fn a_window_fires_once_the_watermark_reaches_its_end() {
    let mut script = Harness::new(tens);
    script.record(3, (1, 5)).record(9, (1, 7)).record(10, (1, 100)).watermark(9);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(10);
    assert_eq!(script.output(), ["sum@9 (1, 0, 10, 12)"]);
    script.end();
    assert_eq!(script.output(), ["sum@19 (1, 10, 20, 100)"]);
}

#[test]
fn a_sum_of_nothing_is_a_result() {
    let mut script = Harness::new(tens);
    script.record(3, (1, 0)).end();
    assert_eq!(script.output(), ["sum@9 (1, 0, 10, 0)"]);
}

/// As in ranges: one record with the greatest number makes neither a small sum nor the end of the job.
#[test]
fn a_sum_that_is_too_large_stays_at_its_bound() {
    let ms = Duration::from_millis;
    let mut script = Harness::new(|input: Stream<i64>, taps| {
        let keyed = input.key_by(|_| 'k');
        let tens = keyed.window("by-ten", Tumbling::of(ms(10))).sum(|n| *n);
        taps.tap("tens", &tens.out.map(|window| window.value));
        let visits = keyed.window("by-visit", Session::gap(ms(5))).sum(|n| *n);
        taps.tap("visits", &visits.out.map(|window| window.value));
        let all = input.window_all("of-all", Tumbling::of(ms(10))).sum(|n| *n as i8);
        taps.tap("all", &all.out.map(|window| window.value));
        taps.tap("over", &keyed.over("ranges", |n| *n).features(last(ms(10)).sum()).out.map(|(_, sum)| sum));
    });
    script.record(1, i64::MAX - 27).record(9, 100).record(5, 100).end();
    let mut output = script.output();
    output.sort();
    let most = i64::MAX;
    let over = [most - 27, most, most].map(|sum| format!("over {sum}"));
    let found: Vec<String> =
        output.iter().map(|line| line.replace("@1 ", " ").replace("@5 ", " ").replace("@9 ", " ")).collect();
    let mut expected = vec!["all 127".to_owned(), format!("tens {most}"), format!("visits@13 {most}")];
    expected.extend(over);
    expected.sort();
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
}

/// Of an accumulator without bytes too: that a key has had records is all that there is to keep.
#[test]
fn what_adds_up_to_nothing_survives_a_crash_and_is_given_out_once() {
    let mut script = Harness::new(|input: Stream<u8>, taps| {
        let windows = input.key_by(|key| *key).window("seen", Tumbling::of(Duration::from_millis(10)));
        taps.tap("key", &windows.fold(|(): &mut (), _| {}).out.map(|window| window.key));
    });
    script.record(1, 7).record(12, 7).barrier();
    script.crash().record(2, 7).record(12, 7).watermark(10).barrier();
    assert_eq!(script.output(), ["key@9 7"]);
    script.crash().record(13, 7).barrier().crash().watermark(20).barrier();
    assert_eq!(script.output(), ["key@19 7"]);
    script.crash().record(20, 7).end();
    assert_eq!(script.output(), ["key@29 7"]);

    let mut script = Harness::new(tens);
    script.record(3, (1, 0)).barrier().crash().record(4, (2, 0)).end();
    let mut sums = script.output();
    sums.sort();
    assert_eq!(sums, ["sum@9 (1, 0, 10, 0)", "sum@9 (2, 0, 10, 0)"]);
}

#[test]
fn a_record_for_a_fired_window_is_late() {
    let mut script = Harness::new(tens);
    script.record(3, (1, 5)).watermark(12).record(4, (1, 6)).record(11, (1, 7)).end();
    assert_eq!(script.output(), ["sum@9 (1, 0, 10, 5)", "late@4 (1, 6)", "sum@19 (1, 10, 20, 7)"]);
}

#[test]
fn a_fired_window_does_not_fire_again_after_restore() {
    let mut script = Harness::new(tens);
    script.record(3, (1, 5)).watermark(10).barrier();
    assert_eq!(script.output(), ["sum@9 (1, 0, 10, 5)"]);
    script.crash().watermark(11);
    assert_eq!(script.output(), [""; 0]);
    // Nor does it begin anew with a record that comes before any watermark has.
    script.crash().record(4, (1, 6)).watermark(11).end();
    assert_eq!(script.output(), ["late@4 (1, 6)"]);
}

#[test]
fn late_before_the_crash_is_late_after_it() {
    let mut script = Harness::new(tens);
    script.record(3, (1, 5)).watermark(10).barrier();
    assert_eq!(script.output(), ["sum@9 (1, 0, 10, 5)"]);
    // The first record after the restart comes before any watermark has.
    script.crash().record(4, (1, 6)).end();
    assert_eq!(script.output(), ["late@4 (1, 6)"]);
}

#[test]
fn what_came_after_the_barrier_is_forgotten_by_a_crash() {
    let mut script = Harness::new(tens);
    script.record(1, (1, 1)).barrier().record(2, (1, 10)).crash().record(2, (1, 20)).end();
    assert_eq!(script.output(), ["sum@9 (1, 0, 10, 21)"]);
}

#[test]
fn a_window_of_nothing_is_a_mistake_with_its_place() {
    let mistake = std::panic::catch_unwind(|| {
        Harness::new(|input: Stream<(u8, u64)>, taps| {
            let windows = input.key_by(|(key, _)| *key).window("empty", Tumbling::of(Duration::ZERO)).count();
            taps.tap("count", &windows.out.map(|window| window.value));
        })
    });
    let message = *mistake.err().unwrap().downcast::<String>().unwrap();
    assert!(message.contains("operator `empty`") && message.contains("window.rs"), "{message}");
}

#[derive(Clone, Debug)]
enum Step {
    Record(i64, u8, u64),
    Watermark(i64),
    Barrier,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0i64..60, 0u8..4, 1u64..9).prop_map(|(at, key, amount)| Step::Record(at, key, amount)),
        2 => (0i64..60).prop_map(Step::Watermark),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..40)
}

/// The slow and obvious window: a map, copied at a barrier.
#[derive(Clone, Default)]
struct Model {
    open: BTreeMap<(i64, u8), u64>,
    watermark: i64,
}

impl Model {
    fn record(&mut self, at: i64, key: u8, amount: u64) -> Option<String> {
        let end = (at / 10 + 1) * 10;
        if end <= self.watermark {
            return Some(format!("late@{at} {:?}", (key, amount)));
        }
        *self.open.entry((end, key)).or_default() += amount;
        None
    }

    fn advance(&mut self, watermark: i64) -> Vec<String> {
        self.watermark = self.watermark.max(watermark);
        let open = self.open.split_off(&(self.watermark + 1, 0));
        let fired = std::mem::replace(&mut self.open, open);
        let line = |((end, key), sum)| format!("sum@{} {:?}", end - 1, (key, end - 10, end, sum));
        fired.into_iter().map(line).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn windows_agree_with_the_model(steps in steps()) {
        let mut script = Harness::new(tens);
        let (mut model, mut saved) = (Model::default(), Model::default());
        for step in steps {
            let mut expected = Vec::new();
            match step {
                Step::Record(at, key, amount) => {
                    script.record(at, (key, amount));
                    expected.extend(model.record(at, key, amount));
                }
                Step::Watermark(at) if at > model.watermark => {
                    script.watermark(at);
                    expected = model.advance(at);
                }
                Step::Watermark(_) => {}
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
            prop_assert_eq!(found, expected);
        }
    }
}
