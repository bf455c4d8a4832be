//! How fast keyed state is by itself: look up, change, and freeze each second. Linux; by hand:
//!
//! `cargo run --release -p pelton-state --features rocksdb --example keyed_state_bench -- KEYS EPOCHS WORKERS MEMORY_MIB RECORDS rocksdb|memory`
//!
//! An epoch lasts a second or, with RECORDS other than 0, that many records of each worker: on a
//! machine that does other things too, that and the figures by CPU time are what to look at.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::path::Path;
use std::sync::mpsc::{self, Receiver};

use pelton_dataflow::clock::monotonic_ns;
use pelton_dataflow::env::Intake;
use pelton_dataflow::key::{KeyGroups, hash_of};
use pelton_dataflow::time::Epoch;
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::{Backend, KeyedAck, KeyedState, StateError, StateSpec, StateStore, StoreOptions};

/// Records between two looks at the clock, as in a batch.
const BATCH: u64 = 1_024;
const SECOND_NS: u64 = 1_000_000_000;

/// Batches between two looks at the thread's CPU time, which is a system call.
const CPU_BATCHES: u64 = 8;

struct Args {
    keys: u64,
    epochs: u64,
    epoch_records: u64,
    workers: usize,
    memory_bytes: usize,
    backend: Backend,
}

fn main() -> Result<(), StateError> {
    let mut given = std::env::args().skip(1);
    let mut number = |default: u64| given.next().and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (keys, epochs) = (number(100_000), number(10));
    let (workers, memory) = (number(1) as usize, number(1_024) as usize);
    let epoch_records = number(0);
    let backend = if given.next().as_deref() == Some("memory") { Backend::Memory } else { Backend::RocksDb };
    let args = Args { keys, epochs, epoch_records, workers, memory_bytes: memory << 20, backend };
    let dir = std::env::temp_dir().join(format!("pelton-state-bench-{}", std::process::id()));
    let location = dir.join("checkpoints").display().to_string();
    let checkpoints = CheckpointStore::open(&location)?;
    let done = std::thread::scope(|scope| {
        let run = |worker| {
            let (args, dir, checkpoints) = (&args, &dir, checkpoints.clone());
            scope.spawn(move || run(args, worker, dir, checkpoints))
        };
        let threads: Vec<_> = (0..args.workers).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).collect::<Vec<_>>()
    });
    let total: f64 = done.into_iter().sum::<Result<f64, _>>()?;
    println!("all workers together, each by its own CPU time: {total:.1} M/s");
    std::fs::remove_dir_all(&dir).map_err(|source| StateError::Local {
        action: "delete",
        path: dir.display().to_string(),
        source,
    })
}

/// Millions of updates a second of one worker.
fn run(args: &Args, worker: usize, dir: &Path, checkpoints: CheckpointStore) -> Result<f64, StateError> {
    let mut ids = NameTable::default();
    let (kind, type_name, fingerprint) = ("value", "u64", "u64");
    ids.declare([Declared { operator: "count", state: "value", kind, type_name, fingerprint, version: 1 }])?;
    let groups = KeyGroups::default();
    let (send, acks) = mpsc::channel();
    let store = StateStore::open(StoreOptions {
        backend: args.backend,
        dir: dir.join(format!("w{worker}")),
        worker,
        workers: args.workers,
        groups,
        generation: 1,
        memory_bytes: args.memory_bytes,
        checkpoints,
        restored: Vec::new(),
        ids,
        on_ack: Box::new(move |ack| drop(send.send((monotonic_ns(), ack)))),
    })?;
    let mut counts: KeyedState<u64, u64> = store.keyed("count", StateSpec::new())?;
    let own: Vec<u64> = (0..args.keys)
        .filter(|key| groups.owner(groups.group(hash_of(key)), args.workers) == worker)
        .collect();
    let start = monotonic_ns();
    let (mut epoch, mut records, mut last, mut paused_ns) = (0u64, 0u64, start, 0u64);
    let (mut longest_ns, mut freeze_ns) = (0, 0);
    let (cpu_start, mut cpu_last, mut batches) = (cpu_ns("thread-self"), cpu_ns("thread-self"), 0u64);
    let mut random = worker as u64;
    loop {
        if store.intake(monotonic_ns()) != Intake::Open {
            std::thread::yield_now();
        } else {
            let mut values = counts.values();
            for _ in 0..BATCH {
                random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let place = ((u128::from(mixed) * own.len() as u128) >> 64) as usize;
                let key = own[place];
                *values.state(hash_of(&key), &key)? += 1;
            }
            records += BATCH;
        }
        store.maintain()?;
        let now = monotonic_ns();
        if store.intake(monotonic_ns()) != Intake::Open {
            paused_ns += now - last;
        }
        last = now;
        batches += 1;
        if batches.is_multiple_of(CPU_BATCHES) {
            let cpu = cpu_ns("thread-self");
            longest_ns = longest_ns.max(cpu - cpu_last);
            cpu_last = cpu;
        }
        let ends = match args.epoch_records {
            0 => now - start >= (epoch + 1) * SECOND_NS,
            each => records >= (epoch + 1) * each,
        };
        if ends {
            epoch += 1;
            let cpu = cpu_ns("thread-self");
            counts.freeze(Epoch(epoch))?;
            freeze_ns = freeze_ns.max(cpu_ns("thread-self") - cpu);
            report(worker, epoch, start, records, &acks)?;
            if epoch == args.epochs {
                break;
            }
        }
    }
    let rate = records as f64 * 1e3 / (cpu_ns("thread-self") - cpu_start) as f64;
    let wall = records as f64 * 1e3 / (monotonic_ns() - start) as f64;
    println!(
        "worker {worker}: {rate:.1} M/s by its CPU time, {wall:.1} by the clock; CPU time of {CPU_BATCHES} batches at most {:.1} ms, of a freeze {:.2} ms; paused {:.0} ms",
        longest_ns as f64 / 1e6,
        freeze_ns as f64 / 1e6,
        paused_ns as f64 / 1e6
    );
    threads();
    store.close()?;
    Ok(rate)
}

/// CPU time of a thread, in nanoseconds.
fn cpu_ns(thread: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Prints the CPU time of all threads of the process.
fn threads() {
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let id = task.file_name().to_string_lossy().into_owned();
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let ms = cpu_ns(&format!("self/task/{id}")) / 1_000_000;
        if ms > 100 {
            println!("  thread {}: {ms} ms", name.trim());
        }
    }
}

fn report(
    worker: usize,
    epoch: u64,
    start: u64,
    records: u64,
    acks: &Receiver<(u64, Result<KeyedAck, StateError>)>,
) -> Result<(), StateError> {
    let rate = records as f64 * 1e3 / (monotonic_ns() - start) as f64;
    print!("worker {worker} epoch {epoch}: {rate:.1} M/s");
    while let Ok((_, ack)) = acks.try_recv() {
        let ack = ack?;
        let bytes: u64 = ack.files.iter().map(|file| file.length).sum();
        print!(
            "; ack {}: {:.0} ms, {} files, {:.1} MB, {:.1} MB new",
            ack.epoch.0,
            ack.duration_us as f64 / 1e3,
            ack.files.len(),
            bytes as f64 / 1e6,
            ack.new_bytes as f64 / 1e6
        );
    }
    println!();
    Ok(())
}
