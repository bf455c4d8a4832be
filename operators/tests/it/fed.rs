//! A source whose splits give what they are fed by hand, and its operator without an engine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use pelton_dataflow::clock::ManualClock;
use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::Graph;
use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::operator::{OperatorContext, Resources, RestoredPart, Waker};
use pelton_dataflow::settings::Settings;
use pelton_dataflow::source::{
    Enumerator, Fetched, FixedSplits, Polled, ReaderContext, Source, SourceOperator, SplitInfo, SplitReader,
};
use pelton_dataflow::time::EventTime;
use pelton_dataflow::watermarks::WatermarkBoard;

/// What a split has to give.
#[derive(Default)]
pub struct Feed {
    times: VecDeque<i64>,
    ends: bool,
    waker: Option<Waker>,
}

impl Feed {
    pub fn give(&mut self, times: &[i64]) {
        self.times.extend(times);
        self.waker.iter().for_each(Waker::wake);
    }

    /// Nothing comes after what it has.
    pub fn end(&mut self) {
        self.ends = true;
        self.waker.iter().for_each(Waker::wake);
    }
}

pub type Feeds = Arc<Vec<Mutex<Feed>>>;

pub fn feeds(splits: usize) -> Feeds {
    Arc::new((0..splits).map(|_| Mutex::default()).collect())
}

/// A source whose splits give what they are fed; every other one cannot tell when there is more.
pub struct Fed(pub Feeds);

struct Reader {
    feeds: Feeds,
    split: usize,
    read: u64,
}

impl Source for Fed {
    type Item = i64;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        Ok(Box::new(FixedSplits((0..self.0.len()).map(|split| SplitInfo::root(split.to_string())).collect())))
    }

    fn open(
        &self,
        split: &SplitInfo,
        position: Option<&[u8]>,
        cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = i64>>, OpError> {
        let split: usize = split.id.0.parse().unwrap();
        self.0[split].lock().unwrap().waker = Some(cx.waker.clone());
        let read = position.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        Ok(Box::new(Reader { feeds: self.0.clone(), split, read }))
    }

    fn describe(&self) -> String {
        "fed by hand".to_owned()
    }
}

impl SplitReader for Reader {
    type Item = i64;

    fn poll(&mut self, max_records: usize, out: &mut Fetched<i64>) -> Result<Polled, OpError> {
        let mut feed = self.feeds[self.split].lock().unwrap();
        let count = feed.times.len().min(max_records);
        out.values.extend(feed.times.drain(..count));
        self.read += count as u64;
        Ok(match (feed.times.is_empty(), feed.ends) {
            (false, _) => Polled::Ready,
            (true, true) => Polled::Finished,
            (true, false) if self.split.is_multiple_of(2) => Polled::Pending,
            (true, false) => Polled::PendingUnannounced,
        })
    }

    fn position(&self) -> Vec<u8> {
        self.read.to_le_bytes().to_vec()
    }
}

/// The only source of `graph`, on the only worker, with what its instances before have remembered.
pub fn operator(graph: &Graph, clock: Arc<ManualClock>, memory: &[u8]) -> Box<dyn SourceOperator> {
    ranked(graph, clock, memory, false)
}

/// As [`operator`]; its records have ranks, if something puts them in order.
pub fn ranked(
    graph: &Graph,
    clock: Arc<ManualClock>,
    memory: &[u8],
    is_ranked: bool,
) -> Box<dyn SourceOperator> {
    let (node, source) = graph.sources().next().unwrap();
    let restored = [RestoredPart { groups: 0..1, watermark: EventTime::MIN, bytes: memory.to_vec() }];
    let cx = OperatorContext {
        name: &node.name,
        worker: 0,
        workers: 1,
        groups: KeyGroups::default(),
        job: "test",
        generation: 1,
        clock,
        settings: &Settings::default(),
        resources: &Resources::default(),
        restored: &restored,
        waker: Waker::noop(),
        board: &Arc::new(WatermarkBoard::new(graph, 1)),
        is_ranked,
        in_event_order: false,
    };
    source.operator(&cx).unwrap()
}
