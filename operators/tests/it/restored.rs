//! Operators that are restored from instances which had not come equally far: the left half of the key
//! groups was at 20, the right half at 10.

use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::clock::ManualClock;
use pelton_dataflow::error::OpResult;
use pelton_dataflow::graph::{Graph, Node, Role};
use pelton_dataflow::key::{KeyGroups, Keyed, hash_of};
use pelton_dataflow::operator::{Operator, OperatorContext, Outputs, Resources, RestoredPart, Waker};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::settings::Settings;
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_dataflow::watermarks::WatermarkBoard;
use pelton_operators::over::{Features, last};
use pelton_operators::testing::{Collect, Values};
use pelton_operators::{
    BroadcastContext, BroadcastProcess, Context, CountWindows, Job, KeyedProcess, KeyedStream, Match, NoSide,
    Pattern, Sliding, Stream, Tumbling, Watermarks, WindowResult,
};
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::files::Backend;
use pelton_state::{StateMut, StateStore, StoreOptions, schema};

/// A key of the left half of the groups, and one of the right half.
fn keys() -> [u64; 2] {
    let is_left = |key: &u64| KeyGroups::default().group(hash_of(key)).0 < 64;
    [(0..).find(is_left).unwrap(), (0..).find(|key| !is_left(key)).unwrap()]
}

/// One operator on records that are their own keys, restored on a single worker.
struct Lone {
    operator: Box<dyn Operator>,
    _dir: tempfile::TempDir,
}

impl Lone {
    fn restored(build: impl FnOnce(&KeyedStream<u64, u64>)) -> Self {
        let part = |groups, watermark| {
            // A part as an operator has left it that all of its groups had come as far.
            let bytes = i64::to_le_bytes(watermark).to_vec();
            RestoredPart { groups, watermark: EventTime(watermark), bytes }
        };
        Self::from_parts(&[part(0..64, 20), part(64..128, 10)], build)
    }

    fn from_parts(restored: &[RestoredPart], build: impl FnOnce(&KeyedStream<u64, u64>)) -> Self {
        let mut job = Job::new();
        build(&job.source("in", Values::of([0u64])).watermarks(Watermarks::none()).key_by(|key| *key));
        let graph = job.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let node = graph.nodes().iter().find(|node| !node.states.is_empty()).unwrap();
        Self { operator: build_one(&graph, node, restored, dir.path()), _dir: dir }
    }

    /// A record of each key, at `at_ms`.
    fn records(&mut self, at_ms: i64) -> Outputs {
        let mut out = Outputs::new(3, usize::MAX);
        let keyed = |key| Keyed { hash: hash_of(&key), key, value: key };
        let records = keys().map(|key| Record::new(EventTime(at_ms), keyed(key)));
        let _flow =
            self.operator.on_batch(0, Batch::new(records.to_vec(), Origin::default()), &mut out).unwrap();
        out
    }

    fn watermark(&mut self, at_ms: i64) -> Outputs {
        let mut out = Outputs::new(3, usize::MAX);
        let _flow = self.operator.on_watermark(EventTime(at_ms), &mut out).unwrap();
        out
    }
}

/// The operator of `node` on a single worker, restored from what others have left.
fn build_one(
    graph: &Graph,
    node: &Node,
    restored: &[RestoredPart],
    dir: &std::path::Path,
) -> Box<dyn Operator> {
    let mut resources = Resources::default();
    resources.insert(store(graph, dir));
    let Role::Operator(factory) = &node.role else { panic!("{} is no operator", node.name) };
    let cx = OperatorContext {
        name: &node.name,
        worker: 0,
        workers: 1,
        groups: KeyGroups::default(),
        job: "test",
        generation: 1,
        clock: Arc::new(ManualClock::at_ms(0)),
        settings: &Settings::default(),
        resources: &resources,
        restored,
        waker: Waker::noop(),
        board: &Arc::new(WatermarkBoard::new(graph, 1)),
        is_ranked: false,
        in_event_order: false,
    };
    factory.build(&cx).unwrap()
}

fn store(graph: &Graph, dir: &std::path::Path) -> StateStore {
    let mut names = NameTable::default();
    names.declare(Declared::all_of(graph)).unwrap();
    StateStore::open(StoreOptions {
        backend: Backend::Memory,
        dir: dir.join("state"),
        worker: 0,
        workers: 1,
        groups: KeyGroups::default(),
        generation: 1,
        memory_bytes: 1 << 20,
        checkpoints: CheckpointStore::open(&dir.join("checkpoints").display().to_string()).unwrap(),
        restored: Vec::new(),
        ids: names,
        on_ack: Box::new(|_| ()),
    })
    .unwrap()
}

fn values<T: Data>(out: &mut Outputs, port: usize) -> Vec<T> {
    let batches = std::iter::from_fn(|| out.take(port));
    batches.flat_map(|batch| batch.into_records::<T>().0).map(|record| record.value).collect()
}

/// A rule that is late takes effect at the watermark of where it was read, also after a restart of another graph: it is found by
/// its name, as all that is kept is.
#[test]
fn a_late_rule_is_as_late_when_the_graph_has_changed_before_it() {
    let graph = |rules: &dyn Fn(Stream<u64>) -> Stream<u64>| {
        let mut job = Job::new();
        let input = job.source("in", Values::of([0u64])).watermarks(Watermarks::none());
        let limits = rules(input.clone()).broadcast("new-limits");
        let judged = input.key_by(|n| *n).connect_broadcast("limits", &limits, Limits);
        judged.out.sink("out", Collect::new().0);
        job.finish().unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let begin = |graph: &Graph, left: &[(String, RestoredPart)]| {
        let node = graph.nodes().iter().find(|node| node.kind == "on_time").unwrap();
        let restored = left.iter().filter(|(name, _)| *name == node.name).map(|(_, part)| part.clone());
        let restored: Vec<RestoredPart> = restored.collect();
        (node.name.clone(), build_one(graph, node, &restored, dir.path()))
    };
    let (name, mut before) = begin(&graph(&|rules| rules), &[]);
    let mut out = Outputs::new(1, usize::MAX);
    let _flow = before.on_watermark(EventTime(20), &mut out).unwrap();
    let bytes = before.freeze(Epoch(1)).unwrap().bytes;
    let left = [(name, RestoredPart { groups: 0..128, watermark: EventTime(20), bytes })];

    let (_, mut after) = begin(&graph(&|rules| rules.map(|n| n)), &left);
    let rule = Batch::new(vec![Record::new(EventTime(3), 7u64)], Origin::default());
    let _flow = after.on_batch(0, rule, &mut out).unwrap();
    let (rules, _) = out.take(0).unwrap().into_records::<u64>();
    assert_eq!(rules, [Record::new(EventTime(20), 7)]);
}

/// Lets through what is above a limit.
struct Limits;

impl BroadcastProcess for Limits {
    type Key = u64;
    type In = u64;
    type Rule = u64;
    type Rules = u64;
    type State = ();
    type Out = u64;
    type Side = NoSide;

    fn on_rule(&self, new: u64, limit: &mut u64, _: EventTime) -> OpResult {
        *limit = new;
        Ok(())
    }

    fn on_record(
        &self,
        n: u64,
        limit: &u64,
        _: &mut StateMut<'_, ()>,
        cx: &mut BroadcastContext<'_, Self>,
    ) -> OpResult {
        if n > *limit {
            cx.emit(n);
        }
        Ok(())
    }
}

fn windows(keyed: &KeyedStream<u64, u64>) {
    let windows = keyed.window("tens", Tumbling::of(Duration::from_millis(10))).count();
    windows.out.sink("out", Collect::new().0);
    windows.late.sink("late", Collect::new().0);
}

#[test]
fn on_time_before_the_crash_is_on_time_after_it() {
    let [left, right] = keys();
    let mut windows = Lone::restored(windows);
    let mut out = windows.records(12);
    assert_eq!(values::<u64>(&mut out, 1), [left], "it is late for the half that was at 20 alone");
    let fired = |out: &mut Outputs| {
        let results = values::<WindowResult<u64, u64>>(out, 0);
        results.into_iter().map(|window| (window.key, window.end.0, window.value)).collect::<Vec<_>>()
    };
    assert_eq!(fired(&mut windows.watermark(11)), [], "the window of the right half has not ended");
    let mut out = windows.records(19);
    assert_eq!(values::<u64>(&mut out, 1), [left]);
    assert_eq!(fired(&mut windows.watermark(20)), [(right, 20, 2)]);
    let mut out = windows.records(19);
    let mut late = values::<u64>(&mut out, 1);
    late.sort_unstable();
    assert_eq!(late, {
        let mut both = [left, right];
        both.sort_unstable();
        both
    });
}

fn sliding(keyed: &KeyedStream<u64, u64>) {
    let windows =
        keyed.window("thirties", Sliding::of(Duration::from_millis(30)).every(Duration::from_millis(10)));
    let counts = windows.count();
    counts.out.sink("out", Collect::new().0);
    counts.late.sink("late", Collect::new().0);
}

/// What windows by slices leave: which windows have fired, and watermarks.
fn left(groups: std::ops::Range<u16>, fired: i64, watermark: i64) -> RestoredPart {
    let bytes = [&8u32.to_le_bytes()[..], &fired.to_le_bytes(), &watermark.to_le_bytes()].concat();
    RestoredPart { groups, watermark: EventTime(watermark), bytes }
}

fn fired(out: &mut Outputs) -> Vec<(u64, i64, u64)> {
    let results = values::<WindowResult<u64, u64>>(out, 0);
    let mut fired: Vec<_> =
        results.into_iter().map(|window| (window.key, window.end.0, window.value)).collect();
    fired.sort_by_key(|(key, end, _)| (*end, *key));
    fired
}

#[test]
fn overlapping_windows_fire_for_those_for_whom_they_had_not_fired() {
    let [a, b] = keys();
    let mut windows = Lone::from_parts(&[left(0..64, 20, 20), left(64..128, 10, 10)], sliding);
    let mut out = windows.records(-5);
    assert_eq!(
        values::<u64>(&mut out, 1),
        [a],
        "all its windows have fired for the half that was at 20 alone"
    );
    windows.records(5);
    assert_eq!(fired(&mut windows.watermark(20)), [(b, 20, 2)], "for the other half it had fired");
    let mut both = [(a, 30, 1), (b, 30, 1)];
    both.sort_unstable();
    assert_eq!(fired(&mut windows.watermark(30)), both);
}

/// It was saved while windows fired: what was late for them stays late, though they fire after it.
#[test]
fn windows_that_were_due_fire_before_the_first_record() {
    let mut windows = Lone::from_parts(&[left(0..128, 0, 20)], sliding);
    let mut out = windows.records(5);
    assert_eq!(values::<u64>(&mut out, 1), [0; 0], "a window has not fired");
    assert_eq!(fired(&mut windows.watermark(29)), []);
    assert_eq!(fired(&mut windows.watermark(30)).len(), 2);
}

/// These bytes lie in checkpoints: they must not change.
#[test]
fn what_windows_by_slices_leave_is_fixed() {
    let mut windows = Lone::from_parts(&[left(0..128, 10, 12)], sliding);
    windows.watermark(29);
    let bytes = windows.operator.freeze(Epoch(1)).unwrap().bytes;
    assert_eq!(bytes, left(0..128, 20, 29).bytes);
}

/// It restarts once more before event time has come to where the left half was.
#[test]
fn what_was_late_is_late_after_a_second_crash_too() {
    let [left, right] = keys();
    let mut first = Lone::restored(windows);
    first.watermark(13);
    let bytes = first.operator.freeze(Epoch(1)).unwrap().bytes;
    let part = RestoredPart { groups: 0..128, watermark: EventTime(20), bytes };
    let mut second = Lone::from_parts(&[part], windows);
    let mut out = second.records(15);
    assert_eq!(values::<u64>(&mut out, 1), [left], "key {right} was at 13");
}

#[test]
fn what_is_late_for_a_pattern_is_a_matter_of_the_key() {
    let [left, right] = keys();
    let pattern = |keyed: &KeyedStream<u64, u64>| {
        let found = keyed.pattern("twice", Pattern::begin("one", |_| true).next("other", |_| true));
        found.matches.sink("out", Collect::new().0);
    };
    let mut patterns = Lone::restored(pattern);
    assert_eq!(values::<u64>(&mut patterns.records(15), 2), [left], "{right} was at 10");
    patterns.watermark(17);
    let mut late = values::<u64>(&mut patterns.records(16), 2);
    late.sort_unstable();
    assert_eq!(late.len(), 2);
    assert_eq!(values::<u64>(&mut patterns.records(18), 2), [left]);
    let _none_late = patterns.records(21);
    // The left key has had one record in time, the right one three.
    let found: Vec<_> = values::<Match<u64, u64>>(&mut patterns.watermark(30), 0);
    assert_eq!(found.iter().map(|found| found.key).collect::<Vec<_>>(), [right, right]);
}

/// Emits the watermark of each record, and whether it is late.
struct Looks;

impl KeyedProcess for Looks {
    type Key = u64;
    type In = u64;
    type Out = (u64, i64, bool);
    type Side = NoSide;
    type State = u64;

    fn on_record(&self, key: u64, _: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        let (watermark, is_late) = (cx.watermark().0, cx.is_late());
        cx.emit((key, watermark, is_late));
        Ok(())
    }
}

#[test]
fn a_process_sees_the_watermark_of_its_key() {
    let [left, right] = keys();
    let seen = |looks: &mut Lone| values::<(u64, i64, bool)>(&mut looks.records(15), 0);
    let out: fn(&KeyedStream<u64, u64>) -> Stream<_> = |keyed| keyed.process("looks", Looks).out;
    let mut looks = Lone::restored(|keyed| out(keyed).sink("out", Collect::new().0));
    assert_eq!(seen(&mut looks), [(left, 20, true), (right, 10, false)]);
    looks.watermark(17);
    assert_eq!(seen(&mut looks), [(left, 20, true), (right, 17, true)]);
    looks.watermark(30);
    assert_eq!(seen(&mut looks), [(left, 30, true), (right, 30, true)]);
}

/// Builds an operator on a keyed stream that depends on a number.
type Build<'a> = &'a dyn Fn(&KeyedStream<u64, u64>, u64);

/// Whether a checkpoint of what `build` makes of `before` is taken by what it makes of `now`.
fn is_taken(build: Build<'_>, before: u64, now: u64) -> bool {
    let graph = |n| {
        let mut job = Job::new();
        build(&job.source("in", Values::of([0u64])).watermarks(Watermarks::none()).key_by(|key| *key), n);
        job.finish().unwrap()
    };
    let (before, now) = (graph(before), graph(now));
    let mut names = NameTable::default();
    names.declare(Declared::all_of(&before)).unwrap();
    let states = now.nodes().iter();
    let states = states.flat_map(|node| node.states.iter().map(|state| (node.name.as_str(), state)));
    !schema::compare(&names, states).has_changed()
}

/// What is kept by the ends of windows means something else to windows that lie elsewhere.
#[test]
fn a_checkpoint_of_other_windows_is_told_from_ones_own() {
    let ms = Duration::from_millis;
    let cases: [(&str, Build<'_>); 7] = [
        ("tumbling", &|keyed, n| {
            keyed.window("w", Tumbling::of(ms(n))).count().out.sink("out", Collect::new().0);
        }),
        ("shifted", &|keyed, n| {
            let windows = Tumbling::days().offset(n as i64);
            keyed.window("w", windows).count().out.sink("out", Collect::new().0);
        }),
        ("sliding", &|keyed, n| {
            keyed.window("w", Sliding::of(ms(100)).every(ms(n))).count().out.sink("out", Collect::new().0);
        }),
        ("one by one", &|keyed, n| {
            let windows = keyed.window("w", Sliding::of(ms(100)).every(ms(n)));
            windows.fold(|all: &mut Vec<u64>, n| all.push(n)).out.sink("out", Collect::new().0);
        }),
        ("all", &|keyed, n| {
            let records = keyed.fold("f", |sum: &mut u64, n| *sum += n);
            records.window_all("w", Tumbling::of(ms(n))).count().out.sink("out", Collect::new().0);
        }),
        ("join", &|keyed, n| {
            let pairs =
                keyed.window_join("w", keyed, Tumbling::of(ms(n))).inner(|left, right| (*left, *right));
            pairs.out.sink("out", Collect::new().0);
        }),
        ("counts", &|keyed, n| {
            keyed.window("w", CountWindows::of(n)).count().out.sink("out", Collect::new().0);
        }),
    ];
    for (name, build) in cases {
        assert!(is_taken(build, 10, 10), "{name}: nothing has changed");
        assert!(!is_taken(build, 10, 20), "{name}");
    }
}

/// Sketches of another precision have the same type, and cannot be merged.
#[test]
fn a_checkpoint_of_other_partial_aggregates_is_told_from_ones_own() {
    fn bucketed<F: Features<u64>>(keyed: &KeyedStream<u64, u64>, features: F) {
        let buckets = keyed.over("o", |n| *n).coarsen(Duration::from_millis(4));
        buckets.features(features).out.sink("out", Collect::new().0);
    }
    let minute = last(Duration::from_mins(1));
    let refused: [(&str, Build<'_>); 7] = [
        ("distinct", &|keyed, n| bucketed(keyed, minute.distinct_about(n as u8))),
        ("of a part", &|keyed, n| bucketed(keyed, minute.of(|n: &u64| *n).distinct_about(n as u8))),
        ("one of two", &|keyed, n| bucketed(keyed, (minute.sum(), minute.distinct_about(n as u8)))),
        ("quantile", &|keyed, n| bucketed(keyed, minute.quantile_about(0.5, n as f64 / 100.0))),
        ("latest", &|keyed, n| bucketed(keyed, minute.latest_n(n as usize))),
        ("extremes", &|keyed, n| match n {
            10 => bucketed(keyed, minute.min()),
            _ => bucketed(keyed, minute.max()),
        }),
        ("buckets", &|keyed, n| {
            let buckets = keyed.over("o", |n| *n).coarsen(Duration::from_millis(n));
            buckets.features(minute.sum()).out.sink("out", Collect::new().0);
        }),
    ];
    for (name, build) in refused {
        assert!(is_taken(build, 10, 10), "{name}: nothing has changed");
        assert!(!is_taken(build, 10, 12), "{name}");
    }
    let taken: [(&str, Build<'_>); 3] = [
        ("another range", &|keyed, n| bucketed(keyed, last(Duration::from_secs(n)).sum())),
        ("another quantile", &|keyed, n| bucketed(keyed, minute.quantile_about(n as f64 / 100.0, 0.01))),
        ("values, not buckets", &|keyed, n| {
            let features = (minute.distinct_about(n as u8), minute.quantile_about(0.5, n as f64 / 100.0));
            keyed.over("o", |n| *n).features(features).out.sink("out", Collect::new().0);
        }),
    ];
    for (name, build) in taken {
        assert!(is_taken(build, 10, 12), "{name}");
    }
}
