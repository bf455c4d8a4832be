//! Credits: what is in flight is bounded, and nothing that could go on is held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pelton_dataflow::env::Intake;
use pelton_dataflow::graph::PortRef;
use pelton_dataflow::time::Epoch;

use crate::harness::script::Line;
use crate::harness::{Cluster, Does, Rng, Route, Setup, Wiring};

#[test]
fn batches_in_flight_never_exceed_the_credits() {
    for seed in 0..8 {
        let mut graph = Wiring::quiet();
        let numbers = graph.source("in");
        let sent = graph.exchange("to_one", numbers, Route::To(1));
        graph.sink("out", sent);
        let mut setup = Setup::of(2).batches(1, 4);
        if seed % 2 == 0 {
            setup = setup.in_single_steps();
        }
        let mut cluster = Cluster::start(graph, setup);
        let script = cluster.script("in", 0).clone();
        script.flood(300, 1, &[0], 1);

        cluster.settle(&[0]);
        // Four in flight, and one in the sender's hand.
        assert_eq!(script.given(), 5);
        let mut rng = Rng::new(seed);
        let round = |cluster: &mut Cluster| {
            let worker = rng.below(2);
            cluster.steps(worker, 1 + rng.below(3));
            let under_way = script.given() - cluster.log.sunk_at("out");
            assert!(under_way <= 5, "{under_way} under way with 4 credits, seed {seed}");
        };
        cluster.drive("all", round, |cluster| cluster.log.sunk_at("out") == 300);

        // Credits come back to the last one, also when fewer are owed than go back together.
        script.flood(1, 1, &[0], 1);
        cluster.settle_all();
        script.flood(100, 1, &[0], 1);
        cluster.settle(&[0]);
        assert_eq!(script.given(), 306);
        cluster.finish(0);
    }
}

#[test]
fn who_waits_for_whom_is_counted_edge_by_edge() {
    let mut graph = Wiring::quiet();
    let numbers = graph.source("in");
    let sent = graph.exchange("to_one", numbers, Route::To(1));
    graph.sink("out", sent);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 4));
    cluster.script("in", 0).flood(10, 1, &[0], 1);
    // Worker 1 does not come to step: four are in flight, and the fifth waits.
    cluster.settle(&[0]);
    let edge = cluster.edge("to_one", 0, 1);
    assert_eq!((edge.batches, edge.in_flight, edge.waits, edge.is_waiting), (4, 4, 1, true));
    assert_eq!(cluster.edge("to_one", 0, 0).batches, 0, "nothing is for worker 0");
    cluster.until("the rest", |cluster| cluster.log.sunk_at("out") == 10);
    cluster.settle_all();
    let after = cluster.edge("to_one", 0, 1);
    assert_eq!((after.batches, after.in_flight, after.is_waiting), (10, 0, false));
    assert!(after.waited_ns > 0 && after.waits <= 6, "{after:?}");
    cluster.finish(0);
}

#[test]
fn a_sink_that_takes_nothing_bounds_memory() {
    for workers in [1, 2] {
        let gate = Arc::new(AtomicBool::new(false));
        let mut graph = Wiring::quiet();
        let numbers = graph.source("in");
        let spread = graph.exchange("rebalance", numbers, Route::RoundRobin);
        let mapped = graph.map("map", spread);
        let keyed = graph.exchange("key_by", mapped, Route::To(0));
        let gated = graph.op("gate", &[keyed], Does::Gate(gate.clone()));
        graph.sink("out", gated);
        let mut cluster = Cluster::start(graph, Setup::of(workers).batches(1, 4).in_single_steps());
        cluster.script("in", 0).flood(500, 1, &[0], 1);

        (0..200).for_each(|_| (0..workers).for_each(|worker| cluster.steps(worker, 2)));
        let given = cluster.script("in", 0).given();
        // Per hop four credits for each pair and one batch in hand for each worker, and the gate's.
        let pairs = workers * workers + workers;
        let bound = pairs * 4 + 2 * workers + 2;
        assert!(given as usize <= bound, "{given} records in a graph that holds {bound}");
        assert_eq!(cluster.log.sunk_at("out"), 0);

        gate.store(true, Ordering::SeqCst);
        cluster.until("the rest", |cluster| cluster.log.sunk_at("out") == 500);
        assert!(cluster.log.most_live.load(Ordering::SeqCst) <= bound);
        cluster.finish(0);
    }
}

#[test]
fn one_key_with_most_records_holds_nobody_up_for_ever() {
    let mut graph = Wiring::quiet();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    let processed = graph.map("process", keyed);
    graph.sink("out", processed);
    let mut cluster = Cluster::start(graph, Setup::of(3).batches(2, 4));
    let keys: Vec<u64> = (0..20).map(|n| if n == 0 { 1 } else { 3 }).collect();
    for worker in 0..3 {
        cluster.script("in", worker).flood(600, 2, &keys, 1);
    }
    // The worker of the hot key is slow.
    let round = |cluster: &mut Cluster| {
        (1..3).for_each(|worker| cluster.steps(worker, 10));
        cluster.steps(0, 1);
    };
    cluster.drive("all", round, |cluster| cluster.log.sunk_at("out") == 1_800);
    assert!(cluster.log.most_live.load(Ordering::SeqCst) < 9 * 4 * 2 + 60);
    cluster.finish(0);
}

#[test]
fn an_input_that_stalls_does_not_stop_the_other() {
    let mut graph = Wiring::quiet();
    let left = graph.source("left");
    let right = graph.source("right");
    let left = graph.exchange("left_by", left, Route::ByKey);
    let right = graph.exchange("right_by", right, Route::ByKey);
    let joined = graph.op("join", &[left, right], Does::Map);
    graph.sink("out", joined);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 2));
    cluster.script("right", 0).flood(200, 1, &[0, 1], 1);
    cluster.until("all of the right", |cluster| cluster.log.sunk_at("out") == 200);
    // Its epoch ends as well.
    cluster.open(1);
    cluster.until("the checkpoint", |cluster| cluster.is_complete(0));
    cluster.script("left", 1).flood(200, 1, &[0, 1], 1);
    cluster.until("all of the left", |cluster| cluster.log.sunk_at("out") == 400);
    cluster.finish(1);
}

#[test]
fn one_record_that_becomes_ten_thousand_is_never_held_whole() {
    for setup in [Setup::of(2).batches(16, 4), Setup::of(2).batches(16, 4).in_single_steps()] {
        let mut graph = Wiring::quiet();
        let numbers = graph.source("in");
        let many = graph.op("many", &[numbers], Does::Times(10_000, 64));
        let keyed = graph.exchange("key_by", many, Route::RoundRobin);
        graph.sink("out", keyed);
        let mut cluster = Cluster::start(graph, setup);
        cluster.script("in", 0).flood(2, 1, &[0], 1);
        cluster.until("all of them", |cluster| cluster.log.sunk_at("out") == 20_000);
        let most = cluster.log.most_live.load(Ordering::SeqCst);
        // Two receivers with four batches of 16 each; one slice of 64, in lanes or as batches.
        assert!(most <= 2 * 4 * 16 + 64 + 2 * 16 + 2, "{most} records alive");
        cluster.finish(0);
    }
}

/// Worker 2 takes nothing; a lone record for worker 1 is in a batch that does not fill.
#[test]
fn a_record_does_not_wait_for_the_credit_of_another_worker() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    graph.sink("out", keyed);
    let mut cluster = Cluster::start(graph, Setup::of(3).batches(2, 4));
    let script = cluster.script("in", 0).clone();
    script.flood(4, 2, &[2], 1);
    script.extend([Line::Batch(vec![("lone".into(), 1, 1), ("".into(), 2, 1), ("".into(), 2, 1)])]);
    script.flood(100, 2, &[2], 1);
    cluster.settle(&[0, 1]);
    assert!(script.given() < 50, "worker 0 is held up");
    assert_eq!(cluster.log.take_lines_of("out/1"), ["got lone@1"]);
    cluster.until("the rest", |cluster| cluster.log.sunk_at("out") == 107);
    cluster.finish(0);
}

/// The two ways through a diamond meet again in a union, before a sink that takes nothing.
#[test]
fn a_diamond_before_a_shut_gate_holds_what_its_credits_allow() {
    for workers in [1, 2] {
        let gate = Arc::new(AtomicBool::new(false));
        let mut graph = Wiring::quiet();
        let numbers = graph.source("in");
        let even = graph.op("split", &[numbers], Does::Split);
        let odd = PortRef { port: 1, ..even };
        let short = graph.exchange("short", even, Route::ByKey);
        let long = graph.exchange("long", odd, Route::RoundRobin);
        let long = graph.map("map", long);
        let long = graph.exchange("longer", long, Route::ByKey);
        let together = graph.union("union", &[short, long]);
        let gated = graph.op("gate", &[together], Does::Gate(gate.clone()));
        graph.sink("out", gated);
        let mut cluster = Cluster::start(graph, Setup::of(workers).batches(1, 3).in_single_steps());
        for worker in 0..workers {
            cluster.script("in", worker).flood(400, 1, &[0, 1, 2, 3], 1);
        }
        cluster.settle_all();
        // Three exchanges with an edge for each pair, and a union of two inputs that stay on their worker;
        // for each of those one batch in hand at either end, and the gate's.
        let bound = (3 * workers * workers + 2 * workers) * 3 + (3 + 2) * workers * 2 + workers;
        let live = cluster.log.most_live.load(Ordering::SeqCst);
        assert!(live <= bound, "{live} records in a graph that holds {bound}");
        // A barrier waits at the shut gate, and holds nobody up once it opens.
        cluster.open(1);
        cluster.settle_all();
        assert!(!cluster.is_complete(0));
        gate.store(true, Ordering::SeqCst);
        cluster.until("the rest", |cluster| cluster.log.sunk_at("out") == 400 * workers as u64);
        cluster.until("the checkpoint", |cluster| cluster.is_complete(0));
        assert!(cluster.log.most_live.load(Ordering::SeqCst) <= bound);
        cluster.finish(1);
    }
}

#[test]
fn a_pipeline_that_stalls_does_not_stop_another_on_the_same_workers() {
    let gate = Arc::new(AtomicBool::new(false));
    let mut graph = Wiring::quiet();
    let (stalled, going) = (graph.source("stalled"), graph.source("going"));
    let stalled = graph.exchange("stalled_by", stalled, Route::ByKey);
    let gated = graph.op("gate", &[stalled], Does::Gate(gate.clone()));
    graph.sink("stalled_out", gated);
    let going = graph.exchange("going_by", going, Route::ByKey);
    graph.sink("going_out", going);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 2).in_single_steps());
    for worker in 0..2 {
        cluster.script("stalled", worker).flood(100, 1, &[0, 1], 1);
        cluster.script("going", worker).flood(500, 1, &[0, 1], 1);
    }
    cluster.until("all of the one that goes", |cluster| cluster.log.sunk_at("going_out") == 1_000);
    assert_eq!(cluster.log.sunk_at("stalled_out"), 0);
    gate.store(true, Ordering::SeqCst);
    cluster.until("all of the other", |cluster| cluster.log.sunk_at("stalled_out") == 200);
    cluster.finish(0);
}

#[test]
fn one_of_fifty_consumers_that_takes_nothing_bounds_memory() {
    let gate = Arc::new(AtomicBool::new(false));
    let mut graph = Wiring::quiet();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    for n in 0..50 {
        let mapped = graph.map(&format!("map{n}"), keyed);
        let spread = graph.exchange(&format!("by{n}"), mapped, Route::RoundRobin);
        let last = if n == 49 { graph.op("gate", &[spread], Does::Gate(gate.clone())) } else { spread };
        graph.sink(&format!("out{n}"), last);
    }
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 2).in_single_steps());
    for worker in 0..2 {
        cluster.script("in", worker).flood(100, 1, &[0, 1, 2], 1);
    }
    cluster.settle_all();
    // What the slow one has not taken: two for each of four edges, one in hand at either end and in the gate.
    let behind = cluster.log.sunk_at("out0");
    assert!(behind <= 4 * 2 + 2 * 3, "the others are {behind} records ahead of one that takes nothing");
    let given = (0..2).map(|worker| cluster.script("in", worker).given()).sum::<u64>();
    assert!(given <= behind + 4 * 2 + 2 * 2, "{given} records were read");
    gate.store(true, Ordering::SeqCst);
    cluster.until("all", |cluster| (0..50).all(|n| cluster.log.sunk_at(&format!("out{n}")) == 200));
    cluster.finish(0);
}

#[test]
fn fifty_consumers_get_the_same() {
    let mut graph = Wiring::quiet();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    let all: Vec<_> = (0..50)
        .map(|n| {
            let mapped = graph.map(&format!("map{n}"), keyed);
            if n % 2 == 0 { mapped } else { graph.exchange(&format!("by{n}"), mapped, Route::RoundRobin) }
        })
        .collect();
    let together = graph.union("union", &all);
    graph.sink("out", together);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(2, 2));
    cluster.script("in", 0).flood(40, 2, &[0, 1, 2], 1);
    cluster.script("in", 1).flood(40, 2, &[0, 1, 2], 1);
    cluster.until("all", |cluster| cluster.log.sunk_at("out") == 80 * 50);
    cluster.finish(0);
}

#[test]
fn a_worker_whose_state_cannot_keep_up_takes_no_input_and_catches_up() {
    let mut graph = Wiring::quiet();
    let numbers = graph.source("in");
    let keyed = graph.exchange("to_one", numbers, Route::To(1));
    graph.sink("out", keyed);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 4));
    cluster.admit(1, Intake::Closed);
    cluster.script("in", 0).flood(100, 1, &[0], 1);
    cluster.settle_all();
    assert_eq!((cluster.log.sunk_at("out"), cluster.script("in", 0).given()), (0, 5));
    cluster.admit(1, Intake::Open);
    cluster.until("the rest", |cluster| cluster.log.sunk_at("out") == 100);
    cluster.finish(0);
}

/// On worker 0 `first` has ended epoch 0 and `second` has not: what worker 1 sends in it is still to come. Were
/// both stopped until the epoch is done, it never would be.
#[test]
fn who_is_in_the_epoch_that_is_waited_for_goes_on_while_others_are_held() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("by_key", numbers, Route::ByKey);
    let first = graph.map("first", keyed);
    let sent = graph.exchange("to_zero", first, Route::To(0));
    let second = graph.map("second", sent);
    graph.sink("out", second);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 4));

    cluster.say("in", 0, "barrier");
    cluster.settle_all();
    cluster.admit(0, Intake::Closed);
    cluster.script("in", 1).flood(8, 1, &[1], 1);
    cluster.say("in", 1, "barrier");
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("first/0"), ["froze 0"]);
    assert_eq!((cluster.log.got_by("first", 0), cluster.log.sunk_at("out")), (5, 0), "without credit");

    cluster.admit(0, Intake::UpTo(Epoch(0)));
    let for_worker_0 = Line::Batch(vec![("ahead".into(), 0, 2)]);
    cluster.script("in", 1).extend([for_worker_0.clone(), for_worker_0]);
    cluster.until("the epoch", |cluster| cluster.is_complete(0));
    cluster.settle_all();
    assert_eq!(cluster.log.sunk_at("out"), 8);
    assert_eq!(cluster.log.take_lines_of("first/0"), [""; 0], "it is ahead");

    cluster.admit(0, Intake::Open);
    cluster.until("the rest", |cluster| cluster.log.sunk_at("out") == 10);
    cluster.finish(1);
}

#[test]
fn what_a_source_has_read_does_not_wait_while_it_is_paused_or_held() {
    for (steps, held) in (0..30).map(|n| (n / 2, n % 2 == 0)) {
        let mut graph = Wiring::quiet();
        let numbers = graph.source("in");
        let keyed = graph.exchange("to_one", numbers, Route::To(1));
        graph.sink("out", keyed);
        // Only flushing sends batches of this size.
        let mut setup = Setup::of(2).batches(1_000, 4).in_single_steps();
        setup.settings.batch_linger_us = u64::MAX / 2_000;
        let mut cluster = Cluster::start(graph, setup);
        cluster.script("in", 0).flood(5, 1, &[0], 1);
        cluster.steps(0, steps);
        if held {
            cluster.control(0).hold_sources();
        } else {
            cluster.admit(0, Intake::Closed);
        }
        cluster.settle_all();
        let given = cluster.script("in", 0).given();
        assert_eq!(cluster.log.sunk_at("out"), given);
        // A barrier passes all the same.
        cluster.open(1);
        cluster.until("the checkpoint", |cluster| cluster.is_complete(0));
        if held {
            assert_eq!(cluster.script("in", 0).given(), given);
        } else {
            cluster.admit(0, Intake::Open);
            cluster.until("the rest", |cluster| cluster.log.sunk_at("out") == 5);
        }
    }
}

#[test]
fn workers_that_run_by_themselves_come_to_the_end() {
    for slice_us in [0, 50, 1_000] {
        let mut graph = Wiring::quiet();
        let numbers = graph.source("in");
        let spread = graph.exchange("rebalance", numbers, Route::RoundRobin);
        let many = graph.op("many", &[spread], Does::Times(100, 8));
        let keyed = graph.exchange("key_by", many, Route::ByKey);
        let held = graph.op("hold", &[keyed], Does::Hold(4));
        graph.sink("out", held);
        let mut setup = Setup::of(3).batches(8, 2);
        setup.settings.slice_us = slice_us;
        let mut cluster = Cluster::start(graph, setup);
        for worker in 0..3 {
            for time in 0..20 {
                cluster.script("in", worker).flood(5, 2, &[1, 2, 3, 4, 5], time);
                cluster.say("in", worker, &format!("wm{time}"));
            }
        }
        cluster.run_free();
        assert_eq!(cluster.finish_free(0).sunk_at("out"), 30_000);
    }
}
