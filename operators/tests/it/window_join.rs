//! Window joins and co-groups, against nested loops over the records of each window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pelton_dataflow::settings::Settings;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::window::Sliding;
use pelton_operators::{Joined, KeyedStream, Late, Stream, Tumbling, WindowJoin};
use proptest::prelude::*;

use crate::model::{Model, agree, steps};

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

fn tens() -> Tumbling {
    Tumbling::of(Duration::from_millis(10))
}

fn sliding(every: i64) -> Sliding {
    Sliding::of(Duration::from_millis(10)).every(Duration::from_millis(every.unsigned_abs()))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Inner,
    Left,
    Right,
    Full,
}

fn number(record: &(u8, u32)) -> Option<u32> {
    Some(record.1)
}

fn of_kind(join: WindowJoin<u8, (u8, u32), (u8, u32)>, kind: Kind) -> Joined<Pairs, (u8, u32), (u8, u32)> {
    match kind {
        Kind::Inner => join.inner(|a, b| (number(a), number(b))),
        Kind::Left => join.left(|a, b| (number(a), b.and_then(number))),
        Kind::Right => join.right(|a, b| (a.and_then(number), number(b))),
        Kind::Full => join.full(|a, b| (a.and_then(number), b.and_then(number))),
    }
}

/// In windows of 10 ms that begin every so many milliseconds.
fn join(kind: Kind, every: i64) -> impl Fn(Stream<Side>, &mut Taps) {
    move |input, taps| {
        let [left, right] = sides(&input);
        let joined = match every {
            10 => of_kind(left.window_join("join", &right, tens()), kind),
            every => of_kind(left.window_join("join", &right, sliding(every)), kind),
        };
        taps.tap("out", &joined.out);
        taps.tap("late", &joined.late);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn co_group(input: Stream<Side>, taps: &mut Taps) {
    let [left, right] = sides(&input);
    let joined = left.co_group("join", &right, tens(), |group, left, right| {
        let sum = |records: &[(u8, u32)]| records.iter().map(|(_, number)| u64::from(*number)).sum::<u64>();
        [(*group.key, group.start.0, group.end.0, left.len(), sum(left), right.len(), sum(right))]
    });
    taps.tap("out", &joined.out);
    taps.tap("late", &joined.late);
}

#[test]
fn a_record_meets_those_of_its_window_alone() {
    let mut script = Harness::new(join(Kind::Full, 10));
    script
        .record(9, Left((1, 0)))
        .record(10, Right((1, 1)))
        .record(0, Right((1, 2)))
        .record(11, Right((2, 3)));
    assert_eq!(script.watermark(9).output(), [""; 0]);
    assert_eq!(script.watermark(10).output(), ["out@9 (Some(0), Some(2))"]);
    let mut alone = script.end().output();
    alone.sort();
    assert_eq!(alone, ["out@19 (None, Some(1))", "out@19 (None, Some(3))"]);
}

#[test]
fn late_before_the_crash_is_late_after_it() {
    let mut script = Harness::new(join(Kind::Inner, 10));
    script.record(3, Left((1, 0))).watermark(10).barrier().crash();
    script.record(4, Right((1, 1))).record(14, Right((1, 2))).record(15, Left((1, 3))).end();
    assert_eq!(script.output(), ["late@4 Right((1, 1))", "out@19 (Some(3), Some(2))"]);
}

#[test]
fn a_co_group_has_both_lists() {
    let mut script = Harness::new(co_group);
    script.record(3, Left((1, 5))).record(4, Left((1, 6))).barrier().crash().record(5, Right((1, 7)));
    script.record(12, Right((1, 8))).end();
    assert_eq!(script.output(), ["out@9 (1, 0, 10, 2, 11, 1, 7)", "out@19 (1, 10, 20, 0, 0, 1, 8)"]);
}

/// Each side has `n` records of each of the keys.
fn hot(keys: u8, n: u32) -> impl Fn(Stream<u8>, &mut Taps) {
    move |input, taps| {
        let many = move |_| (0..keys).flat_map(move |key| (0..n).map(move |nth| (key, nth)));
        let [left, right] = [input.flat_map(many), input.flat_map(many)];
        let [left, right] = [left.key_by(|(key, _)| *key), right.key_by(|(key, _)| *key)];
        let pairs = left.window_join("join", &right, tens()).inner(|a, b| (a.0, a.1, b.1));
        taps.tap("out", &pairs.out);
    }
}

/// A barrier falls into the pairs of one key, and its rest is given by who is restored.
#[test]
fn a_product_that_a_barrier_cuts_goes_on_where_it_was() {
    for (keys, n) in [(1, 150), (5, 60)] {
        let mut script = Harness::new(hot(keys, n));
        script.record(1, 0).watermark_cut_by_barrier_and_crash(10);
        let mut found = script.output();
        let pairs = |key| (0..n).flat_map(move |a| (0..n).map(move |b| format!("out@9 {:?}", (key, a, b))));
        let mut expected: Vec<_> = (0..keys).flat_map(pairs).collect();
        found.sort();
        expected.sort();
        assert!(found == expected, "{} of {} pairs", found.len(), expected.len());
    }
}

#[test]
fn of_many_pairs_few_are_held_at_a_time() {
    let (given, most_held) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (giving, held, taken) = (given.clone(), most_held.clone(), AtomicU64::new(0));
    let mut script = Harness::new(move |input: Stream<u8>, taps: &mut Taps| {
        let [left, right] = [input.flat_map(|_| 0..500u32), input.flat_map(|_| 0..500u32)];
        let join = left.key_by(|_| 'k').window_join("join", &right.key_by(|_| 'k'), tens());
        let pairs = join.inner(move |_, _| giving.fetch_add(1, Ordering::Relaxed)).out;
        taps.tap(
            "out",
            &pairs.filter(move |given| {
                held.fetch_max(given - taken.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
                false
            }),
        );
    });
    script.record(1, 0).end().output();
    assert_eq!(given.load(Ordering::Relaxed), 500 * 500);
    let (most_held, batch) = (most_held.load(Ordering::Relaxed), Settings::default().batch_records as u64);
    assert!(most_held <= 2 * batch, "{most_held} were held at a time, in batches of {batch}");
}

#[test]
fn windows_that_cannot_be_are_a_mistake_with_their_place() {
    let mistake = std::panic::catch_unwind(|| {
        Harness::new(|input: Stream<Side>, taps| {
            let [left, right] = sides(&input);
            taps.tap(
                "out",
                &of_kind(left.window_join("join", &right, Tumbling::of(Duration::ZERO)), Kind::Inner).out,
            );
        })
    });
    let message = *mistake.err().unwrap().downcast::<String>().unwrap();
    assert!(message.contains("operator `join`") && message.contains("window_join.rs"), "{message}");
}

/// The records of each window and key.
#[derive(Clone)]
struct NestedLoops {
    /// `None` for a co-group.
    kind: Option<Kind>,
    every: i64,
    watermark: i64,
    open: BTreeMap<(i64, u8), [Vec<u32>; 2]>,
}

impl NestedLoops {
    fn new(kind: Option<Kind>, every: i64) -> Self {
        Self { kind, every, watermark: i64::MIN, open: BTreeMap::new() }
    }

    fn results(&self, end: i64, key: u8, [left, right]: &[Vec<u32>; 2]) -> Vec<String> {
        let Some(kind) = self.kind else {
            let sum = |numbers: &[u32]| numbers.iter().map(|number| u64::from(*number)).sum::<u64>();
            let group = (key, end - 10, end, left.len(), sum(left), right.len(), sum(right));
            return vec![format!("out@{} {group:?}", end - 1)];
        };
        let some = |numbers: &[u32]| match numbers {
            [] => vec![None],
            numbers => numbers.iter().map(|number| Some(*number)).collect(),
        };
        let all = some(left).into_iter().flat_map(|a| some(right).into_iter().map(move |b| (a, b)));
        let wanted = all.filter(|pair| match pair {
            (Some(_), Some(_)) => true,
            (Some(_), None) => matches!(kind, Kind::Left | Kind::Full),
            _ => matches!(kind, Kind::Right | Kind::Full),
        });
        wanted.map(|pair| format!("out@{} {pair:?}", end - 1)).collect()
    }
}

impl Model for NestedLoops {
    type Record = Side;

    fn record(&mut self, at: i64, record: Side) -> Vec<String> {
        let ends = (-20..20).map(|n| n * self.every + 10).filter(|end| *end > at && *end - 10 <= at);
        let (open, over): (Vec<_>, Vec<_>) = ends.partition(|end| *end > self.watermark);
        if open.is_empty() && !over.is_empty() {
            return vec![format!("late@{at} {record:?}")];
        }
        let (Left((key, number)) | Right((key, number))) = record;
        for end in open {
            let lists = self.open.entry((end, key)).or_default();
            lists[usize::from(matches!(record, Right(_)))].push(number);
        }
        Vec::new()
    }

    fn watermark(&mut self, at: i64) -> Vec<String> {
        self.watermark = at;
        let open = self.open.split_off(&(at.saturating_add(1), 0));
        let fired = std::mem::replace(&mut self.open, open);
        fired.iter().flat_map(|((end, key), lists)| self.results(*end, *key, lists)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn window_joins_agree_with_nested_loops(
        kind in prop_oneof![Just(Kind::Inner), Just(Kind::Left), Just(Kind::Right), Just(Kind::Full)],
        every in prop_oneof![Just(10i64), Just(5), Just(3), Just(14)],
        steps in steps(40, side()),
    ) {
        agree(join(kind, every), NestedLoops::new(Some(kind), every), steps);
    }

    #[test]
    fn co_groups_agree_with_nested_loops(steps in steps(40, side())) {
        agree(co_group, NestedLoops::new(None, 10), steps);
    }
}

fn side() -> impl Strategy<Value = Side> {
    (0u8..2, any::<u32>(), any::<bool>()).prop_map(|(key, n, left)| match left {
        true => Left((key, n)),
        false => Right((key, n)),
    })
}
