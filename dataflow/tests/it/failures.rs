//! What goes wrong in user code ends as one failure that names its place, and hangs nothing.

use std::sync::atomic::Ordering;

use crate::harness::log::Log;
use crate::harness::{Cluster, Does, FailAt, Route, Setup, Wiring};

/// Runs `script` into an operator that goes wrong on worker 0; the failures reported.
fn failures_of(does: Does, script: &str) -> Vec<String> {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::To(0));
    let fails = graph.op("fails", &[keyed], does);
    graph.sink("out", fails);
    run(graph, script)
}

fn run(graph: Wiring, script: &str) -> Vec<String> {
    let mut cluster = Cluster::start(graph, Setup::of(2));
    cluster.say("in", 1, "wm100 barrier");
    cluster.say("in", 0, script);
    cluster.settle_all();
    // Nothing more goes on, and both workers leave: `stop` joins them.
    cluster.stop();
    cluster.log.failures()
}

#[test]
fn an_error_names_operator_worker_key_group_split_and_position() {
    assert_eq!(
        failures_of(Does::Fail(FailAt::BatchError), "a@1 b@2"),
        ["operator `fails` failed on worker 0, key group 7, records of in/0 at 0: not a payment"]
    );
}

#[test]
fn a_panic_names_operator_worker_key_group_split_and_positions() {
    assert_eq!(
        failures_of(Does::Fail(FailAt::BatchPanic), "a@1 b@2"),
        [
            "operator `fails` panicked on worker 0, key group 7, records of in/0 from 0 to 1: cannot divide by zero"
        ]
    );
}

#[test]
fn a_panic_between_slices_names_the_batch_that_it_was_made_from() {
    assert_eq!(
        failures_of(Does::Fail(FailAt::ResumePanic), "a@1 b@2"),
        ["operator `fails` panicked on worker 0, key group 7, records of in/0 from 0 to 1: cannot go on"]
    );
}

#[test]
fn what_goes_wrong_at_a_watermark_names_no_record() {
    // Worker 1 has a timely operator of that name too, and gets the watermark as well.
    let mut panics = failures_of(Does::Fail(FailAt::WatermarkPanic), "a@1 wm5");
    panics.sort();
    assert_eq!(
        panics,
        [
            "operator `fails` panicked on worker 0, key group 7: no window of that size",
            "operator `fails` panicked on worker 1, key group 7: no window of that size",
        ]
    );
    let errors = failures_of(Does::Fail(FailAt::WatermarkError), "a@1 wm5");
    assert!(errors.contains(&"operator `fails` failed on worker 0: the window does not close".to_owned()));
}

#[test]
fn what_goes_wrong_at_a_freeze_names_no_record() {
    let panics = failures_of(Does::Fail(FailAt::FreezePanic), "a@1 barrier");
    assert!(panics.contains(&"operator `fails` panicked on worker 0, key group 7: too cold".to_owned()));
    let errors = failures_of(Does::Fail(FailAt::FreezeError), "a@1 barrier");
    assert!(errors.contains(&"operator `fails` failed on worker 0: no room for the state".to_owned()));
}

#[test]
fn a_timer_that_panics_is_reported() {
    let panics = failures_of(Does::Fail(FailAt::TimerPanic), "a@1");
    assert!(
        panics
            .contains(&"operator `fails` panicked on worker 0, key group 7: the bell is cracked".to_owned())
    );
}

#[test]
fn a_sink_that_fails_is_reported() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    graph.sink_that("out", numbers, Does::Fail(FailAt::BatchError));
    assert_eq!(
        run(graph, "a@1"),
        ["operator `out` failed on worker 0, key group 7, records of in/0 at 0: not a payment"]
    );
}

#[test]
fn a_key_function_that_panics_names_the_exchange_and_the_records() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::PanicsAt(2));
    graph.sink("out", keyed);
    let failures = run(graph, "a@1 | b@1 c@2");
    assert_eq!(failures.len(), 1);
    let start = "operator `key_by` panicked on worker 0, records of in/0 from 1 to 2: ";
    assert!(failures[0].starts_with(start) && failures[0].contains("no key in this record"), "{failures:?}");
}

#[test]
fn whatever_a_source_does_wrong_names_it() {
    let graph = || {
        let mut graph = Wiring::new();
        let numbers = graph.source("in");
        graph.sink("out", numbers);
        graph
    };
    assert_eq!(run(graph(), "a@1 error"), ["operator `in` failed on worker 0: the disk is gone"]);
    assert_eq!(run(graph(), "a@1 panic"), ["operator `in` panicked on worker 0: no such line"]);
    for snapshot in [false, true] {
        let mut cluster = Cluster::start(graph(), Setup::of(2));
        let script = cluster.script("in", 1);
        let (flag, message) = if snapshot {
            (&script.panics_in_snapshot, "the position is lost")
        } else {
            (&script.panics_in_event_time, "no idea what time it is")
        };
        flag.store(true, Ordering::SeqCst);
        cluster.say("in", 1, "a@1 wm1 barrier");
        cluster.settle_all();
        assert_eq!(cluster.log.failures(), [format!("operator `in` panicked on worker 1: {message}")]);
    }
}

#[test]
fn an_operator_that_cannot_be_built_fails_the_start() {
    for panics in [false, true] {
        let mut graph = Wiring::new();
        let numbers = graph.source("in");
        let keyed = graph.exchange("key_by", numbers, Route::ByKey);
        let broken = graph.broken("broken", keyed, 0, panics);
        let again = graph.exchange("again", broken, Route::ByKey);
        graph.sink("out", again);
        let (cluster, failures) = Cluster::try_start(graph, Setup::of(2));
        let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
        let (verb, message) = if panics { ("panicked", "cannot be") } else { ("failed", "no such state") };
        let expected = |worker| format!("operator `broken` {verb} on worker {worker}: {message}");
        assert_eq!(failures, [expected(0), expected(1)]);
        drop(cluster);
    }
}

/// The others have the whole graph, and may go on until they are told that it is over.
#[test]
fn an_operator_that_cannot_be_built_on_one_worker_hangs_no_other() {
    let mut graph = Wiring::quiet();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    let broken = graph.broken("broken", keyed, 1, false);
    let again = graph.exchange("again", broken, Route::ByKey);
    graph.sink("out", again);
    let (mut cluster, failures) = Cluster::try_start(graph, Setup::of(2));
    assert_eq!(failures.len(), 1);
    cluster.script("in", 0).flood(100, 1, &[0, 1], 1);
    cluster.settle(&[0]);
    cluster.open(1);
    cluster.settle(&[0]);
    cluster.stop();
    assert!(cluster.script("in", 0).given() < 100, "worker 1 gives no credit back");
    assert!(!cluster.is_complete(0));
}

#[test]
fn a_failure_on_one_worker_ends_workers_that_run_by_themselves() {
    let mut graph = Wiring::quiet();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::To(2));
    let fails = graph.op("fails", &[keyed], Does::Fail(FailAt::BatchPanic));
    let again = graph.exchange("again", fails, Route::ByKey);
    graph.sink("out", again);
    let mut cluster = Cluster::start(graph, Setup::of(3).batches(1, 2));
    for worker in 0..3 {
        cluster.script("in", worker).flood(100, 1, &[0, 1, 2], 1);
    }
    cluster.run_free();
    cluster.log.wait("the failure", Log::failed);
    cluster.stop();
    assert_eq!(cluster.log.failures().len(), 1);
    assert_eq!(cluster.log.live.load(Ordering::SeqCst), 0, "nothing is left behind");
}
