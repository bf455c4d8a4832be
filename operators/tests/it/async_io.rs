//! Asking services: order, backpressure, patience, the cache, and crashes with questions on their way.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_operators::testing::{Collect, Harness, Taps, Values, run_stateless};
use pelton_operators::{
    Async, AsyncClient, Backoff, Job, NoAnswer, Stream, Tumbling, Unanswered, Watermarks,
};
use proptest::prelude::*;
use tokio::sync::Semaphore;

/// A service that answers what the test lets it, before or after it is asked.
#[derive(Default)]
struct Service {
    asked: Mutex<Vec<u64>>,
    gates: Mutex<HashMap<u64, Arc<Semaphore>>>,
}

impl Service {
    fn gate(&self, n: u64) -> Arc<Semaphore> {
        self.gates.lock().unwrap().entry(n).or_insert_with(|| Arc::new(Semaphore::new(0))).clone()
    }

    /// Answers all questions about `n`, now and from now on.
    fn answer(&self, n: u64) {
        self.gate(n).add_permits(1_000);
    }

    async fn ask(self: Arc<Self>, n: u64) -> OpResult<u64> {
        self.asked.lock().unwrap().push(n);
        self.gate(n).acquire().await?.forget();
        Ok(n * 10)
    }

    fn asked(&self) -> Vec<u64> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort_unstable();
        asked
    }

    /// A script that asks it about each record, so many at a time.
    fn script(self: &Arc<Self>, keeps_order: bool, capacity: usize) -> Harness<u64> {
        let service = self.clone();
        Harness::new(move |numbers: Stream<u64>, taps: &mut Taps| {
            let asking = Async::unordered(move |n| service.clone().ask(n)).capacity(capacity);
            let asking = if keeps_order { asking.keep_order() } else { asking };
            let answers = numbers.async_io("ask", asking).out;
            taps.tap("got", &answers);
            // What a late answer would show up in.
            let windows = answers.key_by(|_| 0u8).window("tens", Tumbling::of(Duration::from_millis(10)));
            taps.tap("late", &windows.count().late);
        })
    }
}

/// Lets barriers pass until something has come.
fn next_output(script: &mut Harness<u64>) -> Vec<String> {
    loop {
        let output = script.output();
        if !output.is_empty() {
            return output;
        }
    }
}

#[test]
fn answers_come_as_they_are_given_or_in_the_order_of_the_records() {
    for keeps_order in [false, true] {
        let service = Arc::new(Service::default());
        let mut script = service.script(keeps_order, 10);
        script.record(1, 1).record(2, 2).record(3, 3).barrier();
        service.answer(2);
        if !keeps_order {
            assert_eq!(next_output(&mut script), ["got@2 20"]);
        }
        service.answer(3);
        if !keeps_order {
            assert_eq!(next_output(&mut script), ["got@3 30"]);
        }
        service.answer(1);
        script.watermark(10);
        let all = ["got@1 10", "got@2 20", "got@3 30"];
        assert_eq!(script.output(), if keeps_order { &all[..] } else { &all[..1] });
    }
}

#[test]
fn what_is_on_its_way_at_a_crash_is_asked_again_and_comes_out_once() {
    for keeps_order in [false, true] {
        let service = Arc::new(Service::default());
        let mut script = service.script(keeps_order, 10);
        script.record(5, 1).record(6, 2).record(7, 3).barrier();
        // Of what came after the barrier nothing is known any more.
        script.record(8, 4).crash();
        script.record(8, 4).barrier().crash();
        (1..=4).for_each(|n| service.answer(n));
        script.watermark(20).end();
        let mut found = script.output();
        found.sort();
        assert_eq!(found, ["got@5 10", "got@6 20", "got@7 30", "got@8 40"], "{keeps_order}");
        let asked = service.asked();
        assert!(asked.iter().filter(|n| **n == 2).count() > 1, "{asked:?}");
    }
}

#[test]
fn the_end_waits_for_all_answers() {
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = asked.clone();
    let found = run_stateless(0..500u64, move |numbers| {
        let ask = Async::ordered(move |n: u64| {
            let asking = asking.clone();
            async move {
                asking.fetch_add(1, Ordering::SeqCst);
                for _ in 0..n % 7 {
                    tokio::task::yield_now().await;
                }
                Ok(n + 1)
            }
        });
        numbers.async_io("ask", ask.capacity(8)).out
    });
    assert_eq!(found, (1..=500).collect::<Vec<_>>());
    assert_eq!(asked.load(Ordering::SeqCst), 500);
}

/// Each question waits for another one: so there are two at a time, and never more.
#[test]
fn no_more_are_on_their_way_than_there_is_capacity() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let pairs = Arc::new(tokio::sync::Barrier::new(2));
    let (asking, seen) = (now, most.clone());
    let mut script = Harness::new(move |numbers: Stream<u64>, taps| {
        let ask = move |n: u64| {
            let (now, most, pairs) = (asking.clone(), seen.clone(), pairs.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                pairs.wait().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(n)
            }
        };
        // Once an answer has arrived its question no longer counts, and each pair arrives together.
        taps.tap("got", &numbers.flat_map(|n| 0..n).async_io("ask", Async::ordered(ask).capacity(2)).out);
    });
    script.record(1, 1_500).record(2, 300).end();
    assert_eq!(script.output().len(), 1_800);
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// A service that fails a number of times before it answers.
fn flaky(failures: u32) -> impl Fn(u64) -> std::future::Ready<OpResult<u64>> {
    let tries = Mutex::new(HashMap::new());
    move |n| {
        let mut tries: std::sync::MutexGuard<'_, HashMap<u64, u32>> = tries.lock().unwrap();
        let tried = tries.entry(n).or_insert(0);
        *tried += 1;
        std::future::ready(if *tried > failures { Ok(n * 10) } else { Err(format!("busy {tried}").into()) })
    }
}

fn at_once(attempts: u32) -> Backoff {
    Backoff::fixed(Duration::ZERO).attempts(attempts)
}

#[test]
fn a_question_that_fails_is_asked_again_as_often_as_it_may_be() {
    let run = |asking: Async<u64, u64, u64, u64>| run_stateless([1u64, 2], |n| n.async_io("ask", asking).out);
    assert_eq!(run(Async::ordered(flaky(3)).retry(at_once(4))), [10, 20]);

    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let giving_up = Async::ordered(flaky(3)).retry(at_once(3)).fallback(move |n, why: &NoAnswer| {
        telling.lock().unwrap().push(why.to_string());
        n
    });
    assert_eq!(run(giving_up), [1, 2]);
    assert_eq!(*told.lock().unwrap(), ["no answer after 3 attempts: busy 3"; 2]);

    let picky = Async::ordered(flaky(3)).retry(at_once(9)).retry_if(|error| error.to_string() != "busy 2");
    assert_eq!(run(picky.fallback(|n, why| n * 100 + u64::from(why.attempts))), [102, 202]);
}

#[test]
fn records_without_an_answer_go_where_the_user_says() {
    let mut script = Harness::new(|numbers: Stream<u64>, taps| {
        let answered = numbers.async_io("ask", Async::ordered(flaky(1)).failures_aside());
        taps.tap("got", &answered.out);
        taps.tap(
            "failed",
            &answered.failed.map(|Unanswered { record, reason }| (record, reason.attempts, reason.error)),
        );
    });
    script.record(3, 7).watermark(4).record(5, 7).end();
    assert_eq!(script.output(), [r#"failed@3 (7, 1, "busy 1")"#, "got@5 70"]);
}

/// Runs a job of a few records, of which one gets no answer, and gives what the job says.
fn failure_of(asking: Async<u64, u64, u64, u64>) -> String {
    let mut job = Job::new();
    let numbers = job.source("numbers", Values::of([1u64, 2])).watermarks(Watermarks::none());
    numbers.async_io("ask", asking).out.sink("out", Collect::new().0);
    let ran = pelton_dataflow::testing::run_to_end(&job.finish().unwrap(), Default::default());
    ran.unwrap_err().to_string()
}

#[test]
fn without_a_policy_the_job_fails_and_says_where() {
    let message = failure_of(Async::ordered(flaky(1)));
    let expected = "operator `ask` failed on worker 0, records of numbers/values from 0 to 1: no answer after 1 attempt: busy 1; records without an answer fail the job unless `.fallback(...)` or `.failures_aside()` says what becomes of them";
    assert_eq!(message, expected);
}

#[test]
fn a_question_that_is_never_answered_ends_with_its_time() {
    let never = |_| std::future::pending::<OpResult<u64>>();
    let short = Duration::from_millis(5);
    let message = failure_of(Async::unordered(never).timeout(short));
    assert!(message.contains("no answer in time, after 1 attempt; records"), "{message}");

    let tried = Arc::new(AtomicUsize::new(0));
    let trying = tried.clone();
    let second_time_lucky = Async::ordered(move |n: u64| {
        let is_first = trying.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if is_first { std::future::pending().await } else { Ok(n) } }
    });
    let asking = second_time_lucky.attempt_timeout(short).retry(at_once(2));
    assert_eq!(run_stateless([4u64], |n| n.async_io("ask", asking).out), [4]);
    assert_eq!(tried.load(Ordering::SeqCst), 2);
}

#[test]
fn a_panic_while_asking_fails_the_job_with_its_place() {
    let message =
        failure_of(Async::ordered(|n| async move { if n == 2 { panic!("no such number") } else { Ok(n) } }));
    assert!(message.contains("operator `ask` panicked on worker 0, records of numbers/values"), "{message}");
    assert!(message.ends_with(": no such number"), "{message}");
}

#[test]
fn a_client_that_does_not_open_keeps_the_job_from_starting() {
    let client: AsyncClient<()> = AsyncClient::open(|| Err("no route to host".into()));
    let message = failure_of(client.ordered(|_, n| async move { Ok(n) }));
    assert!(
        message.contains("operator `ask` failed on worker 0: its client does not open: no route to host"),
        "{message}"
    );
}

#[test]
fn settings_that_cannot_work_are_mistakes_of_the_graph() {
    let mut job = Job::new();
    let numbers = job.source("numbers", Values::of([1u64])).watermarks(Watermarks::none());
    let asking = Async::ordered(flaky(0))
        .capacity(0)
        .timeout(Duration::ZERO)
        .attempt_timeout(Duration::ZERO)
        .retry(at_once(0))
        .cache(Duration::ZERO, 5);
    numbers.async_io("ask", asking).out.sink("out", Collect::new().0);
    let message = job.finish().err().unwrap().to_string();
    for setting in
        [".capacity(...)", ".timeout(...)", ".attempt_timeout(...)", ".attempts(...)", ".cache(...)"]
    {
        assert!(message.contains(setting), "{setting}: {message}");
    }
}

#[test]
fn what_is_known_is_not_asked_for_until_it_is_old() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asking = asked.clone();
    let mut script = Harness::new(move |payments: Stream<(u64, char)>, taps| {
        let ask = move |shop: char| {
            asking.lock().unwrap().push(shop);
            async move { Ok(shop.to_ascii_uppercase()) }
        };
        let lookup = Async::lookup(|payment: &(u64, char)| payment.1, ask, |(id, _), shop| (id, shop));
        let lookup = lookup.keep_order().cache(Duration::from_secs(60), 2);
        taps.tap("paid", &payments.async_io("shops", lookup).out);
    });
    script.record(1, (1, 'a')).watermark(2).record(2, (2, 'a')).record(3, (3, 'b')).watermark(4);
    script.record(4, (4, 'a')).record(5, (5, 'b')).watermark(6).advance(Duration::from_secs(61));
    script.record(7, (6, 'b')).watermark(8);
    assert_eq!(
        script.output(),
        [
            "paid@1 (1, 'A')",
            "paid@2 (2, 'A')",
            "paid@3 (3, 'B')",
            "paid@4 (4, 'A')",
            "paid@5 (5, 'B')",
            "paid@7 (6, 'B')"
        ]
    );
    assert_eq!(*asked.lock().unwrap(), ['a', 'b', 'b']);
    // The cache is in no checkpoint.
    script.barrier().crash().record(9, (7, 'b')).end();
    assert_eq!(script.output(), ["paid@9 (7, 'B')"]);
    assert_eq!(asked.lock().unwrap().len(), 4);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Record(i64),
    /// One of those that are not answered yet.
    Answer(prop::sample::Index),
    Watermark(i64),
    BarrierAndCrash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0i64..60).prop_map(Step::Record),
        3 => any::<prop::sample::Index>().prop_map(Step::Answer),
        1 => (0i64..60).prop_map(Step::Watermark),
        1 => Just(Step::BarrierAndCrash),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Whatever is answered when, and however often all is lost but the checkpoint: each record comes out once, on time if it
    /// was on time, and in order if it has to.
    #[test]
    fn each_record_comes_out_once(steps in steps(), keeps_order in any::<bool>()) {
        let service = Arc::new(Service::default());
        let mut script = service.script(keeps_order, 100);
        let (mut given, mut open) = (Vec::new(), BTreeSet::new());
        let (mut watermark, mut late) = (i64::MIN, 0);
        for step in steps {
            match step {
                Step::Record(at) => {
                    let n = given.len() as u64;
                    script.record(at, n);
                    late += usize::from(at < watermark);
                    given.push(format!("got@{at} {}", n * 10));
                    open.insert(n);
                }
                Step::Answer(which) if !open.is_empty() => {
                    let n = *open.iter().nth(which.index(open.len())).unwrap();
                    open.remove(&n);
                    service.answer(n);
                }
                // It does not pass what is not answered.
                Step::Watermark(at) if at > watermark => {
                    std::mem::take(&mut open).into_iter().for_each(|n| service.answer(n));
                    script.watermark(at);
                    watermark = at;
                }
                Step::Answer(_) | Step::Watermark(_) => {}
                Step::BarrierAndCrash => drop(script.barrier_and_crash()),
            }
        }
        open.into_iter().for_each(|n| service.answer(n));
        let found = script.end().output();
        let (lates, mut gots): (Vec<String>, _) = found.into_iter().partition(|line| line.starts_with("late"));
        prop_assert!(lates.len() <= late, "{lates:?}");
        if !keeps_order {
            gots.sort();
            given.sort();
        }
        prop_assert_eq!(gots, given);
    }
}
