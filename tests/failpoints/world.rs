//! A job between two streams of the shard log, fed while it runs, and what must come of it: a keyed
//! running tally of unique ids, into two sinks that promise exactly once.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use pelton::connectors::{Files, LogAddress, ShardLog as Log};
use pelton::dataflow::clock::{Clock, SystemClock};
use pelton::dataflow::graph::Graph;
use pelton::operators::{Job as Wiring, Watermarks};
use pelton::runtime::{CheckpointInterval, End, Job, JobHandle, JobSettings, JobSpec, RestartStrategy};
use pelton::state::Backend;
use pelton::state::checkpoint::log::entries;
use pelton::state::checkpoint::manifest::{Entry, Manifest};
use pelton::state::checkpoint::store::CheckpointStore;
use pelton::streams::{Error, HashKey, Options, Record, Retention, ShardLog, StartPosition, StreamWriter};
use serde::{Deserialize, Serialize};

/// The input comes in so many parts; each is committed before the next is fed, so that every step
/// is come by several times however fast the machine is.
const PARTS: u64 = 4;
const PART_IDS: u64 = 24;
const IDS: u64 = PARTS * PART_IDS;
const KEYS: u64 = 7;
const SHARDS: u32 = 2;
const WORKERS: usize = 2;

/// Small, so that segments are rolled in the middle of things.
const SEGMENT_BYTES: u64 = 1_024;
/// What retention leaves of the stream that it works on: a segment or two of those above.
const RETAINED_BYTES: u64 = 3_000;

/// A world that has failed so often with one point armed is not getting anywhere.
const MOST_FAILURES: usize = 30;
/// Looks at the outputs before the job counts as stuck, and the pause between two of them.
const LOOKS: usize = 15_000;
const PAUSE: Duration = Duration::from_millis(4);

/// A record of the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    id: u64,
    key: u64,
}

/// What the job keeps and emits per key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    count: u64,
    sum: u64,
    last: u64,
}

impl Tally {
    fn add(&mut self, id: u64) {
        self.count += 1;
        self.sum += id;
        self.last = id;
    }
}

/// The machine's time, faster: the waits before a commit is tried again are of no interest here.
struct FastClock;

impl Clock for FastClock {
    fn now_us(&self) -> i64 {
        SystemClock.now_us() * 20
    }
}

/// How a world runs.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub backend: Backend,
    /// Checkpoints in a row that may fail before the generation does.
    pub tolerated_failures: u32,
    /// Whether a further stream is fed under a retention that removes segments.
    pub with_retention: bool,
}

/// The streams, the job on them, and all that they leave in one directory.
pub struct World {
    root: PathBuf,
    setting: Setting,
    log: ShardLog,
    writers: BTreeMap<&'static str, StreamWriter>,
    job: Option<JobHandle>,
    /// What failed, in order.
    pub failures: Vec<String>,
}

impl World {
    /// The world in `root`, which may have been left by one that was killed.
    pub fn open(root: &Path, setting: Setting) -> Self {
        let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::create() };
        let log = ShardLog::open(root.join("log"), &options).unwrap();
        let known = log.list_streams().unwrap();
        for (stream, bytes) in [("in", None), ("out", None), ("old", Some(RETAINED_BYTES))] {
            if !known.iter().any(|known| known == stream) {
                log.create_stream_with(stream, SHARDS, Retention { age_ms: None, bytes }).unwrap();
            }
        }
        let (writers, failures) = (BTreeMap::new(), Vec::new());
        Self { root: root.to_owned(), setting, log, writers, job: None, failures }
    }

    /// Feeds everything, has it all committed, and stops.
    pub fn run(&mut self) {
        for part in 0..PARTS {
            if part == PARTS / 2 {
                // Ends at once, without a checkpoint: what was read since the last is read again.
                self.job = None;
            }
            self.feed("in", part);
            self.until_committed((part + 1) * PART_IDS);
            if self.setting.with_retention {
                self.feed("old", part);
                self.retry("old", StreamWriter::roll);
                self.retry("old", |writer| writer.apply_retention().map(drop));
            }
        }
        self.stop();
        self.writers.clear();
    }

    /// Appends what is missing of a part of the ids, until all of it is acknowledged.
    fn feed(&mut self, stream: &'static str, part: u64) {
        let ids = part * PART_IDS..(part + 1) * PART_IDS;
        let first_half = ids.start + PART_IDS / 2;
        for half in [ids.start..first_half, first_half..ids.end] {
            let log = self.log.clone();
            self.retry(stream, |writer| {
                let present = ids_in(&log, stream);
                if present.iter().any(|id| *id >= half.end) {
                    // A world before this one has come further.
                    return Ok(());
                }
                let missing: Vec<u64> = half.clone().filter(|id| !present.contains(id)).collect();
                let mut batch = writer.batch();
                for id in &missing {
                    let item = Item { id: *id, key: id % KEYS };
                    batch.push(&item.key.to_be_bytes(), &serde_json::to_vec(&item).unwrap())?;
                }
                match writer.append(batch) {
                    Err(error @ Error::NotWritten { .. }) => {
                        assert_eq!(ids_in(&log, stream), present, "not written, and yet there: {error}");
                        Err(error)
                    }
                    appended => appended.map(drop),
                }
            });
        }
    }

    /// Has `act` done on the writer of `stream`, with a new writer after each failure.
    fn retry(&mut self, stream: &'static str, act: impl Fn(&StreamWriter) -> pelton::streams::Result<()>) {
        loop {
            let writer = self.writers.remove(stream);
            let log = &self.log;
            let done = catch_unwind(AssertUnwindSafe(|| {
                let writer = writer.map_or_else(|| log.writer(stream), Ok)?;
                act(&writer).map(|()| writer)
            }));
            match done {
                Ok(Ok(writer)) => {
                    self.writers.insert(stream, writer);
                    return;
                }
                Ok(Err(error)) => self.failed(error.to_string()),
                Err(panic) => self.failed(words(&*panic)),
            }
        }
    }

    /// Waits until both sinks show so many records, and starts the job whenever it is over.
    fn until_committed(&mut self, records: u64) {
        self.until(|world| {
            if world.job.as_ref().is_none_or(JobHandle::is_over) {
                world.end_job();
                world.start_job();
            }
            // The files are many, and looked at only when they may be complete.
            let shards = world.log.describe_stream("out").unwrap().shards;
            shards.iter().map(|shard| shard.records).sum::<u64>() >= records
                && world.tallies_in_files().len() as u64 >= records
        });
    }

    /// Looks until `has_come`.
    fn until(&mut self, mut has_come: impl FnMut(&mut Self) -> bool) {
        let (_held, nothing) = channel::<()>();
        for _ in 0..LOOKS {
            if has_come(self) {
                return;
            }
            // Nobody sends: a pause.
            let _ = nothing.recv_timeout(PAUSE);
        }
        let status = self.job.as_ref().map(JobHandle::status);
        let seen = [self.tallies_in_log().len(), self.tallies_in_files().len()];
        panic!("stuck at {seen:?}: {status:#?}, failures {:#?}", self.failures);
    }

    fn start_job(&mut self) {
        let settings = JobSettings {
            workers: WORKERS,
            state_dir: self.root.join("state"),
            checkpoint_dir: self.checkpoints(),
            checkpoint_interval: CheckpointInterval::EveryMs(10),
            // Whatever is not reported but only times out is to show as stuck.
            checkpoint_timeout_ms: 1_000_000_000,
            tolerated_checkpoint_failures: self.setting.tolerated_failures,
            retained_checkpoints: 2,
            backend: self.setting.backend,
            restart: RestartStrategy::FixedDelay { attempts: 3, delay_ms: 1 },
            ..JobSettings::default()
        };
        let spec = JobSpec::new("tally", self.graph(), settings).clock(Arc::new(FastClock));
        match Job::start(spec) {
            Ok(job) => self.job = Some(job),
            Err(error) => self.failed(error.to_string()),
        }
    }

    /// Notes what the job that is over failed of.
    fn end_job(&mut self) -> Option<End> {
        let job = self.job.take()?;
        match catch_unwind(AssertUnwindSafe(|| job.wait())) {
            Ok(Ok(report)) => return Some(report.end),
            Ok(Err(error)) => self.failed(error.to_string()),
            Err(panic) => self.failed(words(&*panic)),
        }
        None
    }

    fn stop(&mut self) {
        loop {
            if let Some(job) = &self.job {
                job.stop();
            }
            self.until(|world| world.job.as_ref().is_none_or(JobHandle::is_over));
            match self.end_job() {
                Some(End::Stopped) => return,
                Some(end) => panic!("stopped, and yet {end:?}"),
                None => self.start_job(),
            }
        }
    }

    fn failed(&mut self, failure: String) {
        self.failures.push(failure);
        assert!(self.failures.len() < MOST_FAILURES, "it goes on failing: {:#?}", self.failures);
    }

    fn graph(&self) -> Graph {
        let mut job = Wiring::new();
        let items =
            job.source("items", Log::json::<Item>(&self.address("in"))).watermarks(Watermarks::none());
        let tallies =
            items.key_by(|item| item.key).fold("tally", |tally: &mut Tally, item: Item| tally.add(item.id));
        let out = Log::json_sink::<(u64, Tally)>(&self.address("out"));
        tallies.sink("log", out.partition_by(|(key, _)| key.to_be_bytes()));
        tallies.sink("files", Files::jsonl(self.files()));
        job.finish().unwrap()
    }

    fn address(&self, stream: &str) -> LogAddress {
        LogAddress::new(self.root.join("log"), stream)
    }

    fn checkpoints(&self) -> String {
        self.root.join("checkpoints").display().to_string()
    }

    fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Fails unless everything is there once and in order, and the last checkpoint holds all of it.
    pub fn check(&self) {
        let mut fed = ids_in(&self.log, "in");
        fed.sort_unstable();
        assert!(fed.iter().copied().eq(0..IDS), "the input holds {fed:?}");
        let expected = expected();
        assert_eq!(by_key(&self.tallies_in_log()), expected, "the sink in the log");
        assert_eq!(by_key(&self.tallies_in_files()), expected, "the sink in files");
        self.check_positions(&self.newest_manifest());
        for stream in ["in", "out", "old"] {
            let writer = self.log.writer(stream).unwrap();
            assert_eq!(writer.recovery().open_transactions, 0, "left open in {stream}");
            let found = self.log.verify(stream).unwrap();
            assert!(found.problems.is_empty(), "{found:?}");
        }
        if self.setting.with_retention {
            self.check_retained();
        }
    }

    fn newest_manifest(&self) -> Manifest {
        let store = CheckpointStore::open(&self.checkpoints()).unwrap();
        let found = entries(&store).unwrap().into_iter().rev();
        let newest = found.map(|found| found.entry.unwrap()).find_map(|entry| match entry {
            Entry::Checkpoint(manifest) => Some(*manifest),
            Entry::Takeover(_) => None,
        });
        newest.expect("there is a checkpoint")
    }

    /// The positions stand behind every record and before none.
    fn check_positions(&self, manifest: &Manifest) {
        let splits = &manifest.sources[0].splits;
        assert_eq!(splits.len(), SHARDS as usize);
        let mut before = 0;
        for (split, shard) in splits.iter().zip(self.log.describe_stream("in").unwrap().shards) {
            assert_eq!(split.state.info.id.0, shard.shard.to_string());
            let position = split.state.position.as_ref().expect("it has read of each shard");
            // Tag and version, then the least number of the next record.
            let next = u64::from_le_bytes(position[2..10].try_into().unwrap());
            let mut reader = self.log.reader("in", shard.shard, StartPosition::Oldest).unwrap();
            let sequences = sequences_from(&mut reader);
            assert!(sequences.iter().all(|sequence| *sequence < next), "{next} is not behind {sequences:?}");
            before += sequences.len() as u64;
        }
        assert_eq!(before, IDS);
    }

    /// Retention has taken the oldest and nothing between.
    fn check_retained(&self) {
        for shard in self.log.describe_stream("old").unwrap().shards {
            let mut reader = self.log.reader("old", shard.shard, StartPosition::Oldest).unwrap();
            let left = ids_from(&mut reader);
            let of_shard = |id: &u64| left.first().is_some_and(|first| id >= first);
            let mut all =
                (0..IDS).filter(|id| shard.hash_keys.contains(&HashKey::of(&(id % KEYS).to_be_bytes())));
            assert!(all.clone().filter(of_shard).eq(left.iter().copied()), "{} holds {left:?}", shard.shard);
            assert_eq!(left.last().copied(), all.next_back(), "the newest is left");
        }
        assert!((ids_in(&self.log, "old").len() as u64) < IDS, "retention has taken nothing");
    }

    fn tallies_in_log(&self) -> Vec<(u64, Tally)> {
        let mut tallies = Vec::new();
        for shard in self.log.describe_stream("out").unwrap().shards {
            let mut reader = self.log.reader("out", shard.shard, StartPosition::Oldest).unwrap();
            for data in data_from(&mut reader) {
                tallies.push(serde_json::from_slice(&data).unwrap());
            }
        }
        tallies
    }

    /// Files are named by epoch, so those of one key are in the order of their names.
    fn tallies_in_files(&self) -> Vec<(u64, Tally)> {
        let Ok(files) = std::fs::read_dir(self.files()) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        paths.sort();
        let lines = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
        lines
            .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
            .collect()
    }
}

/// The model: what each key's tallies are, in order.
fn expected() -> BTreeMap<u64, Vec<Tally>> {
    let mut keys: BTreeMap<u64, Vec<Tally>> = BTreeMap::new();
    for id in 0..IDS {
        let tallies = keys.entry(id % KEYS).or_default();
        let mut tally = tallies.last().cloned().unwrap_or_default();
        tally.add(id);
        tallies.push(tally);
    }
    keys
}

fn by_key(tallies: &[(u64, Tally)]) -> BTreeMap<u64, Vec<Tally>> {
    let mut keys: BTreeMap<u64, Vec<Tally>> = BTreeMap::new();
    for (key, tally) in tallies {
        keys.entry(*key).or_default().push(tally.clone());
    }
    keys
}

/// The ids in a stream, of one shard after the other.
fn ids_in(log: &ShardLog, stream: &str) -> Vec<u64> {
    let shards = log.describe_stream(stream).unwrap().shards.into_iter();
    let readers = shards.map(|shard| log.reader(stream, shard.shard, StartPosition::Oldest).unwrap());
    readers.flat_map(|mut reader| ids_from(&mut reader)).collect()
}

fn ids_from(reader: &mut pelton::streams::Reader) -> Vec<u64> {
    let items = data_from(reader).into_iter();
    items.map(|data| serde_json::from_slice::<Item>(&data).unwrap().id).collect()
}

fn data_from(reader: &mut pelton::streams::Reader) -> Vec<Vec<u8>> {
    all_from(reader, |record| record.data.to_vec())
}

fn sequences_from(reader: &mut pelton::streams::Reader) -> Vec<u64> {
    all_from(reader, |record| record.sequence.0)
}

fn all_from<T>(reader: &mut pelton::streams::Reader, take: impl Fn(Record<'_>) -> T) -> Vec<T> {
    let mut all = Vec::new();
    loop {
        let batch = reader.poll(1_000, 1 << 20).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch.iter().map(&take));
    }
}

/// The words of a panic.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
