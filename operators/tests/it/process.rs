//! Keyed processes: state, tables, timers, side output, errors.

use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::Harness;
use pelton_operators::{Context, Declare, KeyedProcess, Process, ProcessContext, Stream};
use pelton_state::{ListTable, MapTable, StateMut};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Session {
    visits: u32,
    ends: Option<EventTime>,
}

const PAGES: MapTable<String, u32> = MapTable::new("pages");
const TRAIL: ListTable<String> = ListTable::new("trail");

/// Counts page visits; a session ends 10 ms after its last visit.
struct Sessions;

impl KeyedProcess for Sessions {
    type Key = u8;
    type In = (u8, String);
    type Out = String;
    type Side = String;
    type State = Session;

    fn declare(&self, states: &mut Declare<Session>) {
        states.map(PAGES);
        states.list(TRAIL);
    }

    fn on_record(
        &self,
        (_, page): (u8, String),
        session: &mut StateMut<'_, Session>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if page.is_empty() {
            return Err("a visit without a page".into());
        }
        if page == "panic" {
            panic!("no such page");
        }
        if cx.is_late() {
            cx.side(format!("late visit of {page}"));
        }
        session.visits += 1;
        if let Some(ends) = session.ends {
            cx.delete_timer(ends);
        }
        let ends = cx.time() + Duration::from_millis(10);
        session.ends = Some(ends);
        cx.timer_at(ends);
        cx.processing_timer_at(cx.processing_time_ms() + 1_000);
        cx.list(TRAIL)?.push(page.clone())?;
        cx.map(PAGES)?.update(&page, |n| n + 1)?;
        Ok(())
    }

    fn on_timer(
        &self,
        at: EventTime,
        session: &mut StateMut<'_, Session>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let pages = cx.map(PAGES)?.iter()?.collect::<Result<Vec<_>, _>>()?;
        let trail = cx.list(TRAIL)?.iter()?.collect::<Result<Vec<_>, _>>()?;
        cx.emit(format!("{} ended at {} after {}: {pages:?} {trail:?}", cx.key(), at.0, session.visits));
        cx.map(PAGES)?.clear();
        cx.list(TRAIL)?.clear();
        **session = Session::default();
        Ok(())
    }

    fn on_processing_timer(
        &self,
        at_ms: i64,
        session: &mut StateMut<'_, Session>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        cx.side(format!("{} still has {} visits at {at_ms}", cx.key(), session.visits));
        Ok(())
    }
}

fn sessions() -> Harness<(u8, String)> {
    Harness::new(|input: Stream<(u8, String)>, taps| {
        let sessions = input.key_by(|(user, _)| *user).process("sessions", Sessions).dead_letters();
        taps.tap("out", &sessions.out);
        taps.tap("side", &sessions.side);
        taps.tap("rejected", &sessions.rejected.map(|letter| (letter.position, letter.reason, letter.raw)));
    })
}

fn visit(page: &str) -> (u8, String) {
    (7, page.to_owned())
}

#[test]
fn timers_are_moved_and_end_a_session_once() {
    let mut script = sessions();
    script.record(0, visit("home")).record(6, visit("cart")).record(7, visit("home")).watermark(16);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(17);
    assert_eq!(
        script.output(),
        [r#"out@17 "7 ended at 17 after 3: [(\"cart\", 1), (\"home\", 2)] [\"home\", \"cart\", \"home\"]""#]
    );
    script.end();
    assert_eq!(script.output(), [""; 0]);
}

#[test]
fn state_tables_and_timers_survive_a_crash() {
    let mut script = sessions();
    script.record(0, visit("home")).barrier().record(1, visit("lost")).crash().record(2, visit("cart")).end();
    assert_eq!(
        script.output(),
        [r#"out@12 "7 ended at 12 after 2: [(\"cart\", 1), (\"home\", 1)] [\"home\", \"cart\"]""#]
    );
}

#[test]
fn processing_time_timers_follow_the_clock() {
    let mut script = sessions();
    script.record(0, visit("home")).advance(Duration::from_millis(999));
    assert_eq!(script.output(), [""; 0]);
    script.advance(Duration::from_millis(1));
    assert_eq!(script.output(), [r#"side@-9223372036854775808 "7 still has 1 visits at 1000""#]);
}

#[test]
fn late_records_are_seen_as_late() {
    let mut script = sessions();
    script.watermark(5).record(4, visit("home"));
    assert_eq!(script.output(), [r#"side@4 "late visit of home""#]);
}

#[test]
fn a_record_that_fails_goes_to_the_dead_letters_with_its_place() {
    let mut script = sessions();
    script.record(0, visit("home")).record(1, visit("")).end();
    assert_eq!(
        script.output(),
        [
            r#"rejected@1 (0, "operator `sessions`, key 7: a visit without a page", "[7,\"\"]")"#,
            r#"out@10 "7 ended at 10 after 1: [(\"home\", 1)] [\"home\"]""#,
        ]
    );
}

fn failure_of(build: impl FnOnce() + std::panic::UnwindSafe) -> String {
    *std::panic::catch_unwind(build).unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn without_dead_letters_an_error_fails_the_job_with_its_place() {
    let message = failure_of(|| {
        let mut script = Harness::new(|input: Stream<(u8, String)>, taps| {
            taps.tap("out", &input.key_by(|(user, _)| *user).process("sessions", Sessions).out);
        });
        script.record(0, visit("home")).record(1, visit("")).end();
    });
    assert_eq!(
        message,
        "operator `sessions` failed on worker 0, key group 102, records of script/0 from 0 to 1: a visit without a page"
    );
}

#[test]
fn a_panic_fails_the_job_with_its_place() {
    let message = failure_of(|| {
        let mut script = sessions();
        script.record(0, visit("panic")).end();
    });
    assert_eq!(
        message,
        "operator `sessions` panicked on worker 0, key group 102, records of script/0 at 0: no such page"
    );
}

struct Halves;

impl Process for Halves {
    type In = u64;
    type Out = u64;
    type Side = u64;

    fn on_record(&self, n: u64, cx: &mut ProcessContext<'_, Self>) -> OpResult {
        match n {
            0 => return Err("zero has no half".into()),
            n if n % 2 == 0 => cx.emit(n / 2),
            odd => cx.side(odd),
        }
        Ok(())
    }
}

#[test]
fn an_unkeyed_process_has_a_side_and_dead_letters() {
    let mut script = Harness::new(|input: Stream<u64>, taps| {
        let halves = input.process(Halves).dead_letters();
        taps.tap("half", &halves.out);
        taps.tap("odd", &halves.side);
        taps.tap("rejected", &halves.rejected.map(|letter| letter.raw));
    });
    script.record(1, 6).record(2, 7).record(3, 0);
    let mut found = script.output();
    found.sort();
    assert_eq!(found, ["half@1 3", "odd@2 7", r#"rejected@3 "0""#]);
}

/// Sets a timer for each record; each timer goes out, every third of them to the side as well.
struct Alarms;

impl KeyedProcess for Alarms {
    type Key = u64;
    type In = u64;
    type Out = u64;
    type Side = u64;
    type State = ();

    fn on_record(&self, _: u64, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        cx.timer_at(cx.time());
        Ok(())
    }

    fn on_timer(&self, _: EventTime, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        let key = *cx.key();
        cx.emit(key);
        if key.is_multiple_of(3) {
            cx.side(key);
        }
        Ok(())
    }
}

/// More timers than fill two batches of the one output, and of the other not one.
const ALARMS: u64 = 2_500;

#[test]
fn what_fired_timers_emit_stands_before_the_barrier_that_falls_between_them() {
    let mut script = Harness::new(|input: Stream<u64>, taps| {
        let alarms = input.key_by(|key| *key).process("alarms", Alarms);
        taps.tap("out", &alarms.out);
        taps.tap("side", &alarms.side);
    });
    for key in 0..ALARMS {
        script.record(10, key);
    }
    script.watermark_cut_by_barrier_and_crash(10);
    let found = script.output();
    let counts = |name: &str, every: usize| {
        let of = |line: &String| found.iter().filter(|found| *found == line).count();
        let lines = (0..ALARMS).step_by(every).map(|key| format!("{name}@10 {key}"));
        lines.filter(|line| of(line) != 1).collect::<Vec<_>>()
    };
    assert_eq!((counts("out", 1), counts("side", 3)), (vec![], vec![]), "lines that did not come once");
}
