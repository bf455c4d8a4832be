//! Finds card fraud: payments from a stream of the shard log, alerts into another, exactly once.
//!
//! Each payment learns what its card has paid in 24 hours, then rules that may change while the job runs and a pattern
//! judge it, and a directory is asked about the merchants of alerts. All of that goes by event time: the same payments
//! and rules give the same alerts, however often the job is killed, and on any number of workers.
//!
//! What a rule remembers of a card and when it raises an alert is in `payments::rules`; here is how records flow. Make
//! payments with `payments generate`, and see how good the alerts are with `payments score`; `make demo` does all of it.

use std::net::SocketAddr;
use std::path::PathBuf;

use pelton::prelude::*;
use pelton_examples::payments::generator::OUT_OF_ORDER_MS;
use pelton_examples::payments::{
    Alert, Card, CardId, Cents, Day, MerchantId, Merchants, Payment, ProbeThenHit, RuleChange, Rules, Scored,
    Turnover,
};

/// Finds card fraud in a stream of payments
#[derive(clap::Args)]
#[command(version)]
struct Args {
    /// The stream of payments, as DIRECTORY/STREAM
    #[arg(long, default_value = ".pelton/demo/log/payments")]
    input: LogAddress,
    /// A file of changes to the rules, as JSON lines in the order of their times
    #[arg(long)]
    rules: Option<PathBuf>,
    /// A stream of changes to the rules, which is followed, as DIRECTORY/STREAM
    #[arg(long)]
    rules_log: Option<LogAddress>,
    /// The directory of merchants, as ADDRESS:PORT; the job serves one itself unless this is given
    #[arg(long)]
    merchants: Option<SocketAddr>,
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

/// Judges each payment by the rules that are in effect at its time, and by what is remembered of its card.
struct Judge;

impl BroadcastProcess for Judge {
    type Key = CardId;
    type In = Scored;
    type Rule = RuleChange;
    type Rules = Rules;
    type State = Card;
    type Out = Alert;
    type Side = NoSide;

    fn on_rule(&self, change: RuleChange, rules: &mut Rules, _at: EventTime) -> OpResult {
        rules.set(change.set);
        Ok(())
    }

    fn on_record(
        &self,
        scored: Scored,
        rules: &Rules,
        card: &mut StateMut<'_, Card>,
        cx: &mut BroadcastContext<'_, Self>,
    ) -> OpResult {
        rules.check(&scored, card, |alert| cx.emit(alert));
        Ok(())
    }
}

/// Changes to the rules, from both places where they may come from.
fn rule_changes(job: &mut Job, args: &Args) -> Stream<RuleChange> {
    let by_time = Watermarks::monotonous(|change: &RuleChange| change.from);
    let known = match &args.rules {
        Some(file) => job.source("rules", Files::read_jsonl(file)).watermarks(by_time.clone()),
        None => job.source("rules", Values::new([])).watermarks(by_time.clone()),
    };
    let Some(log) = &args.rules_log else { return known };
    let mut log = ShardLog::json::<RuleChange>(log);
    if args.until_end {
        log = log.until_end();
    }
    // Changes are rare: payments do not wait for the next one.
    let followed =
        job.source("rules-log", log).dead_letters().watermarks(by_time.idle_after(Duration::from_secs(5)));
    followed.rejected.sink("rejected-rules", Files::jsonl(args.out.join("rejected-rules")));
    known.union([followed.out])
}

/// A card is tried with a tiny payment, then used for a large one.
fn card_testing(rule: ProbeThenHit) -> Pattern<Scored> {
    Pattern::begin("probe", move |scored: &Scored| rule.is_probe(&scored.payment))
        .followed_by("hit", move |scored| rule.is_hit(&scored.payment))
        // A hit at the very end still counts.
        .within(rule.within + Duration::from_millis(1))
        .skip_past_last()
}

fn fraud(job: &mut Job, args: &Args) -> pelton::Result<()> {
    let mut log = ShardLog::json::<Payment>(&args.input);
    if args.until_end {
        log = log.until_end();
    }
    let out_of_order = Duration::from_millis(OUT_OF_ORDER_MS.unsigned_abs() + 1_000);
    let payments = job.source("payments", log).dead_letters().late_aside().watermarks(
        Watermarks::bounded(out_of_order, |payment: &Payment| payment.time)
            .idle_after(Duration::from_secs(30))
            .aligned("payments", Duration::from_mins(1)),
    );
    payments.rejected.sink("rejected", Files::jsonl(args.out.join("rejected")));

    let day = last(Duration::from_hours(24));
    let (amount, merchant) = (|paid: &(MerchantId, Cents)| paid.1.0, |paid: &(MerchantId, Cents)| paid.0);
    let cards = payments.out.key_by(|payment| payment.card);
    let spend = cards.over("spend-24h", |payment| (payment.merchant, payment.amount)).features((
        day.count(),
        day.of(amount).sum(),
        day.of(merchant).distinct(),
    ));
    let scored = spend.out.map(|(payment, (payments, sum, merchants))| Scored {
        payment,
        day: Day { payments, sum: Cents(sum), merchants },
    });

    // Late for its shard, or of a shard that was silent: not judged, and in no turnover.
    payments.late.union([spend.late]).sink("late", Files::jsonl(args.out.join("late")));

    let cards = scored.key_by(|scored| scored.payment.card);
    let judged = cards.connect_broadcast("judge", &rule_changes(job, args).broadcast("rule-changes"), Judge);
    let rule = ProbeThenHit::default();
    let tested = cards.pattern("card-testing", card_testing(rule)).select_stages(
        ["probe", "hit"],
        move |_, [probe, hit]| Alert {
            day: Some(hit[0].day),
            ..rule.alert(probe[0].payment.id, &hit[0].payment)
        },
    );

    let address = args.merchants;
    let directory = AsyncClient::open(move || Merchants::open(address)).lookup(
        |alert: &Alert| alert.merchant,
        async |merchants: std::sync::Arc<Merchants>, merchant| merchants.ask(merchant).await,
        |alert, listed| Alert { listed, ..alert },
    );
    let patient = directory
        .keep_order()
        .cache(Duration::from_hours(1), 10_000)
        .retry(Backoff::exponential(Duration::from_millis(20)).attempts(3))
        .timeout(Duration::from_secs(10))
        .fallback(|alert, _why| alert);
    let alerts = judged.out.union([tested]).async_io("merchants", patient).out;
    let log = ShardLog::json_sink(&args.alerts).create_if_missing(4);
    alerts.sink("alerts", log.partition_by(|alert: &Alert| alert.card.0.to_be_bytes()));

    let turnover = scored
        .key_by(|scored| scored.payment.country)
        .window("turnover-5m", Tumbling::of(Duration::from_mins(5)))
        .fold(|turnover: &mut Turnover, scored| turnover.add(&scored.payment));
    turnover.out.sink("turnover", Files::jsonl(args.out.join("turnover")));
    Ok(())
}

fn main() -> ExitCode {
    pelton::cli::main(fraud)
}
