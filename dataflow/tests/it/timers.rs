//! Processing time, and turns that nobody asked for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pelton_dataflow::clock::monotonic_ns;

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

/// Steps until the stage has had `turns` more turns: it is woken to look at the clock.
fn turns(cluster: &mut Cluster, ticks: &Ticks, turns: u64) {
    let until = ticks.turns.load(Ordering::SeqCst) + turns;
    while ticks.turns.load(Ordering::SeqCst) < until {
        cluster.steps(0, 100);
    }
}

#[test]
fn a_timer_of_processing_time_rings_when_the_clock_gets_there_and_not_before() {
    let ticks = Ticks::at(1_000, 500);
    let mut cluster = ticking(&ticks);
    let clock = cluster.clock.clone();
    turns(&mut cluster, &ticks, 4);
    clock.advance(Duration::from_millis(999));
    turns(&mut cluster, &ticks, 4);
    assert_eq!(cluster.log.take_lines(), [""; 0]);
    clock.advance(Duration::from_millis(1));
    turns(&mut cluster, &ticks, 4);
    assert_eq!(cluster.log.take_lines(), ["ticking/0 rang at 1000"]);
    // A clock that jumps rings once, as the operator asked.
    clock.advance(Duration::from_millis(5_000));
    turns(&mut cluster, &ticks, 4);
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

/// A stage is asked when it wants to be woken once a turn: turns without a reason would show.
#[test]
fn an_idle_job_does_not_spin() {
    let ticks = Ticks::at(i64::MAX, 0);
    let mut cluster = ticking(&ticks);
    cluster.say("in", 0, "a@1 wm1 b@2 wm2");
    cluster.settle_all();
    let (before, polls) = (ticks.turns.load(Ordering::SeqCst), cluster.script("in", 0));
    let polls_before = polls.polls.load(Ordering::SeqCst);
    let started = monotonic_ns();
    cluster.steps(0, 20_000);
    let elapsed_ms = (monotonic_ns() - started) / 1_000_000;
    assert_eq!(ticks.turns.load(Ordering::SeqCst), before, "nothing was sent to it");
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
    let (before, started) = (ticks.turns.load(Ordering::SeqCst), monotonic_ns());
    cluster.steps(0, 20_000);
    let elapsed_ms = (monotonic_ns() - started) / 1_000_000;
    let turns = ticks.turns.load(Ordering::SeqCst) - before;
    assert!(turns <= 2 + elapsed_ms / 50, "{turns} turns in {elapsed_ms} ms of waiting for 50 ms each");
}
