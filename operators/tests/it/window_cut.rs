//! A barrier, then a crash, between two slices of what a watermark sets off: windows that are over have not
//! fired yet, and the next life sees records before it is told of any watermark. And a clock that was set back.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use pelton_dataflow::clock::ManualClock;
use pelton_dataflow::graph::{Graph, Role};
use pelton_dataflow::key::{KeyGroups, Keyed, hash_of};
use pelton_dataflow::operator::{Flow, Operator, OperatorContext, Outputs, Resources, RestoredPart, Waker};
use pelton_dataflow::record::{Batch, Origin, Record};
use pelton_dataflow::settings::Settings;
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_dataflow::watermarks::WatermarkBoard;
use pelton_operators::testing::{Collect, Values};
use pelton_operators::{Job, KeyedStream, Session, Tumbling, Watermarks, WindowUpdate};
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::files::Backend;
use pelton_state::{KeyedAck, StateStore, StoreOptions};

use crate::window_sessions::ms;

/// One life of a window operator on records that are their own keys, which gives out one result at a time.
struct Life {
    operator: Box<dyn Operator>,
    store: StateStore,
    acks: Receiver<KeyedAck>,
    out: Outputs,
}

type Update = WindowUpdate<u64, u64>;

fn graph(build: impl FnOnce(&KeyedStream<u64, u64>)) -> Graph {
    let mut job = Job::new();
    build(&job.source("in", Values::of([0u64])).watermarks(Watermarks::none()).key_by(|key| *key));
    job.finish().unwrap()
}

impl Life {
    fn begin(
        graph: &Graph,
        dir: &std::path::Path,
        generation: u64,
        (parts, acks): (Vec<RestoredPart>, Vec<KeyedAck>),
        clock_ms: i64,
    ) -> Self {
        let node = graph.nodes().iter().find(|node| !node.states.is_empty()).unwrap();
        let mut ids = NameTable::default();
        ids.declare(Declared::all_of_node(node)).unwrap();
        let (heard, ear) = channel();
        let store = StateStore::open(StoreOptions {
            backend: Backend::Memory,
            dir: dir.join(format!("state-{generation}")),
            worker: 0,
            workers: 1,
            groups: KeyGroups::default(),
            generation,
            memory_bytes: 1 << 20,
            checkpoints: CheckpointStore::open(&dir.join("checkpoints").display().to_string()).unwrap(),
            restored: acks,
            ids,
            on_ack: Box::new(move |ack| heard.send(ack.unwrap()).unwrap()),
        })
        .unwrap();
        let mut resources = Resources::default();
        resources.insert(store.clone());
        let Role::Operator(factory) = &node.role else { panic!("{} is no operator", node.name) };
        let operator = factory
            .build(&OperatorContext {
                name: &node.name,
                worker: 0,
                workers: 1,
                groups: KeyGroups::default(),
                job: "test",
                generation,
                clock: Arc::new(ManualClock::at_ms(clock_ms)),
                settings: &Settings { batch_records: 1, ..Settings::default() },
                resources: &resources,
                restored: &parts,
                waker: Waker::noop(),
                board: &Arc::new(WatermarkBoard::new(graph, 1)),
                is_ranked: false,
                in_event_order: false,
            })
            .unwrap();
        Self { operator, store, acks: ear, out: Outputs::new(2, 1) }
    }

    /// A record of each of `keys`.
    fn records(&mut self, at_ms: i64, keys: std::ops::Range<u64>) -> Vec<String> {
        let keyed = keys.map(|key| Keyed { hash: hash_of(&key), key, value: key });
        let records = keyed.map(|keyed| Record::new(EventTime(at_ms), keyed)).collect();
        let flow = self.operator.on_batch(0, Batch::new(records, Origin::default()), &mut self.out).unwrap();
        self.go_on(flow)
    }

    fn watermark(&mut self, at_ms: i64) -> Vec<String> {
        let flow = self.operator.on_watermark(EventTime(at_ms), &mut self.out).unwrap();
        self.go_on(flow)
    }

    fn go_on(&mut self, mut flow: Flow) -> Vec<String> {
        let mut lines = self.taken();
        while flow == Flow::More {
            flow = self.operator.resume(&mut self.out).unwrap();
            lines.extend(self.taken());
        }
        lines.sort();
        lines
    }

    fn taken(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(batch) = self.out.take(0) {
            lines.extend(batch.into_records::<Update>().0.into_iter().map(|Record { value, .. }| {
                let WindowUpdate { key, start, end, value, firing } = value;
                format!("{key} [{}, {}) {value} {firing}", start.0, end.0)
            }));
        }
        while let Some(batch) = self.out.take(1) {
            lines
                .extend(batch.into_records::<u64>().0.into_iter().map(|late| format!("{} late", late.value)));
        }
        lines
    }

    /// A barrier and the end of this life: what the next one starts from.
    fn freeze(mut self) -> (Vec<RestoredPart>, Vec<KeyedAck>) {
        let frozen = self.operator.freeze(Epoch(0)).unwrap();
        while self.store.slice(usize::MAX).unwrap() {}
        let ack = self.acks.recv().unwrap();
        let part = RestoredPart { groups: 0..128, watermark: EventTime::MIN, bytes: frozen.bytes };
        (vec![part], vec![ack])
    }
}

/// Five keys have a record at 0; a barrier falls behind the first result that the watermark 10 sets off; the
/// next life begins with a record of each key at `at`. What the lives give: the first, then at that record, then at watermarks.
fn lives<const N: usize>(
    graph: &Graph,
    at: i64,
    watermarks: [i64; N],
) -> (Vec<String>, Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Life::begin(graph, dir.path(), 1, Default::default(), 0);
    assert_eq!(first.records(0, 0..5), [""; 0]);
    let flow = first.operator.on_watermark(EventTime(10), &mut first.out).unwrap();
    assert_eq!(flow, Flow::More);
    let before = first.taken();
    let mut second = Life::begin(graph, dir.path(), 2, first.freeze(), 0);
    let after = second.records(at, 0..5);
    let later = watermarks.map(|at_ms| second.watermark(at_ms)).concat();
    (before, after, later)
}

#[test]
fn sessions_that_were_over_take_no_record_any_more() {
    let graph = graph(|keyed| {
        let counts =
            keyed.window("visits", Session::gap(ms(10))).trigger(pelton_operators::trigger::AtEnd).count();
        counts.out.sink("counts", Collect::new().0);
    });
    let (before, after, later) = lives(&graph, 5, [10, 15]);
    let mut over = [before, after].concat();
    over.sort();
    let ended = |key: u64| format!("{key} [0, 10) 1 on time #0");
    assert_eq!(over, [0, 1, 2, 3, 4].map(ended));
    let next = |key: u64| format!("{key} [5, 15) 1 on time #0");
    assert_eq!(later, [0, 1, 2, 3, 4].map(next));
}

#[test]
fn windows_that_have_ended_give_their_result_before_they_take_a_late_record() {
    let graph = graph(|keyed| {
        let counts = keyed.window("tens", Tumbling::of(ms(10))).allowed_lateness(ms(5)).count();
        counts.out.sink("counts", Collect::new().0);
    });
    let (before, after, later) = lives(&graph, 4, [10, 15]);
    let mut both = [before, after].concat();
    both.sort();
    let ended = |key: u64| [format!("{key} [0, 10) 1 on time #0"), format!("{key} [0, 10) 2 late #1")];
    assert_eq!(both, [0, 1, 2, 3, 4].map(ended).concat());
    assert_eq!(later, [""; 0]);
}

#[test]
fn a_clock_that_was_set_back_opens_no_window_again_that_has_fired() {
    let graph = graph(|keyed| {
        let tens = keyed.window("tens", Tumbling::of(ms(10)).by_processing_time());
        tens.trigger(pelton_operators::trigger::AtEnd).count().out.sink("counts", Collect::new().0);
    });
    let dir = tempfile::tempdir().unwrap();
    let mut first = Life::begin(&graph, dir.path(), 1, Default::default(), 103);
    assert_eq!(first.records(0, 0..1), [""; 0]);
    let flow = first.operator.on_processing_time(110, &mut first.out).unwrap();
    assert_eq!(first.go_on(flow), ["0 [100, 110) 1 on time #0"]);
    let mut second = Life::begin(&graph, dir.path(), 2, first.freeze(), 40);
    assert_eq!(second.records(0, 0..1), [""; 0]);
    let flow = second.operator.on_processing_time(120, &mut second.out).unwrap();
    assert_eq!(second.go_on(flow), ["0 [110, 120) 1 on time #0"]);
}
