//! Random graphs under random schedules, against a model that only counts.
//!
//! The operators check each record's promise as it arrives (`harness::ops`); here it is checked
//! besides that nothing is lost or made, that every epoch is acknowledged once by everything, and
//! that the end comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pelton_dataflow::env::Intake;
use pelton_dataflow::graph::PortRef;
use pelton_dataflow::time::Epoch;

use crate::harness::log::Log;
use crate::harness::script::Line;
use crate::harness::{Cluster, Does, FailAt, Rng, Route, Setup, Wiring};

/// What a node does with one record, for the model.
#[derive(Clone)]
enum Model {
    Source(String),
    Pass,
    Times(u64),
    Split,
    Sink(String),
}

struct Built {
    wiring: Wiring,
    /// By node, with the inputs.
    nodes: Vec<(Model, Vec<PortRef>)>,
    sources: Vec<String>,
}

impl Built {
    /// A graph; with `fails`, one of its operators goes wrong so.
    fn random(rng: &mut Rng, fails: Option<FailAt>) -> Self {
        let mut built = Self { wiring: Wiring::quiet(), nodes: Vec::new(), sources: Vec::new() };
        let mut open = Vec::new();
        for n in 0..1 + rng.below(2) {
            let name = format!("in{n}");
            open.push(built.wiring.source(&name));
            built.nodes.push((Model::Source(name.clone()), Vec::new()));
            built.sources.push(name);
        }
        for n in 0..2 + rng.below(7) {
            let at = rng.below(open.len());
            // Now and then an output has two consumers.
            let from = if rng.one_in(4) { open[at] } else { open.swap_remove(at) };
            let made = built.add(rng, n, from, &mut open);
            open.extend(made);
        }
        if let Some(at) = fails {
            let place = rng.below(open.len());
            open[place] = built.wiring.op("fails", &[open[place]], Does::Fail(at));
            built.nodes.push((Model::Pass, Vec::new()));
        }
        for (n, from) in open.into_iter().enumerate() {
            let name = format!("out{n}");
            built.wiring.sink(&name, from);
            built.nodes.push((Model::Sink(name), vec![from]));
        }
        built
    }

    fn add(&mut self, rng: &mut Rng, n: usize, from: PortRef, open: &mut Vec<PortRef>) -> Vec<PortRef> {
        let wiring = &mut self.wiring;
        let name = format!("op{n}");
        let route = *rng.pick(&[Route::ByKey, Route::ByKey, Route::RoundRobin, Route::To(0)]);
        let slice = 1 + rng.below(5);
        let (out, model, inputs) = match rng.below(10) {
            0 | 1 => (wiring.map(&name, from), Model::Pass, vec![from]),
            2..=4 => {
                let sent = wiring.exchange(&format!("to{n}"), from, route);
                self.nodes.push((Model::Pass, vec![from]));
                // A map behind it, so that no record crosses two exchanges under one stamp.
                (wiring.map(&name, sent), Model::Pass, vec![sent])
            }
            5 => {
                // Twenty times twenty times would be too much of the same.
                let is_first = !self.nodes.iter().any(|(model, _)| matches!(model, Model::Times(_)));
                let times = *rng.pick(if is_first { &[0, 2, 3, 20] } else { &[0, 0, 2, 2] });
                let does = if times == 0 { Does::Map } else { Does::Times(times, slice) };
                let model = if times == 0 { Model::Pass } else { Model::Times(times) };
                (wiring.op(&name, &[from], does), model, vec![from])
            }
            6 => (wiring.op(&name, &[from], Does::Hold(slice)), Model::Pass, vec![from]),
            8 => (wiring.op(&name, &[from], Does::Stamp(Arc::default())), Model::Pass, vec![from]),
            7 => (wiring.op(&name, &[from], Does::Split), Model::Split, vec![from]),
            _ => {
                let Some(other) = open.pop() else {
                    let out = wiring.map(&name, from);
                    self.nodes.push((Model::Pass, vec![from]));
                    return vec![out];
                };
                if rng.one_in(2) {
                    (wiring.op(&name, &[from, other], Does::Map), Model::Pass, vec![from, other])
                } else {
                    // Maps before it tell two ways of one sender apart.
                    let ways = [from, other].map(|way| {
                        self.nodes.push((Model::Pass, vec![way]));
                        wiring.map(&format!("{name}-{}", self.nodes.len()), way)
                    });
                    (wiring.union(&name, &ways), Model::Pass, ways.to_vec())
                }
            }
        };
        self.nodes.push((model.clone(), inputs));
        match model {
            Model::Split => vec![out, PortRef { port: 1, ..out }],
            _ => vec![out],
        }
    }

    /// Copies of a record of `key` from `source` at each sink.
    fn copies(&self, source: &str, key: u64) -> BTreeMap<&str, u64> {
        let mut given: Vec<[u64; 2]> = Vec::new();
        let mut sunk = BTreeMap::new();
        for (model, inputs) in &self.nodes {
            let taken: u64 = inputs.iter().map(|input| given[input.node.0][input.port]).sum();
            given.push(match model {
                Model::Source(name) => [u64::from(name == source), 0],
                Model::Times(times) => [taken * times, 0],
                Model::Split if key % 2 == 1 => [0, taken],
                Model::Pass | Model::Split => [taken, 0],
                Model::Sink(name) => {
                    sunk.insert(name.as_str(), taken);
                    [0, 0]
                }
            });
        }
        sunk
    }
}

/// Something for a source to say, its times running a little out of order.
fn words(rng: &mut Rng, time: &mut i64) -> Vec<Line> {
    use pelton_dataflow::source::SourceTime;
    use pelton_dataflow::time::EventTime;
    let mut lines = Vec::new();
    for _ in 0..1 + rng.below(4) {
        *time += rng.below(5) as i64;
        let at = |rng: &mut Rng| *time + rng.below(10) as i64;
        let batch = (0..1 + rng.below(6)).map(|_| ("".into(), rng.below(12) as u64, at(rng)));
        lines.push(Line::Batch(batch.collect()));
        match rng.below(10) {
            0 => lines.push(Line::Time(SourceTime::Idle)),
            1..=5 => lines.push(Line::Time(SourceTime::Active(EventTime(*time)))),
            _ => {}
        }
    }
    lines
}

fn run(seed: u64) {
    let mut rng = Rng::new(seed);
    let Built { wiring, nodes, sources } = Built::random(&mut rng, None);
    let batch_records = *rng.pick(&[1, 1, 2, 3, 4, 100]);
    let mut setup = Setup::of(1 + rng.below(3)).batches(batch_records, 1 + rng.below(3));
    if rng.one_in(2) {
        setup = setup.in_single_steps();
    }
    if rng.one_in(3) {
        setup.settings.batch_linger_us = u64::MAX / 2_000;
    }
    setup.encoded = rng.one_in(4);
    let is_free = rng.one_in(5);
    let mut cluster = Cluster::start(wiring, setup);
    let workers = cluster.workers();
    let mut times: Vec<i64> = vec![0; sources.len() * workers];
    // Each worker hears of an epoch at a time of its own; there are two open at most.
    let (mut target, mut opened) = (0, vec![0; workers]);
    for _ in 0..150 {
        let worker = rng.below(workers);
        match rng.below(12) {
            0 | 1 => {
                let source = rng.below(sources.len());
                let lines = words(&mut rng, &mut times[source * workers + worker]);
                cluster.script(&sources[source], worker).extend(lines);
            }
            2 if opened.iter().all(|&epoch| epoch == target)
                && (target == 0 || cluster.is_complete(target - 1)) =>
            {
                target += 1;
            }
            4 => {
                let oldest_open = Epoch(target.saturating_sub(1));
                let choices = [Intake::Open, Intake::Closed, Intake::UpTo(oldest_open)];
                cluster.admit(worker, *rng.pick(&choices));
            }
            3 if opened[worker] < target => {
                opened[worker] = target;
                cluster.control(worker).open_epoch(Epoch(target));
            }
            _ => cluster.steps(worker, 1 + rng.below(4)),
        }
        assert_eq!(cluster.log.failures(), Vec::<String>::new());
    }
    cluster.open(target);
    let admit_all =
        |cluster: &mut Cluster, intake| (0..workers).for_each(|worker| cluster.admit(worker, intake));
    if let Some(last) = target.checked_sub(1) {
        // An epoch ends though whoever has ended it takes nothing.
        admit_all(&mut cluster, Intake::UpTo(Epoch(last)));
        cluster.until("the epoch that is waited for", |cluster| cluster.is_complete(last));
    }
    admit_all(&mut cluster, Intake::Open);
    let emitted: Vec<_> = sources
        .iter()
        .flat_map(|source| (0..workers).map(move |worker| (source, worker)))
        .map(|(source, worker)| (source.clone(), cluster.script(source, worker).clone()))
        .collect();
    let log = if is_free {
        cluster.run_free();
        cluster.finish_free(target)
    } else {
        cluster.finish(target)
    };

    let built = Built { wiring: Wiring::new(), nodes, sources };
    let mut expected = BTreeMap::new();
    for (source, script) in emitted {
        for (id, key) in script.emitted.lock().unwrap().iter() {
            for (sink, copies) in built.copies(&source, *key) {
                expected.insert((sink.to_owned(), *id), copies);
            }
        }
    }
    expected.retain(|_, copies| *copies > 0);
    assert_eq!(*log.sunk.lock().unwrap(), expected);
}

/// Workers that run by themselves while an operator goes wrong: it is reported, and all leave.
fn fail(seed: u64) {
    let mut rng = Rng::new(seed);
    let at = *rng.pick(&[FailAt::WatermarkPanic, FailAt::WatermarkError, FailAt::FreezePanic]);
    let Built { wiring, sources, .. } = Built::random(&mut rng, Some(at));
    let mut cluster = Cluster::start(wiring, Setup::of(1 + rng.below(3)).batches(1, 1 + rng.below(3)));
    for source in &sources {
        for worker in 0..cluster.workers() {
            (0..5).for_each(|_| cluster.script(source, worker).extend(words(&mut rng, &mut 0)));
            cluster.say(source, worker, "wm1000");
        }
    }
    cluster.run_free();
    if at == FailAt::FreezePanic {
        cluster.open(1);
    }
    cluster.log.wait("the failure", Log::failed);
    cluster.stop();
    let failures = cluster.log.failures.lock().unwrap();
    assert!(failures.iter().all(|failure| failure.operator == "fails"), "{failures:?}");
    assert_eq!(cluster.log.live.load(Ordering::SeqCst), 0, "records that nobody holds");
}

#[test]
fn random_graphs_keep_every_promise() {
    for_seeds(150, run);
}

#[test]
fn random_graphs_end_when_an_operator_fails() {
    for_seeds(50, fail);
}

/// Runs `check` with the seeds that `PELTON_SEED` (the first) and `PELTON_SEEDS` (how many) name.
#[expect(clippy::print_stderr, reason = "a seed that fails has to be seen")]
fn for_seeds(seeds: u64, check: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let seeds = std::env::var("PELTON_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(seeds);
    let from = std::env::var("PELTON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in from..from + seeds {
        let result = std::panic::catch_unwind(|| check(seed));
        if let Err(panic) = result {
            eprintln!("PELTON_SEED={seed} PELTON_SEEDS=1 replays this run");
            std::panic::resume_unwind(panic);
        }
    }
}
