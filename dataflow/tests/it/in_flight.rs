//! Operators that wait for answers from outside: what is in flight holds the watermark and nothing else, and
//! one that is full holds those up that send to it.

use std::sync::Arc;

use crate::harness::ops::Answers;
use crate::harness::{Cluster, Does, Route, Setup, Wiring};

/// A source, a map in its stage, the operator that asks, and a map behind it, on one worker.
fn asking(graph: &mut Wiring, answers: &Arc<Answers>) {
    let numbers = graph.source("in");
    let before = graph.map("before", numbers);
    let asked = graph.op("ask", &[before], Does::Ask(answers.clone()));
    let after = graph.map("after", asked);
    graph.sink("out", after);
}

fn start(answers: &Arc<Answers>) -> Cluster {
    let mut graph = Wiring::new();
    asking(&mut graph, answers);
    Cluster::start(graph, Setup::of(1))
}

#[test]
fn the_watermark_does_not_pass_what_is_in_flight() {
    let answers = Answers::with_room_for(10);
    let mut cluster = start(&answers);
    cluster.say("in", 0, "wm10");
    cluster.settle_all();
    cluster.say("in", 0, "a@12 b@18 wm20");
    cluster.settle_all();
    let lines = cluster.log.take_lines();
    let of = |name: &str| lines.iter().filter_map(|line| line.strip_prefix(name)).collect::<Vec<_>>();
    assert_eq!(of("before/0 reached "), ["10ms", "20ms"], "what stands before it is not held");
    assert_eq!(of("after/0 "), ["reached 10ms", "reached 12ms"]);

    answers.give(1);
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["got b@18"], "the least is 12 still");
    answers.give(1);
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["got a@12", "reached 20ms"]);
    cluster.finish(0);
}

#[test]
fn epochs_pass_what_is_in_flight() {
    let answers = Answers::with_room_for(10);
    let mut cluster = start(&answers);
    cluster.say("in", 0, "a@12 wm20 barrier b@21 wm30 barrier");
    cluster.settle_all();
    assert!(cluster.is_complete(0) && cluster.is_complete(1));
    assert_eq!(cluster.log.take_lines_of("out/0"), ["reached 12ms", "froze 0", "froze 1"]);
    // Answers belong to the epoch in which they are given on.
    answers.give(2);
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["got b@21", "got a@12", "reached 30ms"]);
    cluster.finish(2);
}

#[test]
fn the_end_waits_for_all_answers() {
    let answers = Answers::with_room_for(10);
    let mut cluster = start(&answers);
    cluster.say("in", 0, "a@12 b@13");
    cluster.settle_all();
    cluster.end_all();
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["reached 12ms"]);
    answers.give(2);
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["got b@13", "got a@12", "reached end"]);
    cluster.finish(0);
}

/// With two workers that send to one that asks, and barriers in between.
#[test]
fn one_that_is_full_holds_up_those_that_send_to_it() {
    for setup in [Setup::of(2).batches(1, 4), Setup::of(2).batches(1, 4).in_single_steps()] {
        let answers = Answers::with_room_for(5);
        let mut graph = Wiring::quiet();
        let numbers = graph.source("in");
        let to_a = graph.exchange("to_a", numbers, Route::To(0));
        let mapped = graph.map("map", to_a);
        // The other worker's instance gets no records, and so needs no answers.
        let asked = graph.op("ask", &[mapped], Does::Ask(answers.clone()));
        graph.sink("out", asked);
        let mut cluster = Cluster::start(graph, setup);
        for worker in 0..2 {
            cluster.script("in", worker).flood(200, 1, &[1, 2, 3], 5);
        }
        cluster.settle_all();
        let given =
            |cluster: &Cluster| (0..2).map(|worker| cluster.script("in", worker).given()).sum::<u64>();
        assert_eq!((cluster.log.got_by("ask", 0), cluster.log.sunk_at("out")), (5, 0));
        assert!(given(&cluster) < 60, "{} are on their way", given(&cluster));

        cluster.open(1);
        answers.give(20);
        cluster.settle_all();
        assert_eq!(cluster.log.sunk_at("out"), 20, "as many as were answered");
        assert!(given(&cluster) < 80, "{} are on their way", given(&cluster));
        answers.give(380);
        cluster.settle_all();
        assert!(cluster.is_complete(0));
        assert_eq!(cluster.finish(1).sunk_at("out"), 400);
    }
}
