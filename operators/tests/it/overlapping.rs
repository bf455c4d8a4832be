//! Sliding and cumulative windows, with aggregates that merge and that do not.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_operators::aggregate::{Fold, Sum};
use pelton_operators::testing::{Collect, Harness, Taps, Values};
use pelton_operators::{
    Cumulative, Job, Sliding, Stream, Tumbling, Watermarks, Windowed, WindowedAll, Windows,
};
use proptest::prelude::*;

type Sale = (u8, u64);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn tap(taps: &mut Taps, windows: &Windowed<u8, u64, Sale>) {
    taps.tap("sum", &windows.out.map(|window| (window.key, window.start.0, window.end.0, window.value)));
    taps.tap("late", &windows.late);
}

fn tap_all(taps: &mut Taps, windows: &WindowedAll<u64, Sale>) {
    taps.tap("sum", &windows.out.map(|window| (0u8, window.start.0, window.end.0, window.value)));
    taps.tap("late", &windows.late);
}

/// Sums by key, by an aggregate that merges, or by one that does not.
fn script(windows: impl Into<Windows<Sale>> + Clone + 'static, merges: bool) -> Harness<Sale> {
    Harness::new(move |sales: Stream<Sale>, taps| {
        let cut = sales.key_by(|(key, _)| *key).window("sums", windows.clone());
        tap(
            taps,
            &match merges {
                true => cut.aggregate(Sum::new(|(_, amount): &Sale| *amount)),
                false => cut.aggregate(Fold::new(|sum: &mut u64, (_, amount): Sale| *sum += amount)),
            },
        );
    })
}

fn both(windows: impl Into<Windows<Sale>> + Clone + 'static, test: impl Fn(Harness<Sale>)) {
    test(script(windows.clone(), true));
    test(script(windows, false));
}

fn thirties() -> Sliding {
    Sliding::of(ms(30)).every(ms(10))
}

#[test]
fn a_record_is_in_each_window_that_holds_it() {
    both(thirties(), |mut script| {
        script.record(5, (1, 1)).record(25, (1, 10)).record(31, (1, 100)).watermark(29);
        assert_eq!(script.output(), ["sum@9 (1, -20, 10, 1)", "sum@19 (1, -10, 20, 1)"]);
        script.watermark(30);
        assert_eq!(script.output(), ["sum@29 (1, 0, 30, 11)"]);
        script.end();
        let rest = ["sum@39 (1, 10, 40, 110)", "sum@49 (1, 20, 50, 110)", "sum@59 (1, 30, 60, 100)"];
        assert_eq!(script.output(), rest);
    });
}

/// Bounds of windows cut a slide in two.
#[test]
fn a_size_need_not_be_a_multiple_of_the_slide() {
    both(Sliding::of(ms(25)).every(ms(10)).offset(3), |mut script| {
        script.record(7, (1, 1)).record(8, (1, 10)).end();
        let sums = ["sum@7 (1, -17, 8, 1)", "sum@17 (1, -7, 18, 11)", "sum@27 (1, 3, 28, 11)"];
        assert_eq!(script.output(), sums);
    });
}

#[test]
fn a_record_behind_the_watermark_is_in_the_windows_that_have_not_fired_and_late_for_none() {
    both(thirties(), |mut script| {
        script.record(5, (1, 1)).record(12, (1, 10)).watermark(20);
        assert_eq!(script.output(), ["sum@9 (1, -20, 10, 1)", "sum@19 (1, -10, 20, 11)"]);
        script.record(3, (1, 100)).record(4, (2, 7)).watermark(30);
        let mut sums = script.output();
        sums.sort();
        assert_eq!(sums, ["sum@29 (1, 0, 30, 111)", "sum@29 (2, 0, 30, 7)"]);
        // All its windows have fired: the last was that of [0, 30).
        script.record(3, (1, 1_000)).record(13, (1, 10_000)).watermark(40).record(11, (1, 5)).end();
        let rest = ["late@3 (1, 1000)", "sum@39 (1, 10, 40, 10010)", "late@11 (1, 5)"];
        assert_eq!(script.output(), rest);
    });
}

#[test]
fn a_gap_between_windows_belongs_to_none() {
    both(Sliding::of(ms(10)).every(ms(30)), |mut script| {
        script.record(5, (1, 1)).record(10, (1, 10)).record(29, (1, 100)).record(30, (1, 1_000)).end();
        assert_eq!(script.output(), ["sum@9 (1, 0, 10, 1)", "sum@39 (1, 30, 40, 1000)"]);
    });
}

#[test]
fn cumulative_windows_grow_and_begin_anew() {
    both(Cumulative::of(ms(30)).step(ms(10)), |mut script| {
        script.record(5, (1, 1)).record(25, (1, 10)).watermark(25);
        assert_eq!(script.output(), ["sum@9 (1, 0, 10, 1)", "sum@19 (1, 0, 20, 1)"]);
        script.record(7, (1, 100)).record(31, (2, 5)).end();
        let rest = [
            "sum@29 (1, 0, 30, 111)",
            "sum@39 (2, 30, 40, 5)",
            "sum@49 (2, 30, 50, 5)",
            "sum@59 (2, 30, 60, 5)",
        ];
        assert_eq!(script.output(), rest);
    });
}

#[test]
fn what_is_in_open_windows_survives_a_crash_and_what_has_fired_does_not_come_again() {
    both(thirties(), |mut script| {
        script.record(5, (1, 1)).record(12, (1, 10)).watermark(20).barrier();
        assert_eq!(script.output().len(), 2);
        script.record(25, (1, 1_000)).watermark(30).crash();
        assert_eq!(script.output(), ["sum@29 (1, 0, 30, 1011)"], "what was lost with the crash");
        // Before any watermark has come: it is late for two windows, and late for all of them.
        script.record(6, (1, 100)).record(-11, (1, 5)).watermark(20).watermark(30);
        assert_eq!(script.output(), ["late@-11 (1, 5)", "sum@29 (1, 0, 30, 111)"]);
        script.barrier().crash().end();
        assert_eq!(script.output(), ["sum@39 (1, 10, 40, 10)"]);
    });
}

/// So many keys that a window fires in several slices: of `amount` each.
fn many(sales: &Stream<Sale>) -> Stream<(u64, u64)> {
    sales.flat_map(|(_, amount)| (0..4_000).map(move |key| (key, amount)))
}

fn script_of_many(merges: bool) -> Harness<Sale> {
    Harness::new(move |sales: Stream<Sale>, taps| {
        let cut = many(&sales).key_by(|(key, _)| *key).window("sums", thirties());
        let sums = match merges {
            true => cut.aggregate(Sum::new(|(_, amount): &(u64, u64)| *amount)),
            false => cut.aggregate(Fold::new(|sum: &mut u64, (_, amount): (u64, u64)| *sum += amount)),
        };
        taps.tap("sum", &sums.out.map(|window| (window.start.0, window.value, window.key)));
        taps.tap("late", &sums.late);
    })
}

/// Of each start of a window, the sum that all keys have in it.
fn sums(lines: &[String]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let (start, rest) = line.split_once('(').unwrap().1.split_once(", ").unwrap();
        *counts.entry((start.to_owned(), rest.split_once(", ").unwrap().0.to_owned())).or_default() += 1;
    }
    counts
}

#[test]
fn a_barrier_within_the_firing_of_a_window_repeats_and_loses_nothing() {
    for merges in [true, false] {
        let mut script = script_of_many(merges);
        script.record(5, (0, 1)).record(15, (0, 10));
        for (at, sum) in [(10, 1), (20, 11), (30, 11), (40, 10)] {
            let mut found = script.watermark_cut_by_barrier_and_crash(at).output();
            found.extend(script.watermark(at).output());
            let all = found.len();
            found.sort();
            found.dedup();
            assert_eq!((found.len(), all), (4_000, 4_000));
            assert_eq!(sums(&found), BTreeMap::from([(((at - 30).to_string(), sum.to_string()), 4_000)]));
            script.barrier().crash();
            assert_eq!(script.output(), [""; 0], "it has fired");
        }
    }
}

/// The rest of a window is fired before a record is looked at that is late for it.
#[test]
fn a_record_after_such_a_barrier_is_not_in_a_window_that_was_due_before() {
    for merges in [true, false] {
        let mut script = script_of_many(merges);
        let mut found = script.record(5, (0, 1)).watermark_cut_by_barrier_and_crash(10).output();
        found.extend(script.record(5, (0, 100)).watermark(10).output());
        let of = |start: i64, sum: u64| BTreeMap::from([((start.to_string(), sum.to_string()), 4_000)]);
        assert_eq!(sums(&found), of(-20, 1));
        assert_eq!(sums(&script.watermark(20).output()), of(-10, 101));
    }
}

#[test]
fn windows_by_processing_time_take_what_arrives_and_fire_by_the_clock() {
    let mut script = script(thirties().by_processing_time(), true);
    script.record(1_000, (1, 1)).watermark(5_000).advance(ms(9)).record(7, (1, 10));
    assert_eq!(script.output(), [""; 0], "a watermark fires none, and what is behind it is not late");
    script.advance(ms(1)).record(8, (1, 100)).advance(ms(10));
    assert_eq!(script.output(), ["sum@9 (1, -20, 10, 11)", "sum@19 (1, -10, 20, 111)"]);
    script.end();
    assert_eq!(script.output(), ["sum@29 (1, 0, 30, 111)", "sum@39 (1, 10, 40, 100)"]);

    let mut script = self::script(Tumbling::of(ms(10)).by_processing_time(), true);
    script.record(1_000, (1, 1)).watermark(5_000).advance(ms(4)).record(7, (1, 10)).barrier().crash();
    assert_eq!(script.output(), [""; 0]);
    script.record(7, (1, 100)).advance(ms(6)).record(7, (2, 1));
    assert_eq!(script.output(), ["sum@9 (1, 0, 10, 111)"]);
    script.end();
    assert_eq!(script.output(), ["sum@19 (2, 10, 20, 1)"]);
}

#[test]
fn days_are_those_of_their_time_zone() {
    const HOUR: i64 = 3_600_000;
    // Midnight of the 29th of March 2026 in Berlin, when clocks are put forward.
    let midnight = 1_774_738_800_000;
    let mut script = script(Tumbling::days().in_zone("Europe/Berlin"), true);
    script
        .record(midnight, (1, 1))
        .record(midnight + 22 * HOUR, (1, 10))
        .record(midnight + 23 * HOUR, (1, 100))
        .end();
    let days = [
        format!("sum@{} (1, {midnight}, {}, 11)", midnight + 23 * HOUR - 1, midnight + 23 * HOUR),
        format!(
            "sum@{} (1, {}, {}, 100)",
            midnight + 47 * HOUR - 1,
            midnight + 23 * HOUR,
            midnight + 47 * HOUR
        ),
    ];
    assert_eq!(script.output(), days);
}

#[test]
fn a_slice_is_kept_once_and_is_gone_after_its_last_window() {
    let mut script = script(thirties(), true);
    (0..100).for_each(|at| {
        script.record(at, (1, 1));
    });
    assert_eq!(script.rows(), 10, "a row for each slice, however many windows it is in");
    // The next window to fire is that of [30, 60).
    assert_eq!(script.watermark(55).rows(), 7);
    assert_eq!(script.crash().watermark(89).rows(), 4);
    assert_eq!(script.end().rows(), 0);
}

#[test]
fn explain_says_how_windows_are_kept() {
    let mut job = Job::new();
    let sales = job.source("sales", Values::of([(1u8, 1u64)])).watermarks(Watermarks::none());
    let keyed = sales.key_by(|(key, _)| *key);
    let sums = keyed.window("shared", thirties()).sum(|(_, amount)| *amount);
    let folded = keyed.window("each", thirties()).fold(|sum: &mut u64, (_, amount)| *sum += amount);
    sums.out.union([folded.out]).sink("out", Collect::new().0);
    let graph = job.finish().unwrap();
    let detail = |name: &str| graph.nodes().iter().find(|node| node.name == name).unwrap().detail.clone();
    assert_eq!(detail("shared"), "sliding 30ms every 10ms, shared slices, 3 a window");
    assert_eq!(detail("each"), "sliding 30ms every 10ms, 3 windows a record: the aggregate does not merge");
}

/// What is aggregated of a slice that is not full is in the checkpoint.
#[test]
fn partial_aggregates_survive_a_crash() {
    let mut script = Harness::new(|sales: Stream<Sale>, taps| {
        tap_all(taps, &sales.window_all("sums", thirties()).sum(|(_, amount)| *amount));
    });
    script.record(5, (1, 1)).record(6, (2, 10)).watermark(7).barrier();
    script.record(7, (3, 100)).crash().record(8, (4, 1_000)).watermark(10);
    assert_eq!(script.output(), ["sum@9 (0, -20, 10, 1011)"]);
    // Behind the watermark, in a slice that has been sent on; and late for all its windows.
    script.record(9, (5, 10_000)).record(-25, (6, 7)).watermark(20);
    assert_eq!(script.output(), ["late@-25 (6, 7)", "sum@19 (0, -10, 20, 11011)"]);
    script.barrier().crash().record(-11, (7, 7)).end();
    assert_eq!(script.output(), ["late@-11 (7, 7)", "sum@29 (0, 0, 30, 11011)"]);
}

#[test]
fn windows_over_all_records_go_by_processing_time_too() {
    let mut script = Harness::new(|sales: Stream<Sale>, taps| {
        let windows = sales.window_all("sums", Tumbling::of(ms(10)).by_processing_time());
        tap_all(taps, &windows.sum(|(_, amount)| *amount));
    });
    script.record(500, (1, 1)).watermark(900).advance(ms(3)).record(1, (2, 10)).advance(ms(7));
    assert_eq!(script.output(), ["sum@9 (0, 0, 10, 11)"]);
}

fn mistake(
    windows: impl Into<Windows<Sale>> + Clone + std::panic::UnwindSafe + 'static,
    merges: bool,
) -> String {
    let told = std::panic::catch_unwind(move || script(windows, merges));
    *told.err().unwrap().downcast::<String>().unwrap()
}

#[test]
fn windows_that_are_none_are_mistakes() {
    let told = mistake(Cumulative::of(ms(30)).step(ms(20)), true);
    assert!(told.contains("operator `sums`") && told.contains("no multiple of its step of 20ms"), "{told}");
    let told = mistake(Sliding::of(ms(30)).every(Duration::ZERO), true);
    assert!(told.contains("a slide of 0ns is empty"), "{told}");
    let told = mistake(Sliding::of(ms(10_000)).every(ms(1)), false);
    assert!(told.contains("does not merge") && told.contains("10000 windows"), "{told}");
    drop(script(Sliding::of(ms(10_000)).every(ms(1)), true));
}

#[derive(Clone, Debug)]
enum Step {
    Record(i64, u8, u64),
    Watermark(i64),
    Barrier,
    Crash,
    /// A watermark that is cut by a barrier and a crash; a record that comes then.
    Cut(i64, i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        16 => (0i64..100, 0u8..4, 1u64..9).prop_map(|(at, key, amount)| Step::Record(at, key, amount)),
        4 => (0i64..120).prop_map(Step::Watermark),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
        1 => (0i64..120, 0i64..100).prop_map(|(at, record)| Step::Cut(at, record)),
    ];
    prop::collection::vec(step, 1..50)
}

/// Windows by their definition: starts at a distance, and lengths.
#[derive(Clone, Debug)]
struct Definition {
    period: i64,
    offset: i64,
    lengths: Vec<i64>,
}

impl Definition {
    fn windows_of(&self, at: i64) -> impl Iterator<Item = (i64, i64)> {
        let starts = (-60..120).map(|n| n * self.period + self.offset);
        let all = starts.flat_map(|start| self.lengths.iter().map(move |length| (start, start + length)));
        all.filter(move |(start, end)| (*start..*end).contains(&at))
    }

    fn cut(&self) -> Windows<Sale> {
        let length = |n: i64| ms(n.unsigned_abs());
        match self.lengths.as_slice() {
            [size] => Sliding::of(length(*size)).every(length(self.period)).offset(self.offset).into(),
            lengths => {
                Cumulative::of(length(self.period)).step(length(lengths[0])).offset(self.offset).into()
            }
        }
    }
}

fn definitions() -> impl Strategy<Value = Definition> {
    let sliding = (1i64..40, 3i64..25, -9i64..9).prop_map(|(size, period, offset)| Definition {
        period,
        offset,
        lengths: vec![size],
    });
    let cumulative = (2i64..5, 1i64..12, -9i64..9).prop_map(|(steps, step, offset)| Definition {
        period: steps * step,
        offset,
        lengths: (1..=steps).map(|n| n * step).collect(),
    });
    prop_oneof![3 => sliding, 1 => cumulative]
}

/// The slow and obvious way: each record is put into all its windows.
#[derive(Clone)]
struct Model {
    definition: Definition,
    of_all: bool,
    open: BTreeMap<(i64, i64, u8), u64>,
    watermark: i64,
}

impl Model {
    fn record(&mut self, at: i64, key: u8, amount: u64) -> Option<String> {
        let (watermark, mut windows, mut is_late) = (self.watermark, 0, true);
        for (start, end) in self.definition.windows_of(at) {
            windows += 1;
            if end > watermark {
                is_late = false;
                let of = if self.of_all { 0 } else { key };
                *self.open.entry((end, start, of)).or_default() += amount;
            }
        }
        (windows > 0 && is_late).then(|| format!("late@{at} {:?}", (key, amount)))
    }

    fn advance(&mut self, watermark: i64) -> Vec<String> {
        self.watermark = self.watermark.max(watermark);
        let open = self.open.split_off(&(self.watermark + 1, i64::MIN, 0));
        let fired = std::mem::replace(&mut self.open, open);
        let line = |((end, start, key), sum)| format!("sum@{} {:?}", end - 1, (key, start, end, sum));
        fired.into_iter().map(line).collect()
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Who aggregates what.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    /// Each key's records, by an aggregate that merges, or not.
    Key { merges: bool },
    /// All records.
    All { merges: bool },
}

fn agrees(definition: &Definition, of: Of, steps: &[Step]) -> Result<(), TestCaseError> {
    let cut = definition.clone();
    let sum = || Sum::new(|(_, amount): &Sale| *amount);
    let fold = || Fold::new(|sum: &mut u64, (_, amount): Sale| *sum += amount);
    let mut script = Harness::new(move |sales: Stream<Sale>, taps| {
        let by_key = || sales.key_by(|(key, _)| *key).window("sums", cut.cut());
        let all = || sales.window_all("sums", cut.cut());
        match of {
            Of::Key { merges: true } => tap(taps, &by_key().aggregate(sum())),
            Of::Key { merges: false } => tap(taps, &by_key().aggregate(fold())),
            Of::All { merges: true } => tap_all(taps, &all().aggregate(sum())),
            Of::All { merges: false } => tap_all(taps, &all().aggregate(fold())),
        }
    });
    let definition = definition.clone();
    let of_all = matches!(of, Of::All { .. });
    let mut model = Model { definition, of_all, open: BTreeMap::new(), watermark: i64::MIN };
    let mut saved = model.clone();
    for step in steps {
        let mut expected = Vec::new();
        let mut found = Vec::new();
        match *step {
            Step::Record(at, key, amount) => {
                script.record(at, (key, amount));
                expected.extend(model.record(at, key, amount));
                // What records set off shows with the next other step, all at once.
            }
            Step::Watermark(at) if at > model.watermark => {
                script.watermark(at);
                expected = model.advance(at);
            }
            Step::Barrier => {
                script.barrier();
                saved = model.clone();
            }
            Step::Crash => {
                script.crash();
                model = saved.clone();
            }
            Step::Cut(at, record) if at > model.watermark => {
                found = script.watermark_cut_by_barrier_and_crash(at).output();
                expected = model.advance(at);
                saved = model.clone();
                script.record(record, (1, 1)).watermark(at);
                expected.extend(model.record(record, 1, 1));
            }
            Step::Watermark(_) | Step::Cut(..) => {}
        }
        found.extend(script.output());
        prop_assert_eq!(sorted(found), sorted(expected), "at {:?}", step);
    }
    let expected = sorted(model.advance(1_000));
    prop_assert_eq!(sorted(script.end().output()), expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn windows_agree_with_the_model(definition in definitions(), steps in steps()) {
        agrees(&definition, Of::Key { merges: true }, &steps)?;
    }

    #[test]
    fn windows_of_what_does_not_merge_agree_with_the_model(definition in definitions(), steps in steps()) {
        agrees(&definition, Of::Key { merges: false }, &steps)?;
    }
    #[test]
    fn windows_over_all_records_agree_with_the_model(definition in definitions(), steps in steps(), merges: bool) {
        agrees(&definition, Of::All { merges }, &steps)?;
    }
}
