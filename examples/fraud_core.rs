//! The least of a fraud detection: one process function of one's own and a window, payments judged as they
//! arrive, by rules that never change. `fraud_detection` does more, with the operators of the library.
//!
//! What is remembered of a card and when it raises an alert is in `payments::rules::arrival`; here is how
//! records flow. `pelton-bench fraud-core` measures it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use pelton::prelude::*;
use pelton_examples::payments::generator::OUT_OF_ORDER_MS;
use pelton_examples::payments::rules::arrival::{ArrivalCard, ArrivalRules};
use pelton_examples::payments::{Alert, CardId, Payment, Turnover};

/// Finds card fraud in a stream of payments, by one process function
#[derive(clap::Args)]
#[command(version)]
struct Args {
    /// The stream of payments, as DIRECTORY/STREAM
    #[arg(long, default_value = ".pelton/demo/log/payments")]
    input: LogAddress,
    /// The stream that alerts are written to, as DIRECTORY/STREAM
    #[arg(long, default_value = ".pelton/demo/log/alerts")]
    alerts: LogAddress,
    /// The directory for turnover, late payments and lines that are no payments, as JSON lines
    #[arg(long, default_value = ".pelton/demo/out")]
    out: PathBuf,
    /// End when the payments that are there now have been processed
    #[arg(long)]
    until_end: bool,
}

/// Judges each payment by what is remembered of its card.
struct Judge(ArrivalRules);

impl KeyedProcess for Judge {
    type Key = CardId;
    type In = Payment;
    type Out = Alert;
    type Side = NoSide;
    type State = ArrivalCard;

    fn on_record(
        &self,
        payment: Payment,
        card: &mut StateMut<'_, ArrivalCard>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if let Some(forget_at) = self.0.check(&payment, card, |alert| cx.emit(alert)) {
            cx.timer_at(forget_at);
        }
        Ok(())
    }

    /// Frees state; it never decides a result, so alerts do not depend on when watermarks arrive.
    fn on_timer(
        &self,
        at: EventTime,
        card: &mut StateMut<'_, ArrivalCard>,
        _cx: &mut Context<'_, Self>,
    ) -> OpResult {
        card.forget(at, &self.0);
        Ok(())
    }
}

fn fraud(job: &mut Job, args: &Args) -> pelton::Result<()> {
    let mut log = ShardLog::json::<Payment>(&args.input);
    if args.until_end {
        log = log.until_end();
    }
    let out_of_order = Duration::from_millis(OUT_OF_ORDER_MS.unsigned_abs() + 1_000);
    let payments = job.source("payments", log).dead_letters().watermarks(
        Watermarks::bounded(out_of_order, |payment: &Payment| payment.time)
            .idle_after(Duration::from_secs(30)),
    );
    payments.rejected.sink("rejected", Files::jsonl(args.out.join("rejected")));

    let alerts =
        payments.out.key_by(|payment| payment.card).process("rules", Judge(ArrivalRules::default())).out;
    let log = ShardLog::json_sink(&args.alerts).create_if_missing(4);
    alerts.sink("alerts", log.partition_by(|alert: &Alert| alert.card.0.to_be_bytes()));

    let turnover = payments
        .out
        .key_by(|payment| payment.country)
        .window("turnover-5m", Tumbling::of(Duration::from_mins(5)))
        .fold(|turnover: &mut Turnover, payment| turnover.add(&payment));
    turnover.out.sink("turnover", Files::jsonl(args.out.join("turnover")));
    turnover.late.sink("late", Files::jsonl(args.out.join("late")));
    Ok(())
}

fn main() -> ExitCode {
    pelton::cli::main(fraud)
}
