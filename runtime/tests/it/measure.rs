//! Measurements, by hand: `cargo test --release -p pelton-runtime --test it -- --ignored measure
//! --nocapture --test-threads 1`, with `--features rocksdb` for its backend.

use std::sync::mpsc;
use std::time::Duration;

use pelton_dataflow::clock::monotonic_ns;
use pelton_runtime::{CheckpointInterval, JobSettings};
use pelton_state::files::Backend;

use super::jobs::Home;
use super::small::{Gate, Numbers, Table, keyed_graph, splits};

fn backend() -> Backend {
    if cfg!(feature = "rocksdb") { Backend::RocksDb } else { Backend::Memory }
}

/// Clock ticks of the process, of which there are 100 a second.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
#[ignore = "a measurement, by hand"]
fn measure_an_idle_job() {
    for interval in [CheckpointInterval::Off, CheckpointInterval::EveryMs(1_000)] {
        let (home, table, gate) = (Home::new(), Table::new(), Gate::at(100));
        let numbers = Numbers { splits: splits(2, 200), gate };
        let settings = JobSettings { backend: backend(), checkpoint_interval: interval, ..home.settings(2) };
        let handle = home.start(keyed_graph(numbers, Vec::new(), "count", &table), settings);
        table.wait_until_arrived(200);
        let (_held, never) = mpsc::channel::<()>();
        let ticks = cpu_ticks();
        let _ = never.recv_timeout(Duration::from_secs(10));
        let used = cpu_ticks() - ticks;
        println!("idle, checkpoints {interval}, 2 workers: {:.1} % of a core", used as f64 / 10.0);
        drop(handle);
    }
}

#[test]
#[ignore = "a measurement, by hand"]
fn measure_the_time_to_the_first_output() {
    for round in 0..5 {
        let (home, table) = (Home::new(), Table::new());
        let numbers = Numbers { splits: splits(2, 100), gate: Gate::open() };
        let settings = JobSettings { backend: backend(), ..home.settings(2) };
        let started = monotonic_ns();
        let handle = home.start(keyed_graph(numbers, Vec::new(), "count", &table), settings);
        table.wait_until_arrived(1);
        let first = monotonic_ns();
        table.wait_until_visible(200);
        let visible = monotonic_ns();
        handle.wait().unwrap();
        let over = monotonic_ns();
        let ms = |until: u64| (until - started) as f64 / 1e6;
        println!(
            "round {round}: first output {:.1} ms, all committed {:.1} ms, over {:.1} ms",
            ms(first),
            ms(visible),
            ms(over)
        );
    }
}
