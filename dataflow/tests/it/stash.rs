//! Epoch order: what of a later epoch arrives early waits, and holds nothing up that it must not.

use pelton_dataflow::graph::PortRef;

use crate::harness::{Cluster, Does, Route, Setup, Wiring};

/// Worker 0 is A, worker 1 is B; everything is sent to A.
#[test]
fn stashed_records_are_not_late() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let to_a = graph.exchange("to_a", numbers, Route::To(0));
    graph.sink("out", to_a);
    let mut cluster = Cluster::start(graph, Setup::of(2));

    cluster.say("in", 1, "wm30");
    cluster.say("in", 0, "wm10");
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["reached 10ms"]);

    cluster.say("in", 0, "barrier a@12 wm20");
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), [""; 0], "B is in epoch 0 and the stash holds 10");

    cluster.say("in", 1, "b@31 barrier");
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["got b@31", "froze 0", "got a@12", "reached 20ms"]);
    cluster.finish(1);
}

/// Why each key group has to take its own watermark along through a restart: what waits on one worker
/// holds that worker back, and its epoch, which ends behind a checkpoint, does not hold the others.
#[test]
fn instances_freeze_at_different_watermarks() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let to_b = graph.exchange("to_b", numbers, Route::To(1));
    graph.sink("out", to_b);
    let mut cluster = Cluster::start(graph, Setup::of(2));

    cluster.say("in", 1, "wm30");
    cluster.say("in", 0, "wm10 barrier a@12 wm20");
    cluster.settle_all();
    cluster.say("in", 1, "barrier");
    cluster.settle_all();
    let out = cluster.node("out").0;
    let acks = cluster.log.acks.lock().unwrap().clone();
    let mut frozen: Vec<_> =
        acks.iter().filter(|ack| ack.node == out).map(|ack| (ack.worker, ack.watermark.0)).collect();
    frozen.sort_unstable();
    assert_eq!(frozen, [(0, 20), (1, 10)]);
    assert_eq!(cluster.log.take_lines_of("out/1"), ["reached 10ms", "froze 0", "got a@12", "reached 20ms"]);
    cluster.finish(1);
}

#[test]
fn records_of_three_open_epochs_keep_their_order() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let to_a = graph.exchange("to_a", numbers, Route::To(0));
    graph.sink("out", to_a);
    let mut cluster = Cluster::start(graph, Setup::of(2));

    // Epoch 0 is abandoned, as far as the coordinator goes, while B has not ended it.
    cluster.say("in", 0, "a@1 barrier b@2 barrier c@3");
    cluster.settle_all();
    cluster.say("in", 1, "d@1 barrier e@2");
    cluster.settle_all();
    cluster.say("in", 1, "barrier f@3");
    cluster.settle_all();
    assert_eq!(
        cluster.log.take_lines_of("out/0"),
        ["got a@1", "got d@1", "froze 0", "got b@2", "got e@2", "froze 1", "got c@3", "got f@3"]
    );
    cluster.finish(2);
}

/// Worker 0 is an epoch ahead and has filled every stash that it can reach; what worker 1 still
/// sends in the old epoch must come through all the same.
fn worker_one_comes_through(shape: impl Fn(&mut Wiring, PortRef) -> PortRef, copies: u64) {
    for setup in [Setup::of(2).batches(1, 4), Setup::of(2).batches(1, 4).in_single_steps()] {
        let mut graph = Wiring::quiet();
        let numbers = graph.source("in");
        let end = shape(&mut graph, numbers);
        let processed = graph.map("process", end);
        graph.sink("out", processed);
        let mut cluster = Cluster::start(graph, setup);
        let keys: Vec<u64> = (0..7).collect();

        cluster.say("in", 0, "barrier");
        cluster.script("in", 0).flood(200, 1, &keys, 5);
        cluster.settle_all();
        assert_eq!(cluster.log.sunk_at("out"), 0, "worker 1 is in epoch 0 still");
        assert!(cluster.script("in", 0).given() < 200, "credits hold the source back");

        cluster.script("in", 1).flood(200, 1, &keys, 5);
        cluster.settle_all();
        assert_eq!(cluster.log.sunk_at("out"), 200 * copies, "all of epoch 0");

        cluster.say("in", 1, "barrier");
        cluster.settle_all();
        assert_eq!(cluster.finish(1).sunk_at("out"), 400 * copies);
    }
}

#[test]
fn stash_does_not_hold_credits_of_an_earlier_epoch() {
    let chain = |graph: &mut Wiring, from| {
        let spread = graph.exchange("rebalance", from, Route::RoundRobin);
        let mapped = graph.map("map", spread);
        graph.exchange("key_by", mapped, Route::ByKey)
    };
    worker_one_comes_through(chain, 1);
}

#[test]
fn stash_does_not_hold_credits_of_an_earlier_epoch_in_a_diamond() {
    let diamond = |graph: &mut Wiring, from| {
        let spread = graph.exchange("rebalance", from, Route::RoundRobin);
        let mapped = graph.map("map", spread);
        let left = graph.exchange("left", mapped, Route::ByKey);
        let right = graph.exchange("right", mapped, Route::RoundRobin);
        let right = graph.map("longer", right);
        let right = graph.exchange("right_again", right, Route::ByKey);
        graph.op("join", &[left, right], Does::Map)
    };
    worker_one_comes_through(diamond, 2);
}

#[test]
fn stash_does_not_hold_credits_of_an_earlier_epoch_in_a_union() {
    let union = |graph: &mut Wiring, from| {
        let spread = graph.exchange("rebalance", from, Route::RoundRobin);
        let mapped = graph.map("map", spread);
        let direct = graph.map("direct", from);
        let both = graph.union("union", &[mapped, direct]);
        graph.exchange("key_by", both, Route::ByKey)
    };
    worker_one_comes_through(union, 2);
}
