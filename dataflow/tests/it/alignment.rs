//! What a barrier falls between, and what time does under load.

use std::sync::atomic::Ordering;

use crate::harness::{Cluster, Does, Route, Setup, Wiring};

#[test]
fn a_freeze_sees_exactly_the_records_of_its_epoch() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    let many = graph.op("many", &[keyed], Does::Times(10, 3));
    let again = graph.exchange("again", many, Route::RoundRobin);
    graph.sink("out", again);
    let cluster = Cluster::start(graph, Setup::of(3));
    cluster.say("in", 0, "a@1 b@1 c@1 barrier d@1 barrier");
    cluster.say("in", 1, "e@1 barrier f@1 g@1 barrier h@1");
    cluster.say("in", 2, "barrier barrier i@1 j@1");
    let log = cluster.finish(2);
    for (epoch, records) in [(0, 4), (1, 3), (2, 3)] {
        assert_eq!(log.got_by("many", epoch), records);
        assert_eq!(log.got_by("out", epoch), records * 10);
    }
}

/// Worker 1 takes nothing while worker 0 emits what a watermark set off: the barrier does not wait
/// for the rest of it.
#[test]
fn a_barrier_falls_between_the_slices_of_a_watermark() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let held = graph.exchange("to_zero", numbers, Route::To(0));
    let held = graph.op("hold", &[held], Does::Hold(1));
    let sent = graph.exchange("to_one", held, Route::To(1));
    graph.sink("out", sent);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 2));

    cluster.say("in", 0, "a@1 b@2 c@3 d@4 e@5 f@6 g@7 h@8");
    cluster.say("in", 1, "wm10");
    cluster.settle_all();
    cluster.say("in", 1, "barrier");
    cluster.settle(&[1]);
    // Two credits, and one batch that waits for a third.
    cluster.say("in", 0, "wm10 barrier");
    cluster.settle(&[0]);
    assert_eq!(cluster.log.take_lines_of("hold/0").last().expect("lines"), "reached 10ms");
    // One more credit makes room for the batch that waits; then the barrier is next, with five left.
    cluster.until("the freeze", |cluster| cluster.log.take_lines_of("hold/0") == ["froze 0"]);
    assert_eq!(cluster.log.freezes_between_slices.load(Ordering::SeqCst), 1);
    let log = cluster.finish(1);
    assert_eq!(log.sunk_at("out"), 8);
    assert!(log.got_by("out", 0) < 8 && log.got_by("out", 1) > 0, "the rest is of the next epoch");
    let acks = log.acks.lock().unwrap();
    let of_out =
        |epoch| acks.iter().filter(move |ack| ack.epoch == epoch && ack.node == 2 && ack.worker == 0);
    assert!(of_out(0).all(|ack| ack.watermark.0 < 10), "a watermark counts when all it set off is out");
}

/// The same for one batch that becomes many: all of it belongs to its epoch.
#[test]
fn a_barrier_does_not_fall_within_a_batch() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let first = graph.exchange("to_zero", numbers, Route::To(0));
    let many = graph.op("many", &[first], Does::Times(9, 1));
    let sent = graph.exchange("to_one", many, Route::To(1));
    graph.sink("out", sent);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 2));

    cluster.say("in", 1, "barrier");
    cluster.say("in", 0, "a@1 barrier");
    cluster.settle(&[0]);
    cluster.settle_all();
    let log = cluster.finish(1);
    assert_eq!((log.got_by("out", 0), log.got_by("out", 1)), (9, 0));
}

#[test]
fn what_is_buffered_goes_out_before_the_watermark_that_follows_it() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::RoundRobin);
    let mapped = graph.map("map", keyed);
    let keyed = graph.exchange("again", mapped, Route::RoundRobin);
    graph.sink("out", keyed);
    // Batches that no script fills: only flushing sends them.
    let mut setup = Setup::of(2).batches(1_000, 4);
    setup.settings.batch_linger_us = u64::MAX / 2_000;
    let mut cluster = Cluster::start(graph, setup);
    cluster.say("in", 1, "wm1000");
    cluster.say("in", 0, "a@1 b@2 wm3 c@4 d@5 wm6 e@7 barrier f@8 wm9");
    cluster.settle_all();
    // Both sinks passed 3 with a and b, 6 with c and d: each record asserts it on its arrival.
    assert_eq!(cluster.log.sunk_at("out"), 5, "f waits for worker 1");
    cluster.say("in", 1, "barrier");
    assert_eq!(cluster.finish(1).sunk_at("out"), 6);
}

/// Worker 0 gets a new batch before it is through with the last, all the time.
fn under_load(prepare: impl Fn(&mut Wiring), watch: impl Fn(&Cluster) -> bool) {
    let mut graph = Wiring::quiet();
    prepare(&mut graph);
    let mut cluster = Cluster::start(graph, Setup::of(2).batches(1, 8).in_single_steps());
    let script = cluster.script("in", 1).clone();
    for time in 0..500 {
        script.flood(4, 1, &[0], time);
        cluster.say("in", 1, &format!("wm{time}"));
    }
    cluster.say("in", 0, "wm1000");
    cluster.steps(0, 50);
    let mut has_come = false;
    let round = |cluster: &mut Cluster| {
        cluster.steps(1, 40);
        cluster.steps(0, 3);
    };
    cluster.drive("the end of the load", round, |cluster| {
        has_come |= watch(cluster);
        has_come || script.is_done()
    });
    assert!(has_come, "time stood still");
}

#[test]
fn watermarks_move_under_a_load_that_never_lets_up() {
    let graph = |graph: &mut Wiring| {
        let numbers = graph.source("in");
        let keyed = graph.exchange("to_zero", numbers, Route::To(0));
        graph.sink("out", keyed);
    };
    under_load(graph, |cluster| cluster.log.watermark_of("out", 0) > 10);
}

#[test]
fn timers_ring_under_a_load_that_never_lets_up() {
    let ticks = crate::harness::ops::Ticks::at(0, 0);
    let graph = |graph: &mut Wiring| {
        let numbers = graph.source("in");
        let keyed = graph.exchange("to_zero", numbers, Route::To(0));
        let ticking = graph.op("ticking", &[keyed], Does::Tick(ticks.clone()));
        graph.sink("out", ticking);
        ticks.next_ms.store(i64::MAX, Ordering::SeqCst);
    };
    under_load(graph, |cluster| {
        // On worker 0; on the other there is nothing else to do.
        let rung = cluster.log.take_lines_of("ticking/0") == ["rang at 0"];
        if cluster.log.sunk_at("out") >= 20 && !rung {
            // Once the load is there the timer is set for now.
            ticks.next_ms.store(0, Ordering::SeqCst);
        }
        rung
    });
}

#[test]
fn a_record_does_not_linger_under_a_load_that_passes_it_by() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let first = graph.exchange("to_zero", numbers, Route::To(0));
    let keyed = graph.exchange("key_by", first, Route::ByKey);
    graph.sink("out", keyed);
    let mut setup = Setup::of(2).batches(3, 8).in_single_steps();
    setup.settings.batch_linger_us = 0;
    let mut cluster = Cluster::start(graph, setup);
    let script = cluster.script("in", 1).clone();
    script.flood(300, 1, &[0], 1);
    // One record for worker 1 among those for worker 0.
    let lone = crate::harness::script::Line::Batch(vec![("lone".into(), 1, 1)]);
    script.extend([lone]);
    script.flood(1_500, 1, &[0], 1);
    let mut has_come = false;
    let round = |cluster: &mut Cluster| {
        cluster.steps(1, 40);
        cluster.steps(0, 3);
    };
    cluster.drive("the end of the load", round, |cluster| {
        has_come |= cluster.log.take_lines_of("out/1").contains(&"got lone@1".to_owned());
        has_come || script.is_done()
    });
    assert!(has_come, "it waited for its batch to fill");
}
