//! Operators in the middle of a graph that say themselves how far event time has come.

use std::sync::Arc;
use std::time::Duration;

use crate::harness::ops::Stamps;
use crate::harness::{Cluster, Does, Route, Setup, Wiring};

/// Records of a source, stamped on each of `workers`, and all brought to worker 0.
fn stamped(stamps: &Arc<Stamps>, workers: usize) -> Cluster {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let mapped = graph.map("map", numbers);
    let stamped = graph.op("stamp", &[mapped], Does::Stamp(stamps.clone()));
    let sent = graph.exchange("to_0", stamped, Route::To(0));
    graph.sink("out", sent);
    Cluster::start(graph, Setup::of(workers))
}

/// Time passes for those that wait.
fn pass(cluster: &mut Cluster, stamps: &Stamps) {
    for _ in 0..3 {
        cluster.settle_all();
        cluster.nudge();
        stamps.nudge();
    }
    cluster.settle_all();
}

#[test]
fn what_the_inputs_say_of_event_time_ends_there() {
    let mut cluster = stamped(&Arc::default(), 1);
    cluster.say("in", 0, "wm100 a@5 b@9 | c@7 wm200");
    cluster.settle_all();
    let lines = cluster.log.take_lines_of("out/0");
    assert_eq!(lines.iter().filter(|line| line.starts_with("got")).count(), 3, "none is late: {lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("reached 9ms"), "{lines:?}");
    assert_eq!(cluster.log.watermark_of("map", 0), 200);
    cluster.finish(0);
}

/// Nor does a source that knows nothing of time hold it back.
#[test]
fn it_is_as_far_as_all_its_instances() {
    let mut cluster = stamped(&Arc::default(), 2);
    cluster.say("in", 0, "a@50");
    cluster.say("in", 1, "b@20");
    cluster.settle_all();
    assert_eq!(cluster.log.watermark_of("out", 0), 20);
    cluster.say("in", 1, "c@70");
    cluster.settle_all();
    assert_eq!(cluster.log.watermark_of("out", 0), 50);
    cluster.end_all();
    cluster.settle_all();
    assert_eq!(cluster.log.watermark_of("out", 0), i64::MAX, "the end of the input is the end");
    cluster.finish(0);
}

#[test]
fn a_quiet_instance_follows_the_others() {
    let stamps = Stamps::idle_after_ms(10);
    let mut cluster = stamped(&stamps, 2);
    cluster.say("in", 0, "a@50");
    pass(&mut cluster, &stamps);
    assert_eq!(cluster.log.watermark_of("out", 0), i64::MIN, "worker 1 knows nothing");
    cluster.clock.advance(Duration::from_millis(9));
    cluster.say("in", 0, "b@60");
    pass(&mut cluster, &stamps);
    assert_eq!(cluster.log.watermark_of("out", 0), i64::MIN);
    cluster.clock.advance(Duration::from_millis(1));
    pass(&mut cluster, &stamps);
    assert_eq!(cluster.log.watermark_of("out", 0), 60, "it is quiet for 10 ms, the other for 1");
    cluster.clock.advance(Duration::from_millis(9));
    pass(&mut cluster, &stamps);
    // Now both are. A record wakes worker 1, and its time holds the other's back.
    cluster.say("in", 1, "c@65");
    cluster.say("in", 0, "d@90");
    pass(&mut cluster, &stamps);
    assert_eq!(cluster.log.watermark_of("out", 0), 65);
    cluster.finish(0);
}

/// Wholly quiet, it follows what it meets further down, and not the source before it.
#[test]
fn a_wholly_quiet_one_follows_what_it_meets() {
    let stamps = Stamps::idle_after_ms(10);
    let mut graph = Wiring::new();
    let before = graph.source("in");
    let stamped = graph.op("stamp", &[before], Does::Stamp(stamps.clone()));
    let live = graph.source("live");
    let both = graph.union("union", &[stamped, live]);
    graph.sink("out", both);
    let mut cluster = Cluster::start(graph, Setup::of(1));
    cluster.say("in", 0, "wm3");
    cluster.say("live", 0, "wm100");
    pass(&mut cluster, &stamps);
    assert_eq!(cluster.log.watermark_of("out", 0), i64::MIN);
    cluster.clock.advance(Duration::from_millis(10));
    pass(&mut cluster, &stamps);
    assert_eq!(cluster.log.watermark_of("out", 0), 100);
    cluster.finish(0);
}

/// A batch of the next epoch waits, and what it says of time waits with it.
#[test]
fn stashed_records_do_not_move_it() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let here = graph.exchange("to_0", numbers, Route::To(0));
    let stamped = graph.op("stamp", &[here], Does::Stamp(Arc::default()));
    graph.sink("out", stamped);
    let mut cluster = Cluster::start(graph, Setup::of(2));
    cluster.say("in", 0, "a@10 barrier b@30");
    cluster.say("in", 1, "c@20");
    cluster.settle_all();
    assert_eq!(cluster.log.watermark_of("out", 0), 20);
    cluster.say("in", 1, "d@25 barrier");
    cluster.settle_all();
    let lines = cluster.log.take_lines_of("out/0");
    let place = |what: &str| lines.iter().position(|line| line == what);
    assert!(place("reached 25ms") < place("froze 0") && place("froze 0") < place("got b@30"), "{lines:?}");
    assert_eq!(cluster.log.watermark_of("out", 0), 30);
    cluster.finish(1);
}
