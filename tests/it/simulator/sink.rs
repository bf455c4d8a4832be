//! The sink of a world: the shard log's own, in front of which calls can fail, and what it shows.

use pelton::connectors::shard_log::LogSink;
use pelton::connectors::{Json, LogAddress, ShardLog as Log};
use pelton::dataflow::error::OpError;
use pelton::dataflow::sink::{
    Committable, Committer, Guarantee, Sink, SinkContext, SinkWriter, WriterContext,
};
use pelton::streams::{Reader, ShardLog, StartPosition};
use serde::{Deserialize, Serialize};

use super::faults::{Call, Fault, Faults};

/// The stream that is written.
pub const STREAM: &str = "out";
const SHARDS: u32 = 2;

/// What a worker writes in an epoch, and a sink shows as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Batch {
    pub generation: u64,
    pub epoch: u64,
    pub worker: usize,
}

/// A record of the output: which one of the input it is, and who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    pub split: String,
    pub number: u64,
    pub batch: Batch,
}

/// The batch that a committable of the shard log stands for.
pub fn batch_of(committable: &Committable) -> Batch {
    let envelope: serde_json::Value = serde_json::from_slice(&committable.bytes).unwrap();
    let generation = envelope["transaction"]["generation"].as_u64().unwrap();
    assert_eq!(envelope["transaction"]["epoch"].as_u64(), Some(committable.epoch.0));
    Batch { generation, epoch: committable.epoch.0, worker: committable.worker }
}

/// The shard log's sink, whose commits fail when told.
pub struct FlakySink {
    inner: LogSink<Out, Json>,
    faults: Faults,
}

impl FlakySink {
    pub fn new(log: &ShardLog, faults: Faults) -> Self {
        let sink = Log::json_sink::<Out>(&LogAddress::new("/log", STREAM)).in_log(log);
        let inner = sink.create_if_missing(SHARDS).partition_by(|out: &Out| out.split.clone());
        Self { inner, faults }
    }
}

impl Sink for FlakySink {
    type Item = Out;

    fn guarantee(&self) -> Guarantee {
        self.inner.guarantee()
    }

    fn writer(&self, cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = Out>>, OpError> {
        self.inner.writer(cx)
    }

    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        let inner = self.inner.committer(cx)?.expect("the shard log is transactional");
        Ok(Some(Box::new(FlakyCommitter { inner, faults: self.faults.clone() })))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

struct FlakyCommitter {
    inner: Box<dyn Committer>,
    faults: Faults,
}

impl Committer for FlakyCommitter {
    fn check(&self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        self.inner.check(generation, listed)
    }

    fn recover(&mut self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        let fault = self.faults.take(Call::Recover);
        if fault == Some(Fault::Before) {
            return Err("unreachable".into());
        }
        self.inner.recover(generation, listed)?;
        if fault.is_some() { Err("the answer was lost".into()) } else { Ok(()) }
    }

    fn commit(&mut self, committables: &[Committable]) -> Result<(), OpError> {
        match self.faults.take(Call::Commit) {
            None => self.inner.commit(committables),
            Some(Fault::Before) => Err("unreachable".into()),
            Some(Fault::Half) => {
                self.inner.commit(&committables[..committables.len() / 2])?;
                Err("unreachable in the middle".into())
            }
            Some(Fault::After) => {
                self.inner.commit(committables)?;
                Err("the answer was lost".into())
            }
        }
    }
}

/// Reads what has become visible.
#[derive(Default)]
pub struct Window(Vec<Reader>);

impl Window {
    /// What has become visible since the last look, in the order of each shard.
    pub fn look(&mut self, log: &ShardLog) -> Vec<Out> {
        if self.0.is_empty() && log.list_streams().unwrap().iter().any(|stream| stream == STREAM) {
            let shards = log.shards(STREAM).unwrap().into_iter();
            self.0 = shards.map(|shard| log.reader(STREAM, shard, StartPosition::Oldest).unwrap()).collect();
        }
        let mut seen = Vec::new();
        for reader in &mut self.0 {
            loop {
                let batch = reader.poll(1_000, 1 << 20).unwrap();
                if batch.is_empty() {
                    break;
                }
                seen.extend(batch.iter().map(|record| serde_json::from_slice::<Out>(record.data).unwrap()));
            }
        }
        seen
    }
}
