//! Sources that give only as much as a test lets through: the moments at which a job is disturbed are
//! counted in records, not in time.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use pelton::dataflow::error::OpError;
use pelton::dataflow::operator::Waker;
use pelton::dataflow::source::{Enumerator, Fetched, Polled, ReaderContext, Source, SplitInfo, SplitReader};

/// Lets records through, over all splits of all sources of a job together.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Records that may still be read.
    allowed: u64,
    /// The next poll fails.
    fails: bool,
    wakers: Vec<Waker>,
}

impl Gate {
    /// Lets `count` more records through.
    pub fn let_through(&self, count: u64) {
        let mut state = self.lock();
        state.allowed = state.allowed.saturating_add(count);
        state.wake();
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.let_through(u64::MAX);
    }

    /// Lets nothing through any more.
    pub fn shut(&self) {
        self.lock().allowed = 0;
    }

    /// Has the next poll of a source fail.
    pub fn fail(&self) {
        let mut state = self.lock();
        state.fails = true;
        state.wake();
    }

    /// Waits for `moment` at most; whether all that was let through has been read.
    pub fn is_used_up_within(&self, moment: Duration) -> bool {
        let left = |state: &mut State| state.allowed > 0;
        let (state, _) = self.changed.wait_timeout_while(self.lock(), moment, left).unwrap();
        state.allowed == 0
    }

    fn take(&self, most: u64) -> Result<u64, OpError> {
        let mut state = self.lock();
        if std::mem::take(&mut state.fails) {
            return Err("the wire is cut".into());
        }
        let taken = most.min(state.allowed);
        state.allowed -= taken;
        Ok(taken)
    }

    /// Gives back what was taken and not read.
    fn settle(&self, unread: u64) {
        self.lock().allowed += unread;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn wake(&self) {
        self.wakers.iter().for_each(Waker::wake);
    }
}

/// A source behind a gate.
pub struct Gated<S> {
    pub source: S,
    pub gate: Arc<Gate>,
}

struct Reader<T> {
    reader: Box<dyn SplitReader<Item = T>>,
    gate: Arc<Gate>,
}

impl<S: Source> Source for Gated<S> {
    type Item = S::Item;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        self.source.enumerator()
    }

    fn open(
        &self,
        split: &SplitInfo,
        position: Option<&[u8]>,
        cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = S::Item>>, OpError> {
        self.gate.lock().wakers.push(cx.waker.clone());
        let reader = self.source.open(split, position, cx)?;
        Ok(Box::new(Reader { reader, gate: self.gate.clone() }))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn locations(&self) -> Vec<PathBuf> {
        self.source.locations()
    }
}

impl<T: pelton::dataflow::record::Data> SplitReader for Reader<T> {
    type Item = T;

    fn poll(&mut self, max_records: usize, out: &mut Fetched<T>) -> Result<Polled, OpError> {
        let taken = self.gate.take(max_records as u64)?;
        if taken == 0 {
            return Ok(Polled::Pending);
        }
        let polled = self.reader.poll(taken as usize, out);
        let read = (out.values.len() + out.rejected.len()) as u64;
        self.gate.settle(taken.saturating_sub(read));
        polled
    }

    fn position(&self) -> Vec<u8> {
        self.reader.position()
    }
}
