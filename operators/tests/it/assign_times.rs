//! Event times given in the middle of a graph: what they make of windows behind them, late records, silence, crashes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::clock::ManualClock;
use pelton_dataflow::graph::{Graph, Role};
use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::operator::{Operator, OperatorContext, Outputs, Resources, RestoredPart, Waker};
use pelton_dataflow::record::{Batch, Origin, Record};
use pelton_dataflow::settings::Settings;
use pelton_dataflow::source::SourceTime;
use pelton_dataflow::testing::run_with;
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_dataflow::watermarks::WatermarkBoard;
use pelton_operators::testing::{Collect, Harness, Taps, Values};
use pelton_operators::{Job, Stream, Tumbling, WatermarkGenerator, Watermarks};
use proptest::prelude::*;

type TimeOf = fn(&i64) -> EventTime;

fn time_of(at: &i64) -> EventTime {
    EventTime(*at)
}

fn bounded(ms: u64) -> Watermarks<TimeOf> {
    Watermarks::bounded(Duration::from_millis(ms), time_of as TimeOf)
}

/// Counts of ten milliseconds of records that are their own event times.
fn tens(times: &Stream<i64>, taps: &mut Taps) {
    let counts = times.key_by(|_| 'k').window("tens", Tumbling::of(Duration::from_millis(10))).count();
    taps.tap("count", &counts.out.map(|window| window.value));
    taps.tap("late", &counts.late);
}

fn script<G: WatermarkGenerator<i64>>(watermarks: Watermarks<TimeOf, G>) -> Harness<i64> {
    Harness::new(|times, taps| tens(&times.assign_times("times", watermarks).out, taps))
}

/// What comes out after each of `times`, which the source knows nothing of.
fn each(script: &mut Harness<i64>, times: &[i64]) -> Vec<String> {
    times.iter().flat_map(|at| script.record(0, *at).output()).collect()
}

#[test]
fn records_have_the_times_that_are_read_from_them_and_watermarks_follow() {
    let mut script = script(bounded(5));
    assert_eq!(each(&mut script, &[3, 12, 7, 14]), Vec::<String>::new());
    assert_eq!(each(&mut script, &[15]), ["count@9 2"]);
    assert_eq!(each(&mut script, &[9, 13]), ["late@9 9"]);
    script.end();
    assert_eq!(script.output(), ["count@19 4"]);
}

/// What the source says of event time is neither waited for nor followed.
#[test]
fn watermarks_of_before_end_there() {
    let mut script = script(bounded(0));
    script.watermark(1_000);
    assert_eq!(each(&mut script, &[3, 10]), ["count@9 1"]);
}

#[test]
fn marks_move_a_punctuated_watermark() {
    let marks = |at: &i64| (at % 10 == 0).then_some(EventTime(*at));
    let mut script = script(Watermarks::punctuated(time_of as TimeOf, marks));
    assert_eq!(each(&mut script, &[3, 55, 21]), Vec::<String>::new());
    assert_eq!(each(&mut script, &[20, 9]), ["count@9 1", "late@9 9"]);
}

/// The least of the last two times.
#[derive(Clone)]
struct LeastOfTwo;

impl WatermarkGenerator<i64> for LeastOfTwo {
    type State = Vec<i64>;

    fn on_record(&self, last: &mut Vec<i64>, _: &i64, time: EventTime) {
        last.insert(0, time.0);
        last.truncate(2);
    }

    fn watermark(&self, last: &Vec<i64>) -> EventTime {
        if last.len() < 2 { EventTime::MIN } else { EventTime(last[0].min(last[1])) }
    }
}

#[test]
fn the_state_of_a_custom_generator_is_in_the_checkpoint() {
    let mut script = script(Watermarks::custom(time_of as TimeOf, LeastOfTwo));
    assert_eq!(each(&mut script, &[3, 99]), Vec::<String>::new());
    script.barrier().crash();
    assert_eq!(each(&mut script, &[12]), ["count@9 1"], "it remembers 99");
    assert_eq!(each(&mut script, &[1]), ["late@1 1"], "a generator that goes back takes nothing back");
}

#[test]
fn late_before_the_crash_is_late_after_it() {
    let mut script = script(bounded(0));
    assert_eq!(each(&mut script, &[3, 25]), ["count@9 1"]);
    script.barrier().crash();
    assert_eq!(each(&mut script, &[8, 21]), ["late@8 8"]);
    assert_eq!(each(&mut script, &[30]), ["count@29 2"]);
}

/// Two ways, each with times of its own, meet again: the one that is silent holds until it is idle.
#[test]
fn a_silent_part_holds_the_watermark_until_it_is_idle() {
    let mut script = Harness::new(|times: Stream<i64>, taps| {
        let even = times.filter(|at| at % 2 == 0);
        let odd = times.filter(|at| at % 2 == 1);
        let even = even.assign_times("even", bounded(0).idle_after(Duration::from_millis(100)));
        tens(&even.out.union([odd.assign_times("odd", bounded(0)).out]), taps);
    });
    assert_eq!(each(&mut script, &[3, 8, 15]), Vec::<String>::new(), "even ones are at 8");
    script.advance(Duration::from_millis(99));
    assert_eq!(script.output(), Vec::<String>::new());
    script.advance(Duration::from_millis(1));
    assert_eq!(script.output(), ["count@9 2"]);
    assert_eq!(each(&mut script, &[4]), ["late@4 4"]);
}

#[derive(Clone, Debug)]
enum Step {
    Record(i64),
    Barrier,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0i64..20).prop_map(Step::Record),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..50)
}

/// Windows of ten behind a watermark that stays behind the latest time.
#[derive(Clone)]
struct Tens {
    watermark: i64,
    counts: BTreeMap<i64, u64>,
}

impl Tens {
    fn record(&mut self, at: i64, behind: i64) -> Vec<String> {
        let end = at - at.rem_euclid(10) + 10;
        let mut lines = Vec::new();
        if end <= self.watermark {
            lines.push(format!("late@{at} {at}"));
        } else {
            *self.counts.entry(end).or_default() += 1;
        }
        self.watermark = self.watermark.max(at - behind);
        let open = self.counts.split_off(&(self.watermark + 1));
        let fired = std::mem::replace(&mut self.counts, open);
        lines.extend(fired.into_iter().map(|(end, count)| format!("count@{} {count}", end - 1)));
        lines
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Times wander upwards, somewhat out of order, through barriers and crashes.
    #[test]
    fn windows_behind_assigned_times_agree_with_the_model(steps in steps(), behind in 0u64..15) {
        let mut script = script(bounded(behind));
        let mut model = Tens { watermark: i64::MIN, counts: BTreeMap::new() };
        let mut saved = model.clone();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Record(jitter) => {
                    let at = 3 * n as i64 + jitter;
                    let expected = model.record(at, behind.cast_signed());
                    prop_assert_eq!(script.record(0, at).output(), expected, "step {}, at {}", n, at);
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
        }
    }
}

fn graph_of<G: WatermarkGenerator<i64>>(watermarks: Watermarks<TimeOf, G>) -> Graph {
    let mut job = Job::new();
    let numbers = job.source("in", Values::of([0i64])).watermarks(Watermarks::none());
    numbers.assign_times("times", watermarks).out.sink("out", Collect::new().0);
    job.finish().unwrap()
}

/// The operator `times` of `graph` on one of two workers, from what its old instances have left.
fn restored(graph: &Graph, parts: Vec<Vec<u8>>) -> Box<dyn Operator> {
    let node = graph.nodes().iter().find(|node| node.name == "times").unwrap();
    let Role::Operator(factory) = &node.role else { panic!("it is an operator") };
    let part = |bytes| RestoredPart { groups: 0..1, watermark: EventTime(5_000), bytes };
    let cx = OperatorContext {
        name: "times",
        worker: 1,
        workers: 2,
        groups: KeyGroups::default(),
        job: "test",
        generation: 1,
        clock: Arc::new(ManualClock::at_ms(0)),
        settings: &Settings::default(),
        resources: &Resources::default(),
        restored: &parts.into_iter().map(part).collect::<Vec<_>>(),
        waker: Waker::noop(),
        board: &Arc::new(WatermarkBoard::new(graph, 2)),
        is_ranked: false,
        in_event_order: false,
    };
    factory.build(&cx).unwrap()
}

fn take(operator: &mut dyn Operator, times: &[i64]) -> SourceTime {
    let records = times.iter().map(|at| Record::new(EventTime::MIN, *at)).collect();
    let _flow =
        operator.on_batch(0, Batch::new(records, Origin::default()), &mut Outputs::new(2, 9)).unwrap();
    operator.event_time(Duration::ZERO)
}

/// Old instances at 40, 70 and, silent at 20, after the others at 60: records that are read again may come to any new
/// one, whatever their number.
#[test]
fn instances_begin_where_the_one_that_was_furthest_behind_was() {
    let graph = graph_of(bounded(0));
    let left = [(40, 0), (70, 0), (20, 60)].map(|(latest, followed)| {
        let mut old = restored(&graph, Vec::new());
        take(&mut *old, &[latest]);
        let _flow = old.on_watermark(EventTime(followed), &mut Outputs::new(2, 9)).unwrap();
        old.freeze(Epoch(0)).unwrap().bytes
    });
    let at = |ms| SourceTime::Active(EventTime(ms));
    let mut new = restored(&graph, left.to_vec());
    assert_eq!(new.event_time(Duration::ZERO), at(40));
    assert_eq!(take(&mut *new, &[30]), at(40));
    assert_eq!(take(&mut *new, &[41]), at(41));
    // Frozen again before it has read anything, it keeps what it was given.
    let again = restored(&graph, left[2..].to_vec()).freeze(Epoch(1)).unwrap().bytes;
    assert_eq!(restored(&graph, vec![again, left[1].clone()]).event_time(Duration::ZERO), at(60));
    // One that had seen nothing held the others back, and still does.
    let fresh = restored(&graph, Vec::new()).freeze(Epoch(0)).unwrap().bytes;
    let new = restored(&graph, vec![fresh, left[0].clone()]);
    assert_eq!(new.event_time(Duration::ZERO), SourceTime::Active(EventTime::MIN));
}

#[test]
fn a_watermark_is_clamped_to_the_clock_and_records_keep_their_times() {
    let graph = graph_of(bounded(10).clamp_ahead(Duration::from_millis(50)));
    let mut operator = restored(&graph, Vec::new());
    assert_eq!(take(&mut *operator, &[5_000]), SourceTime::Active(EventTime(40)));
}

/// What becomes of `times` at the clock's 1,000.
fn run(
    times: Vec<i64>,
    watermarks: Watermarks<TimeOf>,
    dead_letters: bool,
) -> Result<(Vec<i64>, Vec<String>), String> {
    let mut job = Job::new();
    let numbers = job.source("in", Values::of(times)).watermarks(Watermarks::none());
    let assigned = numbers.assign_times("times", watermarks);
    let (records, letters) = (Collect::new(), Collect::new());
    if dead_letters {
        let streams = assigned.dead_letters();
        streams.out.sink("out", records.0);
        streams.rejected.sink("letters", letters.0);
    } else {
        assigned.out.sink("out", records.0);
    }
    let clock = Arc::new(ManualClock::at_ms(1_000));
    run_with(&job.finish().unwrap(), Resources::default(), clock, Settings::default())
        .map_err(|error| error.to_string())?;
    let shown = letters.1.values().into_iter().map(|letter| format!("{}: {}", letter.raw, letter.reason));
    Ok((records.1.values(), shown.collect()))
}

#[test]
fn a_time_that_cannot_be_right_fails_the_job_or_is_a_dead_letter() {
    let message = run(vec![5, i64::MAX, 7], bounded(0), false).unwrap_err();
    assert!(message.contains("its event time, 9223372036854775807 ms since 1970, is beyond"), "{message}");
    assert!(message.contains("in/values") && message.contains("unless `.dead_letters()`"), "{message}");

    let (records, letters) = run(vec![5, i64::MAX, 7], bounded(0), true).unwrap();
    assert_eq!(records, [5, 7]);
    assert!(letters[0].starts_with("9223372036854775807: operator `times`: its event time"), "{letters:?}");

    let ahead = bounded(0).reject_ahead(Duration::from_millis(100));
    let (records, letters) = run(vec![5, 1_101, 1_100], ahead, true).unwrap();
    assert_eq!((records, letters.len()), (vec![5, 1_100], 1));
    assert!(letters[0].ends_with("is 101ms ahead of the clock"), "{letters:?}");
}

#[test]
fn what_only_a_source_can_do_is_a_mistake() {
    let mistake = |watermarks| {
        let mut job = Job::new();
        let numbers = job.source("in", Values::of([0i64])).watermarks(Watermarks::none());
        numbers.assign_times("times", watermarks).out.sink("out", Collect::new().0);
        job.finish().map(drop).unwrap_err().to_string()
    };
    let aligned = mistake(bounded(0).aligned("all", Duration::from_millis(5)));
    assert!(
        aligned.contains("operator `times`") && aligned.contains("only splits can be kept in step"),
        "{aligned}"
    );
    for timeless in [Watermarks::none(), Watermarks::by_arrival()] {
        assert!(mistake(timeless).contains("these watermarks read no event time from records"));
    }
    let mut job = Job::new();
    let numbers = job.source("in", Values::of([0i64])).watermarks(Watermarks::none());
    let timed = numbers.assign_times("times", bounded(0)).out;
    timed
        .key_by(|at| *at)
        .in_event_order("order")
        .out
        .reduce("sum", |a, b| a + b)
        .sink("out", Collect::new().0);
    let unordered = job.finish().map(drop).unwrap_err().to_string();
    assert!(
        unordered.contains("`times` (assign_times)") && unordered.contains("let the source give them"),
        "{unordered}"
    );
}
