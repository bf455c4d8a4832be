//! What is wrong with a graph is told when it is finished, all of it, with places; what only shows when
//! it runs names the operator.

use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Collect, Harness, Values};
use pelton_operators::{
    Async, Context, Declare, Job, Kept, KeyedProcess, KeyedStream, NoSide, Stream, Tumbling, Watermarks,
};
use pelton_state::{MapTable, StateMut};
use serde::{Deserialize, Serialize};

#[test]
fn a_graph_without_a_sink_is_refused_and_says_what_to_add() {
    let mut job = Job::new();
    let numbers = job.source("numbers", Values::of([1u64])).watermarks(Watermarks::none());
    drop(numbers.map(|n| n + 1));
    let message = job.finish().err().unwrap().to_string();
    assert!(message.contains("the graph has no sink"), "{message}");
    assert!(message.contains("`.sink(name, ...)`"), "{message}");
    let nothing = Job::new().finish().err().unwrap().to_string();
    assert!(nothing.contains("the graph has no sink"), "{nothing}");
}

#[test]
fn each_name_that_is_given_twice_is_told_with_both_places() {
    let mut job = Job::new();
    let numbers = job.source("numbers", Values::of([1u64])).watermarks(Watermarks::none());
    let keyed = numbers.key_by(|n| *n);
    for _ in 0..2 {
        keyed.fold("sums", |sum: &mut u64, n| *sum += n).sink("numbers", Collect::new().0);
    }
    let message = job.finish().err().unwrap().to_string();
    for name in ["`sums`", "`numbers`"] {
        assert!(message.contains(&format!("two operators are named {name}")), "{message}");
    }
    assert_eq!(message.matches("first  at ").count(), message.matches("second at ").count());
    assert!(message.matches("mistakes.rs:").count() >= 4, "{message}");
}

#[test]
fn streams_of_two_jobs_do_not_meet() {
    let (mut job, mut other) = (Job::new(), Job::new());
    let one = job.source("one", Values::of([1u64])).watermarks(Watermarks::none());
    let two = other.source("two", Values::of([2u64])).watermarks(Watermarks::none());
    let (left, right) = (one.key_by(|n| *n), two.key_by(|n| *n));
    one.union([two]).sink("all", Collect::new().0);
    left.join("joined", &right).inner(|n, _| *n).out.sink("pairs", Collect::new().0);
    let tens = Tumbling::of(Duration::from_millis(10));
    left.window_join("in-windows", &right, tens).inner(|n, _| *n).out.sink("in-tens", Collect::new().0);
    let message = job.finish().err().unwrap().to_string();
    for operator in ["`union`", "`joined`", "`in-windows`"] {
        let line = message.lines().find(|line| line.contains(operator)).unwrap();
        assert!(line.contains("mistakes.rs:") && line.contains("streams of two jobs"), "{message}");
    }
}

const DECLARED: MapTable<u64, u64> = MapTable::new("declared");
const FORGOTTEN: MapTable<u64, u64> = MapTable::new("forgotten");

struct Forgetful;

impl KeyedProcess for Forgetful {
    type Key = u64;
    type In = u64;
    type Out = u64;
    type Side = NoSide;
    type State = ();

    fn declare(&self, states: &mut Declare<()>) {
        states.map(DECLARED);
    }

    fn on_record(&self, n: u64, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        Ok(cx.map(FORGOTTEN)?.insert(&n, n)?)
    }
}

#[test]
fn a_table_that_is_not_declared_fails_the_job_and_names_those_that_are() {
    let failed = std::panic::catch_unwind(|| {
        let mut script = Harness::new(|input: Stream<u64>, taps| {
            taps.tap("out", &input.key_by(|n| *n).process("forgetful", Forgetful).out);
        });
        script.record(1, 7).end();
    });
    let message = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("operator `forgetful` failed on worker 0, key group"), "{message}");
    assert!(message.contains("`forgotten`") && message.contains("`declared`"), "{message}");
    assert!(message.contains("script/0 at 0"), "{message}");
}

/// Without event times all records would be of one time, and pairs and groups would come out of it that are none.
#[test]
fn operators_that_compare_event_times_refuse_records_without() {
    let is_refused = |build: fn(&KeyedStream<u64, u64>) -> Stream<u64>| {
        let failed = std::panic::catch_unwind(|| {
            let mut script = Harness::new(|input: Stream<u64>, taps| {
                taps.tap("out", &build(&input.key_by(|n| *n)));
            });
            script.record(EventTime::MIN.0, 7).end();
        });
        let message = failed.err().map(|failed| *failed.downcast::<String>().unwrap());
        message.is_some_and(|message| message.contains("a record has no event time"))
    };
    const SOME: Duration = Duration::from_millis(5);
    assert!(is_refused(|keyed| keyed.deduplicate("first", Kept::FirstArrived).within(SOME).out));
    assert!(is_refused(|keyed| keyed.deduplicate("first", Kept::First).within(SOME).out));
    assert!(is_refused(|keyed| keyed.deduplicate("last", Kept::Last).within(SOME).out));
    assert!(is_refused(|keyed| keyed.interval_join("pairs", keyed, -5..=5).inner(|left, _| *left).out));
    assert!(is_refused(|keyed| keyed.temporal_join("versions", keyed).inner(|record, _| *record).out));
    assert!(!is_refused(|keyed| keyed.join("pairs", keyed).inner(|left, _| *left).out));
}

/// Fine in JSON, and no more to be read from a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    amount: u64,
}

struct Notes;

impl KeyedProcess for Notes {
    type Key = u64;
    type In = u64;
    type Out = u64;
    type Side = NoSide;
    type State = Noted;

    fn declare(&self, states: &mut Declare<Noted>) {
        states.version(1);
    }

    fn on_record(&self, n: u64, noted: &mut StateMut<'_, Noted>, cx: &mut Context<'_, Self>) -> OpResult {
        noted.amount += n;
        cx.emit(noted.amount);
        Ok(())
    }
}

#[test]
fn what_could_not_be_read_from_a_checkpoint_is_refused() {
    let mut job = Job::new();
    let numbers = job.source("numbers", Values::of([1u64])).watermarks(Watermarks::none());
    let noted = numbers.map(|amount| Noted { note: None, amount });
    numbers.key_by(|n| *n).process("notes", Notes).out.sink("amounts", Collect::new().0);
    noted.key_by(|noted| noted.amount).sorted("by-time").out.sink("sorted", Collect::new().0);
    noted.key_by(Noted::clone).distinct("once").sink("distinct", Collect::new().0);
    let asked = noted.async_io("asked", Async::unordered(|noted: Noted| async move { Ok(noted.amount) }));
    asked.out.sink("answers", Collect::new().0);
    let message = job.finish().err().unwrap().to_string();
    for operator in ["`notes`", "`by-time`", "`once`", "`asked`"] {
        let line = message.lines().find(|line| line.contains(operator)).unwrap();
        assert!(line.contains("mistakes.rs:") && line.contains("skip_serializing_if"), "{message}");
    }
}
