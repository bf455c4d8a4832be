//! A worker of a world, as the coordinator, the sources and the sinks see it: it reads splits, counts
//! their records in its state, writes them to the sink, and ends epochs. What is between source and sink
//! in a real one is left out; readers, the sink's writer and the checkpoint store are real.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pelton::dataflow::graph::NodeId;
use pelton::dataflow::operator::{Deferred, Waker};
use pelton::dataflow::record::Record;
use pelton::dataflow::sink::{Sink, SinkContext, SinkWriter, WriterContext};
use pelton::dataflow::source::{
    Fetched, Polled, ReaderContext, Source, SplitReader, SplitState, SplitStatus,
};
use pelton::dataflow::time::{Epoch, EventTime};
use pelton::runtime::coordinator::{Event, OperatorAcked};
use pelton::state::Backend;
use pelton::state::checkpoint::retention::data_directory;
use pelton::state::files::{KeyedAck, StoredFile};

use super::faults::{Call, Fault};
use super::sink::{Batch, Out};
use super::source::Rec;
use super::world::{JOB, Sim};

/// Where events keep their order.
pub type Lane = (&'static str, usize, usize);

/// Records counted, by split.
pub type Tallies = BTreeMap<String, u64>;

/// State files that are kept before they are made into one.
const MOST_FILES: usize = 3;

/// What the coordinator wishes of all workers of a generation, and what they share.
#[derive(Default)]
pub struct Steering {
    pub generation: u64,
    pub workers: usize,
    pub target: u64,
    pub ended: BTreeSet<NodeId>,
    pub is_held: bool,
    /// The epoch in which each split ended; those of earlier generations in 0.
    pub ends: BTreeMap<String, u64>,
}

struct Reading {
    source: NodeId,
    state: SplitState,
    /// `None` once it is read to its end.
    reader: Option<Box<dyn SplitReader<Item = Rec>>>,
}

pub struct Worker {
    index: usize,
    epoch: u64,
    /// Restored state that is yet to be fetched; `None` once records may flow.
    restores: Option<Vec<KeyedAck>>,
    assigned: VecDeque<(NodeId, SplitState)>,
    readings: Vec<Reading>,
    ended: BTreeSet<NodeId>,
    writer: Option<Box<dyn SinkWriter<Item = Out>>>,
    /// Records written since the last barrier.
    written: u64,
    prepares: VecDeque<(OperatorAcked, Deferred)>,
    tallies: Tallies,
    /// What it began with.
    restored: Tallies,
    stored: Tallies,
    files: Vec<StoredFile>,
    uploads: VecDeque<(u64, Tallies)>,
}

impl Worker {
    /// Begins with a share of what `acks` kept.
    pub fn new(index: usize, epoch: u64, workers: usize, acks: &[KeyedAck]) -> Self {
        let share = acks.iter().filter(|ack| ack.worker % workers == index).cloned().collect();
        Self {
            index,
            epoch,
            restores: Some(share),
            assigned: VecDeque::new(),
            readings: Vec::new(),
            ended: BTreeSet::new(),
            writer: None,
            written: 0,
            prepares: VecDeque::new(),
            tallies: Tallies::new(),
            restored: Tallies::new(),
            stored: Tallies::new(),
            files: Vec::new(),
            uploads: VecDeque::new(),
        }
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn assign(&mut self, source: NodeId, split: SplitState) {
        self.assigned.push_back((source, split));
    }

    /// What it began with, once it has fetched that.
    pub fn restored(&self) -> Option<&Tallies> {
        self.writer.as_ref().map(|_| &self.restored)
    }

    /// Whether something was written that no acknowledgement holds.
    pub fn owes(&self) -> bool {
        self.written > 0 || !self.prepares.is_empty()
    }

    /// One turn: what the coordinator hears of it.
    pub fn turn(&mut self, steering: &mut Steering, sim: &mut Sim) -> Vec<(Lane, Event)> {
        if self.restores.is_some() {
            return vec![self.restore(steering, sim)];
        }
        if self.writer.is_none() {
            // It has failed, and waits to be stopped.
            return Vec::new();
        }
        match sim.random.below(8) {
            0 => {
                if let Some((source, state)) = self.assigned.pop_front() {
                    self.open(source, state, sim);
                }
                Vec::new()
            }
            1 if self.epoch < steering.target => self.freeze(sim),
            2 => {
                self.ended.extend(&steering.ended);
                Vec::new()
            }
            3 => self.prepare().into_iter().collect(),
            4 => self.upload(steering, sim).into_iter().collect(),
            _ if steering.is_held => Vec::new(),
            _ => self.read(steering, sim),
        }
    }

    /// Fetches its state, which retention must have left, and opens the sink's writer.
    fn restore(&mut self, steering: &Steering, sim: &mut Sim) -> (Lane, Event) {
        let ready = ("ready", 0, self.index);
        let acks = self.restores.take().expect("a worker restores once");
        for file in acks.iter().flat_map(|ack| &ack.files) {
            match sim.store.read(file) {
                Ok(bytes) => add(&mut self.tallies, &serde_json::from_slice(&bytes).unwrap()),
                Err(error) => {
                    let is_newest = steering.generation == sim.ledger.newest_generation();
                    assert!(!is_newest, "the newest generation cannot restore its state: {error}");
                    return (ready, Event::Failed { message: error.to_string() });
                }
            }
        }
        self.restored.clone_from(&self.tallies);
        if let [ack] = &acks[..]
            && ack.worker == self.index
        {
            self.files.clone_from(&ack.files);
            self.stored.clone_from(&self.tallies);
        }
        let sink = SinkContext { job: JOB.to_owned(), operator: "out".to_owned() };
        let Steering { generation, workers, .. } = *steering;
        match sim.wired.sink.writer(&WriterContext { sink, generation, worker: self.index, workers }) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => return (ready, Event::Failed { message: error.to_string() }),
        }
        (ready, Event::WorkerReady { worker: self.index })
    }

    fn open(&mut self, source: NodeId, state: SplitState, sim: &Sim) {
        let cx = ReaderContext { waker: Waker::noop(), worker: self.index };
        let position = state.position.as_deref();
        let reader = if source == sim.wired.live_node {
            sim.wired.live.open(&state.info, position, &cx)
        } else {
            sim.wired.logged.open(&state.info, position, &cx)
        };
        self.readings.push(Reading { source, state, reader: Some(reader.unwrap()) });
    }

    fn read(&mut self, steering: &mut Steering, sim: &mut Sim) -> Vec<(Lane, Event)> {
        let open: Vec<usize> =
            (0..self.readings.len()).filter(|at| self.readings[*at].reader.is_some()).collect();
        let Some(chosen) = sim.random.index(open.len()) else { return Vec::new() };
        let reading = &mut self.readings[open[chosen]];
        let (split, epoch) = (reading.state.info.id.clone(), self.epoch);
        for parent in &reading.state.info.parents {
            let ended = steering.ends.get(&parent.0);
            assert!(
                ended.is_some_and(|ended| *ended < epoch),
                "{split} is read in epoch {epoch}, its parent {parent} ended in {ended:?}"
            );
        }
        let mut fetched = Fetched::default();
        let reader = reading.reader.as_mut().expect("it is open");
        let polled = reader.poll(1 + sim.random.below(7) as usize, &mut fetched).unwrap();
        reading.state.position = Some(reader.position());
        let batch = Batch { generation: steering.generation, epoch, worker: self.index };
        let mut records = Vec::new();
        for Rec { split, number } in fetched.values {
            *self.tallies.entry(split.clone()).or_default() += 1;
            sim.ledger.wrote(&batch, &split, number);
            records.push(Record::new(EventTime(0), Out { split, number, batch: batch.clone() }));
        }
        self.written += records.len() as u64;
        if !records.is_empty() {
            self.writer.as_mut().expect("a worker that reads can write").write(records).unwrap();
        }
        if polled != Polled::Finished {
            return Vec::new();
        }
        reading.reader = None;
        reading.state.status = SplitStatus::Finished;
        steering.ends.insert(split.0.clone(), epoch);
        let source = reading.source;
        vec![(
            ("operator", source.0, self.index),
            Event::SplitFinished { source, split, epoch: Epoch(epoch) },
        )]
    }

    /// Ends its epoch.
    fn freeze(&mut self, sim: &Sim) -> Vec<(Lane, Event)> {
        let epoch = self.epoch;
        self.epoch += 1;
        self.written = 0;
        let prepare = self.writer.as_mut().expect("a worker that runs can write").prepare(Epoch(epoch));
        let mut prepare = prepare.unwrap();
        let has_end = self.ended.len() == sim.wired.sources.len();
        let mut heard = Vec::new();
        for &operator in &sim.wired.operators {
            let splits = self.readings.iter().filter(|reading| reading.source == operator);
            let acked = OperatorAcked {
                epoch: Epoch(epoch),
                operator,
                worker: self.index,
                watermark: if has_end { EventTime::END } else { EventTime::MIN },
                bytes: Vec::new(),
                splits: splits.map(|reading| reading.state.clone()).collect(),
                committable: None,
                alignment_us: 0,
            };
            match prepare.take_if(|_| operator == sim.wired.sink_node) {
                // A prepare takes its time; an epoch without records has none, and overtakes it.
                Some(prepare) => self.prepares.push_back((acked, prepare)),
                None => heard.push((("operator", operator.0, self.index), Event::OperatorAcked(acked))),
            }
        }
        self.uploads.push_back((epoch, self.tallies.clone()));
        heard
    }

    /// Runs the oldest prepare.
    fn prepare(&mut self) -> Option<(Lane, Event)> {
        let (acked, prepare) = self.prepares.pop_front()?;
        let lane = ("prepare", acked.operator.0, self.index);
        Some(match prepare() {
            Ok(committable) => (lane, Event::OperatorAcked(OperatorAcked { committable, ..acked })),
            Err(error) => (lane, Event::Failed { message: format!("the prepare failed: {error}") }),
        })
    }

    /// Stores the state of the oldest epoch that is not.
    fn upload(&mut self, steering: &Steering, sim: &mut Sim) -> Option<(Lane, Event)> {
        let (epoch, tallies) = self.uploads.pop_front()?;
        if !sim.is_calm && sim.random.one_in(25) {
            let fault = if sim.random.one_in(2) { Fault::Before } else { Fault::After };
            sim.faults.arm(Call::Put, fault);
        }
        if self.files.len() >= MOST_FILES {
            self.files.clear();
            self.stored.clear();
        }
        let mut news = tallies.clone();
        news.retain(|split, count| {
            *count -= self.stored.get(split).copied().unwrap_or(0);
            *count > 0
        });
        let Steering { generation, workers, .. } = *steering;
        let path = format!("{}/w{}/{epoch:06}", data_directory(generation), self.index);
        let put = sim.store.put_bytes(&path, "tallies", serde_json::to_vec(&news).unwrap().into());
        sim.faults.disarm();
        let lane = ("keyed", 0, self.index);
        let file = match put {
            Ok(file) => file,
            Err(error) => {
                return Some((lane, Event::KeyedFailed { worker: self.index, message: error.to_string() }));
            }
        };
        let new_bytes = file.length;
        self.files.push(file);
        self.stored = tallies;
        let ack = KeyedAck {
            epoch: Epoch(epoch),
            worker: self.index,
            groups: sim.groups.range(self.index, workers),
            backend: Backend::Memory,
            files: self.files.clone(),
            new_bytes,
            duration_us: 0,
        };
        Some((lane, Event::KeyedAcked(ack)))
    }
}

/// Adds `more` to `tallies`.
pub fn add(tallies: &mut Tallies, more: &Tallies) {
    for (split, count) in more {
        *tallies.entry(split.clone()).or_default() += count;
    }
}
