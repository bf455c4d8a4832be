//! Processing time, and turns that nobody asked for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pelton_dataflow::clock::monotonic_ns;
use pelton_dataflow::env::Intake;

use crate::harness::ops::Ticks;
use crate::harness::{Cluster, Does, Route, Setup, Wiring};

fn ticking(ticks: &std::sync::Arc<Ticks>) -> Cluster {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::To(0));
    let ticking = graph.op("ticking", &[keyed], Does::Tick(ticks.clone()));
    graph.sink("out", ticking);
    Cluster::start(graph, Setup::of(1))
}

/// Steps until the stage has had two more turns: it is woken to look at the clock.
fn two_turns(cluster: &mut Cluster, ticks: &Ticks) {
    let until = ticks.asked.load(Ordering::SeqCst) + 6;
    while ticks.asked.load(Ordering::SeqCst) < until {
        cluster.steps(0, 100);
    }
}

#[test]
fn a_timer_of_processing_time_rings_when_the_clock_gets_there_and_not_before() {
    let ticks = Ticks::at(1_000, 500);
    let mut cluster = ticking(&ticks);
    let clock = cluster.clock.clone();
    two_turns(&mut cluster, &ticks);
    clock.advance(Duration::from_millis(999));
    two_turns(&mut cluster, &ticks);
    assert_eq!(cluster.log.take_lines(), [""; 0]);
    clock.advance(Duration::from_millis(1));
    two_turns(&mut cluster, &ticks);
    assert_eq!(cluster.log.take_lines(), ["ticking/0 rang at 1000"]);
    // A clock that jumps rings once, as the operator asked.
    clock.advance(Duration::from_millis(5_000));
    two_turns(&mut cluster, &ticks);
    assert_eq!(cluster.log.take_lines(), ["ticking/0 rang at 6000"]);
    assert_eq!(ticks.calls.load(Ordering::SeqCst), 2);
    cluster.finish(0);
}

#[test]
fn a_timer_does_not_ring_after_the_stop() {
    let ticks = Ticks::at(10, 10);
    let mut cluster = ticking(&ticks);
    cluster.control(0).stop();
    cluster.clock.advance(Duration::from_secs(1));
    cluster.steps(0, 500);
    assert_eq!(ticks.calls.load(Ordering::SeqCst), 0);
}

/// In most turns a stage asks when it is to be woken: turns without a reason would show.
#[test]
fn an_idle_job_does_not_spin() {
    let ticks = Ticks::at(i64::MAX, 0);
    let mut cluster = ticking(&ticks);
    cluster.say("in", 0, "a@1 wm1 b@2 wm2");
    cluster.settle_all();
    let (before, polls) = (ticks.asked.load(Ordering::SeqCst), cluster.script("in", 0));
    let polls_before = polls.polls.load(Ordering::SeqCst);
    let started = monotonic_ns();
    cluster.steps(0, 20_000);
    let elapsed_ms = (monotonic_ns() - started) / 1_000_000;
    assert_eq!(ticks.asked.load(Ordering::SeqCst), before, "nothing was sent to it");
    let polls = cluster.script("in", 0).polls.load(Ordering::SeqCst) - polls_before;
    // A source looks after its splits every 20 ms.
    assert!(polls <= 2 + elapsed_ms / 20, "{polls} polls in {elapsed_ms} ms");
}

/// A timer far away and a source that looks often: wake-ups do not add up.
#[test]
fn wake_ups_do_not_pile_up() {
    let ticks = Ticks::at(1_000_000, 0);
    let mut cluster = ticking(&ticks);
    cluster.settle_all();
    for n in 0..200 {
        cluster.say("in", 0, &format!("a@{n}"));
        cluster.steps(0, 20);
    }
    cluster.settle_all();
    let (before, started) = (ticks.asked.load(Ordering::SeqCst), monotonic_ns());
    // Long enough for all of them to come due, had each turn asked for one.
    let mut elapsed_ms = 0;
    while elapsed_ms < 80 {
        cluster.steps(0, 1_000);
        elapsed_ms = (monotonic_ns() - started) / 1_000_000;
    }
    let asked = ticks.asked.load(Ordering::SeqCst) - before;
    assert!(asked <= 3 * (2 + elapsed_ms / 50), "asked {asked} times in {elapsed_ms} ms, once in 50 is due");
}

/// The stage of the source has a batch that no credit lets out, and a timer that is always due.
#[test]
fn a_stage_without_credit_does_not_spin() {
    let ticks = Ticks::at(2, 0);
    let mut graph = Wiring::quiet();
    let numbers = graph.source("in");
    let ticking = graph.op("ticking", &[numbers], Does::Tick(ticks.clone()));
    let sent = graph.exchange("to_one", ticking, Route::To(1));
    graph.sink("out", sent);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 2));
    cluster.script("in", 0).flood(100, 1, &[0], 1);
    cluster.settle(&[0]);
    cluster.clock.advance(Duration::from_millis(5));
    cluster.open(1);
    cluster.settle(&[0]);
    // Until the timers that were armed before it was blocked have gone off.
    let started = monotonic_ns();
    while !cluster.waits_for_news(0) && monotonic_ns() - started < 2_000_000_000 {
        cluster.steps(0, 100);
    }
    assert!(cluster.waits_for_news(0), "only credit can help, and it comes with news");
    assert_eq!(ticks.calls.load(Ordering::SeqCst), 0, "on worker 0 and 1");
    cluster.until("the rest", |cluster| cluster.log.sunk_at("out") == 100);
    cluster.finish(1);
}

/// A stage that is told to wait looks again each millisecond, and not more often.
#[test]
fn a_paused_stage_does_not_spin() {
    let ticks = Ticks::at(i64::MAX, 0);
    let mut cluster = ticking(&ticks);
    cluster.admit(0, Intake::Closed);
    cluster.say("in", 0, "a@1");
    cluster.settle_all();
    let (before, started) = (ticks.asked.load(Ordering::SeqCst), monotonic_ns());
    cluster.steps(0, 20_000);
    let elapsed_ms = (monotonic_ns() - started) / 1_000_000;
    let asked = ticks.asked.load(Ordering::SeqCst) - before;
    assert!(asked <= 3 * (2 + elapsed_ms), "asked {asked} times in {elapsed_ms} ms");
    cluster.admit(0, Intake::Open);
    cluster.until("the record", |cluster| cluster.log.sunk_at("out") == 1);
    cluster.finish(0);
}
