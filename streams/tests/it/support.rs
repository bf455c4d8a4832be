//! What the tests share: a log in memory with a clock that stands still, and short ways to fill and read it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use pelton_streams::clock::ManualClock;
use pelton_streams::storage::MemoryStorage;
use pelton_streams::{Options, Reader, ShardId, ShardLog, StartPosition, StreamWriter};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The clock's first time.
pub const START_MS: u64 = 1_000_000;

/// A log on a disk in memory.
pub struct Bench {
    pub disk: MemoryStorage,
    pub clock: Arc<ManualClock>,
    pub options: Options,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::create();
        change(&mut options);
        Self { disk: MemoryStorage::new(), clock: Arc::new(ManualClock::at(START_MS)), options }
    }

    /// Opens the log as a new process would.
    pub fn log(&self) -> ShardLog {
        self.try_log().unwrap()
    }

    pub fn try_log(&self) -> pelton_streams::Result<ShardLog> {
        ShardLog::open_with("/log", &self.options, Arc::new(self.disk.clone()), self.clock.clone())
    }
}

/// A log with the stream `s`, and its writer.
pub fn stream(bench: &Bench, shards: u32) -> (ShardLog, StreamWriter) {
    let log = bench.log();
    log.create_stream("s", shards).unwrap();
    let writer = log.writer("s").unwrap();
    (log, writer)
}

/// Appends records with these data, one after the other, and waits.
pub fn put(writer: &StreamWriter, data: &[&str]) {
    let mut batch = writer.batch();
    for data in data {
        batch.push(&data.as_bytes()[..data.len().min(100)], data.as_bytes()).unwrap();
    }
    writer.append(batch).unwrap();
}

/// The data of everything that a reader gives until it comes to its end.
pub fn drain(reader: &mut Reader) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let batch = reader.poll(7, 1 << 20).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()));
    }
}

/// The data of shard 0 from a position on.
pub fn read_from(log: &ShardLog, start: StartPosition) -> Vec<String> {
    drain(&mut log.reader("s", ShardId(0), start).unwrap())
}

/// The data of shard 0.
pub fn read(log: &ShardLog) -> Vec<String> {
    read_from(log, StartPosition::Oldest)
}

/// Runs `check` with `usual` values of `strategy` and the seed of each, which is printed: `PELTON_SEED`
/// names the first one, `PELTON_ROUNDS` says how many.
#[expect(clippy::print_stdout, reason = "the seed repeats a run that failed")]
pub fn with_seeds<T>(usual: u64, strategy: &impl Strategy<Value = T>, check: impl Fn(u64, &T)) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("PELTON_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    for seed in (first..=u64::MAX).take(number("PELTON_ROUNDS").unwrap_or(usual) as usize) {
        println!("PELTON_SEED={seed}");
        let bytes: Vec<u8> = seed.to_le_bytes().repeat(4);
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let value = strategy.new_tree(&mut runner).expect("the strategy rejects nothing").current();
        check(seed, &value);
    }
}
