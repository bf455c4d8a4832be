//! Where watermarks come from, and splits that keep in step, on sources without an engine.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::clock::{Clock, ManualClock};
use pelton_dataflow::graph::Graph;
use pelton_dataflow::operator::Outputs;
use pelton_dataflow::source::{Polled, SourceOperator, SourceTime, SplitInfo, SplitState};
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::Collect;
use pelton_operators::{Job, WatermarkGenerator, Watermarks};
use proptest::prelude::*;

use crate::fed::{Fed, Feeds, feeds, operator, ranked};
use crate::told::told;

/// A source of some splits under a strategy.
struct Run {
    graph: Graph,
    feeds: Feeds,
    clock: Arc<ManualClock>,
    operator: Box<dyn SourceOperator>,
}

fn time_of(at: &i64) -> EventTime {
    EventTime(*at)
}

impl Run {
    fn new<G: WatermarkGenerator<i64>>(
        splits: usize,
        strategy: Watermarks<fn(&i64) -> EventTime, G>,
    ) -> Self {
        let feeds = feeds(splits);
        let mut job = Job::new();
        job.source("in", Fed(feeds.clone())).watermarks(strategy).sink("out", Collect::new().0);
        let graph = job.finish().unwrap();
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let mut operator = operator(&graph, clock.clone(), &[]);
        for split in 0..splits {
            operator.assign(SplitState::fresh(SplitInfo::root(split.to_string()))).unwrap();
        }
        Self { graph, feeds, clock, operator }
    }

    fn give(&mut self, split: usize, times: &[i64]) {
        self.feeds[split].lock().unwrap().give(times);
    }

    /// Reads all that it reads now, at most two records at a time.
    fn read(&mut self) -> Vec<i64> {
        let mut out = Outputs::new(1, usize::MAX);
        while self.operator.poll(2, &mut out).unwrap() == Polled::Ready {}
        let mut found = Vec::new();
        while let Some(batch) = out.take(0) {
            let (records, _) = batch.into_records::<i64>();
            found.extend(records.into_iter().map(|record| {
                assert_eq!(record.time.0, record.value, "a record keeps its own time");
                record.value
            }));
        }
        found
    }

    fn watermark(&mut self) -> SourceTime {
        let now_us = self.clock.now_us();
        self.operator.event_time(now_us)
    }

    /// The source begins anew from what a checkpoint holds of it.
    fn restart(&mut self) {
        let (splits, memory) = (self.operator.snapshot(), self.operator.memory().unwrap());
        self.operator = operator(&self.graph, self.clock.clone(), &memory);
        splits.into_iter().for_each(|split| self.operator.assign(split).unwrap());
    }
}

fn at(ms: i64) -> SourceTime {
    SourceTime::Active(EventTime(ms))
}

#[test]
fn a_monotonous_split_is_as_far_as_its_latest_record() {
    let mut run = Run::new(2, Watermarks::monotonous(time_of as fn(&i64) -> EventTime));
    assert_eq!(run.watermark(), SourceTime::Active(EventTime::MIN));
    run.give(0, &[3, 5]);
    run.give(1, &[4, 2]);
    run.read();
    assert_eq!(run.watermark(), at(4), "the least of the splits");
}

#[test]
fn marks_alone_move_a_punctuated_watermark_also_after_a_restart() {
    let strategy = Watermarks::punctuated(time_of as fn(&i64) -> EventTime, |at| {
        (at % 10 == 0).then_some(EventTime(*at))
    });
    let mut run = Run::new(1, strategy);
    run.give(0, &[7, 99]);
    run.read();
    assert_eq!(run.watermark(), SourceTime::Active(EventTime::MIN));
    run.give(0, &[10, 8, 0]);
    run.read();
    assert_eq!(run.watermark(), at(10), "a mark that is behind counts for nothing");
    run.restart();
    assert_eq!(run.watermark(), at(10));
    run.give(0, &[15, 20]);
    run.read();
    assert_eq!(run.watermark(), at(20));
}

/// The least of the last three times: may go back by itself.
#[derive(Clone)]
struct LeastOfThree;

impl WatermarkGenerator<i64> for LeastOfThree {
    type State = Vec<i64>;

    fn on_record(&self, last: &mut Vec<i64>, _: &i64, time: EventTime) {
        last.insert(0, time.0);
        last.truncate(3);
    }

    fn watermark(&self, last: &Vec<i64>) -> EventTime {
        last.iter().min().map_or(EventTime::MIN, |least| EventTime(*least))
    }
}

#[test]
fn the_state_of_a_custom_generator_is_in_the_checkpoint_and_its_watermark_never_goes_back() {
    let mut run = Run::new(1, Watermarks::custom(time_of as fn(&i64) -> EventTime, LeastOfThree));
    run.give(0, &[5, 6, 7]);
    run.read();
    assert_eq!(run.watermark(), at(5));
    run.restart();
    run.give(0, &[8]);
    run.read();
    assert_eq!(run.watermark(), at(6), "it remembers 6 and 7");
    run.give(0, &[1]);
    run.read();
    run.restart();
    assert_eq!(run.watermark(), at(6), "1 is late, and so it is after a restart");
}

#[test]
fn a_watermark_is_clamped_to_the_clock_and_records_keep_their_times() {
    let bounded = || Watermarks::bounded(Duration::from_millis(10), time_of as fn(&i64) -> EventTime);
    let marks = Watermarks::punctuated(time_of as fn(&i64) -> EventTime, |at: &i64| Some(EventTime(*at)));
    let limit = Duration::from_millis(50);
    let custom = Watermarks::custom(time_of as fn(&i64) -> EventTime, LeastOfThree);
    for (mut run, expected) in [
        (Run::new(1, bounded()), [4_990, 4_990]),
        (Run::new(1, bounded().clamp_ahead(limit)), [1_040, 1_140]),
        (Run::new(1, marks.clamp_ahead(limit)), [1_050, 1_150]),
        (Run::new(1, custom.clamp_ahead(limit)), [1_050, 1_050]),
    ] {
        run.give(0, &[5_000]);
        assert_eq!(run.read(), [5_000]);
        assert_eq!(run.watermark(), at(expected[0]));
        run.clock.advance(Duration::from_millis(100));
        run.give(0, &[5_000]);
        assert_eq!(run.read(), [5_000]);
        assert_eq!(run.watermark(), at(expected[1]));
    }
}

const DRIFT_MS: i64 = 10;
const DRIFT: Duration = Duration::from_millis(DRIFT_MS.unsigned_abs());

fn in_step() -> Watermarks<fn(&i64) -> EventTime> {
    Watermarks::monotonous(time_of as fn(&i64) -> EventTime).aligned("all", DRIFT)
}

#[test]
fn a_split_that_runs_ahead_is_not_read_until_the_others_have_followed() {
    let mut run = Run::new(2, in_step());
    run.give(0, &[1, 2, 20, 21, 22, 23]);
    assert_eq!(run.read(), [1, 2], "the other has not begun");
    assert_eq!(run.operator.held_splits(), 1);
    run.give(1, &[3]);
    assert_eq!(run.read(), [3, 20, 21]);
    run.give(1, &[11]);
    assert_eq!(run.read(), [11, 22, 23], "21 is ahead of 11 by the limit");
    assert_eq!(run.operator.held_splits(), 1);
    assert_eq!(run.watermark(), at(11));
}

#[test]
fn idle_and_finished_splits_hold_nobody() {
    let mut run = Run::new(3, in_step().idle_after(Duration::from_millis(5)));
    run.give(0, &[1, 50, 100, 150, 200]);
    run.feeds[1].lock().unwrap().end();
    assert_eq!(run.read(), [1, 50]);
    run.clock.advance(Duration::from_millis(5));
    // Split 2 tells by itself that it has nothing.
    assert_eq!(run.watermark(), at(50));
    assert_eq!(run.read(), [100, 150, 200]);
    // It wakes behind all others, and is followed again.
    run.give(2, &[60]);
    assert_eq!(run.read(), [60]);
    run.give(0, &[300]);
    assert_eq!(run.read(), Vec::<i64>::new());
}

/// As it holds the watermark. The log says who it is, and what to do.
#[test]
fn a_silent_split_that_holds_others_is_told_of() {
    let mut run = Run::new(3, in_step());
    run.give(0, &[1, 50, 100]);
    run.give(1, &[5]);
    assert_eq!(run.read(), [1, 50, 5]);
    let mut later = |seconds| {
        run.clock.advance(Duration::from_secs(seconds));
        told(|| _ = run.watermark())
    };
    assert_eq!(later(29), [""; 0]);
    let warnings = later(1);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for words in ["split in/2 has never had a record and holds the 2", "`all`", "`.idle_after(...)`"] {
        assert!(warnings[0].contains(words), "{warnings:?}");
    }
    assert_eq!(later(1_000), [""; 0], "once is enough");
    run.give(2, &[3]);
    assert_eq!(run.read(), [3]);
    run.clock.advance(Duration::from_secs(30));
    let warnings = told(|| _ = run.watermark());
    assert!(warnings[0].contains("split in/2 has no more records and holds the 1 "), "{warnings:?}");

    let mut run = Run::new(2, in_step().idle_after(Duration::from_secs(3_600)));
    run.give(0, &[1, 50]);
    run.read();
    run.clock.advance(Duration::from_secs(60));
    assert_eq!(told(|| _ = run.watermark()), [""; 0], "it becomes idle some time");
}

/// Of each split, what is earlier than its own watermark, however it is read and whatever the other one is at.
#[test]
fn what_is_late_for_its_split_goes_aside_also_after_a_restart() {
    let feeds = feeds(2);
    let strategy = Watermarks::bounded(Duration::from_millis(5), time_of as fn(&i64) -> EventTime);
    let mut job = Job::new();
    let streams = job.source("in", Fed(feeds.clone())).dead_letters().late_aside().watermarks(strategy);
    streams.out.sink("out", Collect::new().0);
    streams.late.sink("late", Collect::new().0);
    let graph = job.finish().unwrap();
    assert!(graph.explain().contains("late ones aside"), "{}", graph.explain());
    let times = [[10, 20, 15, 14, 30], [25, 24, 9, 31, 26]];
    for (at_a_time, is_ranked) in (1..6).flat_map(|n| [(n, false), (n, true)]) {
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let mut source = ranked(&graph, clock.clone(), &[], is_ranked);
        for split in 0..2 {
            source.assign(SplitState::fresh(SplitInfo::root(split.to_string()))).unwrap();
        }
        let mut out = Outputs::new(3, usize::MAX);
        let mut read = |source: &mut dyn SourceOperator, times: &[i64]| {
            feeds[0].lock().unwrap().give(times);
            while source.poll(at_a_time, &mut out).unwrap() == Polled::Ready {}
            [0, 2].map(|port| {
                let batches = std::iter::from_fn(|| out.take(port));
                let records = batches.flat_map(|batch| {
                    let (records, _, ranks) = batch.into_ranked::<i64>();
                    assert_eq!(ranks.map(|ranks| ranks.len()), is_ranked.then_some(records.len()));
                    records
                });
                records.map(|record| record.value).collect::<Vec<_>>()
            })
        };
        assert_eq!(read(&mut *source, &times[0]), [vec![10, 20, 15, 30], vec![14]]);
        let (splits, memory) = (source.snapshot(), source.memory().unwrap());
        let mut source = ranked(&graph, clock, &memory, is_ranked);
        splits.into_iter().for_each(|split| source.assign(split).unwrap());
        assert_eq!(read(&mut *source, &times[1]), [vec![25, 31, 26], vec![24, 9]]);
    }
}

#[test]
fn what_cannot_be_aligned_is_a_mistake_of_the_graph() {
    let mistakes = |strategy: Watermarks<fn(&i64) -> EventTime>| {
        let mut job = Job::new();
        job.source("in", Fed(feeds(1))).watermarks(strategy).sink("out", Collect::new().0);
        job.finish().map(drop).unwrap_err().to_string()
    };
    let bare = || Watermarks::monotonous(time_of as fn(&i64) -> EventTime);
    let nameless = mistakes(bare().aligned("", DRIFT));
    assert!(nameless.contains("aligned with a group without a name"), "{nameless}");
    let endless = mistakes(bare().aligned("all", Duration::MAX));
    assert!(endless.contains("longer than event time reaches: leave `.aligned` out"), "{endless}");
}

#[test]
fn explain_tells_who_keeps_in_step() {
    let run = Run::new(1, in_step());
    assert!(run.graph.explain().contains("aligned with `all` within 10ms"), "{}", run.graph.explain());
}

const SPLITS: usize = 3;

fn fed() -> impl Strategy<Value = Vec<(usize, Vec<i64>)>> {
    prop::collection::vec((0..SPLITS, prop::collection::vec(0i64..15, 1..6)), 1..30)
}

proptest! {
    /// Each split goes on by random steps. None is read while it is ahead by more than it may be; the one
    /// that is behind is always read; and once all have ended, everything has been read.
    #[test]
    fn splits_in_step_agree_with_the_model(fed in fed(), restart_at in 0usize..30) {
        let mut run = Run::new(SPLITS, in_step());
        let mut waiting = vec![VecDeque::new(); SPLITS];
        let mut last = [0i64; SPLITS];
        let mut reached = [i64::MIN; SPLITS];
        for (step, (split, steps)) in fed.into_iter().enumerate() {
            // Of each split the times are apart from those of others by their last digit.
            let times: Vec<i64> = steps.iter().map(|step| {
                last[split] += step * 10;
                last[split] + split as i64
            }).collect();
            waiting[split].extend(&times);
            run.give(split, &times);
            if step == restart_at {
                run.restart();
            }
            check(&run.read(), &mut waiting, &mut reached, false)?;
            let least = *reached.iter().min().unwrap();
            let behind = (0..SPLITS).filter(|split| reached[*split] == least);
            for split in behind {
                prop_assert!(waiting[split].is_empty(), "split {split} waits for nobody, and was not read");
            }
        }
        run.feeds.iter().for_each(|feed| feed.lock().unwrap().end());
        check(&run.read(), &mut waiting, &mut reached, true)?;
        prop_assert_eq!(waiting.iter().map(VecDeque::len).sum::<usize>(), 0);
    }
}

/// What was read came in the order of each split. While a split was ahead of the least by more than it
/// may be, nothing of it was read but the second record of a poll that began in time.
fn check(
    found: &[i64],
    waiting: &mut [VecDeque<i64>],
    reached: &mut [i64; SPLITS],
    has_ended: bool,
) -> Result<(), TestCaseError> {
    let mut beyond = [0; SPLITS];
    for at in found {
        let split = (at % 10) as usize;
        prop_assert_eq!(waiting[split].pop_front(), Some(*at), "the order of split {}", split);
        let least = *reached.iter().min().unwrap();
        let limit = if least == i64::MIN { least } else { least + DRIFT_MS };
        beyond[split] = if reached[split] > limit { beyond[split] + 1 } else { 0 };
        prop_assert!(has_ended || beyond[split] <= 1, "{at} was read while the least was {least}");
        reached[split] = reached[split].max(*at);
    }
    Ok(())
}
