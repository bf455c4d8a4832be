//! The watermarks of a source's splits against a plain model: the least over those that are active; a
//! split that has been empty for a while, or is finished, holds nothing back; a restored one goes on
//! from where it was.

use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::clock::{Clock, ManualClock};
use pelton_dataflow::graph::Graph;
use pelton_dataflow::operator::Outputs;
use pelton_dataflow::source::{
    Polled, SourceOperator, SourceTime, SplitId, SplitInfo, SplitState, SplitStatus,
};
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::Collect;
use pelton_operators::{Job, Watermarks};
use proptest::prelude::*;

use crate::fed::{Fed, Feeds, feeds, operator};

const SPLITS: usize = 3;
const OUT_OF_ORDER_MS: i64 = 4;
const IDLE_AFTER_MS: i64 = 10;

#[derive(Clone, Debug)]
enum Step {
    Assign(usize),
    Give(usize, Vec<i64>),
    End(usize),
    Pass(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let times = || prop::collection::vec(0i64..60, 1..4);
    let step = prop_oneof![
        3 => (0..SPLITS).prop_map(Step::Assign),
        8 => (0..SPLITS, times()).prop_map(|(split, times)| Step::Give(split, times)),
        1 => (0..SPLITS).prop_map(Step::End),
        6 => (1i64..8).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..50)
}

/// The slow and obvious split.
#[derive(Clone, Debug, Default)]
struct Model {
    is_assigned: bool,
    is_finished: bool,
    max_time: Option<i64>,
    /// Since when it has given nothing.
    quiet_since_ms: i64,
    waiting: Vec<i64>,
    ends: bool,
    read: u64,
}

struct Run {
    graph: Graph,
    feeds: Feeds,
    clock: Arc<ManualClock>,
    operator: Box<dyn SourceOperator>,
    splits: Vec<Model>,
}

impl Run {
    fn new() -> Self {
        let feeds = feeds(SPLITS);
        let mut job = Job::new();
        let strategy =
            Watermarks::bounded(Duration::from_millis(OUT_OF_ORDER_MS.unsigned_abs()), |at: &i64| {
                EventTime(*at)
            });
        let strategy = strategy.idle_after(Duration::from_millis(IDLE_AFTER_MS.unsigned_abs()));
        job.source("in", Fed(feeds.clone())).watermarks(strategy).sink("out", Collect::new().0);
        let graph = job.finish().unwrap();
        let clock = Arc::new(ManualClock::at_ms(0));
        let operator = operator(&graph, clock.clone(), &[]);
        Self { graph, feeds, clock, operator, splits: vec![Model::default(); SPLITS] }
    }

    fn apply(&mut self, step: &Step) {
        let now_ms = self.clock.now_ms();
        match step {
            Step::Assign(split) if !self.splits[*split].is_assigned => {
                self.operator.assign(SplitState::fresh(SplitInfo::root(split.to_string()))).unwrap();
                let model = &mut self.splits[*split];
                (model.is_assigned, model.quiet_since_ms) = (true, now_ms);
            }
            Step::Give(split, times) if !self.splits[*split].ends => {
                self.splits[*split].waiting.extend(times);
                self.feeds[*split].lock().unwrap().give(times);
            }
            Step::Assign(_) | Step::Give(..) => {}
            Step::End(split) => {
                self.splits[*split].ends = true;
                self.feeds[*split].lock().unwrap().end();
            }
            Step::Pass(ms) => self.clock.advance(Duration::from_millis(ms.unsigned_abs())),
            Step::Restart => {
                let saved = self.operator.snapshot();
                self.operator = operator(&self.graph, self.clock.clone(), &[]);
                saved.into_iter().for_each(|split| self.operator.assign(split).unwrap());
                self.splits.iter_mut().for_each(|split| split.quiet_since_ms = now_ms);
            }
        }
        self.read_all();
        self.check();
    }

    /// Polls until there is nothing more, and so does the model.
    fn read_all(&mut self) {
        let mut out = Outputs::new(1, usize::MAX);
        while self.operator.poll(2, &mut out).unwrap() == Polled::Ready {}
        let mut found = Vec::new();
        while let Some(batch) = out.take(0) {
            found.extend(
                batch.into_records::<i64>().0.into_iter().map(|record| (record.time.0, record.value)),
            );
        }
        let now_ms = self.clock.now_ms();
        let (mut expected, mut finished) = (Vec::new(), Vec::new());
        for (number, split) in self.splits.iter_mut().enumerate() {
            if !split.is_assigned || split.is_finished {
                continue;
            }
            if !split.waiting.is_empty() {
                split.quiet_since_ms = now_ms;
            }
            for at in split.waiting.drain(..) {
                split.max_time = split.max_time.max(Some(at));
                split.read += 1;
                expected.push((at, at));
            }
            if split.ends {
                split.is_finished = true;
                finished.push(SplitId(number.to_string()));
            }
        }
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "the records");
        let mut told = self.operator.take_finished();
        told.sort();
        assert_eq!(told, finished, "the splits that have just ended");
    }

    fn check(&mut self) {
        let now_ms = self.clock.now_ms();
        let is_idle = |split: &&Model| now_ms - split.quiet_since_ms >= IDLE_AFTER_MS;
        let open = || self.splits.iter().filter(|split| split.is_assigned && !split.is_finished);
        let active = open().filter(|split| !is_idle(split));
        let watermark = |split: &Model| split.max_time.map_or(i64::MIN, |at| at - OUT_OF_ORDER_MS);
        let expected = active.map(watermark).min();
        let expected = expected.map_or(SourceTime::Idle, |at| SourceTime::Active(EventTime(at)));
        let found = self.operator.event_time(now_ms * 1_000);
        assert_eq!(found, expected, "at {now_ms} ms: {:#?}", self.splits);

        for saved in self.operator.snapshot() {
            let split = &self.splits[saved.info.id.0.parse::<usize>().unwrap()];
            let status = match split {
                split if split.is_finished => SplitStatus::Finished,
                split if is_idle(&split) => SplitStatus::Idle,
                _ => SplitStatus::Active,
            };
            let position = saved.position.map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            let max_time = split.max_time.map_or(EventTime::MIN, EventTime);
            assert_eq!((saved.status, saved.max_time, position), (status, max_time, Some(split.read)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn watermarks_of_splits_agree_with_the_model(steps in steps()) {
        let mut run = Run::new();
        steps.iter().for_each(|step| run.apply(step));
    }
}
