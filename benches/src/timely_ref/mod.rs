//! The reference: the workloads as one would write them by hand on timely dataflow 0.32.
//!
//! No state that survives, no checkpoints, no erased types: what the machine gives when nothing
//! is promised. In reading order: [`source`], [`exchange`], then one file per workload, and
//! [`sink`].

mod exchange;
mod keyed_count;
mod passthrough;
mod sink;
mod source;
mod tumbling_sum;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Result, anyhow, bail};
use hashbrown::HashMap;
use timely::worker::Worker;

use crate::args::{Args, Workload};
use crate::progress::Progress;
use crate::report::Report;
use crate::stopwatch::{Gaps, Stopwatch};
use crate::verify::{self, Checksum, Input};

/// What a workload's dataflow is built with on each worker.
#[derive(Clone)]
struct Run {
    events: u64,
    keys: u64,
    since: Stopwatch,
    done: Arc<AtomicU64>,
}

/// What the sink of one worker has seen.
#[derive(Clone, Copy)]
struct Seen {
    checksum: Checksum,
    gaps: Gaps,
}

/// Runs the workload that `args` names.
pub fn run(args: &Args) -> Result<Report> {
    let build: fn(&mut Worker, &Run) -> sink::Outcome = match args.workload {
        Workload::Passthrough => passthrough::build,
        Workload::KeyedCount => keyed_count::build,
        Workload::TumblingSum => tumbling_sum::build,
        other => bail!("the timely reference has no `{other}`: it is there for throughput alone"),
    };
    if args.rate.is_some() {
        bail!("the timely reference runs as fast as it can: leave out `--rate`");
    }
    let (events, keys) = (args.events(), args.keys);
    let progress = Progress::start(events);
    let since = Stopwatch::start();
    let run = Run { events, keys, since, done: progress.counter() };
    let guards = timely::execute(timely::Config::process(args.workers), move |worker| {
        let outcome = build(worker, &run);
        while worker.has_dataflows() {
            worker.step_or_park(None);
        }
        outcome.take()
    })
    .map_err(|error| anyhow!("timely did not start: {error}"))?;

    let mut checksum = Checksum::default();
    let mut longest_gap_ms: f64 = 0.0;
    for seen in guards.join() {
        let seen = seen.map_err(|error| anyhow!("a worker of the reference failed: {error}"))?;
        checksum += seen.checksum;
        longest_gap_ms = longest_gap_ms.max(seen.gaps.longest_ms());
    }
    let elapsed = since.elapsed();
    let mut report = Report::now(args, elapsed);
    drop(progress);
    report.max_gap_ms = (elapsed > Gaps::WARM_UP).then_some(longest_gap_ms);
    verify::check(args.workload, &Input { events, keys, maps: 0, slides: 1 }, checksum)?;
    Ok(report)
}

/// Spreads a key over 64 bits: one multiplication, folded.
#[inline]
fn mix(key: u64) -> u64 {
    let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product as u64) ^ ((product >> 64) as u64)
}

/// A map by key with [`mix`] as its hash.
type KeyMap<V> = HashMap<u64, V, BuildHasherDefault<Mixer>>;

/// [`mix`] as a hasher of `u64`.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    #[inline]
    fn write_u64(&mut self, key: u64) {
        self.0 = mix(key);
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = mix(self.0 ^ u64::from(byte)));
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
