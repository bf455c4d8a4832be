//! The end of bounded inputs, and sources that have nothing to read.

use pelton_dataflow::operator::RestoredPart;
use pelton_dataflow::source::{SplitInfo, SplitState};
use pelton_dataflow::time::EventTime;

use crate::harness::{Cluster, Does, Route, Setup, Wiring};

#[test]
fn bounded_input_fires_all() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::To(0));
    let windows = graph.op("windows", &[keyed], Does::Hold(2));
    graph.sink("out", windows);
    let mut cluster = Cluster::start(graph, Setup::of(2));

    cluster.say("in", 0, "a@5 b@15 wm10 c@25 d@99");
    cluster.say("in", 1, "wm12");
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["got a@5", "reached 10ms"]);

    // One input ends; the other says that it goes on.
    let source = cluster.node("in");
    cluster.control(0).end_source(source);
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/0"), ["reached 12ms"]);
    let log = cluster.finish(0);
    assert_eq!(log.take_lines_of("out/0"), ["got b@15", "got c@25", "got d@99", "reached end", "froze 0"]);
}

#[test]
fn the_end_reaches_every_operator_of_every_shape() {
    let mut graph = Wiring::new();
    let left = graph.source("left");
    let right = graph.source("right");
    let mapped = graph.map("map", left);
    let keyed = graph.exchange("key_by", mapped, Route::ByKey);
    let held = graph.op("hold", &[keyed], Does::Hold(1));
    let other = graph.exchange("other", right, Route::ByKey);
    let joined = graph.op("join", &[held, other], Does::Map);
    graph.sink("out", joined);
    // A source whose stage has no channel at all.
    graph.sink("raw", right);
    let cluster = Cluster::start(graph, Setup::of(3));
    for worker in 0..3 {
        cluster.say("left", worker, "a@1 b@2 c@3 wm2");
        cluster.say("right", worker, "d@1 wm1");
    }
    let log = cluster.finish(0);
    assert_eq!((log.sunk_at("out"), log.sunk_at("raw")), (12, 3));
}

#[test]
fn source_with_zero_splits_takes_part_in_epochs() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::To(1));
    let held = graph.op("hold", &[keyed], Does::Hold(1));
    graph.sink("out", held);
    let mut cluster = Cluster::start(graph, Setup::of(3));
    for worker in [1, 2] {
        cluster.say("in", worker, "idle");
    }
    for epoch in 0..3 {
        cluster.say("in", 0, &format!("a@{epoch} wm{epoch}"));
        cluster.settle_all();
        cluster.nudge();
        cluster.settle_all();
        cluster.open(epoch + 1);
        cluster.until("a checkpoint", |cluster| cluster.is_complete(epoch));
        assert_eq!(cluster.log.watermark_of("out", 1), epoch as i64, "idle ones follow");
    }
    assert_eq!(cluster.finish(3).sunk_at("out"), 3);
}

#[test]
fn a_split_that_finishes_is_reported_in_its_epoch() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    graph.sink("out", numbers);
    let mut cluster = Cluster::start(graph, Setup::of(1));
    cluster.say("in", 0, "a@1 barrier b@2 finish:s-3 c@3");
    cluster.settle_all();
    let finished: Vec<_> = cluster.log.finished.lock().unwrap().clone();
    assert_eq!(finished.len(), 1);
    assert_eq!((finished[0].2.0.as_str(), finished[0].3.0), ("s-3", 1));
    cluster.finish(1);
}

#[test]
fn a_stop_fires_nothing() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    let held = graph.op("hold", &[keyed], Does::Hold(1));
    graph.sink("out", held);
    let mut cluster = Cluster::start(graph, Setup::of(2));
    cluster.say("in", 0, "a@1 b@2 wm1");
    cluster.settle_all();
    cluster.stop();
    assert!(cluster.log.watermark_of("out", 0) < i64::MAX);
    assert_eq!(cluster.log.sunk_at("out"), 0, "worker 1 has said nothing of the time");
}

#[test]
fn a_first_epoch_beyond_zero_is_where_a_restored_job_goes_on() {
    let mut graph = Wiring::new();
    graph.first_epoch = 7;
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    graph.sink("out", keyed);
    let cluster = Cluster::start(graph, Setup::of(2));
    cluster.say("in", 0, "a@1 b@2 barrier c@3");
    cluster.say("in", 1, "a@1 barrier");
    assert_eq!(cluster.finish(8).sunk_at("out"), 4);
}

/// What two workers report of an operator at 35 ms that was restored from instances at these times.
fn reported_after(restored: [EventTime; 2]) -> Vec<EventTime> {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    let held = graph.op("hold", &[keyed], Does::Hold(1));
    graph.sink("out", held);
    let mut setup = Setup::of(2);
    let part = |watermark| RestoredPart { groups: 0..64, watermark, bytes: Vec::new() };
    setup.restored.insert("hold".to_owned(), restored.map(part).into());
    let mut cluster = Cluster::start(graph, setup);
    cluster.say("in", 0, "wm35 barrier");
    cluster.say("in", 1, "wm35 barrier");
    cluster.settle_all();
    let hold = cluster.node("hold").0;
    let acks = cluster.log.acks.lock().unwrap().clone();
    let of_hold = acks.iter().filter(|ack| ack.node == hold).map(|ack| ack.watermark).collect();
    cluster.finish(1);
    of_hold
}

/// What was reported once is not taken back by a restart: late before it is late after it.
#[test]
fn a_restored_operator_reports_no_lower_watermark_than_before() {
    assert_eq!(reported_after([EventTime(40), EventTime(30)]), [EventTime(40); 2]);
}

/// An instance had seen the end before a stop, another had not: what that one left may still wait, so that a checkpoint
/// in which all seem to have seen it would end the job without it.
#[test]
fn a_restored_operator_has_not_seen_the_end_before_it_comes() {
    assert_eq!(reported_after([EventTime::END, EventTime(30)]), [EventTime::BEFORE_END; 2]);
}

/// Everything between workers goes through bytes.
#[test]
fn records_survive_the_way_between_processes() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::To(1));
    let held = graph.op("hold", &[keyed], Does::Hold(1));
    graph.sink("out", held);
    let mut setup = Setup::of(2);
    setup.encoded = true;
    let mut cluster = Cluster::start(graph, setup);
    cluster.say("in", 0, "a@1 b@2 wm2 barrier c@3");
    cluster.say("in", 1, "wm5 barrier");
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines_of("out/1"), ["got a@1", "got b@2", "reached 2ms", "froze 0"]);
    assert_eq!(cluster.finish(1).sunk_at("out"), 3);
}

#[test]
fn an_acknowledgement_holds_what_was_frozen() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let mapped = graph.map("map", numbers);
    graph.sink("out", mapped);
    let mut cluster = Cluster::start(graph, Setup::of(2));
    let split = SplitState::fresh(SplitInfo::root("s-1"));
    cluster.control(1).assign(cluster.node("in"), 1, split.clone());
    cluster.settle_all();
    assert_eq!(cluster.log.take_lines(), ["in/1 assigned s-1"]);
    cluster.open(1);
    cluster.until("the checkpoint", |cluster| cluster.is_complete(0));
    let acks = cluster.log.acks.lock().unwrap().clone();
    let ack = |name| acks.iter().find(|ack| ack.node == cluster.node(name).0 && ack.worker == 1).unwrap();
    assert_eq!(ack("in").splits, [split]);
    assert_eq!(ack("map").bytes, b"map/1");
    assert_eq!(ack("out").prepared.as_deref(), Some(&b"out/1 in 0"[..]));
    cluster.finish(1);
}
