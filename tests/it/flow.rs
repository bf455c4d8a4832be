//! Memory under load that cannot go on as fast as it comes: each job here has a part that is slow or stands
//! still, reads far more than memory is allowed to grow by, and has to come to its end all the same.
//!
//! Each runs in a process of its own, whose peak of resident memory is held against a bound; how many records
//! there are decides when it is over, not time. `PELTON_ROUNDS` multiplies them.

use std::hash::Hasher;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pelton::connectors::{ForEachBatch, Generator};
use pelton::dataflow::error::OpError;
use pelton::dataflow::record::Record;
use pelton::dataflow::source::{
    Enumerator, Fetched, FixedSplits, Polled, ReaderContext, Source, SplitInfo, SplitReader,
};
use pelton::operators::{Job as Wiring, Stream, Watermarks};
use pelton::runtime::{CheckpointInterval, Job, JobSettings, JobSpec};
use pelton::state::Backend;

/// Tells the other process what to run.
const SCENARIO: &str = "PELTON_TEST_FLOW";

/// Records of each job, of [`ITEM_BYTES`] each: 256 MiB, if they were all held at once.
const RECORDS: u64 = 2 * 1024 * 1024;
const ITEM_BYTES: usize = 128;

/// How far memory may grow above what the process has before the job starts. The largest graph here holds
/// 13 MiB in flight; the rest is threads, allocator and checkpoints. Pages that were freed are given back at
/// once (see [`run`]): jemalloc keeps them for ten seconds otherwise, which made 30 MiB into 48 to 81.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A key, and ballast.
type Item = (u64, [u64; ITEM_BYTES / 8 - 1]);

fn item(key: u64) -> Item {
    (key, [key; ITEM_BYTES / 8 - 1])
}

/// What sinks have got.
type Count = Arc<AtomicU64>;

fn records() -> u64 {
    let rounds = std::env::var("PELTON_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    RECORDS * rounds
}

/// So much work that a source makes dozens of records meanwhile.
fn toil(item: &Item) {
    let mut hasher = std::hash::DefaultHasher::new();
    for word in item.1.iter().cycle().take(64) {
        hasher.write_u64(*word);
    }
    std::hint::black_box(hasher.finish());
}

fn sink_slowly(stream: &Stream<Item>, name: &str, count: &Count) {
    let count = count.clone();
    let write = move |batch: &[Record<Item>]| {
        batch.iter().for_each(|record| toil(&record.value));
        count.fetch_add(batch.len() as u64, Ordering::SeqCst);
    };
    stream.sink(name, ForEachBatch::new(write));
}

fn source(
    job: &mut Wiring,
    name: &str,
    count: u64,
    make: impl Fn(u64) -> u64 + Send + Sync + 'static,
) -> Stream<Item> {
    job.source(name, Generator::new(count, move |index| item(make(index)))).watermarks(Watermarks::none())
}

/// Wires a scenario; gives how many records the sinks get.
fn wire(scenario: &str, job: &mut Wiring, count: &Count) -> u64 {
    let records = records();
    match scenario {
        "slow_sink" => {
            let all = source(job, "in", records, |index| index);
            sink_slowly(&all.rebalance(), "out", count);
        }
        // All of it on the worker of one key.
        "slow_worker" => {
            let all = source(job, "in", records, |index| index).rebalance();
            let counted = all.key_by(|_| 7_u64).fold("tally", |tally: &mut u64, item: Item| {
                toil(&item);
                *tally += 1;
            });
            sink_slowly(&counted.map(|(_, tally)| item(tally)), "out", count);
        }
        "hot_key" => {
            let all = source(job, "in", records, |index| if index % 20 == 0 { index % 1_000 } else { 1 });
            let counted = all.key_by(|item| item.0).fold("tally", |tally: &mut u64, _| *tally += 1);
            sink_slowly(&counted.map(|(_, tally)| item(tally)).rebalance(), "out", count);
        }
        "amplified" => {
            let seeds = source(job, "in", records / 10_000, |index| index);
            let many = seeds.flat_map(|seed| (0..10_000).map(move |number| item(seed.0 * 10_000 + number)));
            sink_slowly(&many.rebalance(), "out", count);
            return records / 10_000 * 10_000;
        }
        "fan_out" => {
            let all = source(job, "in", records / 50, |index| index % 1_000).key_by(|item| item.0);
            let all = all.fold("tally", |tally: &mut u64, _| *tally += 1).map(|(key, _)| item(key));
            (0..50).for_each(|number| sink_slowly(&all.rebalance(), &format!("out{number}"), count));
            return records / 50 * 50;
        }
        "diamond" => {
            let all = source(job, "in", records, |index| index);
            let even = all.filter(|item| item.0 % 2 == 0).rebalance();
            let odd = all.filter(|item| item.0 % 2 == 1).rebalance().map(|item| item).rebalance();
            sink_slowly(&even.union([odd]), "out", count);
        }
        // One input gives nothing before all of the other has come through.
        "stalled_input" => {
            let going = source(job, "going", records, |index| index);
            let stalled = Stalled { until: records, count: count.clone() };
            let stalled = job.source("stalled", stalled).watermarks(Watermarks::none());
            sink_slowly(&going.rebalance().union([stalled.rebalance()]), "out", count);
            return records + 1;
        }
        other => panic!("no scenario: {other}"),
    }
    records
}

/// Gives one record, once the sinks have got so many.
struct Stalled {
    until: u64,
    count: Count,
}

struct StalledReader {
    until: u64,
    count: Count,
    is_read: bool,
}

impl Source for Stalled {
    type Item = Item;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        Ok(Box::new(FixedSplits(vec![SplitInfo::root("only")])))
    }

    fn open(
        &self,
        _split: &SplitInfo,
        _position: Option<&[u8]>,
        _cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = Item>>, OpError> {
        Ok(Box::new(StalledReader { until: self.until, count: self.count.clone(), is_read: false }))
    }

    fn describe(&self) -> String {
        "a source that waits".to_owned()
    }
}

impl SplitReader for StalledReader {
    type Item = Item;

    fn poll(&mut self, _max_records: usize, out: &mut Fetched<Item>) -> Result<Polled, OpError> {
        if self.is_read {
            return Ok(Polled::Finished);
        }
        if self.count.load(Ordering::SeqCst) < self.until {
            return Ok(Polled::PendingUnannounced);
        }
        out.values.push(item(0));
        self.is_read = true;
        Ok(Polled::Ready)
    }

    fn position(&self) -> Vec<u8> {
        vec![u8::from(self.is_read)]
    }
}

/// Memory that this process has had at most, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// What the other process does; nothing in the one that runs the tests.
#[test]
fn child() {
    let Ok(scenario) = std::env::var(SCENARIO) else { return };
    let root = tempfile::tempdir().unwrap();
    let settings = JobSettings {
        workers: 2,
        backend: Backend::Memory,
        state_dir: root.path().join("state"),
        checkpoint_dir: root.path().join("checkpoints").display().to_string(),
        checkpoint_interval: CheckpointInterval::EveryMs(100),
        ..JobSettings::default()
    };
    let settings = JobSettings {
        engine: pelton::dataflow::settings::Settings {
            batch_records: 128,
            channel_batches: 4,
            ..settings.engine
        },
        ..settings
    };
    let (mut wiring, count) = (Wiring::new(), Count::default());
    let expected = wire(&scenario, &mut wiring, &count);
    let before = peak_bytes();
    let report =
        Job::start(JobSpec::new("flow", wiring.finish().unwrap(), settings)).unwrap().wait().unwrap();
    let grown = peak_bytes() - before;
    let channels = &report.status.channels;
    let waits: u64 = channels.iter().flat_map(|channel| &channel.edges).map(|edge| edge.waits).sum();
    println!("{scenario}: {expected} records, {} MiB more memory, {waits} waits", grown >> 20);
    assert_eq!(count.load(Ordering::SeqCst), expected);
    assert!(grown < MOST_BYTES, "{} MiB more memory", grown >> 20);
    assert!(waits > 0, "nobody has waited for credit, so that nothing was shown: {channels:?}");
}

fn run(scenario: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "flow::child", "--nocapture"]).env(SCENARIO, scenario);
    command.env("MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");
    let output = command.output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{error}");
    println!("{said}");
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            #[cfg(target_os = "linux")]
            fn $name() {
                run(stringify!($name));
            }
        )*
    };
}

scenarios! { slow_sink slow_worker hot_key amplified fan_out diamond stalled_input }
