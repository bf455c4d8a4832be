//! Interval joins and regular joins, against nested loops over all records.

use std::time::Duration;

use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{IntervalJoin, Join, Joined, KeyedStream, Late, Stream};
use proptest::prelude::*;

use crate::model::{Model, Step, agree, steps};

/// A record of one side: key and number.
type Side = Late<(u8, u32), (u8, u32)>;
use Late::{Left, Right};

type Pairs = (Option<u32>, Option<u32>);

fn sides(input: &Stream<Side>) -> [KeyedStream<u8, (u8, u32)>; 2] {
    let left = input.flat_map(|side| match side {
        Left(record) => Some(record),
        Right(_) => None,
    });
    let right = input.flat_map(|side| match side {
        Right(record) => Some(record),
        Left(_) => None,
    });
    [left.key_by(|(key, _)| *key), right.key_by(|(key, _)| *key)]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Inner,
    Left,
    Right,
    Full,
}

fn tap(taps: &mut Taps, joined: &Joined<Pairs, (u8, u32), (u8, u32)>) {
    taps.tap("out", &joined.out);
    taps.tap("late", &joined.late);
}

fn number(record: &(u8, u32)) -> Option<u32> {
    Some(record.1)
}

fn interval(join: IntervalJoin<u8, (u8, u32), (u8, u32)>, kind: Kind) -> Joined<Pairs, (u8, u32), (u8, u32)> {
    match kind {
        Kind::Inner => join.inner(|a, b| (number(a), number(b))),
        Kind::Left => join.left(|a, b| (number(a), b.and_then(number))),
        Kind::Right => join.right(|a, b| (a.and_then(number), number(b))),
        Kind::Full => join.full(|a, b| (a.and_then(number), b.and_then(number))),
    }
}

/// Differences of -5 to 10 ms, with the records of both sides that have no partner.
#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn full(input: Stream<Side>, taps: &mut Taps) {
    let [left, right] = sides(&input);
    tap(taps, &interval(left.interval_join("join", &right, -5..=10), Kind::Full));
}

#[test]
fn both_bounds_are_included() {
    let mut script = Harness::new(full);
    script.record(100, Left((1, 0)));
    for (number, at) in [94, 95, 110, 111].into_iter().enumerate() {
        script.record(at, Right((1, number as u32)));
    }
    let mut pairs = script.output();
    pairs.sort();
    assert_eq!(pairs, ["out@100 (Some(0), Some(1))", "out@110 (Some(0), Some(2))"]);
}

#[test]
fn bounds_may_be_excluded() {
    let mut script = Harness::new(|input: Stream<Side>, taps| {
        let [left, right] = sides(&input);
        let bounds = (std::ops::Bound::Excluded(-5), std::ops::Bound::Excluded(10));
        tap(taps, &interval(left.interval_join("join", &right, bounds), Kind::Inner));
    });
    script.record(100, Left((1, 0)));
    for (number, at) in [95, 96, 109, 110].into_iter().enumerate() {
        script.record(at, Right((1, number as u32)));
    }
    let mut pairs = script.output();
    pairs.sort();
    assert_eq!(pairs, ["out@100 (Some(0), Some(1))", "out@109 (Some(0), Some(2))"]);
}

#[test]
fn a_record_without_a_partner_comes_when_none_can_come_any_more_and_is_on_time() {
    let mut script = Harness::new(|input: Stream<Side>, taps| {
        let [left, right] = sides(&input);
        let alone = interval(left.interval_join("join", &right, 0..=10), Kind::Left).out;
        let windows =
            alone.key_by(|_| 0u8).window("tens", pelton_operators::Tumbling::of(Duration::from_millis(10)));
        let counted = windows.count();
        taps.tap("out", &alone);
        taps.tap("late", &counted.late);
    });
    script.record(100, Left((1, 0))).watermark(105).watermark(110);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(111);
    assert_eq!(script.output(), ["out@110 (Some(0), None)"]);
    script.end();
    assert_eq!(script.output(), [""; 0], "nothing is late for who comes after");
}

#[test]
fn what_is_late_goes_to_a_side_also_after_a_crash() {
    let mut script = Harness::new(full);
    script.record(100, Left((1, 0))).watermark(103).barrier().crash();
    script.record(102, Right((1, 1))).record(103, Right((1, 2)));
    let mut found = script.output();
    found.sort();
    assert_eq!(found, ["late@102 Right((1, 1))", "out@103 (Some(0), Some(2))"]);
}

/// Partners that are earlier alone: a left record waits for those that may still come, or for none.
#[test]
fn bounds_may_lie_on_one_side() {
    let mut script = Harness::new(|input: Stream<Side>, taps| {
        let [left, right] = sides(&input);
        tap(taps, &interval(left.interval_join("join", &right, -20..=-10), Kind::Left));
    });
    script.record(100, Right((1, 0))).watermark(105);
    script.record(109, Left((1, 1))).record(110, Left((1, 2))).record(117, Left((2, 3)));
    let mut found = script.output();
    found.sort();
    assert_eq!(found, ["out@109 (Some(1), None)", "out@110 (Some(2), Some(0))"]);
    script.watermark(107);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(108);
    assert_eq!(script.output(), ["out@117 (Some(3), None)"]);
}

#[test]
fn times_at_the_ends_of_time_do_no_harm() {
    for kind in [Kind::Inner, Kind::Left, Kind::Right, Kind::Full] {
        let mut script = Harness::new(move |input: Stream<Side>, taps| {
            let [left, right] = sides(&input);
            tap(taps, &interval(left.interval_join("join", &right, i64::MIN..=i64::MAX), kind));
        });
        for at in [i64::MIN + 1, i64::MIN + 2, -1, 0, i64::MAX - 1, i64::MAX] {
            script.record(at, Left((1, 0))).record(at, Right((1, 1)));
        }
        script.end().output();
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let message = |bounds: (std::ops::Bound<i64>, std::ops::Bound<i64>)| {
        let failed = std::panic::catch_unwind(|| {
            Harness::new(|input: Stream<Side>, taps| {
                let [left, right] = sides(&input);
                tap(taps, &interval(left.interval_join("join", &right, bounds), Kind::Inner));
            })
        });
        *failed.err().unwrap().downcast::<String>().unwrap()
    };
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let nothing = "no difference of times is within its bounds";
    for (bounds, problem) in [
        ((Included(1), Included(0)), nothing),
        ((Included(1), Excluded(1)), nothing),
        ((Excluded(i64::MAX), Included(i64::MAX)), nothing),
        ((Unbounded, Included(1)), "it has no lower bound: give both, or use `join`"),
        ((Included(1), Unbounded), "it has no upper bound: give both, or use `join`"),
    ] {
        let message = message(bounds);
        assert!(message.contains("operator `join`") && message.contains("timed_joins.rs"), "{message}");
        assert!(message.contains(problem), "{message}");
    }
}

/// All records that were not late, and which of them have a partner.
#[derive(Clone)]
struct NestedLoops {
    lower: Option<i64>,
    upper: Option<i64>,
    kind: Kind,
    watermark: i64,
    left: Vec<(i64, (u8, u32), bool)>,
    right: Vec<(i64, (u8, u32), bool)>,
}

impl NestedLoops {
    fn new(lower: Option<i64>, upper: Option<i64>, kind: Kind) -> Self {
        Self { lower, upper, kind, watermark: i64::MIN, left: Vec::new(), right: Vec::new() }
    }

    /// The records that can have no partner any more go, and come out if that is asked for.
    fn alone(&mut self) -> Vec<String> {
        let (watermark, mut lines) = (self.watermark, Vec::new());
        let mut side =
            |records: &mut Vec<(i64, (u8, u32), bool)>, bound: Option<i64>, wanted, is_left: bool| {
                records.retain(|(at, (_, number), has_partner)| {
                    let until = bound.map(|bound| at + bound);
                    let is_past = until.is_some_and(|until| until < watermark) || watermark == i64::MAX;
                    if is_past && wanted && !has_partner {
                        let pair = if is_left { (Some(*number), None) } else { (None, Some(*number)) };
                        lines.push(format!("out@{} {pair:?}", until.map_or(*at, |until| until.max(*at))));
                    }
                    !is_past
                });
            };
        let kind = self.kind;
        side(&mut self.left, self.upper, matches!(kind, Kind::Left | Kind::Full), true);
        side(
            &mut self.right,
            self.lower.map(|lower| -lower),
            matches!(kind, Kind::Right | Kind::Full),
            false,
        );
        lines
    }
}

impl Model for NestedLoops {
    type Record = Side;

    fn record(&mut self, at: i64, record: Side) -> Vec<String> {
        let is_late = at < self.watermark
            && match record {
                Left(_) => self.lower.is_some(),
                Right(_) => self.upper.is_some(),
            };
        if is_late {
            return vec![format!("late@{at} {record:?}")];
        }
        match record {
            Left(record) => self.left.push((at, record, false)),
            Right(record) => self.right.push((at, record, false)),
        }
        let mut lines = Vec::new();
        for (a_at, (a_key, a), a_has) in &mut self.left {
            for (b_at, (b_key, b), b_has) in &mut self.right {
                let is_new = match record {
                    Left((_, number)) => number == *a,
                    Right((_, number)) => number == *b,
                };
                let apart = *b_at - *a_at;
                let is_within = self.lower.is_none_or(|lower| apart >= lower)
                    && self.upper.is_none_or(|upper| apart <= upper);
                if is_new && is_within && a_key == b_key {
                    (*a_has, *b_has) = (true, true);
                    lines.push(format!("out@{} {:?}", (*a_at).max(*b_at), (Some(*a), Some(*b))));
                }
            }
        }
        lines.extend(self.alone());
        lines
    }

    fn watermark(&mut self, at: i64) -> Vec<String> {
        self.watermark = at;
        self.alone()
    }
}

/// Scripts in which each record has a number of its own.
fn numbered() -> impl Strategy<Value = Vec<Step<Side>>> {
    let side =
        (0u8..3, any::<bool>()).prop_map(|(key, left)| if left { Left((key, 0)) } else { Right((key, 0)) });
    steps(60, side).prop_map(|mut steps| {
        for (nth, step) in steps.iter_mut().enumerate() {
            if let Step::Record(_, Left((_, number)) | Right((_, number))) = step {
                *number = nth as u32;
            }
        }
        steps
    })
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Inner), Just(Kind::Left), Just(Kind::Right), Just(Kind::Full)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn interval_joins_agree_with_nested_loops(
        steps in numbered(), kind in kinds(), lower in -20i64..20, width in 0i64..20,
    ) {
        let (lower, upper) = (lower, lower + width);
        let build = move |input: Stream<Side>, taps: &mut Taps| {
            let [left, right] = sides(&input);
            tap(taps, &interval(left.interval_join("join", &right, lower..=upper), kind));
        };
        agree(build, NestedLoops::new(Some(lower), Some(upper), kind), steps);
    }

    #[test]
    fn joins_agree_with_nested_loops(
        steps in numbered(), kind in kinds(),
        keep_left in prop::option::of(0u64..30), keep_right in prop::option::of(0u64..30),
    ) {
        let build = move |input: Stream<Side>, taps: &mut Taps| {
            let [left, right] = sides(&input);
            let mut join: Join<_, _, _> = left.join("join", &right);
            if let Some(ms) = keep_left {
                join = join.keep_left(Duration::from_millis(ms));
            }
            if let Some(ms) = keep_right {
                join = join.keep_right(Duration::from_millis(ms));
            }
            tap(taps, &match kind {
                Kind::Inner => join.inner(|a, b| (number(a), number(b))),
                Kind::Left => join.left(|a, b| (number(a), b.and_then(number))),
                Kind::Right => join.right(|a, b| (a.and_then(number), number(b))),
                Kind::Full => join.full(|a, b| (a.and_then(number), b.and_then(number))),
            });
        };
        let (lower, upper) = (keep_right.map(|ms| -(ms as i64)), keep_left.map(|ms| ms as i64));
        agree(build, NestedLoops::new(lower, upper, kind), steps);
    }
}
