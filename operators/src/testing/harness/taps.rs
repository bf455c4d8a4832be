//! Taps of a script: sinks that keep what arrives as lines of text, and know which of it stands
//! before a barrier.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::{Guarantee, Sink, SinkWriter, WriterContext};
use pelton_dataflow::time::Epoch;

use super::lock;
use crate::stream::Stream;

/// Names the outputs of a part of a graph.
pub struct Taps {
    lines: Lines,
}

/// What has arrived at all taps of a script, in the order of arrival.
pub(super) type Lines = Arc<Mutex<Vec<Line>>>;

pub(super) struct Line {
    tap: &'static str,
    text: String,
    /// The epoch in which it arrived has ended.
    is_sealed: bool,
}

/// Takes all lines.
pub(super) fn take_all(lines: &Lines) -> Vec<String> {
    lock(lines).drain(..).map(|line| line.text).collect()
}

/// Forgets lines of epochs that have not ended.
pub(super) fn take_back(lines: &Lines) {
    lock(lines).retain(|line| line.is_sealed);
}

impl Taps {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines }
    }

    /// Keeps what arrives of `stream` as lines `name@time value`.
    #[track_caller]
    pub fn tap<U: Data + std::fmt::Debug>(&mut self, name: &'static str, stream: &Stream<U>) {
        stream.sink(name, Tap { name, lines: self.lines.clone(), item: PhantomData });
    }
}

struct Tap<U> {
    name: &'static str,
    lines: Lines,
    item: PhantomData<fn(U)>,
}

impl<U: Data + std::fmt::Debug> Sink for Tap<U> {
    type Item = U;

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn writer(&self, _cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = U>>, OpError> {
        Ok(Box::new(Self { name: self.name, lines: self.lines.clone(), item: PhantomData }))
    }

    fn describe(&self) -> String {
        "a tap".to_owned()
    }
}

impl<U: Data + std::fmt::Debug> SinkWriter for Tap<U> {
    type Item = U;

    fn write(&mut self, records: Vec<Record<U>>) -> Result<(), OpError> {
        let line = |record: Record<U>| Line {
            tap: self.name,
            text: format!("{}@{} {:?}", self.name, record.time.0, record.value),
            is_sealed: false,
        };
        lock(&self.lines).extend(records.into_iter().map(line));
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<Deferred>, OpError> {
        for line in lock(&self.lines).iter_mut().filter(|line| line.tap == self.name) {
            line.is_sealed = true;
        }
        Ok(None)
    }
}
