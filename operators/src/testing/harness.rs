//! A script for a part of a graph: records, watermarks, barriers, crashes and time, one after the
//! other, without threads and without sleeping.
//!
//! The part runs through the engine's own lowering with its keyed state in the memory backend; the
//! script decides what its source does. What arrives at a tap is kept as a line of text.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pelton_dataflow::clock::{Clock, ManualClock};
use pelton_dataflow::env::{Control, Intake, OperatorAck, Reporter, WorkerEnv};
use pelton_dataflow::error::{Failure, OpError};
use pelton_dataflow::graph::{Graph, NewNode, NodeId, OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::operator::{OperatorContext, Outputs, Resources, RestoredPart};
use pelton_dataflow::rank::Rank;
use pelton_dataflow::record::{Data, Origin, Record, Span};
use pelton_dataflow::settings::Settings;
use pelton_dataflow::source::{
    Enumerator, FixedSplits, Polled, SourceNode, SourceOperator, SourceTime, SplitId, SplitState,
};
use pelton_dataflow::stats::StatsRegistry;
use pelton_dataflow::testing::LoneWorker;
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_dataflow::watermarks::WatermarkBoard;
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::files::{Backend, KeyedAck};
use pelton_state::{StateStore, StoreOptions};

use crate::job::{Job, SharedGraph};
use crate::stream::Stream;

mod taps;

pub use taps::Taps;
use taps::{Lines, take_all, take_back};

/// A script in progress.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Tumbling, testing::Harness};
///
/// let mut script = Harness::new(|clicks, taps| {
///     let windows = clicks.key_by(|_: &u64| 0u8).window("clicks", Tumbling::of(Duration::from_millis(10))).sum(|n| *n);
///     taps.tap("sum", &windows.out.map(|window| window.value));
///     taps.tap("late", &windows.late);
/// });
/// script.record(3, 1).record(7, 2).barrier().watermark(10).record(5, 9);
/// assert_eq!(script.output(), ["sum@9 3", "late@5 9"]);
/// script.crash().watermark(10);
/// assert_eq!(script.output(), ["sum@9 3"]);
/// ```
pub struct Harness<T: Data> {
    graph: Graph,
    script: Script<T>,
    lines: Lines,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
    names: NameTable,
    ear: Arc<Ear>,
    running: Option<Running>,
    saved: Saved,
    epoch: Epoch,
    generation: u64,
}

type Script<T> = Arc<Mutex<Scripted<T>>>;

struct Scripted<T> {
    next: VecDeque<Step<T>>,
    watermark: EventTime,
    position: u64,
}

enum Step<T> {
    /// Of a split, or of the script's own.
    Record(Record<T>, Option<&'static str>),
    Watermark(EventTime),
}

struct Running {
    worker: LoneWorker,
    control: Arc<Control>,
    stats: Arc<StatsRegistry>,
    /// `None` if no operator keeps state.
    store: Option<StateStore>,
}

/// What is frozen is copied out in small slices, so that records come in between.
const SLICE_ENTRIES: usize = 48;

/// What the last completed barrier left.
#[derive(Default)]
struct Saved {
    operators: HashMap<String, Vec<RestoredPart>>,
    keyed: Vec<KeyedAck>,
    watermark: Option<EventTime>,
}

#[derive(Default)]
struct Heard {
    operators: BTreeMap<Epoch, Vec<OperatorAck>>,
    keyed: BTreeMap<Epoch, KeyedAck>,
    failure: Option<String>,
}

#[derive(Default)]
struct Ear(Mutex<Heard>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reporter for Ear {
    fn frozen(&self, ack: OperatorAck) {
        lock(&self.0).operators.entry(ack.epoch).or_default().push(ack);
    }
    fn split_finished(&self, _source: NodeId, _worker: usize, _split: SplitId, _epoch: Epoch) {}
    fn failed(&self, failure: Failure) {
        lock(&self.0).failure.get_or_insert(failure.to_string());
    }
}

impl<T: Data + Sync> Harness<T> {
    /// A script for what `build` makes of a stream.
    ///
    /// # Panics
    /// If the graph has mistakes.
    pub fn new(build: impl FnOnce(Stream<T>, &mut Taps)) -> Self {
        let script: Script<T> =
            Arc::new(Mutex::new(Scripted { next: VecDeque::new(), watermark: EventTime::MIN, position: 0 }));
        let lines = Lines::default();
        let job = Job::new();
        let input = scripted_source(job.shared(), script.clone());
        build(input, &mut Taps::new(lines.clone()));
        let graph = job.finish().unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let mut names = NameTable::default();
        names.declare(Declared::all_of(&graph)).unwrap_or_else(|error| panic!("{error}"));
        let dir = tempfile::tempdir().expect("there is a temporary directory");
        let mut harness = Self {
            graph,
            script,
            lines,
            clock: Arc::new(ManualClock::at_ms(0)),
            dir,
            names,
            ear: Arc::default(),
            running: None,
            saved: Saved::default(),
            epoch: Epoch(0),
            generation: 0,
        };
        harness.start();
        harness
    }

    /// A record at event time `at`, in milliseconds.
    pub fn record(&mut self, at: i64, value: T) -> &mut Self {
        lock(&self.script).next.push_back(Step::Record(Record::new(EventTime(at), value), None));
        self
    }

    /// As [`Harness::record`], from the split `split`: where records are put in event order, those of
    /// one event time are ordered by their splits, then as they come.
    pub fn record_of(&mut self, split: &'static str, at: i64, value: T) -> &mut Self {
        lock(&self.script).next.push_back(Step::Record(Record::new(EventTime(at), value), Some(split)));
        self
    }

    /// The source's watermark goes to `at`, in milliseconds.
    pub fn watermark(&mut self, at: i64) -> &mut Self {
        lock(&self.script).next.push_back(Step::Watermark(EventTime(at)));
        self.settle();
        self
    }

    /// The input ends.
    pub fn end(&mut self) -> &mut Self {
        self.watermark(EventTime::END.0)
    }

    /// Processing time, which begins at 0, goes on by `duration`.
    pub fn advance(&mut self, duration: Duration) -> &mut Self {
        self.settle();
        self.clock.advance(duration);
        self.settle();
        self
    }

    /// A checkpoint is taken and completes.
    pub fn barrier(&mut self) -> &mut Self {
        self.settle();
        self.checkpoint();
        self
    }

    /// The source's watermark goes to `at`, in milliseconds, and while operators are at work on
    /// what it sets off, as soon as something of that has arrived at a tap, a checkpoint is taken. It
    /// completes, then all that came after it is lost: what has arrived is what stands before the
    /// barrier, and the operators go on from what the checkpoint holds.
    pub fn watermark_cut_by_barrier_and_crash(&mut self, at: i64) -> &mut Self {
        self.settle();
        let before = lock(&self.lines).len();
        lock(&self.script).next.push_back(Step::Watermark(EventTime(at)));
        while lock(&self.lines).len() == before && !self.is_settled() {
            self.work();
        }
        self.checkpoint();
        take_back(&self.lines);
        self.restart();
        self
    }

    /// A checkpoint is taken and completes, and then all that came after it is lost, as also what has arrived
    /// after the barrier: of operators that go on by themselves, such as those that wait for answers.
    pub fn barrier_and_crash(&mut self) -> &mut Self {
        self.settle();
        self.checkpoint();
        take_back(&self.lines);
        self.restart();
        self
    }

    fn checkpoint(&mut self) {
        let epoch = self.epoch;
        self.pass_epoch();
        let mut heard = lock(&self.ear.0);
        let acks = heard.operators.remove(&epoch).unwrap_or_default();
        let part = |ack: OperatorAck| RestoredPart {
            groups: 0..KeyGroups::default().count(),
            watermark: ack.watermark,
            bytes: ack.bytes,
        };
        self.saved.operators = acks
            .into_iter()
            .map(|ack| (self.graph.node(ack.operator).name.clone(), vec![part(ack)]))
            .collect();
        self.saved.keyed = heard.keyed.remove(&epoch).into_iter().collect();
        self.saved.watermark = Some(lock(&self.script).watermark);
    }

    /// Everything since the last barrier is lost; what the barrier saved is restored. What the
    /// source had given since then has to be given again by the script.
    pub fn crash(&mut self) -> &mut Self {
        self.settle();
        self.restart();
        self
    }

    fn restart(&mut self) {
        self.stop();
        let mut script = lock(&self.script);
        script.next.clear();
        script.watermark = self.saved.watermark.unwrap_or(EventTime::MIN);
        drop(script);
        self.start();
    }

    /// Takes a checkpoint; how many rows of state it holds, those of timers included.
    pub fn rows(&mut self) -> usize {
        self.barrier();
        let store = self.running.as_ref().and_then(|running| running.store.as_ref());
        store.map_or(0, |store| store.backend_rows().unwrap_or_else(|error| panic!("{error}")))
    }

    /// What has arrived at the taps since the last call, as lines `name@time value`.
    pub fn output(&mut self) -> Vec<String> {
        self.settle();
        take_all(&self.lines)
    }

    fn start(&mut self) {
        self.generation += 1;
        self.epoch = Epoch(self.generation * 1_000);
        let control = Arc::new(Control::starting_at(self.epoch));
        let stats = Arc::new(StatsRegistry::default());
        let resources = self.resources();
        let store = resources.get::<StateStore>().cloned();
        let env = WorkerEnv {
            worker: 0,
            workers: 1,
            job: "script".to_owned(),
            generation: self.generation,
            first_epoch: self.epoch,
            groups: KeyGroups::default(),
            clock: self.clock.clone() as Arc<dyn Clock>,
            settings: settings(),
            resources,
            restored: self.saved.operators.clone(),
            control: control.clone(),
            reporter: self.ear.clone(),
            board: Arc::new(WatermarkBoard::new(&self.graph, 1)),
            stats: stats.clone(),
            intake: Intake::Open.into(),
        };
        let worker =
            LoneWorker::start(&self.graph, Rc::new(env)).unwrap_or_else(|failure| panic!("{failure}"));
        self.running = Some(Running { worker, control, stats, store });
    }

    fn resources(&self) -> Resources {
        let mut resources = Resources::default();
        if self.keeps_state() {
            let ear = self.ear.clone();
            let options = StoreOptions {
                backend: Backend::Memory,
                dir: self.dir.path().join(format!("state-{}", self.generation)),
                worker: 0,
                workers: 1,
                groups: KeyGroups::default(),
                generation: self.generation,
                memory_bytes: 64 << 20,
                checkpoints: CheckpointStore::open(
                    &self.dir.path().join("checkpoints").display().to_string(),
                )
                .unwrap_or_else(|error| panic!("{error}")),
                restored: self.saved.keyed.clone(),
                ids: self.names.clone(),
                on_ack: Box::new(move |ack| match ack {
                    Ok(ack) => drop(lock(&ear.0).keyed.insert(ack.epoch, ack)),
                    Err(error) => drop(lock(&ear.0).failure.get_or_insert(error.to_string())),
                }),
            };
            resources.insert(StateStore::open(options).unwrap_or_else(|error| panic!("{error}")));
        }
        resources
    }

    fn keeps_state(&self) -> bool {
        self.graph.has_keyed_state()
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.control.stop();
        }
    }

    /// Runs until the script is used up and its watermark and all that followed from it has
    /// arrived everywhere: two epochs carry what the last timers emitted to the taps, or to an operator that
    /// makes watermarks of it.
    fn settle(&mut self) {
        let makers = self.graph.nodes().iter().filter(|node| node.makes_time()).count();
        for _ in 0..makers {
            while !self.is_settled() {
                self.work();
            }
            self.pass_epoch();
            self.pass_epoch();
        }
    }

    /// Whether the script is used up and all operators have seen its watermark, or that of the operator before them
    /// that makes its own.
    fn is_settled(&self) -> bool {
        let script = lock(&self.script);
        let (is_used_up, watermark) = (script.next.is_empty(), script.watermark);
        drop(script);
        let Some(running) = &self.running else { return is_used_up };
        let reached: HashMap<NodeId, i64> = running
            .stats
            .all()
            .iter()
            .map(|stats| (stats.node, stats.watermark_ms.load(Ordering::Relaxed)))
            .collect();
        let mut coming: HashMap<NodeId, i64> = HashMap::new();
        let mut all_reached = true;
        for node in self.graph.nodes() {
            let own = reached.get(&node.id).copied();
            let expected = match &node.role {
                Role::Source(_) => watermark.0,
                _ if node.makes_time() => own.unwrap_or(i64::MIN),
                _ => node.inputs.iter().map(|input| coming[&input.node]).min().unwrap_or(i64::MAX),
            };
            all_reached &= own.is_none_or(|own| own >= expected);
            coming.insert(node.id, expected);
        }
        is_used_up && all_reached
    }

    fn work(&mut self) {
        let Some(running) = &mut self.running else { return };
        running.control.open_epoch(self.epoch);
        step(running, &self.ear);
    }

    fn pass_epoch(&mut self) {
        let stages = self.graph.nodes().iter();
        let operators = stages.filter(|node| !matches!(node.role, Role::Exchange(_) | Role::Union)).count();
        let keeps_state = self.keeps_state();
        let Some(running) = &mut self.running else { return };
        running.control.open_epoch(self.epoch.next());
        loop {
            step(running, &self.ear);
            let heard = lock(&self.ear.0);
            let acknowledged = heard.operators.get(&self.epoch).map_or(0, Vec::len);
            if acknowledged == operators && (!keeps_state || heard.keyed.contains_key(&self.epoch)) {
                break;
            }
        }
        self.epoch = self.epoch.next();
    }
}

/// One step a turn: a barrier can fall between any two. What a batch holds does not depend on how fast the machine
/// is: it goes on as the script has nothing more to give, or as it is full.
fn settings() -> Settings {
    let hour_us = 60 * 60 * 1_000_000;
    Settings { watermark_interval_ms: 0, slice_us: 0, batch_linger_us: hour_us, ..Settings::default() }
}

fn step(running: &mut Running, ear: &Ear) {
    running.worker.step();
    if let Some(store) = &running.store {
        store.slice(SLICE_ENTRIES).unwrap_or_else(|error| panic!("{error}"));
    }
    if let Some(failure) = lock(&ear.0).failure.take() {
        panic!("{failure}");
    }
}

fn scripted_source<T: Data + Sync>(graph: SharedGraph, script: Script<T>) -> Stream<T> {
    let node = graph.add(NewNode {
        name: Some("script".to_owned()),
        kind: "source",
        inputs: Vec::new(),
        outputs: vec![OutputPort::of::<T>("out")],
        states: Vec::new(),
        role: Role::Source(Arc::new(ScriptedSource(script))),
        detail: "a script".to_owned(),
        location: std::panic::Location::caller(),
    });
    graph.ranks(node, Ranks::Gives);
    Stream::new(graph, PortRef { node, port: 0 })
}

struct ScriptedSource<T>(Script<T>);

impl<T: Data + Sync> SourceNode for ScriptedSource<T> {
    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        Ok(Box::new(FixedSplits(Vec::new())))
    }

    fn operator(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn SourceOperator>, OpError> {
        let (script, name) = (self.0.clone(), "script/0".into());
        Ok(Box::new(ScriptedOperator { script, name, is_ranked: cx.is_ranked }))
    }

    fn describe(&self) -> String {
        "a script".to_owned()
    }
}

struct ScriptedOperator<T> {
    script: Script<T>,
    name: Arc<str>,
    is_ranked: bool,
}

impl<T: Data> SourceOperator for ScriptedOperator<T> {
    fn assign(&mut self, _split: SplitState) -> Result<(), OpError> {
        Ok(())
    }

    /// One step at a time: a watermark stands between the records around it.
    fn poll(&mut self, _max_records: usize, out: &mut Outputs) -> Result<Polled, OpError> {
        let mut script = lock(&self.script);
        match script.next.pop_front() {
            Some(Step::Record(record, split)) => {
                let position = script.position;
                script.position += 1;
                let name = split.map_or_else(|| self.name.clone(), |split| format!("script/{split}").into());
                let ranks = self.is_ranked.then(|| vec![Rank::of(&name).then(position)]);
                let span = Span { split: name, first: position, last: position };
                out.send_ranked(0, vec![record], Origin::of(span, i64::MAX), ranks);
                Ok(Polled::Ready)
            }
            Some(Step::Watermark(watermark)) => {
                script.watermark = watermark;
                Ok(Polled::Ready)
            }
            None => Ok(Polled::Pending),
        }
    }

    fn event_time(&mut self, _now_us: i64) -> SourceTime {
        SourceTime::Active(lock(&self.script).watermark)
    }

    fn snapshot(&self) -> Vec<SplitState> {
        Vec::new()
    }

    fn take_finished(&mut self) -> Vec<SplitId> {
        Vec::new()
    }
}
