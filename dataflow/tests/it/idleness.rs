//! Sources without active splits: whom they follow, and whom they do not hold up.

use std::collections::BTreeMap;

use pelton_dataflow::source::SourceTime;
use pelton_dataflow::time::EventTime;
use pelton_dataflow::watermarks::WatermarkBoard;
use proptest::prelude::*;

use crate::harness::{Cluster, Does, Route, Setup, Wiring};

/// Time passes for sources that wait, and they say what they have to.
fn pass(cluster: &mut Cluster) {
    for _ in 0..3 {
        cluster.settle_all();
        cluster.nudge();
    }
    cluster.settle_all();
}

/// Worker 1's part of the backfill has no split yet: it follows the backfill on worker 0, not the
/// live source, and what it is given later is not late.
#[test]
fn idle_backfill_is_not_made_late_by_a_live_source() {
    let mut graph = Wiring::new();
    let backfill = graph.source("backfill");
    let live = graph.source("live");
    let both = graph.union("union", &[backfill, live]);
    let keyed = graph.exchange("key_by", both, Route::To(0));
    graph.sink("out", keyed);
    let mut cluster = Cluster::start(graph, Setup::of(2));

    cluster.say("backfill", 0, "a@50 wm50");
    cluster.say("backfill", 1, "idle");
    cluster.say("live", 0, "b@1000 wm1000");
    cluster.say("live", 1, "wm1001");
    pass(&mut cluster);
    let lines = cluster.log.take_lines_of("out/0");
    assert_eq!(lines.last().map(String::as_str), Some("reached 50ms"), "{lines:?}");

    cluster.say("backfill", 1, "wm55 c@60");
    cluster.say("backfill", 0, "wm70");
    pass(&mut cluster);
    assert_eq!(cluster.log.take_lines_of("out/0"), ["got c@60", "reached 55ms"]);
    cluster.finish(0);
}

/// The backfill is idle on all workers: then it follows the other source.
#[test]
fn a_wholly_idle_source_follows_its_component() {
    let mut graph = Wiring::new();
    let quiet = graph.source("quiet");
    let live = graph.source("live");
    let other = graph.source("other");
    let both = graph.union("union", &[quiet, live]);
    graph.sink("out", both);
    graph.sink("elsewhere", other);
    let mut cluster = Cluster::start(graph, Setup::of(2));
    for worker in 0..2 {
        cluster.say("quiet", worker, "wm3 idle");
        cluster.say("other", worker, "wm7");
    }
    cluster.say("live", 0, "wm100");
    cluster.say("live", 1, "wm200");
    pass(&mut cluster);
    let watermarks = (0..2).map(|worker| cluster.log.watermark_of("out", worker)).collect::<Vec<_>>();
    assert_eq!(watermarks, [100, 100], "the source of another component at 7 counts for nothing");
    cluster.finish(0);
}

#[test]
fn when_all_are_idle_time_holds() {
    let mut graph = Wiring::new();
    let numbers = graph.source("in");
    let keyed = graph.exchange("key_by", numbers, Route::ByKey);
    graph.sink("out", keyed);
    let mut cluster = Cluster::start(graph, Setup::of(2));
    cluster.say("in", 0, "wm20 idle");
    cluster.say("in", 1, "wm10 idle");
    pass(&mut cluster);
    assert_eq!((0..2).map(|w| cluster.log.watermark_of("out", w)).collect::<Vec<_>>(), [10, 10]);
    // Work comes again, and is on time.
    cluster.say("in", 1, "a@11 wm15");
    pass(&mut cluster);
    assert!(cluster.log.take_lines().iter().any(|line| line.ends_with("got a@11")));
    cluster.finish(0);
}

/// One source has ended, the other is idle: the end is not the idle one's to say.
#[test]
fn an_idle_source_does_not_follow_another_to_the_end() {
    let mut graph = Wiring::new();
    let left = graph.source("left");
    let right = graph.source("right");
    let left = graph.exchange("left_by", left, Route::ByKey);
    let right = graph.exchange("right_by", right, Route::ByKey);
    let joined = graph.op("join", &[left, right], Does::Hold(1));
    graph.sink("out", joined);
    let mut cluster = Cluster::start(graph, Setup::of(2));
    for worker in 0..2 {
        cluster.say("left", worker, "wm20");
        cluster.say("right", worker, "wm10 idle");
    }
    pass(&mut cluster);
    cluster.end("left");
    pass(&mut cluster);
    assert_eq!((0..2).map(|w| cluster.log.watermark_of("join", w)).collect::<Vec<_>>(), [20, 20]);
    cluster.say("right", 0, "a@30");
    assert_eq!(cluster.finish(0).sunk_at("out"), 1);
}

/// What a source on a worker says: none of the workers, or one, is at the end.
fn says() -> impl Strategy<Value = Vec<(usize, usize, Option<i64>)>> {
    let time = prop_oneof![6 => (0i64..50).prop_map(Some), 1 => Just(Some(i64::MAX)), 3 => Just(None)];
    prop::collection::vec((0usize..4, 0usize..2, time), 1..60)
}

proptest! {
    /// Sources 0 and 1 meet, and so do 2 and 3 further down.
    #[test]
    fn idle_sources_agree_with_the_model(says in says()) {
        let mut graph = Wiring::quiet();
        let sources: Vec<_> = (0..4).map(|n| graph.source(&format!("in{n}"))).collect();
        let upper = graph.union("upper", &sources[..2]);
        let mapped = graph.map("map", sources[2]);
        let lower = graph.union("lower", &[mapped, sources[3]]);
        graph.sink("upper_out", upper);
        graph.sink("lower_out", lower);
        let board = WatermarkBoard::new(&graph.finish(), 2);
        // Whoever has not spoken yet is active and knows nothing.
        let everyone = (0..4).flat_map(|source| (0..2).map(move |worker| ((source, worker), Some(i64::MIN))));
        let mut said: BTreeMap<(usize, usize), Option<i64>> = everyone.collect();
        for (source, worker, time) in says {
            said.insert((source, worker), time);
            let spoken = time.map_or(SourceTime::Idle, |at| SourceTime::Active(EventTime(at)));
            let found = board.say(sources[source].node, worker, spoken);
            // The other instances of the same source that are active and not at the end; if there are none,
            // those of the sources that it meets.
            let active = |scope: &[usize]| {
                let of = said.iter().filter(|((other, _), _)| scope.contains(other));
                of.filter_map(|(_, at)| at.filter(|at| *at < i64::MAX)).min()
            };
            let meets: &[usize] = if source < 2 { &[0, 1] } else { &[2, 3] };
            let expected = time.or_else(|| active(&[source])).or_else(|| active(meets));
            prop_assert_eq!(found, expected.map(EventTime), "source {} on worker {}", source, worker);
        }
    }
}
