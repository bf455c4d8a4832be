//! Sorting by event time, against a list that is sorted as a whole.

use pelton_operators::Stream;
use pelton_operators::testing::{Harness, Taps};
use proptest::prelude::*;

use crate::model::{Model, agree_in_order, steps};

/// Records are (key, number).
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn sorted(input: Stream<(u8, u32)>, taps: &mut Taps) {
    let sorted = input.key_by(|(key, _)| *key).sorted("sorted");
    taps.tap("out", &sorted.out);
    taps.tap("late", &sorted.late);
}

#[test]
fn a_record_waits_until_the_watermark_has_passed_it() {
    let mut script = Harness::new(sorted);
    script.record(3, (1, 0)).record(1, (1, 1)).watermark(1);
    assert_eq!(script.output(), [""; 0], "another record of time 1 may come");
    script.record(1, (1, 2)).watermark(3);
    assert_eq!(script.output(), ["out@1 (1, 1)", "out@1 (1, 2)"]);
    script.record(2, (1, 3)).record(3, (1, 4)).end();
    assert_eq!(script.output(), ["late@2 (1, 3)", "out@3 (1, 0)", "out@3 (1, 4)"]);
}

#[test]
fn what_waits_survives_a_crash_and_what_was_late_stays_late() {
    let mut script = Harness::new(sorted);
    script.record(9, (1, 0)).watermark(5).barrier().record(8, (1, 1)).crash();
    script.record(4, (1, 2)).record(7, (1, 3)).end();
    assert_eq!(script.output(), ["late@4 (1, 2)", "out@7 (1, 3)", "out@9 (1, 0)"]);
}

/// Far more records of one key than are released at a time, in the middle of which a barrier falls.
#[test]
fn a_key_of_many_records_is_released_in_slices() {
    let mut script = Harness::new(|input: Stream<(u8, u32)>, taps: &mut Taps| {
        let many = input.flat_map(|(key, n)| (0..n).map(move |nth| (key, nth)));
        taps.tap("out", &many.key_by(|(key, _)| *key).sorted("sorted").out.map(|(_, nth)| nth));
    });
    script.record(1, (1, 20_000)).watermark_cut_by_barrier_and_crash(5);
    let cut = script.output();
    assert_eq!(cut, (0..20_000).map(|nth| format!("out@1 {nth}")).collect::<Vec<_>>());
}

#[test]
fn times_at_the_ends_of_time_do_no_harm() {
    let mut script = Harness::new(sorted);
    script.record(i64::MAX, (1, 0)).record(i64::MIN, (1, 1)).record(i64::MAX - 1, (1, 2)).end();
    let ends = [(i64::MIN, 1), (i64::MAX - 1, 2), (i64::MAX, 0)];
    assert_eq!(script.output(), ends.map(|(at, n)| format!("out@{at} {:?}", (1, n))));
}

/// All that waits, in the order of arrival.
#[derive(Clone)]
struct List {
    waiting: Vec<(i64, (u8, u32))>,
    watermark: i64,
}

impl Model for List {
    type Record = (u8, u32);

    fn record(&mut self, at: i64, record: (u8, u32)) -> Vec<String> {
        if at < self.watermark {
            return vec![format!("late@{at} {record:?}")];
        }
        self.waiting.push((at, record));
        Vec::new()
    }

    fn watermark(&mut self, at: i64) -> Vec<String> {
        self.watermark = at;
        self.waiting.sort_by_key(|(at, _)| *at);
        let passed = self.waiting.iter().filter(|(time, _)| *time < at);
        let lines = passed.map(|(at, record)| format!("out@{at} {record:?}")).collect();
        self.waiting.retain(|(time, _)| *time >= at);
        lines
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn one_key_agrees_with_a_sorted_list_in_order(steps in steps(60, (Just(1u8), any::<u32>()))) {
        agree_in_order(sorted, List { waiting: Vec::new(), watermark: i64::MIN }, steps, Some("out"));
    }

    #[test]
    fn many_keys_agree_with_a_sorted_list(steps in steps(60, (0u8..4, any::<u32>()))) {
        agree_in_order(sorted, List { waiting: Vec::new(), watermark: i64::MIN }, steps, None);
    }
}
