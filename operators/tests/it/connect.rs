//! Two streams into one process: shared state, timers, side output, dead letters, crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{CoContext, Declare, KeyedCoProcess, Stream};
use pelton_state::{MapTable, StateMut};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// A bill of a customer, or a payment of one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Event {
    Bill(char, i64),
    Payment(char, i64),
}
use Event::{Bill, Payment};

const PAYMENTS: MapTable<i64, u64> = MapTable::new("payments");

/// Keeps accounts: tells of each change, reminds 10 ms of event time after a bill, and 5 ms of processing
/// time after a payment. Overpaid money goes to the side; a payment of less than nothing is an error.
struct Accounts;

impl KeyedCoProcess for Accounts {
    type Key = char;
    type First = (char, i64);
    type Second = (char, i64);
    type Out = (char, String);
    type Side = i64;
    type State = i64;

    fn declare(&self, states: &mut Declare<i64>) {
        states.map(PAYMENTS);
    }

    fn on_first(
        &self,
        (customer, bill): (char, i64),
        due: &mut StateMut<'_, i64>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        **due += bill;
        cx.timer_at(cx.time() + Duration::from_millis(10));
        cx.emit((customer, format!("due {}", **due)));
        Ok(())
    }

    fn on_second(
        &self,
        (customer, paid): (char, i64),
        due: &mut StateMut<'_, i64>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        if paid < 0 {
            return Err(format!("{paid} is no payment").into());
        }
        cx.map(PAYMENTS)?.update(&paid, |n| n + 1)?;
        let left = **due - paid;
        **due = left.max(0);
        if left < 0 {
            cx.side(-left);
        }
        cx.processing_timer_at(cx.processing_time_ms() + 5);
        let times = cx.map(PAYMENTS)?.get(&paid)?.unwrap_or_default();
        cx.emit((customer, format!("paid {paid} for the {times}. time, due {}", **due)));
        Ok(())
    }

    fn on_timer(&self, _: EventTime, due: &mut StateMut<'_, i64>, cx: &mut CoContext<'_, Self>) -> OpResult {
        if **due > 0 {
            let customer = *cx.key();
            cx.emit((customer, format!("remember {}", **due)));
        }
        Ok(())
    }

    fn on_processing_timer(
        &self,
        at_ms: i64,
        due: &mut StateMut<'_, i64>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        let customer = *cx.key();
        cx.emit((customer, format!("thanks at {at_ms}, due {}", **due)));
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the harness hands the stream over")]
fn accounts(events: Stream<Event>, taps: &mut Taps) {
    let bills = events.flat_map(|event| match event {
        Bill(customer, amount) => Some((customer, amount)),
        Payment(..) => None,
    });
    let payments = events.flat_map(|event| match event {
        Payment(customer, amount) => Some((customer, amount)),
        Bill(..) => None,
    });
    let both = bills.key_by(|(customer, _)| *customer).connect(&payments.key_by(|(customer, _)| *customer));
    let accounts = both.process("accounts", Accounts).dead_letters();
    taps.tap("out", &accounts.out);
    taps.tap("side", &accounts.side);
    taps.tap("rejected", &accounts.rejected.map(|it| (it.split, it.position, it.reason)));
}

#[test]
fn both_inputs_share_what_is_kept_of_a_key() {
    let mut script = Harness::new(accounts);
    script.record(1, Bill('a', 20));
    assert_eq!(script.output(), ["out@1 ('a', \"due 20\")"]);
    script.record(2, Payment('a', 15)).record(2, Payment('b', 1));
    let mut found = script.output();
    found.sort();
    assert_eq!(
        found,
        [
            "out@2 ('a', \"paid 15 for the 1. time, due 5\")",
            "out@2 ('b', \"paid 1 for the 1. time, due 0\")",
            "side@2 1",
        ]
    );
    script.watermark(11).advance(Duration::from_millis(5));
    let mut found = script.output();
    found.sort();
    let thanks = ["out@11 ('a', \"thanks at 5, due 5\")", "out@11 ('b', \"thanks at 5, due 0\")"];
    assert_eq!(found, ["out@11 ('a', \"remember 5\")", thanks[0], thanks[1]]);
}

#[test]
fn an_error_of_either_input_is_a_dead_letter_with_its_place() {
    let mut script = Harness::new(accounts);
    script.record(1, Bill('a', 20)).record(2, Payment('a', -3));
    let reason = "operator `accounts`, key 'a': -3 is no payment";
    let letter = format!("rejected@2 (\"script/0 at 1\", 1, {reason:?})");
    assert_eq!(script.output(), ["out@1 ('a', \"due 20\")", &letter]);
}

#[test]
fn a_crash_takes_back_what_both_inputs_did() {
    let mut script = Harness::new(accounts);
    script.record(1, Bill('a', 20)).barrier().record(2, Payment('a', 15)).output();
    script.crash().record(2, Payment('a', 4)).watermark(11);
    assert_eq!(
        script.output(),
        ["out@2 ('a', \"paid 4 for the 1. time, due 16\")", "out@11 ('a', \"remember 16\")"]
    );
}

#[derive(Clone, Debug)]
enum Step {
    Event(i64, Event),
    Watermark(i64),
    Advance(u64),
    Barrier,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let event = prop_oneof![
        (0u8..3, 0i64..9).prop_map(|(of, bill)| Bill(char::from(b'a' + of), bill)),
        (0u8..3, 0i64..9).prop_map(|(of, paid)| Payment(char::from(b'a' + of), paid)),
    ];
    let step = prop_oneof![
        10 => (0i64..60, event).prop_map(|(at, event)| Step::Event(at, event)),
        2 => (0i64..70).prop_map(Step::Watermark),
        2 => (0u64..9).prop_map(Step::Advance),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..50)
}

/// The slow and obvious accounts.
#[derive(Clone, Default)]
struct Model {
    due: BTreeMap<char, i64>,
    times: BTreeMap<(char, i64), u64>,
    reminders: BTreeSet<(i64, char)>,
    thanks: BTreeSet<(i64, char)>,
    watermark: Option<i64>,
}

impl Model {
    fn event(&mut self, at: i64, event: Event, now_ms: i64) -> Vec<String> {
        match event {
            Bill(of, bill) => {
                *self.due.entry(of).or_default() += bill;
                self.reminders.insert((at + 10, of));
                vec![format!("out@{at} {:?}", (of, format!("due {}", self.due[&of])))]
            }
            Payment(of, paid) => {
                let times = self.times.entry((of, paid)).or_default();
                *times += 1;
                let due = self.due.entry(of).or_default();
                let left = *due - paid;
                *due = left.max(0);
                self.thanks.insert((now_ms + 5, of));
                let told = format!("paid {paid} for the {times}. time, due {due}");
                let side = (left < 0).then(|| format!("side@{at} {}", -left));
                [format!("out@{at} {:?}", (of, told))].into_iter().chain(side).collect()
            }
        }
    }

    fn advance(&mut self, watermark: Option<i64>) -> Vec<String> {
        self.watermark = self.watermark.max(watermark);
        let due = |timers: &mut BTreeSet<(i64, char)>, up_to: i64| {
            let later = timers.split_off(&(up_to.saturating_add(1), '\0'));
            std::mem::replace(timers, later)
        };
        let reminders = due(&mut self.reminders, self.watermark.unwrap_or(i64::MIN)).into_iter();
        let open = |(at, of): (i64, char)| {
            let due = self.due.get(&of).copied().unwrap_or_default();
            (due > 0).then(|| format!("out@{at} {:?}", (of, format!("remember {due}"))))
        };
        reminders.filter_map(open).collect()
    }

    fn thank(&mut self, now_ms: i64) -> Vec<String> {
        let later = self.thanks.split_off(&(now_ms + 1, '\0'));
        let time = self.watermark.unwrap_or(i64::MIN);
        let line = |(at, of): (i64, char)| {
            let due = self.due.get(&of).copied().unwrap_or_default();
            format!("out@{time} {:?}", (of, format!("thanks at {at}, due {due}")))
        };
        std::mem::replace(&mut self.thanks, later).into_iter().map(line).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn accounts_agree_with_the_model(steps in steps()) {
        let mut script = Harness::new(accounts);
        let (mut model, mut saved) = (Model::default(), Model::default());
        // The clock is nothing that a crash turns back.
        let mut now_ms = 0;
        for step in steps {
            let shown = format!("{step:?}");
            let mut expected = Vec::new();
            match step {
                Step::Event(at, event) => {
                    script.record(at, event);
                    expected = model.event(at, event, now_ms);
                }
                Step::Watermark(at) if Some(at) > model.watermark => {
                    script.watermark(at);
                    expected = model.advance(Some(at));
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
                    expected = model.advance(None);
                }
            }
            // A timer that is due when it is set waits for the next watermark.
            expected.extend(model.thank(now_ms));
            let mut found = script.output();
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected, "after {}", shown);
        }
    }
}
