//! A job as a user writes it, with nothing but the prelude: what the facade promises to have.

use pelton::prelude::*;
use pelton::testing::Harness;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Payment {
    id: u64,
    card: u64,
    merchant: u32,
    amount: i64,
    at: EventTime,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Card {
    probed_at: Option<EventTime>,
}

const MERCHANTS: MapTable<u32, u32> = MapTable::new("merchants");

/// A small probing payment, then a large one within a minute.
struct ProbeThenHit {
    within: Duration,
}

impl KeyedProcess for ProbeThenHit {
    type Key = u64;
    type In = Payment;
    type Out = u64;
    type Side = String;
    type State = Card;

    fn declare(&self, states: &mut Declare<Card>) {
        states.map(MERCHANTS);
    }

    fn on_record(
        &self,
        payment: Payment,
        card: &mut StateMut<'_, Card>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if payment.amount <= 0 {
            cx.side(format!("payment {} is of {}", payment.id, payment.amount));
            return Ok(());
        }
        let probed = card.probed_at.is_some_and(|at| payment.at >= at && payment.at - at <= self.within);
        if payment.amount >= 1_000 && probed {
            cx.emit(payment.id);
        }
        if payment.amount <= 1 {
            card.probed_at = Some(payment.at);
            cx.timer_at(payment.at + self.within);
        }
        cx.map(MERCHANTS)?.update(&payment.merchant, |count| count + 1)?;
        Ok(())
    }

    fn on_timer(
        &self,
        at: EventTime,
        card: &mut StateMut<'_, Card>,
        _cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if card.probed_at.is_some_and(|probed| at >= probed + self.within) {
            card.probed_at = None;
        }
        Ok(())
    }
}

fn script() -> Harness<Payment> {
    Harness::new(|payments: Stream<Payment>, taps| {
        let cards = payments.key_by(|payment| payment.card);
        let checked =
            cards.clone().process("probe-then-hit", ProbeThenHit { within: Duration::from_secs(60) });
        let spend =
            cards.window("spend-5m", Tumbling::of(Duration::from_mins(5))).sum(|payment| payment.amount);
        taps.tap("alert", &checked.out);
        taps.tap("rejected", &checked.side);
        taps.tap("spend", &spend.out.map(|window| (window.key, window.value)));
        taps.tap("late", &spend.late.map(|payment| payment.id));
    })
}

fn payment(id: u64, amount: i64, at: i64) -> Payment {
    Payment { id, card: 7, merchant: 1, amount, at: EventTime(at) }
}

#[test]
fn the_sketch_of_the_api_is_a_job() {
    let mut script = script();
    script.record(0, payment(1, 1, 0)).record(59_000, payment(2, 2_000, 59_000));
    assert_eq!(script.output(), ["alert@59000 2"]);
    script.record(60_000, payment(3, -5, 60_000));
    assert_eq!(script.output(), ["rejected@60000 \"payment 3 is of -5\""]);

    // The barrier keeps the probe; the watermark lets its timer forget it.
    script.record(100_000, payment(4, 1, 100_000)).barrier().crash();
    script.record(101_000, payment(5, 2_000, 101_000)).watermark(160_000);
    script.record(160_000, payment(6, 2_000, 160_000));
    assert_eq!(script.output(), ["alert@101000 5"]);

    script.watermark(300_000).record(1_000, payment(7, 3, 1_000));
    assert_eq!(script.output(), ["spend@299999 (7, 5997)", "late@1000 7"]);
}

fn squares(job: &mut Job, _: &()) -> pelton::Result<()> {
    let until = "5".parse::<u64>()?;
    let numbers = job.source("numbers", Values::new(0..until)).watermarks(Watermarks::none());
    numbers.map(|n| n * n).sink("squares", Discard::new());
    Ok(())
}

#[test]
fn a_job_without_arguments_is_one_too() {
    // That it can be given to `main` is what is tested; `main` reads this process's arguments.
    let _main: fn() -> ExitCode = || pelton::cli::main(squares);
    let mut job = Job::new();
    squares(&mut job, &()).unwrap();
    assert!(job.finish().unwrap().explain().contains("squares"));
}

#[test]
fn errors_say_what_helps() {
    let mut job = Job::new();
    let numbers = job.source("numbers", Values::new(0..3u64)).watermarks(Watermarks::none());
    numbers.sink("numbers", Discard::new());
    let error = pelton::Error::from(job.finish().map(|_| ()).unwrap_err());
    assert_eq!(error.remedy(), pelton::Remedy::FixGraph);
    assert!(error.to_string().contains("two operators are named `numbers`"), "{error}");
}
