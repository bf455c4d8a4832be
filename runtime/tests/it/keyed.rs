//! Jobs with keyed state: each key's count goes up by one, whatever happens in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pelton_dataflow::operator::OperatorFactory;
use pelton_runtime::{End, Job, JobSettings, JobSpec};
use pelton_state::StateSpec;
use pelton_state::files::Backend;

use super::jobs::Home;
use super::small::{Bomb, Gate, KEYS, Numbers, Table, all_numbers, keyed_graph, keyed_graph_of, splits};

fn backends() -> Vec<Backend> {
    if cfg!(feature = "rocksdb") { vec![Backend::Memory, Backend::RocksDb] } else { vec![Backend::Memory] }
}

/// Every key has counted `1, 2, 3 ...` up to the number of its numbers, once each.
fn check_counts(table: &Table, count: u64, length: u64) {
    let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
    for number in all_numbers(count, length) {
        *expected.entry(number % KEYS).or_default() += 1;
    }
    let expected: Vec<u64> = expected
        .into_iter()
        .flat_map(|(key, total)| (1..=total).map(move |count| key << 32 | count))
        .collect();
    assert_eq!(table.visible(), expected);
}

#[test]
fn counts_survive_stops_kills_and_other_numbers_of_workers() {
    for backend in backends() {
        let (home, table, gate) = (Home::new(), Table::new(), Gate::at(0));
        let numbers = || Numbers { splits: splits(3, 12_000), gate: gate.clone() };
        for (round, workers) in [1, 3, 2, 2, 4, 1].into_iter().enumerate() {
            gate.set((round as u64 + 1) * 2_000);
            let settings = JobSettings { backend, ..home.settings(workers) };
            let handle = home.start(keyed_graph(numbers(), Vec::new(), "count", &table), settings);
            if round == 5 {
                assert_eq!(handle.wait().unwrap().end, End::Completed);
            } else if round % 2 == 0 {
                table.wait_until_visible(round * 6_000 + 3_000);
                drop(handle);
            } else {
                table.wait_until_visible((round + 1) * 6_000);
                handle.stop();
                assert_eq!(handle.wait().unwrap().end, End::Stopped);
            }
        }
        check_counts(&table, 3, 12_000);
    }
}

#[test]
fn counts_survive_failures_without_a_new_process() {
    for backend in backends() {
        let (home, table) = (Home::new(), Table::new());
        let bomb = |at| -> Arc<dyn OperatorFactory> {
            Arc::new(Bomb { at, panics: at % 2 == 0, armed: Arc::new(AtomicBool::new(true)) })
        };
        let numbers = Numbers { splits: splits(3, 10_000), gate: Gate::open() };
        let bombs = vec![bomb(1_000), bomb(1_005_001), bomb(2_009_000)];
        let settings = JobSettings { backend, ..home.settings(2) };
        let report = home.start(keyed_graph(numbers, bombs, "count", &table), settings).wait().unwrap();
        // Two may go off in one generation, on two workers.
        assert!((1..=3).contains(&report.status.restarts), "{:?}", report.status);
        assert_eq!(report.end, End::Completed);
        check_counts(&table, 3, 10_000);
    }
}

#[test]
fn checkpoints_that_cannot_be_stored_for_a_while_lose_nothing() {
    for backend in backends() {
        let (home, table, gate) = (Home::new(), Table::new(), Gate::at(1_000));
        let numbers = Numbers { splits: splits(3, 4_000), gate: gate.clone() };
        let settings = JobSettings { backend, tolerated_checkpoint_failures: 1_000_000, ..home.settings(2) };
        // The directory of the state files is a link, for a link is replaced in one step: a put under
        // way finds the directory or no directory, and can make none of its own.
        let checkpoints = Path::new(&settings.checkpoint_dir).to_owned();
        let point_at = |target: &str| {
            let link = checkpoints.join("link");
            std::os::unix::fs::symlink(target, &link).unwrap();
            std::fs::rename(&link, checkpoints.join("data")).unwrap();
        };
        std::fs::create_dir_all(checkpoints.join("disk")).unwrap();
        std::fs::write(checkpoints.join("not a directory"), "").unwrap();
        point_at("disk");
        let handle = home.start(keyed_graph(numbers, Vec::new(), "count", &table), settings);
        table.wait_until_visible(3_000);
        point_at("not a directory");
        gate.set(2_000);
        table.wait_until_arrived(6_000);
        let before = handle.status().checkpoints_abandoned;
        while handle.status().checkpoints_abandoned < before + 3 {
            std::thread::yield_now();
        }
        point_at("disk");
        gate.set(u64::MAX);
        let report = handle.wait().unwrap();
        assert_eq!((report.end, report.status.restarts), (End::Completed, 0));
        check_counts(&table, 3, 4_000);
    }
}

#[test]
fn a_renamed_operator_is_told_of_and_refused_without_the_flag() {
    for backend in backends() {
        let (home, table, gate) = (Home::new(), Table::new(), Gate::at(50));
        let numbers = || Numbers { splits: splits(1, 100), gate: gate.clone() };
        let settings = JobSettings { backend, ..home.settings(1) };
        let handle = home.start(keyed_graph(numbers(), Vec::new(), "count", &table), settings.clone());
        table.wait_until_arrived(50);
        handle.stop();
        handle.wait().unwrap();

        let renamed = || keyed_graph(numbers(), Vec::new(), "recount", &table);
        let message = home.start(renamed(), settings.clone()).wait().unwrap_err().to_string();
        assert!(message.contains("holds state that no operator of this graph claims"), "{message}");
        assert!(message.contains("count") && message.contains("--allow-dropped-state"), "{message}");

        gate.set(u64::MAX);
        let allowed = JobSettings { allow_dropped_state: true, ..settings };
        assert_eq!(home.start(renamed(), allowed).wait().unwrap().end, End::Completed);
        let ones = table.visible().iter().filter(|count| **count & 0xffff_ffff == 1).count();
        assert!(ones > 50, "the counts began anew");
    }
}

#[test]
fn a_changed_state_type_is_named_with_both_shapes() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(50));
    let numbers = || Numbers { splits: splits(1, 100), gate: gate.clone() };
    let handle = home.start(keyed_graph(numbers(), Vec::new(), "count", &table), home.settings(1));
    table.wait_until_arrived(50);
    handle.stop();
    handle.wait().unwrap();

    let decls = StateSpec::<String>::new().decls::<u64>().unwrap();
    let changed = keyed_graph_of(numbers(), Vec::new(), "count", &table, decls);
    let settings = JobSettings { allow_dropped_state: true, ..home.settings(1) };
    let message = home.start(changed, settings).wait().unwrap_err().to_string();
    assert!(message.contains("what a state holds is not what it was"), "{message}");
    assert!(message.contains("count / value") && message.contains("u64 -> u64"), "{message}");
    assert!(message.contains("u64 -> str"), "{message}");
}

#[test]
fn a_damaged_state_file_is_an_error_that_names_it() {
    let (home, table, gate) = (Home::new(), Table::new(), Gate::at(50));
    let numbers = || Numbers { splits: splits(1, 100), gate: gate.clone() };
    let handle = home.start(keyed_graph(numbers(), Vec::new(), "count", &table), home.settings(1));
    table.wait_until_arrived(50);
    handle.stop();
    handle.wait().unwrap();

    let file = home.newest().files().next().unwrap().clone();
    let path = Path::new(&home.settings(1).checkpoint_dir).join(&file.path);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_dir_all(home.settings(1).state_dir).unwrap();
    let spec = JobSpec::new("job", keyed_graph(numbers(), Vec::new(), "count", &table), home.settings(1));
    let message = Job::start(spec).unwrap().wait().unwrap_err().to_string();
    assert!(message.contains(&file.path) && message.contains("is damaged"), "{message}");
}

#[test]
fn the_handle_of_a_job_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<pelton_runtime::Stopper>();
    shared::<pelton_runtime::Watcher>();
    shared::<Arc<Table>>();
}
