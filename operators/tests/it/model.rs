//! Random scripts against slow and obvious models: records, watermarks, barriers, crashes, and watermarks
//! that a barrier and a crash fall into.

use std::fmt::Debug;

use pelton_dataflow::record::Data;
use pelton_operators::Stream;
use pelton_operators::testing::{Harness, Taps};
use proptest::prelude::*;

/// What an operator does, said slowly.
pub trait Model: Clone {
    type Record: Data + Sync;

    /// What comes out as a record comes in.
    fn record(&mut self, at: i64, record: Self::Record) -> Vec<String>;

    /// What comes out as the watermark, which never goes back, goes to `at`.
    fn watermark(&mut self, at: i64) -> Vec<String>;
}

#[derive(Clone, Debug)]
pub enum Step<T> {
    Record(i64, T),
    Watermark(i64),
    /// A watermark on whose work a barrier and then a crash fall.
    CutWatermark(i64),
    Barrier,
    Crash,
    /// All that has come so far is looked at.
    Look,
}

/// Scripts with records at times up to `last`.
pub fn steps<T: Debug + Clone>(
    last: i64,
    records: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<Step<T>>> {
    let step = prop_oneof![
        14 => (0..=last, records).prop_map(|(at, record)| Step::Record(at, record)),
        2 => (0..=last + 20).prop_map(Step::Watermark),
        1 => (0..=last + 20).prop_map(Step::CutWatermark),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
        1 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..60)
}

/// Plays `steps` to the graph that `build` makes and to `model`, then ends the input. Lines of one look
/// are compared in any order.
pub fn agree<M: Model>(
    build: impl FnOnce(Stream<M::Record>, &mut Taps),
    model: M,
    steps: Vec<Step<M::Record>>,
) where
    M::Record: Debug,
{
    agree_in_order(build, model, steps, None);
}

/// As [`agree`]; lines of the tap `in_order` are compared in their order.
pub fn agree_in_order<M: Model>(
    build: impl FnOnce(Stream<M::Record>, &mut Taps),
    mut model: M,
    steps: Vec<Step<M::Record>>,
    in_order: Option<&str>,
) where
    M::Record: Debug,
{
    let is_ordered = |line: &&String| in_order.is_some_and(|tap| line.starts_with(tap));
    let mut script = Harness::new(build);
    let mut saved = model.clone();
    let (mut reached, mut saved_reached) = (i64::MIN, i64::MIN);
    let mut expected = Vec::new();
    for step in steps.into_iter().chain([Step::Watermark(i64::MAX)]) {
        let shown = format!("{step:?}");
        match step {
            Step::Record(at, record) => {
                script.record(at, record.clone());
                expected.extend(model.record(at, record));
                continue;
            }
            Step::Watermark(at) if at > reached => {
                script.watermark(at);
                expected.extend(model.watermark(at));
                reached = at;
            }
            Step::CutWatermark(at) if at > reached => {
                script.watermark_cut_by_barrier_and_crash(at);
                // What came after the cut has to be in a checkpoint, as the model has it.
                script.barrier();
                expected.extend(model.watermark(at));
                (reached, saved_reached) = (at, at);
                saved = model.clone();
            }
            Step::Watermark(_) | Step::CutWatermark(_) => continue,
            Step::Barrier => {
                script.barrier();
                (saved, saved_reached) = (model.clone(), reached);
            }
            Step::Crash => {
                script.crash();
                (model, reached) = (saved.clone(), saved_reached);
            }
            Step::Look => {}
        }
        let mut found = script.output();
        let ordered = |lines: &[String]| lines.iter().filter(is_ordered).cloned().collect::<Vec<_>>();
        assert_eq!(ordered(&found), ordered(&expected), "in order, after {shown}");
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "after {shown}");
        expected.clear();
    }
}
