//! The lives of a job: whole, and disturbed at moments that a seed chooses, each on another number of
//! workers than the one before.
//!
//! A life reads some records, is told to take a checkpoint, waits for it or does not, and ends: by a
//! stop, at once, or after a failure from which it has recovered by itself. The last one comes to
//! the end of the input. Nothing depends on how long anything takes: the clock stands still unless
//! it is moved, and the sources give what they are let.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pelton::connectors::{Collect, Collected};
use pelton::dataflow::clock::ManualClock;
use pelton::dataflow::graph::Graph;
use pelton::dataflow::source::Source;
use pelton::operators::{Job as Wiring, Stream};
use pelton::prelude::Generator;
use pelton::runtime::{CheckpointInterval, End, Job, JobHandle, JobSettings, JobSpec, RestartStrategy};
use pelton::state::Backend;

use super::gate::{Gate, Gated};
use super::input::{EVENTS, Event, SPLITS, watermarks};
use super::random::{Random, rounds};

/// A small job, and what must come of it.
pub struct Case {
    /// What of the public API it stands for: `Stream::map`.
    pub covers: &'static [&'static str],
    /// Wires the job.
    pub wire: fn(&mut Wiring, &Place),
    /// Fails unless the outputs are right.
    pub check: fn(&Place),
}

/// A record of an output: a key, within which order may count, and the rest as text.
pub type Line = (u64, String);

/// Where one job lives: its input, its outputs and all that outlives its lives.
pub struct Place {
    root: PathBuf,
    /// What the input is made from.
    pub seed: u64,
    /// Whether it was ended before it had come to its end.
    pub is_disturbed: bool,
    gate: Arc<Gate>,
    clock: Arc<ManualClock>,
    outputs: Mutex<BTreeMap<String, Collected<Line>>>,
    notes: Mutex<BTreeMap<String, Arc<Mutex<Vec<u8>>>>>,
}

impl Place {
    /// A directory or file for the job's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// `source`, which gives what it is let.
    pub fn gated<S: Source>(&self, source: S) -> Gated<S> {
        Gated { source, gate: self.gate.clone() }
    }

    /// The events, none of them late.
    pub fn events(&self, job: &mut Wiring) -> Stream<Event> {
        let seed = self.seed;
        let source = Generator::new(EVENTS, move |index| Event::new(seed, index)).splits(SPLITS);
        job.source("events", self.gated(source)).watermarks(watermarks())
    }

    /// Keeps what is committed of `stream` under `name`.
    pub fn keep(&self, name: &str, stream: &Stream<Line>) {
        let (sink, collected) = Collect::new();
        self.outputs.lock().unwrap().insert(name.to_owned(), collected);
        stream.sink(format!("kept-{}", name.replace(' ', "-")), sink);
    }

    /// What was committed under `name`, in order.
    pub fn kept(&self, name: &str) -> Vec<Line> {
        self.outputs.lock().unwrap()[name].committed()
    }

    /// Bytes for sinks to write to that keep nothing themselves.
    pub fn notes(&self, name: &str) -> Arc<Mutex<Vec<u8>>> {
        self.notes.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }

    /// Fails unless what was kept under `name` is `expected`, each key's lines in order.
    pub fn in_order(&self, name: &str, expected: impl IntoIterator<Item = Line>) {
        check_in_order(name, &self.kept(name), expected);
    }

    /// Fails unless what was kept under `name` is `expected`, in any order.
    pub fn in_any_order(&self, name: &str, expected: impl IntoIterator<Item = Line>) {
        check_in_any_order(name, &self.kept(name), expected);
    }
}

pub fn check_in_order(name: &str, found: &[Line], expected: impl IntoIterator<Item = Line>) {
    let by_key = |lines: &mut dyn Iterator<Item = Line>| {
        let mut keys: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        lines.for_each(|(key, line)| keys.entry(key).or_default().push(line));
        keys
    };
    let expected = by_key(&mut expected.into_iter());
    let found = by_key(&mut found.iter().cloned());
    for key in expected.keys().chain(found.keys()) {
        assert_eq!(found.get(key), expected.get(key), "the lines of key {key} in `{name}`");
    }
}

pub fn check_in_any_order(name: &str, found: &[Line], expected: impl IntoIterator<Item = Line>) {
    let mut counts: BTreeMap<Line, i64> = BTreeMap::new();
    expected.into_iter().for_each(|line| *counts.entry(line).or_default() -= 1);
    found.iter().for_each(|line| *counts.entry(line.clone()).or_default() += 1);
    counts.retain(|_, count| *count != 0);
    assert!(counts.is_empty(), "`{name}` has more (+) or less (-) of these than it should: {counts:#?}");
}

/// The numbers of workers that a job goes through.
const WORKERS: [usize; 3] = [1, 3, 2];

/// Moves the clock on to the next checkpoint.
const INTERVAL: Duration = Duration::from_millis(1);
/// Looks before a job counts as stuck, and the pause between two of them.
const LOOKS: usize = 60_000;
const PAUSE: Duration = Duration::from_millis(1);

/// Runs `case` undisturbed on each number of workers, and disturbed, with both backends.
pub fn replay(case: &Case) {
    rounds(|seed| {
        let mut random = Random::new(seed);
        for backend in [Backend::Memory, Backend::RocksDb] {
            for workers in WORKERS {
                println!("whole on {workers} workers, {backend:?}");
                let root = tempfile::tempdir().unwrap();
                let mut world = World::new(case, root.path(), backend, &mut random, false);
                world.finish(workers);
                (case.check)(&world.place);
            }
            let root = tempfile::tempdir().unwrap();
            let mut world = World::new(case, root.path(), backend, &mut random, true);
            for workers in WORKERS {
                world.live(workers, &mut random);
            }
            world.finish(random.pick(&WORKERS));
            (case.check)(&world.place);
        }
    });
}

/// The graph of `case`, to look at.
pub fn graph_of(case: &Case) -> Graph {
    let root = tempfile::tempdir().unwrap();
    let world = World::new(case, root.path(), Backend::Memory, &mut Random::new(0), false);
    world.graph
}

struct World {
    place: Place,
    graph: Graph,
    settings: JobSettings,
}

impl World {
    fn new(case: &Case, root: &Path, backend: Backend, random: &mut Random, is_disturbed: bool) -> Self {
        let place = Place {
            root: root.join("own"),
            seed: random.next(),
            is_disturbed,
            gate: Arc::default(),
            clock: Arc::new(ManualClock::at_ms(1_000_000)),
            outputs: Mutex::default(),
            notes: Mutex::default(),
        };
        std::fs::create_dir(&place.root).unwrap();
        let mut wiring = Wiring::new();
        (case.wire)(&mut wiring, &place);
        let mut settings = JobSettings {
            state_dir: root.join("state"),
            checkpoint_dir: root.join("checkpoints").display().to_string(),
            checkpoint_interval: CheckpointInterval::EveryMs(1),
            // Whatever is not reported but only times out is to show as stuck.
            checkpoint_timeout_ms: 1_000_000_000,
            backend,
            restart: RestartStrategy::FixedDelay { attempts: 1, delay_ms: 1 },
            ..JobSettings::default()
        };
        settings.engine.batch_records = random.pick(&[1, 3, 16, 64]);
        settings.engine.channel_batches = random.pick(&[1, 2, 8]);
        settings.engine.slice_us = random.pick(&[0, 1_000]);
        settings.engine.watermark_interval_ms = random.pick(&[0, 0, 5]);
        println!("{:?}", settings.engine);
        Self { place, graph: wiring.finish().unwrap(), settings }
    }

    fn start(&self, workers: usize) -> JobHandle {
        let settings = JobSettings { workers, ..self.settings.clone() };
        let spec = JobSpec::new("golden", self.graph.clone(), settings);
        Job::start(spec.clock(self.place.clock.clone())).unwrap()
    }

    /// A life that ends before the job does.
    fn live(&mut self, workers: usize, random: &mut Random) {
        let gate = &self.place.gate;
        gate.shut();
        let job = self.start(workers);
        let mut fails = random.below(3) == 0;
        for _ in 0..1 + random.below(3) {
            let count = 1 + random.below(EVENTS / 10);
            println!("reads {count} on {workers} workers");
            gate.let_through(count);
            if random.below(3) > 0 {
                until(&job, "reading", || gate.is_used_up_within(PAUSE));
            }
            match random.below(4) {
                0 => {}
                1 => self.place.clock.advance(INTERVAL),
                _ => self.checkpoint(&job),
            }
            if std::mem::take(&mut fails) {
                self.checkpoint(&job);
                println!("fails");
                gate.fail();
                until(&job, "the restart", || job.status().restarts == 1);
            }
        }
        if random.below(3) == 0 {
            println!("stops");
            job.stop();
            let end = job.wait().unwrap().end;
            assert_eq!(end, End::Stopped);
        } else {
            println!("is ended");
            drop(job);
        }
    }

    /// Has a checkpoint completed that is begun now.
    fn checkpoint(&self, job: &JobHandle) {
        let before = job.status().checkpoints_completed;
        println!("takes a checkpoint");
        until(job, "a checkpoint", || {
            self.place.clock.advance(INTERVAL);
            pause();
            job.status().checkpoints_completed > before
        });
    }

    /// The life that comes to the end.
    fn finish(&mut self, workers: usize) {
        println!("comes to its end on {workers} workers");
        self.place.gate.open();
        let job = self.start(workers);
        until_over(&job, || self.place.clock.advance(INTERVAL));
        let report = job.wait().unwrap();
        assert_eq!((report.end, report.status.restarts), (End::Completed, 0));
    }
}

fn pause() {
    let (_held, nothing) = channel::<()>();
    // Nobody sends.
    let _ = nothing.recv_timeout(PAUSE);
}

/// Looks until `has_come`, which must come.
fn until(job: &JobHandle, what: &str, mut has_come: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if has_come() {
            return;
        }
        assert!(!job.is_over(), "the job is over: {:#?}", job.status());
    }
    panic!("stuck at {what}: {:#?}", job.status());
}

fn until_over(job: &JobHandle, mut meanwhile: impl FnMut()) {
    for _ in 0..LOOKS {
        if job.is_over() {
            return;
        }
        meanwhile();
        pause();
    }
    panic!("does not come to its end: {:#?}", job.status());
}
