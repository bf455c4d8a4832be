//! Transactional sinks against a model, on random scripts of writes, checkpoints and crashes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::exactly_once::{Target, files, memory, shard_log};
use crate::support::Run;

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Freeze,
    RunTasks,
    Manifest,
    Commit(usize),
    Forget,
    Crash(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..3).prop_map(Step::Write),
        3 => Just(Step::Freeze),
        3 => Just(Step::RunTasks),
        3 => Just(Step::Manifest),
        2 => (0usize..4).prop_map(Step::Commit),
        1 => Just(Step::Forget),
        2 => (1usize..4).prop_map(Step::Crash),
    ]
}

/// What a sink promises, in sets of values: what one worker wrote in one epoch goes from `writing`
/// through `frozen`, `prepared` and `listed` until it is visible, or is lost on the way.
#[derive(Default)]
struct Model {
    writing: Vec<Vec<usize>>,
    frozen: Vec<Vec<usize>>,
    prepared: Vec<Vec<usize>>,
    listed: Vec<Vec<usize>>,
    visible: BTreeSet<usize>,
}

impl Model {
    fn commit(&mut self, count: usize) {
        self.visible.extend(self.listed.iter().take(count).flatten());
    }

    fn step(&mut self, step: Step, number: usize) {
        match step {
            Step::Write(worker) => self.writing[worker].push(number),
            Step::Freeze => {
                self.frozen
                    .extend(self.writing.iter_mut().map(std::mem::take).filter(|values| !values.is_empty()));
            }
            Step::RunTasks => self.prepared.append(&mut self.frozen),
            Step::Manifest => self.listed.append(&mut self.prepared),
            Step::Commit(count) => self.commit(count),
            Step::Forget => self.listed.clear(),
            Step::Crash(workers) => {
                self.commit(usize::MAX);
                (self.writing, self.frozen, self.prepared) = (vec![vec![]; workers], vec![], vec![]);
            }
        }
    }

    /// Whether a job may take this step: manifests forget only what is committed, and there are
    /// only so many workers.
    fn allows(&self, step: Step) -> bool {
        match step {
            Step::Forget => self.listed.iter().flatten().all(|value| self.visible.contains(value)),
            Step::Write(worker) => worker < self.writing.len(),
            _ => true,
        }
    }
}

fn check(new: fn() -> Target, script: &[Step]) -> Result<(), TestCaseError> {
    let (sink, visible) = new();
    let mut run = Run::start(&*sink, 2);
    let mut model = Model { writing: vec![vec![]; 2], ..Model::default() };
    for (number, &step) in script.iter().enumerate() {
        if !model.allows(step) {
            continue;
        }
        model.step(step, number);
        let done = match step {
            Step::Write(worker) => run.write(worker, &number.to_string()),
            Step::Freeze => run.freeze(),
            Step::RunTasks => run.run_tasks(),
            Step::Manifest => run.step("manifest"),
            Step::Commit(count) => run.commit(count),
            Step::Forget => run.step("forget"),
            Step::Crash(workers) => run.restart(workers),
        };
        prop_assert!(done.is_ok(), "step {number}, {step:?}: {done:?}");
        let mut seen: Vec<usize> = visible().iter().map(|value| value.parse().unwrap()).collect();
        seen.sort_unstable();
        let expected: Vec<usize> = model.visible.iter().copied().collect();
        prop_assert_eq!(seen, expected, "after step {}, {:?}", number, step);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn memory_does_as_the_model(script in prop::collection::vec(any_step(), 1..60)) {
        check(memory, &script)?;
    }

    #[test]
    fn files_do_as_the_model(script in prop::collection::vec(any_step(), 1..60)) {
        check(files, &script)?;
    }
}

proptest! {
    // Each step that prepares or commits syncs several files.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_shard_log_does_as_the_model(script in prop::collection::vec(any_step(), 1..40)) {
        check(shard_log, &script)?;
    }
}
