//! Timers of keyed processes against a plain set: set, set again, called off and set by other timers,
//! in event time and in processing time, through barriers and crashes.

use std::collections::BTreeSet;
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{Context, KeyedProcess, NoSide, Stream};
use pelton_state::{StateMut, TimeDomain};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Order {
    SetEvent(i64),
    DeleteEvent(i64),
    SetProcessing(i64),
    DeleteProcessing(i64),
}

/// Does as each record says, and tells of each timer. Some timers set another one: a later one, or one
/// that is due already.
struct Alarms;

/// What a timer sets when it is called.
fn next_of(at: i64) -> Option<i64> {
    match at.rem_euclid(5) {
        0 => Some(at + 1),
        1 => Some(at + 7),
        2 => Some(at - 4),
        _ => None,
    }
}

impl KeyedProcess for Alarms {
    type Key = u8;
    type In = (u8, Order);
    type Out = (u8, i64);
    type Side = NoSide;
    type State = ();

    fn on_record(
        &self,
        (_, order): (u8, Order),
        _: &mut StateMut<'_, ()>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        match order {
            Order::SetEvent(at) => cx.timer_at(EventTime(at)),
            Order::DeleteEvent(at) => cx.delete_timer(EventTime(at)),
            Order::SetProcessing(at) => cx.processing_timer_at(at),
            Order::DeleteProcessing(at) => cx.delete_processing_timer(at),
        }
        Ok(())
    }

    fn on_timer(&self, at: EventTime, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        let key = *cx.key();
        cx.emit((key, at.0));
        if let Some(next) = next_of(at.0) {
            cx.timer_at(EventTime(next));
        }
        Ok(())
    }

    fn on_processing_timer(
        &self,
        at_ms: i64,
        _: &mut StateMut<'_, ()>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let key = *cx.key();
        cx.emit((key, at_ms));
        if let Some(next) = next_of(at_ms) {
            cx.processing_timer_at(next);
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn alarms(input: Stream<(u8, Order)>, taps: &mut Taps) {
    taps.tap("rang", &input.key_by(|(key, _)| *key).process("alarms", Alarms).out);
}

#[derive(Clone, Debug)]
enum Step {
    Record(u8, Order),
    Watermark(i64),
    Advance(u64),
    Barrier,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let order = prop_oneof![
        4 => (0i64..60).prop_map(Order::SetEvent),
        1 => (0i64..60).prop_map(Order::DeleteEvent),
        3 => (0i64..60).prop_map(Order::SetProcessing),
        1 => (0i64..60).prop_map(Order::DeleteProcessing),
    ];
    let step = prop_oneof![
        10 => (0u8..3, order).prop_map(|(key, order)| Step::Record(key, order)),
        3 => (0i64..60).prop_map(Step::Watermark),
        3 => (0u64..9).prop_map(Step::Advance),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..50)
}

/// The slow and obvious timers: a set for each domain, copied at a barrier.
#[derive(Clone)]
struct Model {
    waiting: [BTreeSet<(i64, u8)>; 2],
    watermark: i64,
}

impl Model {
    fn take(&mut self, key: u8, order: Order) {
        let [event, processing] = &mut self.waiting;
        match order {
            Order::SetEvent(at) => drop(event.insert((at, key))),
            Order::DeleteEvent(at) => drop(event.remove(&(at, key))),
            Order::SetProcessing(at) => drop(processing.insert((at, key))),
            Order::DeleteProcessing(at) => drop(processing.remove(&(at, key))),
        }
    }

    /// Calls all that are due, and those that they set and that are due as well.
    fn fire(&mut self, domain: TimeDomain, up_to: i64) -> Vec<String> {
        let mut lines = Vec::new();
        let waiting = &mut self.waiting[domain as usize];
        while let Some((at, key)) = waiting.pop_first() {
            if at > up_to {
                waiting.insert((at, key));
                break;
            }
            // What is emitted carries the time of an event timer, else the watermark.
            let time = if domain == TimeDomain::Event { at } else { self.watermark };
            lines.push(format!("rang@{time} {:?}", (key, at)));
            waiting.extend(next_of(at).map(|next| (next, key)));
        }
        lines
    }
}

fn check(steps: Vec<Step>) {
    let mut script = Harness::new(alarms);
    let mut model = Model { waiting: Default::default(), watermark: i64::MIN };
    let mut saved = model.clone();
    // The clock is nothing that a crash turns back.
    let mut now_ms = 0;
    for step in steps {
        let mut expected = Vec::new();
        let shown = format!("{step:?}");
        match step {
            Step::Record(key, order) => {
                script.record(0, (key, order));
                model.take(key, order);
            }
            Step::Watermark(at) if at > model.watermark => {
                script.watermark(at);
                model.watermark = at;
                expected = model.fire(TimeDomain::Event, at);
            }
            Step::Watermark(_) => {}
            Step::Advance(ms) => {
                script.advance(Duration::from_millis(ms));
                now_ms += ms as i64;
            }
            Step::Barrier => {
                script.barrier();
                saved = model.clone();
            }
            Step::Crash => {
                script.crash();
                model = saved.clone();
                // The source says again where it is.
                expected = model.fire(TimeDomain::Event, model.watermark);
            }
        }
        expected.extend(model.fire(TimeDomain::Processing, now_ms));
        let mut found = script.output();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "after {shown}");
    }
    // All that is left comes by the end.
    script.end();
    let mut found = script.output();
    found.sort();
    let mut expected = model.fire(TimeDomain::Event, EventTime::END.0);
    expected.sort();
    assert_eq!(found, expected, "the end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn timers_agree_with_the_model(steps in steps()) {
        check(steps);
    }
}
