//! Sources that do what a test writes for them, one script for each worker.
//!
//! A script is words: `a@12` is a record named `a` of time 12, and neighbours make one batch, which
//! `|` ends; `wm20` says that the active splits have reached 20, `idle` that there are none;
//! `barrier` ends the epoch on this worker and is not passed before; `unannounced` says that
//! nothing more is known; `finish:s` finishes the split `s`; `error` and `panic` are what they say.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use pelton_dataflow::env::Control;
use pelton_dataflow::error::OpError;
use pelton_dataflow::key::hash_of;
use pelton_dataflow::operator::{OperatorContext, Outputs, Waker};
use pelton_dataflow::record::{Origin, Record, Span};
use pelton_dataflow::source::{
    Enumerator, FixedSplits, Polled, SourceNode, SourceOperator, SourceTime, SplitId, SplitState,
};
use pelton_dataflow::time::{Epoch, EventTime};

use super::item::{Item, Live, Sent};
use super::log::Log;

/// A line of a script.
#[derive(Clone, Debug)]
pub enum Line {
    /// Records of one poll: name, key, time.
    Batch(Vec<(Arc<str>, u64, i64)>),
    Time(SourceTime),
    Barrier,
    Unannounced,
    Finish(String),
    Error,
    Panic,
}

/// The script of one source on one worker, and what became of it.
#[derive(Default)]
pub struct Script {
    lines: Mutex<VecDeque<Line>>,
    waker: Mutex<Option<Waker>>,
    pub control: OnceLock<Arc<Control>>,
    given: AtomicU64,
    pub polls: AtomicU64,
    pub panics_in_event_time: AtomicBool,
    pub panics_in_snapshot: AtomicBool,
    /// Ids of the records given, with their keys.
    pub emitted: Mutex<Vec<(u64, u64)>>,
}

/// The scripts of a source, by worker.
pub type Scripts = Arc<Vec<Arc<Script>>>;

impl Script {
    pub fn say(&self, words: &str) {
        self.extend(parse(words));
    }

    pub fn extend(&self, lines: impl IntoIterator<Item = Line>) {
        self.lines.lock().unwrap().extend(lines);
        self.wake();
    }

    /// `count` records of the keys `keys` in turn, without names, in batches of `batch`, at `time`.
    pub fn flood(&self, count: usize, batch: usize, keys: &[u64], time: i64) {
        let records: Vec<_> = (0..count).map(|n| (Arc::from(""), keys[n % keys.len()], time)).collect();
        self.extend(records.chunks(batch).map(|records| Line::Batch(records.to_vec())));
    }

    pub fn given(&self) -> u64 {
        self.given.load(Ordering::SeqCst)
    }

    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap() {
            waker.wake();
        }
    }

    pub fn is_done(&self) -> bool {
        self.lines.lock().unwrap().is_empty()
    }
}

fn parse(words: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut batch: Vec<(Arc<str>, u64, i64)> = Vec::new();
    for word in words.split_whitespace().chain(["|"]) {
        if let Some((name, time)) = word.split_once('@') {
            batch.push((name.into(), hash_of(&name).0, time.parse().expect("a time after @")));
            continue;
        }
        if !batch.is_empty() {
            lines.push(Line::Batch(std::mem::take(&mut batch)));
        }
        lines.push(match word {
            "|" => continue,
            "idle" => Line::Time(SourceTime::Idle),
            "barrier" => Line::Barrier,
            "unannounced" => Line::Unannounced,
            "error" => Line::Error,
            "panic" => Line::Panic,
            _ if word.starts_with("finish:") => Line::Finish(word["finish:".len()..].to_owned()),
            _ => {
                let time = word.strip_prefix("wm").and_then(|time| time.parse().ok());
                Line::Time(SourceTime::Active(EventTime(time.unwrap_or_else(|| panic!("{word}?")))))
            }
        });
    }
    lines
}

/// The source that reads scripts, one of `scripts` on each worker.
pub struct ScriptedSource {
    pub node: usize,
    pub name: String,
    pub scripts: Scripts,
    pub log: Arc<Log>,
    pub first_epoch: u64,
}

impl SourceNode for ScriptedSource {
    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        Ok(Box::new(FixedSplits(Vec::new())))
    }

    fn operator(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn SourceOperator>, OpError> {
        let script = self.scripts[cx.worker].clone();
        *script.waker.lock().unwrap() = Some(cx.waker.clone());
        Ok(Box::new(Reading {
            script,
            log: self.log.clone(),
            by: (self.node, cx.worker),
            split: format!("{}/{}", self.name, cx.worker).into(),
            epoch: Cell::new(self.first_epoch),
            time: SourceTime::Active(EventTime::MIN),
            published: i64::MIN,
            seq: 0,
            splits: Vec::new(),
            finished: Vec::new(),
        }))
    }

    fn describe(&self) -> String {
        "a script".to_owned()
    }
}

struct Reading {
    script: Arc<Script>,
    log: Arc<Log>,
    by: (usize, usize),
    split: Arc<str>,
    /// Each snapshot ends one.
    epoch: Cell<u64>,
    time: SourceTime,
    published: i64,
    seq: u64,
    splits: Vec<SplitState>,
    finished: Vec<SplitId>,
}

impl Reading {
    fn emit(&mut self, batch: Vec<(Arc<str>, u64, i64)>, out: &mut Outputs) {
        let first = self.seq;
        let records = batch.into_iter().map(|(name, key, time)| {
            let id = self.log.new_id();
            self.script.emitted.lock().unwrap().push((id, key));
            let sent =
                Sent { epoch: self.epoch.get(), watermark: self.published, by: self.by, seq: self.seq };
            self.seq += 1;
            Record::new(EventTime(time), Item { id, key, name, sent, live: Live::counted_in(&self.log.live) })
        });
        let records: Vec<_> = records.collect();
        self.script.given.fetch_add(records.len() as u64, Ordering::SeqCst);
        let span = Span { split: self.split.clone(), first, last: self.seq.max(1) - 1 };
        out.send(0, records, Origin::of(span, 0));
    }
}

impl SourceOperator for Reading {
    fn assign(&mut self, split: SplitState) -> Result<(), OpError> {
        self.log.write(format!("{} assigned {}", self.split, split.info.id));
        self.splits.push(split);
        Ok(())
    }

    fn poll(&mut self, _max_records: usize, out: &mut Outputs) -> Result<Polled, OpError> {
        self.script.polls.fetch_add(1, Ordering::SeqCst);
        let line = {
            let mut lines = self.script.lines.lock().unwrap();
            match lines.front() {
                Some(Line::Barrier) => None,
                _ => Some(lines.pop_front()),
            }
        };
        let Some(line) = line else {
            let next = Epoch(self.epoch.get() + 1);
            let control = self.script.control.get().expect("the cluster sets it");
            if control.epoch() < next {
                control.open_epoch(next);
            }
            return Ok(Polled::Pending);
        };
        let Some(line) = line else { return Ok(Polled::Pending) };
        self.log.stir();
        match line {
            Line::Batch(batch) => self.emit(batch, out),
            Line::Time(time) => self.time = time,
            Line::Barrier => unreachable!("stays until the snapshot"),
            Line::Unannounced => return Ok(Polled::PendingUnannounced),
            Line::Finish(split) => self.finished.push(SplitId(split)),
            Line::Error => return Err("the disk is gone".into()),
            Line::Panic => panic!("no such line"),
        }
        Ok(Polled::Ready)
    }

    fn event_time(&mut self, _now_us: i64) -> SourceTime {
        assert!(!self.script.panics_in_event_time.load(Ordering::SeqCst), "no idea what time it is");
        // One that follows others may be ahead of what it said itself: it promises nothing.
        self.published = match self.time {
            SourceTime::Active(time) => self.published.max(time.0),
            SourceTime::Idle => i64::MAX,
        };
        self.time
    }

    fn snapshot(&self) -> Vec<SplitState> {
        assert!(!self.script.panics_in_snapshot.load(Ordering::SeqCst), "the position is lost");
        let mut lines = self.script.lines.lock().unwrap();
        if matches!(lines.front(), Some(Line::Barrier)) {
            lines.pop_front();
        }
        self.epoch.set(self.epoch.get() + 1);
        self.splits.clone()
    }

    fn take_finished(&mut self) -> Vec<SplitId> {
        std::mem::take(&mut self.finished)
    }
}
