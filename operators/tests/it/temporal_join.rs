//! Temporal joins, against a search through all versions.

use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{Late, Stream};
use proptest::prelude::*;

use crate::model::{Model, agree, steps};

/// A record or a version: key and number.
type Side = Late<(u8, u32), (u8, u32)>;
use Late::{Left, Right};

fn versioned(input: &Stream<Side>, taps: &mut Taps, is_left: bool) {
    let records = input.flat_map(|side| match side {
        Left(record) => Some(record),
        Right(_) => None,
    });
    let versions = input.flat_map(|side| match side {
        Right(version) => Some(version),
        Left(_) => None,
    });
    let join = records.key_by(|(key, _)| *key).temporal_join("versions", &versions.key_by(|(key, _)| *key));
    let joined = match is_left {
        true => join.left(|record, version| (record.1, version.map(|version| version.1))),
        false => join.inner(|record, version| (record.1, Some(version.1))),
    };
    taps.tap("out", &joined.out);
    taps.tap("late", &joined.late);
}

#[test]
fn a_record_gets_the_version_of_its_time_however_late_that_comes() {
    let mut script = Harness::new(|input, taps| versioned(&input, taps, true));
    script
        .record(20, Left((1, 0)))
        .record(30, Right((1, 3)))
        .record(10, Right((1, 1)))
        .record(9, Left((1, 5)));
    script.watermark(20).record(20, Right((1, 2)));
    assert_eq!(script.output(), ["out@9 (5, None)"]);
    script.watermark(21);
    assert_eq!(script.output(), ["out@20 (0, Some(2))"]);
}

#[test]
fn the_last_version_before_the_watermark_stays_through_crashes() {
    let mut script = Harness::new(|input, taps| versioned(&input, taps, false));
    script.record(1, Right((1, 1))).record(2, Right((1, 2))).watermark(50).barrier().crash();
    script
        .record(49, Right((1, 3)))
        .record(49, Left((1, 7)))
        .record(60, Left((1, 8)))
        .record(60, Left((2, 9)));
    let mut late = script.output();
    late.sort();
    assert_eq!(late, ["late@49 Left((1, 7))", "late@49 Right((1, 3))"]);
    script.end();
    assert_eq!(script.output(), ["out@60 (8, Some(2))"]);
}

#[test]
fn a_key_of_many_records_is_released_in_slices() {
    let mut script = Harness::new(|input: Stream<Side>, taps| {
        let many = input.flat_map(|side| match side {
            Left((key, n)) => (0..n).map(|nth| Left((key, nth))).collect::<Vec<_>>(),
            version @ Right(_) => vec![version],
        });
        versioned(&many, taps, false);
    });
    script.record(1, Right((1, 4))).record(1, Left((1, 20_000))).watermark_cut_by_barrier_and_crash(5);
    assert_eq!(
        script.output(),
        (0..20_000).map(|nth| format!("out@1 {:?}", (nth, Some(4)))).collect::<Vec<_>>()
    );
}

#[derive(Clone)]
struct Search {
    is_left: bool,
    watermark: i64,
    waiting: Vec<(i64, (u8, u32))>,
    versions: Vec<(i64, (u8, u32))>,
}

impl Model for Search {
    type Record = Side;

    fn record(&mut self, at: i64, record: Side) -> Vec<String> {
        if at < self.watermark {
            return vec![format!("late@{at} {record:?}")];
        }
        match record {
            Left(record) => self.waiting.push((at, record)),
            Right(version) => self.versions.push((at, version)),
        }
        Vec::new()
    }

    fn watermark(&mut self, at: i64) -> Vec<String> {
        self.watermark = at;
        let mut lines = Vec::new();
        for (time, (key, number)) in self.waiting.extract_if(.., |(time, _)| *time < at) {
            let of_key = self.versions.iter().filter(|(from, (of, _))| *of == key && *from <= time);
            // Of equal times `max_by_key` takes the last.
            let version = of_key.max_by_key(|(from, _)| *from).map(|(_, (_, version))| *version);
            if version.is_some() || self.is_left {
                lines.push(format!("out@{time} {:?}", (number, version)));
            }
        }
        lines
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn temporal_joins_agree_with_a_search(
        is_left: bool,
        steps in steps(60, (0u8..2, any::<u32>(), any::<bool>()).prop_map(|(key, n, left)| {
            if left { Left((key, n)) } else { Right((key, n)) }
        })),
    ) {
        let model = Search { is_left, watermark: i64::MIN, waiting: Vec::new(), versions: Vec::new() };
        agree(move |input: Stream<Side>, taps: &mut Taps| versioned(&input, taps, is_left), model, steps);
    }
}
