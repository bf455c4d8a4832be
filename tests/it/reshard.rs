//! A job that reads a stream while its shards are split and merged, and is stopped and started on other
//! numbers of workers: each key's records come in order, each once.

use std::collections::BTreeMap;

use pelton::prelude::*;
use pelton::runtime::{CheckpointInterval, Job as Runtime, JobHandle, JobSettings, JobSpec, RestartStrategy};
use pelton::state::files::Backend;
use pelton::streams::{self, HashKey, Options, Reader, StartPosition, StreamWriter};
use tempfile::TempDir;

use crate::golden::random::{Random, rounds};

const KEYS: u64 = 50;
const RECORDS: u64 = 12_000;
const LONG: Duration = Duration::from_secs(60);

/// The `n`th record of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Item {
    key: u64,
    n: u64,
}

/// Fails of a record that is not its key's next.
struct InOrder;

impl KeyedProcess for InOrder {
    type Key = u64;
    type In = Item;
    type Out = Item;
    type Side = NoSide;
    type State = u64;

    fn on_record(&self, item: Item, next: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        if item.n != **next {
            return Err(format!("{item:?} came where record {} was due", **next).into());
        }
        **next += 1;
        cx.emit(item);
        Ok(())
    }
}

fn start(directory: &TempDir, workers: usize) -> JobHandle {
    let address = |stream| LogAddress::new(directory.path().join("log"), stream);
    let mut job = Job::new();
    let items = job.source("in", ShardLog::json::<Item>(&address("in"))).watermarks(Watermarks::none());
    let sink = ShardLog::json_sink(&address("out"));
    items.key_by(|item| item.key).process("in-order", InOrder).out.sink("out", sink);
    let settings = JobSettings {
        workers,
        state_dir: directory.path().join("state"),
        checkpoint_dir: directory.path().join("checkpoints").display().to_string(),
        checkpoint_interval: CheckpointInterval::EveryMs(20),
        backend: Backend::Memory,
        restart: RestartStrategy::None,
        ..JobSettings::default()
    };
    Runtime::start(JobSpec::new("job", job.finish().unwrap(), settings)).unwrap()
}

/// Splits an open shard, or merges two neighbours.
fn reshard(log: &streams::ShardLog, writer: &StreamWriter, random: &mut Random) {
    let mut open = log.describe_stream("in").unwrap().shards;
    open.retain(|shard| shard.closed_ms.is_none());
    open.sort_by_key(|shard| *shard.hash_keys.start());
    let at = random.below(open.len() as u64) as usize;
    if (random.below(2) == 0 || open.len() == 1) && open.len() < 6 {
        let (first, last) = (open[at].hash_keys.start().0, open[at].hash_keys.end().0);
        writer.split_shard(open[at].shard, HashKey(first + (last - first) / 2 + 1)).unwrap();
    } else {
        let at = at.min(open.len() - 2);
        writer.merge_shards(open[at].shard, open[at + 1].shard).unwrap();
    }
}

/// Appends all records, in order by key, and changes the shards now and then: at times between two batches,
/// at times while one is under way.
fn produce(log: &streams::ShardLog, random: &mut Random) {
    let writer = log.writer("in").unwrap();
    let mut next = vec![0; KEYS as usize];
    for round in 0..RECORDS / 60 {
        let mut batch = writer.batch();
        for _ in 0..60 {
            let key = random.below(KEYS);
            let item = Item { key, n: next[key as usize] };
            next[key as usize] += 1;
            batch.push(&key.to_be_bytes(), &serde_json::to_vec(&item).unwrap()).unwrap();
        }
        if round % 8 == 3 {
            reshard(log, &writer, random);
        }
        let ticket = writer.submit(batch).unwrap();
        if round % 8 == 6 {
            reshard(log, &writer, random);
        }
        ticket.wait().unwrap();
    }
}

/// What the job has committed.
struct Output {
    readers: Vec<Reader>,
    found: BTreeMap<Item, u32>,
}

impl Output {
    fn wait_for(&mut self, records: u64) {
        while (self.found.len() as u64) < records {
            let mut is_idle = true;
            for reader in &mut self.readers {
                let batch = reader.poll(1_000, 1 << 20).unwrap();
                is_idle &= batch.is_empty();
                for record in &batch {
                    *self.found.entry(serde_json::from_slice(record.data).unwrap()).or_default() += 1;
                }
            }
            if is_idle {
                assert!(
                    self.readers[0].wait(LONG).unwrap(),
                    "{} of {records} records have come",
                    self.found.len()
                );
            }
        }
    }
}

#[test]
fn each_key_keeps_its_order_while_shards_are_split_and_merged() {
    rounds(|seed| {
        let directory = tempfile::tempdir().unwrap();
        let log = streams::ShardLog::open(directory.path().join("log"), &Options::create()).unwrap();
        log.create_stream("in", 2).unwrap();
        log.create_stream("out", 1).unwrap();
        let shards = log.shards("out").unwrap().into_iter();
        let readers = shards.map(|shard| log.reader("out", shard, StartPosition::Oldest).unwrap()).collect();
        let mut output = Output { readers, found: BTreeMap::new() };

        std::thread::scope(|threads| {
            threads.spawn(|| produce(&log, &mut Random::new(seed)));
            for (workers, until) in [(1, 3_000), (3, 6_000), (2, RECORDS)] {
                let job = start(&directory, workers);
                output.wait_for(until);
                job.stop();
                job.wait().unwrap();
            }
        });
        let shards = log.describe_stream("in").unwrap().shards;
        let closed = shards.iter().filter(|shard| shard.closed_ms.is_some()).count();
        assert!(closed > 20, "only {closed} shards were closed");
        assert!(output.found.values().all(|times| *times == 1), "each once");
    });
}
