//! The coordinator by script: an event in, the actions it answers with out.

use pelton_dataflow::graph::NodeId;
use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::source::{SplitId, SplitInfo, SplitState, SplitStatus};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_runtime::coordinator::{Action, Coordinator, Event, OperatorAcked, OperatorPlan, Outcome, Plan};
use pelton_state::checkpoint::manifest::{Manifest, SinkPart};
use pelton_state::checkpoint::names::NameTable;
use pelton_state::files::{Backend, KeyedAck};

const SOURCE: NodeId = NodeId(0);
const SINK: NodeId = NodeId(2);

/// source -> count -> sink, on `workers` workers, a checkpoint each second.
fn plan(workers: usize) -> Plan {
    let operator = |id, name: &str, is_source| OperatorPlan { id, name: name.into(), is_source };
    Plan {
        job: "job".into(),
        generation: 1,
        first_epoch: Epoch(1),
        workers,
        groups: KeyGroups::default(),
        operators: vec![
            operator(SOURCE, "source", true),
            operator(NodeId(1), "count", false),
            operator(SINK, "sink", false),
        ],
        keyed: true,
        names: NameTable::default(),
        interval_ms: Some(1_000),
        timeout_ms: 10_000,
        tolerated_failures: 2,
        discovery_interval_ms: 500,
        sources: Vec::new(),
        committables: Vec::new(),
    }
}

/// A coordinator under a script.
struct Script {
    coordinator: Coordinator,
    workers: usize,
    now_ms: i64,
    /// What the source's instances hold, by worker.
    splits: Vec<Vec<SplitState>>,
    keyed: bool,
}

impl Script {
    /// Up to where records flow, with `splits` found.
    fn running(plan: Plan, splits: &[SplitInfo], complete: bool) -> (Self, Vec<Action>) {
        let (workers, keyed) = (plan.workers, plan.keyed);
        let (coordinator, first) = Coordinator::new(plan, 0);
        assert_eq!(first, [Action::Discover(SOURCE)]);
        let mut script = Self { coordinator, workers, now_ms: 0, splits: vec![Vec::new(); workers], keyed };
        let mut actions = script.on(Event::Discovered { source: SOURCE, splits: splits.to_vec(), complete });
        let start = actions.iter().position(|action| *action == Action::StartWorkers).expect("they start");
        let late = actions[start..].iter().any(|action| matches!(action, Action::Assign { .. }));
        assert!(!late, "workers start when the first splits have been given out: {actions:?}");
        for worker in 0..workers {
            actions.extend(script.on(Event::WorkerReady { worker }));
        }
        (script, actions)
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let actions = self.coordinator.on(self.now_ms, event);
        for action in &actions {
            if let Action::Assign { worker, split, .. } = action {
                self.splits[*worker].push(split.clone());
            }
        }
        actions
    }

    fn at(&mut self, now_ms: i64) -> Vec<Action> {
        self.now_ms = now_ms;
        self.on(Event::Tick)
    }

    fn finish(&mut self, split: &str, epoch: u64) -> Vec<Action> {
        for held in self.splits.iter_mut().flatten().filter(|held| held.info.id.0 == split) {
            held.status = SplitStatus::Finished;
        }
        self.on(Event::SplitFinished { source: SOURCE, split: SplitId(split.into()), epoch: Epoch(epoch) })
    }

    fn ack(&self, operator: NodeId, worker: usize, epoch: u64, watermark: EventTime) -> Event {
        let is_source = operator == SOURCE;
        let committable = (operator == SINK).then(|| format!("e{epoch}w{worker}").into_bytes());
        Event::OperatorAcked(OperatorAcked {
            epoch: Epoch(epoch),
            operator,
            worker,
            watermark,
            bytes: Vec::new(),
            splits: if is_source { self.splits[worker].clone() } else { Vec::new() },
            committable,
            alignment_us: 0,
        })
    }

    fn ack_operators(&mut self, epoch: u64, watermark: EventTime) -> Vec<Action> {
        let mut actions = Vec::new();
        for worker in 0..self.workers {
            for operator in self.coordinator.operators() {
                let ack = self.ack(operator, worker, epoch, watermark);
                actions.extend(self.on(ack));
            }
        }
        actions
    }

    fn ack_keyed(&mut self, epoch: u64) -> Vec<Action> {
        let workers = if self.keyed { self.workers } else { 0 };
        (0..workers).flat_map(|worker| self.on(Event::KeyedAcked(keyed(worker, epoch)))).collect()
    }

    fn ack_all(&mut self, epoch: u64) -> Vec<Action> {
        let mut actions = self.ack_operators(epoch, EventTime(0));
        actions.extend(self.ack_keyed(epoch));
        actions
    }

    fn appended(&mut self, epoch: u64) -> Vec<Action> {
        self.on(Event::ManifestAppended { epoch: Epoch(epoch), sequence: epoch + 1 })
    }
}

fn keyed(worker: usize, epoch: u64) -> KeyedAck {
    KeyedAck {
        epoch: Epoch(epoch),
        worker,
        groups: 0..128,
        backend: Backend::Memory,
        files: Vec::new(),
        new_bytes: 0,
        duration_us: 0,
    }
}

fn shard(id: &str, parents: &[&str]) -> SplitInfo {
    SplitInfo { id: SplitId(id.into()), parents: parents.iter().map(|id| SplitId((*id).into())).collect() }
}

fn manifest(actions: &[Action]) -> &Manifest {
    let found = actions.iter().find_map(|action| match action {
        Action::AppendManifest(manifest) => Some(&**manifest),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no manifest in {actions:?}"))
}

/// The committables of a manifest or commit, as `e1w0 e1w1`.
fn texts(parts: &[SinkPart]) -> String {
    let bytes = parts.iter().flat_map(|part| &part.committables).map(|one| one.bytes.clone());
    bytes.map(|bytes| String::from_utf8(bytes).unwrap()).collect::<Vec<_>>().join(" ")
}

fn committed(actions: &[Action]) -> String {
    let parts = actions.iter().find_map(|action| match action {
        Action::Commit(parts) => Some(parts),
        _ => None,
    });
    texts(parts.unwrap_or_else(|| panic!("no commit in {actions:?}")))
}

fn opens(actions: &[Action], epoch: u64) -> bool {
    actions.contains(&Action::OpenEpoch(Epoch(epoch)))
}

#[test]
fn an_epoch_completes_when_everyone_has_acknowledged_it() {
    let (mut script, first) = Script::running(plan(2), &[shard("a", &[]), shard("b", &[])], false);
    let workers: Vec<usize> = first
        .iter()
        .filter_map(|action| if let Action::Assign { worker, .. } = action { Some(*worker) } else { None })
        .collect();
    assert_eq!(workers, [0, 1], "splits are spread");

    assert!(script.at(999).iter().all(|action| matches!(action, Action::Discover(_))));
    assert_eq!(script.at(1_000), [Action::OpenEpoch(Epoch(2))]);
    assert_eq!(script.ack_operators(1, EventTime(7)), []);
    assert_eq!(script.on(Event::KeyedAcked(keyed(0, 1))), []);
    let actions = script.on(Event::KeyedAcked(keyed(1, 1)));
    let manifest = manifest(&actions);
    assert_eq!((manifest.epoch, manifest.keyed.len(), manifest.operators.len()), (Epoch(1), 2, 6));
    assert!(manifest.operators.iter().all(|part| part.watermark == EventTime(7)));
    assert_eq!(texts(&manifest.committables), "e1w0 e1w1");
    assert!(!manifest.is_final);

    let actions = script.appended(1);
    assert!(matches!(&actions[0], Action::CheckpointCompleted(taken) if taken.sequence == 2));
    assert_eq!(committed(&actions), "e1w0 e1w1");
}

#[test]
fn two_epochs_are_open_at_most() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    assert!(opens(&script.at(1_000), 2));
    for now_ms in [2_000, 3_000, 9_000] {
        assert_eq!(script.at(now_ms), [], "epoch 1 is not complete");
    }
    script.ack_all(1);
    assert!(opens(&script.appended(1), 3), "one is long due");
}

#[test]
fn a_late_checkpoint_is_abandoned_and_the_job_goes_on() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.at(1_000);
    let actions = script.at(11_000);
    let Action::CheckpointAbandoned { epoch: Epoch(1), problem } = &actions[0] else { panic!("{actions:?}") };
    assert!(problem.contains("not complete after 10000 ms: 0 of 3 operators"), "{problem}");
    assert!(opens(&actions, 3), "the next one is long due");
}

#[test]
fn abandoned_epoch_committables_ride_along() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.at(1_000);
    script.ack_operators(1, EventTime(0));
    let failed = script.on(Event::KeyedFailed { worker: 0, message: "disk full".into() });
    assert!(
        matches!(&failed[0], Action::CheckpointAbandoned { problem, .. } if problem.contains("disk full"))
    );
    assert!(opens(&script.at(2_000), 3));

    let actions = script.ack_all(2);
    assert_eq!(texts(&manifest(&actions).committables), "e1w0 e2w0");
    assert_eq!(committed(&script.appended(2)), "e1w0 e2w0");
}

#[test]
fn a_manifest_waits_for_the_prepares_of_abandoned_epochs() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.at(1_000);
    let slow = script.ack(SINK, 0, 1, EventTime(0));
    for operator in [SOURCE, NodeId(1)] {
        let ack = script.ack(operator, 0, 1, EventTime(0));
        script.on(ack);
    }
    script.on(Event::KeyedAcked(keyed(0, 1)));
    assert!(opens(&script.at(11_000), 3), "the slow prepare made epoch 1 late");
    assert_eq!(script.ack_all(2), [], "what epoch 1 wrote is not known yet, and must be listed");
    let actions = script.on(slow);
    assert_eq!(texts(&manifest(&actions).committables), "e1w0 e2w0");
}

#[test]
fn commit_of_an_older_epoch_survives_a_newer_manifest() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.at(1_000);
    script.ack_all(1);
    assert_eq!(committed(&script.appended(1)), "e1w0");
    // The commit takes its time; the next checkpoint does not wait for it.
    assert!(opens(&script.at(2_000), 3));
    let actions = script.ack_all(2);
    assert_eq!(texts(&manifest(&actions).committables), "e1w0 e2w0", "1 is not known to be committed");
    assert!(script.appended(2).iter().all(|action| !matches!(action, Action::Commit(_))), "one at a time");
    assert_eq!(committed(&script.on(Event::Committed)), "e2w0");
}

#[test]
fn a_commit_that_fails_is_repeated_and_stays_listed() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.at(1_000);
    script.ack_all(1);
    script.appended(1);
    let failed = || Event::CommitFailed { message: "unreachable".into() };
    assert_eq!(script.on(failed()), []);
    assert_eq!(committed(&script.at(1_200)), "e1w0");
    script.on(failed());
    assert_eq!(committed(&script.at(2_000)), "e1w0");
    assert_eq!(texts(&manifest(&script.ack_all(2)).committables), "e1w0 e2w0");
    for attempt in 3..10 {
        assert_eq!(script.on(failed()), []);
        assert_eq!(committed(&script.at(attempt * 5_000)), "e1w0");
    }
    let message = "a commit failed 10 times, the last time: unreachable".to_owned();
    assert_eq!(script.on(failed()), [Action::StopWorkers(Outcome::Failed(message))]);
}

#[test]
fn more_failures_in_a_row_than_tolerated_end_the_generation() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    let mut fail = |now_ms: i64| {
        script.at(now_ms);
        script.on(Event::KeyedFailed { worker: 0, message: "disk full".into() })
    };
    assert_eq!(fail(1_000).len(), 1);
    assert_eq!(fail(2_000).len(), 1);
    let actions = fail(3_000);
    let Some(Action::StopWorkers(Outcome::Failed(message))) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(message, "checkpoints failed 3 times in a row, the last: state of worker 0: disk full");
}

#[test]
fn a_completed_checkpoint_makes_failures_forgotten() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    let mut epoch = 0;
    let mut now_ms = 0;
    for _ in 0..3 {
        for _ in 0..2 {
            (epoch, now_ms) = (epoch + 1, now_ms + 1_000);
            script.at(now_ms);
            script.ack_operators(epoch, EventTime(0));
            script.on(Event::KeyedFailed { worker: 0, message: "disk full".into() });
        }
        (epoch, now_ms) = (epoch + 1, now_ms + 1_000);
        script.at(now_ms);
        script.ack_all(epoch);
        assert!(matches!(script.appended(epoch)[0], Action::CheckpointCompleted(_)));
        script.on(Event::Committed);
    }
}

#[test]
fn who_loses_the_log_stops_for_good() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.at(1_000);
    script.ack_all(1);
    let actions = script.on(Event::ManifestLost { message: "generation 1 has ended".into() });
    assert_eq!(actions, [Action::StopWorkers(Outcome::Lost("generation 1 has ended".into()))]);
    assert_eq!(script.at(99_000), []);
    assert_eq!(script.on(Event::Failed { message: "late".into() }), []);
}

#[test]
fn children_start_after_parents_with_checkpoints_off() {
    let plan = Plan { interval_ms: None, ..plan(2) };
    let splits = [shard("left", &["parent"]), shard("parent", &[]), shard("right", &["parent"])];
    let (mut script, first) = Script::running(plan, &splits, true);
    assert_eq!(first.iter().filter(|action| matches!(action, Action::Assign { .. })).count(), 1);
    assert_eq!(script.at(60_000), [], "no periodic epoch");

    let actions = script.finish("parent", 1);
    assert!(opens(&actions, 2), "an epoch is opened at once: {actions:?}");
    assert!(!actions.iter().any(|action| matches!(action, Action::Assign { .. })));
    // Worker 0's instance has left epoch 1, worker 1's has not.
    let ack = script.ack(SOURCE, 0, 1, EventTime(0));
    let given: Vec<_> = script.on(ack).into_iter().filter_map(assignment).collect();
    assert_eq!(given, [("left".to_owned(), 0)]);
    let ack = script.ack(SOURCE, 1, 1, EventTime(0));
    let given: Vec<_> = script.on(ack).into_iter().filter_map(assignment).collect();
    assert_eq!(given, [("right".to_owned(), 1)]);
}

#[test]
fn children_start_though_the_checkpoint_of_their_parents_is_abandoned() {
    let (mut script, _) =
        Script::running(plan(1), &[shard("child", &["parent"]), shard("parent", &[])], true);
    script.at(1_000);
    assert!(!opens(&script.finish("parent", 2), 3), "epoch 1 is not complete");
    let actions = script.on(Event::KeyedFailed { worker: 0, message: "disk full".into() });
    assert!(opens(&actions, 3), "the child waits: {actions:?}");
    script.ack_operators(1, EventTime(0));
    let ack = script.ack(SOURCE, 0, 2, EventTime(0));
    assert_eq!(script.on(ack).into_iter().filter_map(assignment).next(), Some(("child".to_owned(), 0)));
}

/// Nothing but the child needs an epoch here: neither time nor the end of the input opens one.
#[test]
fn a_child_gets_over_an_acknowledgement_that_is_lost_with_checkpoints_off() {
    let plan = Plan { interval_ms: None, ..plan(1) };
    let timeout = plan.timeout_ms;
    let (mut script, _) = Script::running(plan, &[shard("child", &["parent"]), shard("parent", &[])], true);
    script.at(60_000);
    assert!(opens(&script.finish("parent", 1), 2));
    // Worker 0 has ended epoch 1, and its message never comes.
    assert!(!opens(&script.at(60_000 + timeout - 1), 3), "it may still come");
    let actions = script.at(60_000 + timeout);
    assert!(script.coordinator.is_abandoned(Epoch(1)));
    assert!(opens(&actions, 3), "the child waits: {actions:?}");
    assert!(!actions.into_iter().any(|action| assignment(action).is_some()));
    let ack = script.ack(SOURCE, 0, 2, EventTime(0));
    assert_eq!(script.on(ack).into_iter().filter_map(assignment).next(), Some(("child".to_owned(), 0)));
    assert!(!opens(&script.at(60_000 + 3 * timeout), 4), "nobody waits any more");
}

/// An epoch that is abandoned early, with its acknowledgements on their way, is no reason for the next.
#[test]
fn a_child_waits_for_an_acknowledgement_while_it_may_come() {
    let plan = Plan { interval_ms: None, ..plan(1) };
    let timeout = plan.timeout_ms;
    let (mut script, _) = Script::running(plan, &[shard("child", &["parent"]), shard("parent", &[])], true);
    assert!(opens(&script.finish("parent", 1), 2));
    let actions = script.on(Event::KeyedFailed { worker: 0, message: "disk full".into() });
    assert!(script.coordinator.is_abandoned(Epoch(1)) && !opens(&actions, 3), "{actions:?}");
    assert_eq!(script.at(timeout - 1), []);
    assert_eq!(script.coordinator.next_tick_ms(), timeout);
    assert!(opens(&script.at(timeout), 3), "it has not come");
}

fn assignment(action: Action) -> Option<(String, usize)> {
    match action {
        Action::Assign { worker, split, .. } => Some((split.info.id.0, worker)),
        _ => None,
    }
}

#[test]
fn a_merged_child_waits_for_all_its_parents() {
    let splits = [shard("a", &[]), shard("b", &[]), shard("merged", &["a", "b"])];
    let (mut script, _) = Script::running(plan(1), &splits, true);
    assert!(!opens(&script.finish("a", 1), 2));
    assert!(opens(&script.at(1_000), 2));
    script.finish("b", 2);
    script.ack_all(1);
    assert!(opens(&script.appended(1), 3), "b ended in epoch 2, so the child starts in 3");
    script.on(Event::Committed);
    let given: Vec<_> = script.ack_operators(2, EventTime(0)).into_iter().filter_map(assignment).collect();
    assert_eq!(given, [("merged".to_owned(), 0)]);
}

#[test]
fn a_child_whose_parents_left_the_source_long_ago_starts_at_once() {
    let (_, first) = Script::running(plan(1), &[shard("child", &["gone"])], true);
    assert_eq!(first.into_iter().filter_map(assignment).next(), Some(("child".to_owned(), 0)));
}

#[test]
fn source_with_zero_splits_takes_part_in_epochs() {
    let (mut script, first) = Script::running(plan(2), &[], false);
    assert!(first.iter().all(|action| assignment(action.clone()).is_none()));
    assert!(opens(&script.at(1_000), 2));
    let actions = script.ack_all(1);
    assert_eq!(manifest(&actions).sources[0].splits, []);
    script.appended(1);
    script.on(Event::Committed);
    // A split turns up at last.
    let found = Event::Discovered { source: SOURCE, splits: vec![shard("late", &[])], complete: false };
    assert_eq!(script.on(found).into_iter().filter_map(assignment).next(), Some(("late".to_owned(), 0)));
}

#[test]
fn bounded_input_ends_with_a_final_checkpoint_and_its_commit() {
    let (mut script, _) = Script::running(plan(2), &[shard("a", &[]), shard("b", &[])], true);
    assert_eq!(script.finish("a", 1), []);
    assert_eq!(script.finish("b", 1), [Action::EndSource(SOURCE)]);
    assert!(opens(&script.at(10), 2));
    // The barrier was faster than the end of time: this checkpoint holds no end.
    let mut actions = script.ack_operators(1, EventTime(5));
    actions.extend(script.ack_keyed(1));
    assert!(!manifest(&actions).is_final);
    script.appended(1);
    script.on(Event::Committed);
    assert!(opens(&script.at(30), 3));
    let mut actions = script.ack_operators(2, EventTime::END);
    actions.extend(script.ack_keyed(2));
    assert!(manifest(&actions).is_final);
    assert!(manifest(&actions).sources[0].splits.iter().all(|split| split.finished_in == Some(Epoch(1))));
    assert_eq!(committed(&script.appended(2)), "e2w0 e2w1");
    let actions = script.on(Event::Committed);
    assert_eq!(actions, [Action::StopWorkers(Outcome::Completed)]);
}

#[test]
fn an_input_without_any_split_ends_too() {
    let (mut script, first) = Script::running(plan(1), &[], true);
    assert!(first.contains(&Action::EndSource(SOURCE)));
    assert!(opens(&script.at(10), 2));
    let mut actions = script.ack_operators(1, EventTime::END);
    actions.extend(script.ack_keyed(1));
    assert!(manifest(&actions).is_final);
}

/// Also those of a job whose sinks have nothing to commit, and while a commit takes its time.
#[test]
fn old_checkpoints_are_collected_with_each_new_one() {
    let mut silent = plan(1);
    silent.operators.pop();
    for (plan, commits) in [(plan(1), true), (silent, false)] {
        let (mut script, _) = Script::running(plan, &[shard("a", &[])], false);
        script.at(1_000);
        script.ack_all(1);
        let actions = script.appended(1);
        assert!(actions.contains(&Action::CollectGarbage), "{actions:?}");
        assert_eq!(actions.iter().any(|action| matches!(action, Action::Commit(_))), commits);
    }
}

#[test]
fn sigterm_fires_no_window() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    let actions = script.on(Event::StopRequested);
    let expected = [Action::HoldSources, Action::OpenEpoch(Epoch(2))];
    assert_eq!(actions, expected, "nothing more is read, one more checkpoint, and no end of time");
    let actions = script.ack_all(1);
    assert!(!manifest(&actions).is_final);
    script.appended(1);
    let actions = script.on(Event::Committed);
    assert_eq!(actions, [Action::StopWorkers(Outcome::Stopped)]);
}

#[test]
fn a_stop_during_a_checkpoint_takes_another_one() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.at(1_000);
    assert_eq!(script.on(Event::StopRequested), []);
    script.ack_all(1);
    assert!(opens(&script.appended(1), 3));
    script.on(Event::Committed);
    script.ack_all(2);
    script.appended(2);
    assert_eq!(script.on(Event::Committed).last(), Some(&Action::StopWorkers(Outcome::Stopped)));
}

#[test]
fn a_stop_whose_checkpoint_fails_tries_again() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.on(Event::StopRequested);
    script.ack_operators(1, EventTime(0));
    assert!(opens(&script.on(Event::KeyedFailed { worker: 0, message: "disk full".into() }), 3));
    script.ack_all(2);
    script.appended(2);
    assert_eq!(script.on(Event::Committed).last(), Some(&Action::StopWorkers(Outcome::Stopped)));
}

#[test]
fn a_stop_before_anything_runs_needs_no_checkpoint() {
    let (mut coordinator, _) = Coordinator::new(plan(1), 0);
    assert_eq!(coordinator.on(0, Event::StopRequested), [Action::StopWorkers(Outcome::Stopped)]);
}

#[test]
fn a_panic_outside_of_user_code_is_no_failure_to_restart_from() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    let outcome = Outcome::Panicked { worker: 0, message: "broken invariant".into() };
    let panicked = Event::Panicked { worker: 0, message: "broken invariant".into() };
    assert_eq!(script.on(panicked), [Action::StopWorkers(outcome)]);
}

#[test]
fn an_abort_ends_at_once() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.on(Event::StopRequested);
    assert_eq!(script.on(Event::AbortRequested), [Action::StopWorkers(Outcome::Aborted)]);
}

#[test]
fn a_split_that_its_worker_has_not_taken_keeps_its_restored_position() {
    let (mut script, _) = Script::running(plan(1), &[shard("a", &[])], true);
    script.splits[0][0].position = Some(vec![42]);
    script.at(1_000);
    let sources = manifest(&script.ack_all(1)).sources.clone();
    assert_eq!(sources[0].splits[0].state.position, Some(vec![42]));

    let restored = Plan { generation: 2, first_epoch: Epoch(2), sources, ..plan(1) };
    let (mut script, _) = Script::running(restored, &[shard("a", &[])], true);
    script.splits[0].clear();
    script.at(1_000);
    let sources = manifest(&script.ack_all(2)).sources.clone();
    assert_eq!(sources[0].splits[0].state.position, Some(vec![42]), "not lost, though no reader had it yet");
}
