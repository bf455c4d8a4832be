//! What a run left behind: lines that operators wrote, what sinks got, and what was reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use pelton_dataflow::env::{OperatorAck, Reporter};
use pelton_dataflow::error::Failure;
use pelton_dataflow::graph::NodeId;
use pelton_dataflow::source::{SplitId, SplitState};
use pelton_dataflow::time::{Epoch, EventTime};

/// How long workers may report nothing before they count as hung: far longer than any machine
/// takes.
const HUNG: Duration = Duration::from_secs(300);

/// An acknowledgement, without what cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub epoch: u64,
    pub node: usize,
    pub worker: usize,
    pub watermark: EventTime,
    pub splits: Vec<SplitState>,
    pub bytes: Vec<u8>,
    /// What the deferred part gave, if there was one.
    pub prepared: Option<Vec<u8>>,
}

/// Everything that a run left behind.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
    /// Copies of each record that each sink got.
    pub sunk: Mutex<BTreeMap<(String, u64), u64>>,
    /// Records that operators got, by operator and epoch, over all workers.
    pub got: Mutex<BTreeMap<(String, u64), u64>>,
    pub acks: Mutex<Vec<Ack>>,
    pub failures: Mutex<Vec<Failure>>,
    pub finished: Mutex<Vec<(usize, usize, SplitId, Epoch)>>,
    /// The watermark of each instance, by operator and worker.
    pub watermarks: Mutex<HashMap<(String, usize), i64>>,
    /// Freezes that fell between two slices of what a watermark set off.
    pub freezes_between_slices: AtomicUsize,
    /// Records in existence.
    pub live: Arc<AtomicUsize>,
    pub most_live: AtomicUsize,
    next_id: AtomicU64,
    activity: AtomicU64,
    news: Mutex<()>,
    changed: Condvar,
}

impl Log {
    pub fn write(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    /// The lines written since the last call.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    /// Of the lines written since the last call, those of one instance: `out/0`.
    pub fn take_lines_of(&self, instance: &str) -> Vec<String> {
        let lines = self.take_lines();
        let of = |line: &String| line.strip_prefix(instance).map(|rest| rest.trim_start().to_owned());
        lines.iter().filter_map(of).collect()
    }

    pub fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes that something went on.
    pub fn stir(&self) {
        self.activity.fetch_add(1, Ordering::SeqCst);
        self.most_live.fetch_max(self.live.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Waits until `done`, for workers that run by themselves; looked at after each report.
    pub fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let mut news = self.news.lock().unwrap();
        while !done(self) {
            assert!(!self.failed(), "{what}: {:?}", self.failures());
            let (next, waited) = self.changed.wait_timeout(news, HUNG).unwrap();
            assert!(!waited.timed_out(), "{what} did not come");
            news = next;
        }
    }

    fn tell(&self) {
        self.stir();
        drop(self.news.lock().unwrap());
        self.changed.notify_all();
    }

    pub fn activity(&self) -> u64 {
        self.activity.load(Ordering::SeqCst)
    }

    pub fn sunk_at(&self, sink: &str) -> u64 {
        self.sunk.lock().unwrap().iter().filter(|((name, _), _)| name == sink).map(|(_, n)| n).sum()
    }

    pub fn got_by(&self, operator: &str, epoch: u64) -> u64 {
        self.got.lock().unwrap().get(&(operator.to_owned(), epoch)).copied().unwrap_or(0)
    }

    pub fn watermark_of(&self, operator: &str, worker: usize) -> i64 {
        let watermarks = self.watermarks.lock().unwrap();
        watermarks.get(&(operator.to_owned(), worker)).copied().unwrap_or(i64::MIN)
    }

    pub fn acks_of(&self, epoch: u64) -> usize {
        self.acks.lock().unwrap().iter().filter(|ack| ack.epoch == epoch).count()
    }

    /// Whether the end had passed wherever `epoch` was acknowledged.
    pub fn has_ended_in(&self, epoch: u64) -> bool {
        let acks = self.acks.lock().unwrap();
        acks.iter().filter(|ack| ack.epoch == epoch).all(|ack| ack.watermark == EventTime::END)
    }

    pub fn failed(&self) -> bool {
        !self.failures.lock().unwrap().is_empty()
    }

    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

impl Reporter for Log {
    fn frozen(&self, ack: OperatorAck) {
        self.acks.lock().unwrap().push(Ack {
            epoch: ack.epoch.0,
            node: ack.operator.0,
            worker: ack.worker,
            watermark: ack.watermark,
            splits: ack.splits,
            bytes: ack.bytes,
            prepared: ack.deferred.and_then(|prepare| prepare().expect("it prepares")),
        });
        self.tell();
    }

    fn split_finished(&self, source: NodeId, worker: usize, split: SplitId, epoch: Epoch) {
        self.finished.lock().unwrap().push((source.0, worker, split, epoch));
        self.tell();
    }

    fn failed(&self, failure: Failure) {
        self.failures.lock().unwrap().push(failure);
        self.tell();
    }
}
