//! Whole jobs on real workers: they end, stop, fail, are killed and go on, at any parallelism.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use pelton_dataflow::graph::Graph;
use pelton_dataflow::source::{SplitId, SplitInfo};
use pelton_runtime::signals::Signals;
use pelton_runtime::status::Phase;
use pelton_runtime::{
    CheckpointInterval, End, Job, JobError, JobHandle, JobReport, JobSettings, JobSpec, RestartStrategy,
};
use pelton_state::checkpoint::log;
use pelton_state::checkpoint::manifest::{Entry, Manifest};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::files::Backend;
use tempfile::TempDir;

use super::small::{
    Bomb, Door, Endless, Gate, Numbers, TOTAL, Table, Unbuildable, all_numbers, graph, splits,
};

/// A place for a job to live in across its starts.
pub struct Home {
    directory: TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Quick checkpoints, on `workers` workers.
    pub fn settings(&self, workers: usize) -> JobSettings {
        let mut settings = JobSettings {
            workers,
            state_dir: self.directory.path().join("state"),
            checkpoint_dir: self.directory.path().join("checkpoints").to_str().unwrap().to_owned(),
            checkpoint_interval: CheckpointInterval::EveryMs(5),
            backend: Backend::Memory,
            restart: RestartStrategy::FixedDelay { attempts: 3, delay_ms: 1 },
            ..JobSettings::default()
        };
        settings.engine.batch_records = 64;
        settings
    }

    pub fn start(&self, graph: Graph, settings: JobSettings) -> JobHandle {
        Job::start(JobSpec::new("job", graph, settings)).unwrap()
    }

    fn run(&self, graph: Graph, workers: usize) -> Result<JobReport, JobError> {
        self.start(graph, self.settings(workers)).wait()
    }

    /// How many checkpoints are listed; one that is being deleted may count.
    fn checkpoints(&self) -> usize {
        let store = CheckpointStore::open(&self.settings(1).checkpoint_dir).unwrap();
        let entries = log::entries(&store).unwrap();
        entries.iter().filter(|found| matches!(found.entry, Ok(Entry::Checkpoint(_)))).count()
    }

    pub fn newest(&self) -> Manifest {
        let store = CheckpointStore::open(&self.settings(1).checkpoint_dir).unwrap();
        let entries = log::entries(&store).unwrap();
        let manifests = entries.into_iter().rev().filter_map(|found| match found.entry.unwrap() {
            Entry::Checkpoint(manifest) => Some(*manifest),
            Entry::Takeover(_) => None,
        });
        manifests.into_iter().next().expect("there is a checkpoint")
    }
}

/// The visible numbers without the totals, and the sum of the totals.
fn split_totals(visible: &[u64]) -> (Vec<u64>, u64) {
    let numbers = visible.iter().copied().filter(|number| *number < TOTAL).collect();
    let totals = visible.iter().filter(|number| **number >= TOTAL).map(|number| number - TOTAL).sum();
    (numbers, totals)
}

fn check_everything_once(table: &Table, count: u64, length: u64) {
    let (numbers, total) = split_totals(&table.visible());
    assert_eq!(numbers.len() as u64, count * length);
    assert_eq!(numbers, all_numbers(count, length));
    assert_eq!(total, count * length, "the counters have seen each number once");
}

#[test]
fn bounded_input_ends_with_a_final_checkpoint_and_its_commit() {
    for workers in [1, 2, 4] {
        let (home, table) = (Home::new(), Table::new());
        let numbers = || Numbers { splits: splits(3, 10_000), gate: Gate::open() };
        let report = home.run(graph(numbers(), Vec::new(), &table), workers).unwrap();
        assert_eq!(report.end, End::Completed);
        check_everything_once(&table, 3, 10_000);
        assert!(home.newest().is_final);
        assert!(report.status.checkpoints_completed >= 1);
        let sink = report.status.operators.iter().find(|operator| operator.is_sink).unwrap();
        assert_eq!(sink.records_in, 30_000 + workers as u64);
        assert_eq!(sink.committed.unwrap().count, sink.records_in, "each was visible after some time");

        let again = home.run(graph(numbers(), Vec::new(), &table), workers).unwrap();
        assert_eq!(again.end, End::CompletedBefore, "there is nothing left to do");
        check_everything_once(&table, 3, 10_000);
    }
}

#[test]
fn bounded_input_ends_with_checkpoints_off() {
    let (home, table) = (Home::new(), Table::new());
    let numbers = Numbers { splits: splits(2, 5_000), gate: Gate::open() };
    let settings = JobSettings { checkpoint_interval: CheckpointInterval::Off, ..home.settings(2) };
    let report = home.start(graph(numbers, Vec::new(), &table), settings).wait().unwrap();
    assert_eq!(report.end, End::Completed);
    check_everything_once(&table, 2, 5_000);
}

#[test]
fn an_input_without_splits_ends_at_once() {
    let (home, table) = (Home::new(), Table::new());
    let numbers = Numbers { splits: Vec::new(), gate: Gate::open() };
    let report = home.run(graph(numbers, Vec::new(), &table), 2).unwrap();
    assert_eq!(report.end, End::Completed);
    assert_eq!(table.visible(), [TOTAL, TOTAL], "each worker has counted nothing");
}

#[test]
fn sigterm_fires_no_window() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(3_000));
    let numbers = || Numbers { splits: splits(4, 10_000), gate: gate.clone() };
    let handle = home.start(graph(numbers(), Vec::new(), &table), home.settings(2));
    table.wait_until_arrived(12_000);
    handle.stop();
    assert_eq!(handle.wait().unwrap().end, End::Stopped);
    let (visible, totals) = split_totals(&table.visible());
    assert_eq!(visible.len(), 12_000, "what had been read is visible");
    assert_eq!(totals, 0);
    assert!(table.visible().iter().all(|number| *number < TOTAL), "no window has fired");
    assert!(!home.newest().is_final);

    gate.set(u64::MAX);
    assert_eq!(home.run(graph(numbers(), Vec::new(), &table), 2).unwrap().end, End::Completed);
    check_everything_once(&table, 4, 10_000);
}

#[test]
fn nothing_is_processed_after_the_last_checkpoint_of_a_stop() {
    let (home, table) = (Home::new(), Table::new());
    let numbers = Numbers { splits: splits(4, 500_000), gate: Gate::open() };
    let handle = home.start(graph(numbers, Vec::new(), &table), home.settings(2));
    table.wait_until_arrived(5_000);
    handle.stop();
    assert_eq!(handle.wait().unwrap().end, End::Stopped);
    assert_eq!(table.arrived(), table.visible().len() as u64);
}

/// A signal reaches every job of the process that listens: one test at a time sends any.
static SIGNALS: Mutex<()> = Mutex::new(());

#[test]
fn a_signal_stops_a_job_with_a_checkpoint() {
    let _alone = SIGNALS.lock();
    let (home, table) = (Home::new(), Table::new());
    let numbers = Numbers { splits: splits(2, 5_000), gate: Gate::at(1_000) };
    let signals = Signals::listen().unwrap();
    let handle = home.start(graph(numbers, Vec::new(), &table), home.settings(2));
    table.wait_until_arrived(2_000);
    let sent = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
    assert!(sent.success());
    // One that came before there was a job to stop is not lost.
    signals.stop(handle.stopper()).unwrap();
    assert_eq!(handle.wait().unwrap().end, End::Stopped);
    assert_eq!(table.visible(), all_numbers(2, 1_000));
}

#[test]
fn a_second_signal_ends_a_job_that_cannot_finish() {
    let _alone = SIGNALS.lock();
    let (home, table) = (Home::new(), Table::new());
    let numbers = Numbers { splits: splits(2, 5_000), gate: Gate::at(1_000) };
    let gate = numbers.gate.clone();
    let signals = Signals::listen().unwrap();
    let handle = home.start(graph(numbers, Vec::new(), &table), home.settings(2));
    signals.stop(handle.stopper()).unwrap();
    table.wait_until_visible(2_000);
    table.fail_commits(u32::MAX);
    gate.set(2_000);
    table.wait_until_arrived(4_000);
    let terminate =
        || Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
    terminate();
    while handle.status().phase != Phase::Stopping {
        std::thread::yield_now();
    }
    terminate();
    assert_eq!(handle.wait().unwrap().end, End::Aborted);
}

#[test]
fn the_metrics_of_a_job_count_on_through_a_restart() {
    let (home, table) = (Home::new(), Table::new());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::at(9_999);
    let bomb = Bomb { at: 2_007_000, panics: false, armed: Arc::new(AtomicBool::new(true)) };
    let numbers = Numbers { splits: splits(3, 10_000), gate: gate.clone() };
    let settings = JobSettings { metrics_address: Some(address), ..home.settings(2) };
    // An id of its own: all jobs of a process share the recorder that is installed first.
    let spec = JobSpec::new("measured", graph(numbers, vec![Arc::new(bomb)], &table), settings);
    let handle = Job::start(spec).unwrap();
    table.wait_until_visible(3 * 9_999);
    let page = loop {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        // Figures are published once a second.
        if page.contains("pelton_restarts_total{job=\"measured\"} 1") && counted(&page) >= 3 * 9_999 {
            break page;
        }
        std::thread::yield_now();
    };
    for name in ["pelton_watermark_lag_seconds", "pelton_busy_seconds", "pelton_latency_seconds"] {
        assert!(page.contains(name), "{name} is missing: {page}");
    }
    gate.set(u64::MAX);
    assert_eq!(handle.wait().unwrap().status.restarts, 1);
    check_everything_once(&table, 3, 10_000);
}

/// The records that the source has given, by a page of metrics.
fn counted(page: &str) -> u64 {
    let of_source =
        |line: &&str| line.starts_with("pelton_records_out_total{job=\"measured\",operator=\"numbers\"}");
    let line = page.lines().find(of_source);
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_job_goes_on_with_other_numbers_of_workers() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(0));
    let numbers = || Numbers { splits: splits(5, 9_000), gate: gate.clone() };
    for (stage, workers) in [1, 3, 2].into_iter().enumerate() {
        gate.set((stage as u64 + 1) * 3_000);
        let handle = home.start(graph(numbers(), Vec::new(), &table), home.settings(workers));
        if stage < 2 {
            table.wait_until_visible((stage + 1) * 15_000);
            handle.stop();
        }
        let end = handle.wait().unwrap().end;
        assert_eq!(end, if stage < 2 { End::Stopped } else { End::Completed });
    }
    check_everything_once(&table, 5, 9_000);
}

#[test]
fn a_start_deletes_the_checkpoints_that_are_too_many() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(1_000));
    let numbers = || Numbers { splits: splits(1, 3_000), gate: gate.clone() };
    let generous = JobSettings { retained_checkpoints: 9, ..home.settings(1) };
    let handle = home.start(graph(numbers(), Vec::new(), &table), generous);
    while handle.status().checkpoints_completed < 12 {
        std::thread::yield_now();
    }
    drop(handle);
    assert!(home.checkpoints() >= 9);
    // This one takes no checkpoint of its own.
    let off = CheckpointInterval::Off;
    let settings = JobSettings { retained_checkpoints: 2, checkpoint_interval: off, ..home.settings(1) };
    let handle = home.start(graph(numbers(), Vec::new(), &table), settings);
    while home.checkpoints() > 2 {
        std::thread::yield_now();
    }
    assert_eq!(handle.status().checkpoints_completed, 0);
    gate.set(u64::MAX);
    handle.wait().unwrap();
    check_everything_once(&table, 1, 3_000);
}

#[test]
fn a_job_that_is_killed_goes_on_from_its_last_checkpoint() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(0));
    let numbers = || Numbers { splits: splits(3, 8_000), gate: gate.clone() };
    for (round, workers) in [2, 3, 1, 2].into_iter().enumerate() {
        gate.set((round as u64 + 1) * 2_000);
        let handle = home.start(graph(numbers(), Vec::new(), &table), home.settings(workers));
        if round < 3 {
            // Somewhere between its checkpoints.
            table.wait_until_visible(round * 6_000 + 1_000);
            drop(handle);
        } else {
            assert_eq!(handle.wait().unwrap().end, End::Completed);
        }
    }
    check_everything_once(&table, 3, 8_000);
}

#[test]
fn an_operator_that_fails_is_started_again() {
    for panics in [false, true] {
        let (home, table) = (Home::new(), Table::new());
        let armed = Arc::new(AtomicBool::new(true));
        let bomb = Bomb { at: 2_007_000, panics, armed };
        let numbers = Numbers { splits: splits(3, 10_000), gate: Gate::open() };
        let report = home.run(graph(numbers, vec![Arc::new(bomb)], &table), 2).unwrap();
        assert_eq!((report.end, report.status.restarts), (End::Completed, 1));
        let failure = report.status.last_failure.unwrap();
        let verb = if panics { "panicked" } else { "failed" };
        assert!(failure.contains(&format!("operator `map-1` {verb} on worker")), "{failure}");
        assert!(failure.contains("the bomb went off"), "{failure}");
        check_everything_once(&table, 3, 10_000);
    }
}

#[test]
fn panic_in_one_worker_ends_all() {
    let (home, table) = (Home::new(), Table::new());
    let armed = Arc::new(AtomicBool::new(true));
    let bomb = Bomb { at: 1_500, panics: true, armed: armed.clone() };
    let numbers = Numbers { splits: splits(8, 1_000_000), gate: Gate::open() };
    let settings = JobSettings { restart: RestartStrategy::None, ..home.settings(4) };
    let error = home.start(graph(numbers, vec![Arc::new(bomb)], &table), settings).wait().unwrap_err();
    let message = error.to_string();
    assert!(message.contains("the job failed: operator `map-1` panicked on worker"), "{message}");
    // Each worker holds it for its operator: all of them have left, and their operators are gone.
    assert_eq!(Arc::strong_count(&armed), 1, "a worker is still at work");
}

#[test]
fn an_operator_that_cannot_be_built_on_one_worker_ends_all() {
    for panics in [false, true] {
        let (home, table) = (Home::new(), Table::new());
        let numbers = Numbers { splits: splits(4, 1_000_000), gate: Gate::open() };
        let unbuildable = Arc::new(Unbuildable { worker: 1, panics });
        let error = home.run(graph(numbers, vec![unbuildable], &table), 3).unwrap_err();
        assert!(matches!(error, JobError::Failed { restarts: 0, .. }), "what cannot start is told at once");
        assert!(error.to_string().contains("no model to load"), "{error}");
    }
}

#[test]
fn a_job_that_is_taken_over_stops_for_good() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(1_000));
    let numbers = || Numbers { splits: splits(2, 3_000), gate: gate.clone() };
    let zombie = home.start(graph(numbers(), Vec::new(), &table), home.settings(2));
    table.wait_until_visible(2_000);

    let elsewhere = JobSettings { state_dir: home.directory.path().join("other-host"), ..home.settings(1) };
    let successor = home.start(graph(numbers(), Vec::new(), &table), elsewhere);
    let error = zombie.wait().unwrap_err();
    assert!(matches!(error, JobError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("another process took the job over"), "{error}");
    gate.set(u64::MAX);
    assert_eq!(successor.wait().unwrap().end, End::Completed);
    check_everything_once(&table, 2, 3_000);
}

#[test]
fn a_call_that_does_not_return_is_named() {
    let (home, table, door) = (Home::new(), Table::new(), Door::default());
    // More is to come than is given, or the job would end before it is stopped.
    let numbers = Numbers { splits: splits(1, 1_000), gate: Gate::at(500) };
    let settings = JobSettings { stuck_after_ms: 1, ..home.settings(1) };
    let handle = home.start(graph(numbers, vec![Arc::new(door.clone())], &table), settings);
    let stuck = loop {
        // Others may be at work for a moment; this one stays.
        if let Some(call) = handle.status().stuck.into_iter().find(|call| call.for_ms >= 50) {
            break call;
        }
        std::thread::yield_now();
    };
    // A stop waits for it, and is still granted.
    handle.stop();
    door.open();
    let report = handle.wait().unwrap();
    assert_eq!((stuck.operator.as_str(), stuck.worker), ("map-1", 0));
    assert_eq!((report.end, report.status.stuck), (End::Stopped, Vec::new()));
}

#[test]
fn a_start_that_cannot_succeed_leaves_the_running_job_alone() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(1_000));
    let numbers = || Numbers { splits: splits(2, 3_000), gate: gate.clone() };
    let running = home.start(graph(numbers(), Vec::new(), &table), home.settings(2));
    table.wait_until_visible(2_000);

    let elsewhere = JobSettings { state_dir: home.directory.path().join("elsewhere"), ..home.settings(1) };
    let error =
        |settings| home.start(graph(numbers(), Vec::new(), &table), settings).wait().unwrap_err().to_string();
    let other_groups = JobSettings { key_groups: 64, ..elsewhere.clone() };
    let message = error(other_groups);
    assert!(message.contains("it has 128 key groups"), "{message}");
    let no_such = JobSettings { from_checkpoint: Some(9_999_999), ..elsewhere.clone() };
    let message = error(no_such);
    assert!(message.contains("there is no checkpoint 9999999"), "{message}");
    table.lock_out(true);
    let message = error(elsewhere);
    assert!(message.contains("is locked by another process"), "{message}");
    table.lock_out(false);

    gate.set(u64::MAX);
    let report = running.wait().unwrap();
    assert_eq!((report.end, report.status.restarts), (End::Completed, 0));
    check_everything_once(&table, 2, 3_000);
}

#[test]
fn after_the_end_of_all_input_a_job_does_nothing_or_is_refused() {
    let (home, table) = (Home::new(), Table::new());
    let numbers = || Numbers { splits: splits(2, 100), gate: Gate::open() };
    assert_eq!(home.run(graph(numbers(), Vec::new(), &table), 2).unwrap().end, End::Completed);
    assert_eq!(home.run(graph(numbers(), Vec::new(), &table), 2).unwrap().end, End::CompletedBefore);
    let endless = graph(Endless(numbers()), Vec::new(), &table);
    let message = home.run(endless, 2).unwrap_err().to_string();
    assert!(message.contains("it holds the end of all input"), "{message}");
    assert!(message.contains("source `numbers` has no end now") && message.contains("--from"), "{message}");
    check_everything_once(&table, 2, 100);
}

#[test]
fn a_commit_that_fails_for_a_while_loses_nothing() {
    let (home, table) = (Home::new(), Table::new());
    table.fail_commits(2);
    let numbers = Numbers { splits: splits(2, 4_000), gate: Gate::open() };
    let report = home.run(graph(numbers, Vec::new(), &table), 2);
    // The very first call is the recovery's, before anything runs: that is told at once.
    let message = report.unwrap_err().to_string();
    assert!(message.contains("cannot open sink `table`: the table is away"), "{message}");
    let numbers = Numbers { splits: splits(2, 4_000), gate: Gate::at(4_000 - 1) };
    let gate = numbers.gate.clone();
    table.fail_commits(0);
    let handle = home.start(graph(numbers, Vec::new(), &table), home.settings(2));
    table.wait_until_visible(1);
    table.fail_commits(3);
    gate.set(u64::MAX);
    assert_eq!(handle.wait().unwrap().end, End::Completed);
    check_everything_once(&table, 2, 4_000);
}

#[test]
fn a_slow_commit_does_not_hold_up_checkpoints() {
    let (home, table) = (Home::new(), Table::new());
    let numbers = Numbers { splits: splits(2, 4_000), gate: Gate::at(1_000) };
    let gate = numbers.gate.clone();
    let handle = home.start(graph(numbers, Vec::new(), &table), home.settings(2));
    table.wait_until_visible(2_000);
    table.hold_commits(true);
    gate.set(2_000);
    table.wait_until_arrived(4_000);
    let before = handle.status().checkpoints_completed;
    while handle.status().checkpoints_completed < before + 5 {
        std::thread::yield_now();
    }
    assert_eq!(table.visible().len(), 2_000);
    table.hold_commits(false);
    gate.set(u64::MAX);
    assert_eq!(handle.wait().unwrap().end, End::Completed);
    check_everything_once(&table, 2, 4_000);
}

#[test]
fn children_are_read_after_their_parents() {
    for interval in [CheckpointInterval::EveryMs(5), CheckpointInterval::Off] {
        let (home, table) = (Home::new(), Table::new());
        let child = |id: &str, parents: &[&str]| SplitInfo {
            id: SplitId(id.into()),
            parents: parents.iter().map(|id| SplitId((*id).into())).collect(),
        };
        // 0 splits into 1 and 2, which merge into 3.
        let shards = [child("0", &[]), child("1", &["0"]), child("2", &["0"]), child("3", &["1", "2"])];
        let numbers =
            Numbers { splits: shards.into_iter().map(|info| (info, 2_000)).collect(), gate: Gate::open() };
        let settings = JobSettings { checkpoint_interval: interval, ..home.settings(3) };
        home.start(graph(numbers, Vec::new(), &table), settings).wait().unwrap();
        check_everything_once(&table, 4, 2_000);
        let order: Vec<u64> = table
            .in_order()
            .iter()
            .filter(|number| **number < TOTAL)
            .map(|number| number / 1_000_000)
            .collect();
        let first = |shard| order.iter().position(|other| *other == shard).unwrap();
        let last = |shard| order.iter().rposition(|other| *other == shard).unwrap();
        assert!(last(0) < first(1) && last(0) < first(2) && last(1) < first(3) && last(2) < first(3));
    }
}

#[test]
fn two_jobs_on_one_state_directory_are_refused() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(0));
    let numbers = || Numbers { splits: splits(1, 10), gate: gate.clone() };
    let running = home.start(graph(numbers(), Vec::new(), &table), home.settings(1));
    let second = Job::start(JobSpec::new("other", graph(numbers(), Vec::new(), &table), home.settings(1)));
    let message = second.err().unwrap().to_string();
    assert!(message.contains("in use by another process"), "{message}");
    gate.set(u64::MAX);
    running.wait().unwrap();
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(10));
    let numbers = || Numbers { splits: splits(1, 100), gate: gate.clone() };
    let handle = home.start(graph(numbers(), Vec::new(), &table), home.settings(1));
    table.wait_until_arrived(10);
    handle.stop();
    handle.wait().unwrap();

    let other = JobSpec::new("other", graph(numbers(), Vec::new(), &table), home.settings(1));
    let message = pelton_runtime::run(other).unwrap_err().to_string();
    assert!(message.contains("are those of job `job`, this is job `other`"), "{message}");

    let settings = JobSettings { key_groups: 64, ..home.settings(1) };
    let message = home.start(graph(numbers(), Vec::new(), &table), settings).wait().unwrap_err().to_string();
    assert!(message.contains("it has 128 key groups, the settings say 64"), "{message}");
    assert!(message.contains("set `key_groups` to 128"), "{message}");
}

#[test]
fn a_job_starts_from_the_checkpoint_it_is_told() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(10));
    let numbers = || Numbers { splits: splits(1, 100), gate: gate.clone() };
    let settings = JobSettings {
        checkpoint_interval: CheckpointInterval::Off,
        retained_checkpoints: 9,
        ..home.settings(1)
    };
    for until in [10, 20] {
        gate.set(until);
        let handle = home.start(graph(numbers(), Vec::new(), &table), settings.clone());
        table.wait_until_arrived(until);
        handle.stop();
        handle.wait().unwrap();
    }
    // Entries: takeover 1, checkpoint 2 at ten numbers, takeover 3, checkpoint 4 at twenty.
    gate.set(u64::MAX);
    let from = JobSettings { from_checkpoint: Some(2), ..settings.clone() };
    home.start(graph(numbers(), Vec::new(), &table), from).wait().unwrap();
    let (numbers_seen, _) = split_totals(&table.visible());
    assert_eq!(numbers_seen.len(), 110, "the ten after checkpoint 2 were read a second time");

    let unknown = JobSettings { from_checkpoint: Some(99), ..settings };
    let error = home.start(graph(numbers(), Vec::new(), &table), unknown).wait().unwrap_err().to_string();
    assert!(error.contains("there is no checkpoint 99"), "{error}");
}

/// The zombie's operator fails after another process has taken the job over, and before the zombie
/// has heard of that: it must not start again, which would take the job back.
#[test]
fn a_zombie_that_fails_does_not_take_the_job_back() {
    let (home, table) = (Home::new(), Table::new());
    let (old_gate, new_gate) = (Gate::at(1_000), Gate::at(1_000));
    let numbers = |gate: &Arc<Gate>| Numbers { splits: splits(1, 3_000), gate: gate.clone() };
    let seldom = CheckpointInterval::EveryMs(3_600_000);
    let bomb = Bomb { at: 1_500, panics: false, armed: Arc::new(AtomicBool::new(true)) };
    let settings = JobSettings { checkpoint_interval: seldom, ..home.settings(1) };
    let zombie = home.start(graph(numbers(&old_gate), vec![Arc::new(bomb)], &table), settings);
    table.wait_until_arrived(1_000);

    let elsewhere = JobSettings { state_dir: home.directory.path().join("other-host"), ..home.settings(1) };
    let harmless = Bomb { at: u64::MAX, panics: false, armed: Arc::new(AtomicBool::new(false)) };
    let successor = home.start(graph(numbers(&new_gate), vec![Arc::new(harmless)], &table), elsewhere);
    table.wait_until_arrived(2_000);
    table.wait_until_visible(1_000);

    old_gate.set(u64::MAX);
    let zombie = zombie.wait();
    new_gate.set(u64::MAX);
    let successor = successor.wait();
    assert!(
        matches!(zombie, Err(JobError::Lost { .. })),
        "zombie: {:?}; successor: {:?}",
        zombie.map(|r| r.end),
        successor.map(|r| r.end)
    );
    assert_eq!(successor.unwrap().end, End::Completed);
}
