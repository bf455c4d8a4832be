//! Small parts to make graphs of: a source of numbers that can be held, an operator that counts
//! until the end of time, one that fails when told to, and a transactional sink in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use pelton_dataflow::error::{OpError, OperatorError};
use pelton_dataflow::graph::{Graph, GraphBuilder, NewNode, NodeId, OutputPort, PortRef, Role, StateDecl};
use pelton_dataflow::key::{KeyGroups, hash_of};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, OperatorFactory, Outputs, Waker};
use pelton_dataflow::partition::{Lanes, Partitioner};
use pelton_dataflow::record::{Batch, Origin, Record};
use pelton_dataflow::sink::{Committable, Committer, Guarantee, SinkContext, SinkNode};
use pelton_dataflow::source::{
    Enumerator, FixedSplits, Polled, SourceNode, SourceOperator, SourceTime, SplitId, SplitInfo, SplitState,
    SplitStatus,
};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{KeyedState, StateSpec, StateStore};

/// Each split `s` of length `n` gives `s * 1_000_000 + 0 .. n`, at the event times `0 .. n`.
pub struct Numbers {
    pub splits: Vec<(SplitInfo, u64)>,
    pub gate: Arc<Gate>,
}

/// The same of a source that may find more at any time.
pub struct Endless(pub Numbers);

struct NeverComplete(FixedSplits);

impl Enumerator for NeverComplete {
    fn discover(&mut self) -> Result<Vec<SplitInfo>, OpError> {
        self.0.discover()
    }
    fn is_complete(&self) -> bool {
        false
    }
}

impl SourceNode for Endless {
    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        let splits = self.0.splits.iter().map(|(info, _)| info.clone()).collect();
        Ok(Box::new(NeverComplete(FixedSplits(splits))))
    }
    fn operator(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn SourceOperator>, OpError> {
        self.0.operator(cx)
    }
    fn describe(&self) -> String {
        "endless numbers".into()
    }
}

/// Holds every split at a number of records.
pub struct Gate {
    open_until: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
}

impl Gate {
    pub fn at(open_until: u64) -> Arc<Self> {
        Arc::new(Self { open_until: AtomicU64::new(open_until), wakers: Mutex::default() })
    }
    pub fn open() -> Arc<Self> {
        Self::at(u64::MAX)
    }
    pub fn set(&self, open_until: u64) {
        self.open_until.store(open_until, Ordering::SeqCst);
        self.wakers.lock().unwrap().iter().for_each(Waker::wake);
    }
}

pub fn splits(count: u64, length: u64) -> Vec<(SplitInfo, u64)> {
    (0..count).map(|split| (SplitInfo::root(split.to_string()), length)).collect()
}

impl SourceNode for Numbers {
    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        Ok(Box::new(FixedSplits(self.splits.iter().map(|(info, _)| info.clone()).collect())))
    }
    fn operator(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn SourceOperator>, OpError> {
        self.gate.wakers.lock().unwrap().push(cx.waker.clone());
        let lengths = self.splits.iter().map(|(info, length)| (info.id.clone(), *length)).collect();
        Ok(Box::new(NumbersReader {
            lengths,
            gate: self.gate.clone(),
            splits: Vec::new(),
            turn: 0,
            finished: Vec::new(),
        }))
    }
    fn describe(&self) -> String {
        "numbers".into()
    }
}

struct NumbersReader {
    lengths: BTreeMap<SplitId, u64>,
    gate: Arc<Gate>,
    splits: Vec<SplitState>,
    turn: usize,
    finished: Vec<SplitId>,
}

impl NumbersReader {
    fn position(split: &SplitState) -> u64 {
        split.position.as_ref().map_or(0, |bytes| u64::from_le_bytes(bytes[..].try_into().unwrap()))
    }
}

impl SourceOperator for NumbersReader {
    fn assign(&mut self, split: SplitState) -> Result<(), OpError> {
        self.splits.push(split);
        Ok(())
    }

    fn poll(&mut self, max_records: usize, out: &mut Outputs) -> Result<Polled, OpError> {
        let open_until = self.gate.open_until.load(Ordering::SeqCst);
        for _ in 0..self.splits.len() {
            self.turn = (self.turn + 1) % self.splits.len();
            let split = &mut self.splits[self.turn];
            if split.status == SplitStatus::Finished {
                continue;
            }
            let (from, length) = (Self::position(split), self.lengths[&split.info.id]);
            let to = (from + max_records as u64).min(length).min(open_until);
            if from == to && to < length {
                continue;
            }
            let number: u64 = split.info.id.0.parse().unwrap();
            let record = |at: u64| Record::new(EventTime(at as i64), number * 1_000_000 + at);
            out.send(0, (from..to).map(record).collect(), Origin::default());
            split.position = Some(to.to_le_bytes().to_vec());
            split.max_time = EventTime(to as i64 - 1);
            if to == length {
                split.status = SplitStatus::Finished;
                self.finished.push(split.info.id.clone());
            }
            return Ok(Polled::Ready);
        }
        Ok(Polled::Pending)
    }

    fn event_time(&mut self, _now_us: i64) -> SourceTime {
        let active = self.splits.iter().filter(|split| split.status == SplitStatus::Active);
        active.map(|split| split.max_time).min().map_or(SourceTime::Idle, SourceTime::Active)
    }

    fn snapshot(&self) -> Vec<SplitState> {
        self.splits.clone()
    }

    fn take_finished(&mut self) -> Vec<SplitId> {
        std::mem::take(&mut self.finished)
    }
}

/// Passes numbers on and counts them; at the end of time it gives `TOTAL + count`.
pub struct Counter;

pub const TOTAL: u64 = 1 << 60;

struct CounterOperator {
    count: u64,
}

impl OperatorFactory for Counter {
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        let own = cx.groups.range(cx.worker, cx.workers);
        let mine = cx.restored.iter().filter(|part| own.contains(&part.groups.start));
        let count = mine.map(|part| u64::from_le_bytes(part.bytes[..].try_into().unwrap())).sum();
        Ok(Box::new(CounterOperator { count }))
    }
}

impl Operator for CounterOperator {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.count += batch.len() as u64;
        out.forward(0, batch);
        Ok(Flow::Done)
    }
    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        if watermark == EventTime::END {
            out.send(0, vec![Record::new(watermark, TOTAL + self.count)], Origin::default());
        }
        Ok(Flow::Done)
    }
    fn freeze(&mut self, _epoch: Epoch) -> Result<Frozen, OperatorError> {
        Ok(Frozen { bytes: self.count.to_le_bytes().to_vec(), deferred: None })
    }
}

/// Fails or panics when it sees a number, once.
pub struct Bomb {
    pub at: u64,
    pub panics: bool,
    pub armed: Arc<AtomicBool>,
}

struct BombOperator {
    at: u64,
    panics: bool,
    armed: Arc<AtomicBool>,
}

impl OperatorFactory for Bomb {
    fn build(&self, _cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        Ok(Box::new(BombOperator { at: self.at, panics: self.panics, armed: self.armed.clone() }))
    }
}

impl Operator for BombOperator {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin) = batch.into_records::<u64>();
        if records.iter().any(|record| record.value == self.at) && self.armed.swap(false, Ordering::SeqCst) {
            assert!(!self.panics, "the bomb went off");
            return Err("the bomb went off".into());
        }
        out.send(0, records, origin);
        Ok(Flow::Done)
    }
}

/// Does not return from its first batch until the door is opened.
#[derive(Clone, Default)]
pub struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl OperatorFactory for Door {
    fn build(&self, _cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for Door {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |is_open| !*is_open).unwrap());
        out.forward(0, batch);
        Ok(Flow::Done)
    }
}

/// Cannot be built on one worker.
pub struct Unbuildable {
    pub worker: usize,
    pub panics: bool,
}

impl OperatorFactory for Unbuildable {
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        if cx.worker == self.worker {
            assert!(!self.panics, "no model to load");
            return Err("no model to load".into());
        }
        Bomb { at: u64::MAX, panics: false, armed: Arc::default() }.build(cx)
    }
}

/// A store of transactions in memory, which outlives jobs.
#[derive(Default)]
pub struct Table {
    inner: Mutex<TableState>,
    changed: Condvar,
}

/// Generation, epoch and worker.
type Id = (u64, u64, usize);

#[derive(Default)]
struct TableState {
    prepared: BTreeMap<Id, Vec<u64>>,
    visible: Vec<(Id, Vec<u64>)>,
    arrived: u64,
    /// How many commits fail from now on.
    commits_to_fail: u32,
    holds_commits: bool,
    is_locked: bool,
}

impl Table {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    fn lock(&self) -> MutexGuard<'_, TableState> {
        self.inner.lock().unwrap()
    }
    /// All visible numbers, sorted.
    pub fn visible(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.lock().visible.iter().flat_map(|(_, numbers)| numbers.clone()).collect();
        all.sort_unstable();
        all
    }
    /// All visible numbers, in the order of their commits.
    pub fn in_order(&self) -> Vec<u64> {
        self.lock().visible.iter().flat_map(|(_, numbers)| numbers.clone()).collect()
    }
    pub fn arrived(&self) -> u64 {
        self.lock().arrived
    }
    pub fn wait_until_visible(&self, count: usize) {
        let visible = |state: &mut TableState| {
            state.visible.iter().map(|(_, numbers)| numbers.len()).sum::<usize>() < count
        };
        drop(self.changed.wait_while(self.lock(), visible).unwrap());
    }
    pub fn wait_until_arrived(&self, count: u64) {
        drop(self.changed.wait_while(self.lock(), |state| state.arrived < count).unwrap());
    }
    /// Has commits wait.
    pub fn hold_commits(&self, hold: bool) {
        self.lock().holds_commits = hold;
        self.changed.notify_all();
    }
    /// Whether the table can be opened by a job.
    pub fn lock_out(&self, is_locked: bool) {
        self.lock().is_locked = is_locked;
    }
    pub fn fail_commits(&self, count: u32) {
        self.lock().commits_to_fail = count;
    }
}

/// The numbers that `count` splits of `length` give, sorted, each once.
pub fn all_numbers(count: u64, length: u64) -> Vec<u64> {
    (0..count).flat_map(|split| (0..length).map(move |at| split * 1_000_000 + at)).collect()
}

/// Writes to a table, exactly once.
pub struct ToTable(pub Arc<Table>);

struct TableWriter {
    table: Arc<Table>,
    generation: u64,
    worker: usize,
    numbers: Vec<u64>,
}

impl OperatorFactory for ToTable {
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        let (generation, worker) = (cx.generation, cx.worker);
        Ok(Box::new(TableWriter { table: self.0.clone(), generation, worker, numbers: Vec::new() }))
    }
}

impl Operator for TableWriter {
    fn on_batch(&mut self, _port: usize, batch: Batch, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, _) = batch.into_records::<u64>();
        self.table.lock().arrived += records.len() as u64;
        self.table.changed.notify_all();
        self.numbers.extend(records.iter().map(|record| record.value));
        Ok(Flow::Done)
    }
    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        let numbers = std::mem::take(&mut self.numbers);
        if numbers.is_empty() {
            return Ok(Frozen::default());
        }
        let (table, id) = (self.table.clone(), (self.generation, epoch.0, self.worker));
        let deferred = Box::new(move || {
            table.lock().prepared.insert(id, numbers);
            Ok(Some(encode(id)))
        });
        Ok(Frozen { bytes: Vec::new(), deferred: Some(deferred) })
    }
}

fn encode(id: Id) -> Vec<u8> {
    format!("{} {} {}", id.0, id.1, id.2).into_bytes()
}

fn decode(committable: &Committable) -> Id {
    let text = String::from_utf8(committable.bytes.clone()).unwrap();
    let parts: Vec<u64> = text.split(' ').map(|part| part.parse().unwrap()).collect();
    (parts[0], parts[1], parts[2] as usize)
}

impl SinkNode for ToTable {
    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        if self.0.lock().is_locked {
            return Err(format!("the table of `{}` is locked by another process", cx.operator).into());
        }
        Ok(Some(Box::new(TableCommitter(self.0.clone()))))
    }
    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
    fn describe(&self) -> String {
        "a table in memory".into()
    }
}

struct TableCommitter(Arc<Table>);

impl Committer for TableCommitter {
    fn recover(&mut self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        let keep: BTreeSet<Id> = listed.iter().map(decode).collect();
        self.0.lock().prepared.retain(|id, _| id.0 >= generation || keep.contains(id));
        self.commit(listed)
    }
    fn commit(&mut self, committables: &[Committable]) -> Result<(), OpError> {
        let state = self.0.lock();
        let mut state = self.0.changed.wait_while(state, |state| state.holds_commits).unwrap();
        if state.commits_to_fail > 0 {
            state.commits_to_fail -= 1;
            return Err("the table is away".into());
        }
        for id in committables.iter().map(decode) {
            if let Some(numbers) = state.prepared.remove(&id) {
                state.visible.push((id, numbers));
            } else {
                assert!(state.visible.iter().any(|(known, _)| *known == id), "{id:?} was never prepared");
            }
        }
        self.0.changed.notify_all();
        Ok(())
    }
}

/// Spreads numbers over the workers by their value.
fn spread(cx: &OperatorContext<'_>) -> Box<dyn Partitioner> {
    let lanes = Lanes::new(cx.workers, cx.settings.batch_records);
    Box::new(ByValue { lanes, workers: cx.workers as u64 })
}

struct ByValue {
    lanes: Lanes<u64>,
    workers: u64,
}

impl Partitioner for ByValue {
    fn partition(&mut self, batch: Batch, full: &mut Vec<(usize, Batch)>) -> Result<(), OpError> {
        let (records, origin) = batch.into_records::<u64>();
        self.lanes.note(&origin);
        for record in records {
            self.lanes.push((record.value % self.workers) as usize, record, &origin, full);
        }
        Ok(())
    }
    fn flush(&mut self, full: &mut Vec<(usize, Batch)>) {
        self.lanes.flush(full);
    }
    fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// source -> [operators] -> exchange -> counter -> sink.
pub fn graph(
    numbers: impl SourceNode + 'static,
    operators: Vec<Arc<dyn OperatorFactory>>,
    table: &Arc<Table>,
) -> Graph {
    let mut builder = GraphBuilder::new();
    let mut last = add(&mut builder, Some("numbers"), "source", None, Role::Source(Arc::new(numbers)));
    for operator in operators {
        last = add(&mut builder, None, "map", Some(last), Role::Operator(operator));
    }
    let spread = add(&mut builder, None, "rebalance", Some(last), Role::Exchange(Arc::new(spread)));
    let counter =
        add(&mut builder, Some("counter"), "process", Some(spread), Role::Operator(Arc::new(Counter)));
    let sink = Role::Sink(Arc::new(ToTable(table.clone())));
    add(&mut builder, Some("table"), "sink", Some(counter), sink);
    builder.finish().unwrap()
}

/// The keys of numbers, and how many there are.
fn key_of(number: u64) -> u64 {
    number % KEYS
}

pub const KEYS: u64 = 97;

/// Gives for each number its key and how many of that key there were, as `key << 32 | count`.
struct CountByKey;

struct CountByKeyOperator {
    counts: KeyedState<u64, u64>,
}

impl OperatorFactory for CountByKey {
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        let store = cx.resources.get::<StateStore>().unwrap();
        Ok(Box::new(CountByKeyOperator { counts: store.keyed(cx.name, StateSpec::new())? }))
    }
}

impl Operator for CountByKeyOperator {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (mut records, origin) = batch.into_records::<u64>();
        for record in &mut records {
            let key = key_of(record.value);
            let mut values = self.counts.values();
            let mut count = values.state(hash_of(&key), &key)?;
            *count += 1;
            record.value = key << 32 | *count;
        }
        out.send(0, records, origin);
        Ok(Flow::Done)
    }
    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.counts.freeze(epoch)?;
        Ok(Frozen::default())
    }
}

/// Sends numbers to the owners of their keys.
fn by_key(cx: &OperatorContext<'_>) -> Box<dyn Partitioner> {
    let lanes = Lanes::new(cx.workers, cx.settings.batch_records);
    Box::new(ByKey { lanes, groups: cx.groups, workers: cx.workers })
}

struct ByKey {
    lanes: Lanes<u64>,
    groups: KeyGroups,
    workers: usize,
}

impl Partitioner for ByKey {
    fn partition(&mut self, batch: Batch, full: &mut Vec<(usize, Batch)>) -> Result<(), OpError> {
        let (records, origin) = batch.into_records::<u64>();
        self.lanes.note(&origin);
        for record in records {
            let group = self.groups.group(hash_of(&key_of(record.value)));
            self.lanes.push(self.groups.owner(group, self.workers), record, &origin, full);
        }
        Ok(())
    }
    fn flush(&mut self, full: &mut Vec<(usize, Batch)>) {
        self.lanes.flush(full);
    }
    fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// source -> [operators] -> exchange by key -> count by key, called `name` -> sink.
pub fn keyed_graph(
    numbers: Numbers,
    operators: Vec<Arc<dyn OperatorFactory>>,
    name: &str,
    table: &Arc<Table>,
) -> Graph {
    let decls = StateSpec::<u64>::new().decls::<u64>().unwrap();
    keyed_graph_of(numbers, operators, name, table, decls)
}

/// The same with other declarations of its state.
pub fn keyed_graph_of(
    numbers: Numbers,
    operators: Vec<Arc<dyn OperatorFactory>>,
    name: &str,
    table: &Arc<Table>,
    decls: Vec<StateDecl>,
) -> Graph {
    let mut builder = GraphBuilder::new();
    let mut last = add(&mut builder, Some("numbers"), "source", None, Role::Source(Arc::new(numbers)));
    for operator in operators {
        last = add(&mut builder, None, "map", Some(last), Role::Operator(operator));
    }
    let exchange = add(&mut builder, None, "key_by", Some(last), Role::Exchange(Arc::new(by_key)));
    let count =
        add(&mut builder, Some(name), "process", Some(exchange), Role::Operator(Arc::new(CountByKey)));
    builder.refine(count, |node| node.states = decls);
    let sink = Role::Sink(Arc::new(ToTable(table.clone())));
    add(&mut builder, Some("table"), "sink", Some(count), sink);
    builder.finish().unwrap()
}

fn add(
    builder: &mut GraphBuilder,
    name: Option<&str>,
    kind: &'static str,
    input: Option<NodeId>,
    role: Role,
) -> NodeId {
    let outputs = if kind == "sink" { Vec::new() } else { vec![OutputPort::of::<u64>("out")] };
    builder.add(NewNode {
        name: name.map(str::to_owned),
        kind,
        inputs: input.map(|node| PortRef { node, port: 0 }).into_iter().collect(),
        outputs,
        states: Vec::new(),
        role,
        detail: String::new(),
        location: Location::caller(),
    })
}
