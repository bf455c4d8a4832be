//! The sources of a world. One is a stream of the shard log that is read to its end, with its own
//! enumerator and readers. The other is a stream whose shards are split and merged while it is written
//! and read, as in Kinesis: children are listed as soon as there are any, long before their parents
//! have been read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use pelton::connectors::shard_log::LogSource;
use pelton::connectors::{Json, LogAddress, ShardLog as Log};
use pelton::dataflow::error::OpError;
use pelton::dataflow::source::{
    Enumerator, Fetched, Polled, ReaderContext, Source, SplitId, SplitInfo, SplitReader,
};
use pelton::streams::{HashKey, ShardLog};
use serde::{Deserialize, Serialize};

use super::faults::{Call, Faults};
use super::random::Random;

/// The stream of the shard log.
pub const STREAM: &str = "in";
const SHARDS: u32 = 2;
/// Its records at most.
const RECORDS: u64 = 60;

/// Shards of the stream that is resharded, at most; and its records.
const LIVE_SHARDS: usize = 9;
const LIVE_RECORDS: u64 = 150;

/// A record of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rec {
    pub split: String,
    /// Its place in the split, from 0.
    pub number: u64,
}

/// Fills the stream of the shard log; gives how many records each shard has.
pub fn fill(log: &ShardLog, random: &mut Random) -> BTreeMap<String, u64> {
    log.create_stream(STREAM, SHARDS).unwrap();
    let shards = log.describe_stream(STREAM).unwrap().shards;
    let mut lengths: BTreeMap<String, u64> =
        shards.iter().map(|shard| (shard.shard.to_string(), 0)).collect();
    let writer = log.writer(STREAM).unwrap();
    let mut batch = writer.batch();
    for _ in 0..random.below(RECORDS) {
        let key = random.next().to_le_bytes();
        let hash = HashKey::of(&key);
        let split = shards.iter().find(|shard| shard.hash_keys.contains(&hash)).unwrap().shard.to_string();
        let number = lengths.get_mut(&split).unwrap();
        batch.push(&key, &serde_json::to_vec(&Rec { split, number: *number }).unwrap()).unwrap();
        *number += 1;
    }
    if !batch.is_empty() {
        writer.append(batch).unwrap();
    }
    lengths
}

/// The source that reads it.
pub fn logged(log: &ShardLog) -> LogSource<Rec, Json> {
    Log::json::<Rec>(&LogAddress::new("/log", STREAM)).in_log(log).until_end()
}

/// How many records of a split are before `position`.
pub fn records_before(position: Option<&[u8]>) -> u64 {
    let Some(position) = position else { return 0 };
    let number = u64::from_le_bytes(position[2..10].try_into().unwrap());
    match position[0] {
        // Of a shard of the log: the number of the next record, from 1.
        3 => number - 1,
        LIVE_TAG => number,
        other => panic!("a position of kind {other}"),
    }
}

const LIVE_TAG: u8 = 9;

/// The stream that is resharded. Clones share it.
#[derive(Clone)]
pub struct Live {
    stream: Arc<Mutex<LiveStream>>,
    faults: Faults,
}

#[derive(Default)]
struct LiveStream {
    shards: BTreeMap<SplitId, Shard>,
    appended: u64,
    is_over: bool,
}

struct Shard {
    info: SplitInfo,
    length: u64,
    is_closed: bool,
}

impl Live {
    pub fn new(random: &mut Random, faults: Faults) -> Self {
        let live = Self { stream: Arc::default(), faults };
        (0..1 + random.below(3)).for_each(|_| live.lock().add(Vec::new()));
        live
    }

    fn lock(&self) -> MutexGuard<'_, LiveStream> {
        self.stream.lock().unwrap()
    }

    /// The producer appends, or somebody changes the shards, or all is over: nothing more comes.
    pub fn go_on(&self, random: &mut Random, is_calm: bool) {
        let mut stream = self.lock();
        let open: Vec<SplitId> = stream
            .shards
            .values()
            .filter(|shard| !shard.is_closed)
            .map(|shard| shard.info.id.clone())
            .collect();
        if stream.is_over {
            return;
        }
        if is_calm || (stream.appended >= LIVE_RECORDS && random.one_in(20)) {
            stream.is_over = true;
            stream.shards.values_mut().for_each(|shard| shard.is_closed = true);
            return;
        }
        let one = open[random.below(open.len() as u64) as usize].clone();
        match random.below(12) {
            0 if stream.shards.len() + 2 <= LIVE_SHARDS => {
                stream.close(&one);
                stream.add(vec![one.clone()]);
                stream.add(vec![one]);
            }
            1 if stream.shards.len() < LIVE_SHARDS && open.len() > 1 => {
                let other = open.into_iter().find(|other| *other != one).unwrap();
                stream.close(&one);
                stream.close(&other);
                stream.add(vec![one, other]);
            }
            _ if stream.appended < LIVE_RECORDS => {
                let count = random.below(6);
                stream.appended += count;
                stream.shards.get_mut(&one).unwrap().length += count;
            }
            _ => {}
        }
    }

    /// The records of each split, once all is over.
    pub fn lengths(&self) -> Option<BTreeMap<String, u64>> {
        let stream = self.lock();
        let length = |shard: &Shard| (shard.info.id.0.clone(), shard.length);
        stream.is_over.then(|| stream.shards.values().map(length).collect())
    }

    /// The parents of `split`, with how many records each has in all.
    pub fn parents(&self, split: &str) -> Vec<(String, u64)> {
        let stream = self.lock();
        let Some(shard) = stream.shards.get(&SplitId(split.to_owned())) else { return Vec::new() };
        let parents = shard.info.parents.iter().map(|id| (id.0.clone(), stream.shards[id].length));
        parents.collect()
    }
}

impl LiveStream {
    fn add(&mut self, parents: Vec<SplitId>) {
        let id = SplitId(format!("live{}", self.shards.len()));
        let info = SplitInfo { id: id.clone(), parents };
        self.shards.insert(id, Shard { info, length: 0, is_closed: false });
    }

    fn close(&mut self, id: &SplitId) {
        self.shards.get_mut(id).unwrap().is_closed = true;
    }
}

impl Source for Live {
    type Item = Rec;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        Ok(Box::new(self.clone()))
    }

    fn open(
        &self,
        split: &SplitInfo,
        position: Option<&[u8]>,
        _cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = Rec>>, OpError> {
        let next = records_before(position);
        Ok(Box::new(LiveReader { live: self.clone(), split: split.id.clone(), next }))
    }

    fn describe(&self) -> String {
        "a stream that is resharded".to_owned()
    }
}

impl Enumerator for Live {
    fn discover(&mut self) -> Result<Vec<SplitInfo>, OpError> {
        if self.faults.take(Call::Enumerate).is_some() {
            return Err("too many requests".into());
        }
        Ok(self.lock().shards.values().map(|shard| shard.info.clone()).collect())
    }

    fn is_complete(&self) -> bool {
        self.lock().is_over
    }
}

struct LiveReader {
    live: Live,
    split: SplitId,
    next: u64,
}

impl SplitReader for LiveReader {
    type Item = Rec;

    fn poll(&mut self, max_records: usize, out: &mut Fetched<Rec>) -> Result<Polled, OpError> {
        let stream = self.live.lock();
        let shard = &stream.shards[&self.split];
        if self.next == shard.length {
            return Ok(if shard.is_closed { Polled::Finished } else { Polled::Pending });
        }
        let until = shard.length.min(self.next + max_records as u64);
        out.values.extend((self.next..until).map(|number| Rec { split: self.split.0.clone(), number }));
        self.next = until;
        Ok(Polled::Ready)
    }

    fn position(&self) -> Vec<u8> {
        let mut bytes = vec![LIVE_TAG, 1];
        bytes.extend(self.next.to_le_bytes());
        bytes
    }
}
