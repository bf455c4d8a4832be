//! Small sources, sinks and runs for tests and doctests: no files, no threads, no sleeping.

use std::sync::{Arc, Mutex, PoisonError};

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::operator::Resources;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::DirectSink;
use pelton_dataflow::source::{
    Enumerator, Fetched, FixedSplits, Polled, ReaderContext, Source, SplitInfo, SplitReader,
};
use pelton_dataflow::testing::run_to_end;

use crate::job::Job;
use crate::stream::Stream;
use crate::watermarks::Watermarks;

mod harness;

pub use harness::{Harness, Taps};

/// A source of given values, in one split.
pub struct Values<T>(Arc<Vec<T>>);

impl<T> Values<T> {
    /// A source of `values`.
    pub fn of(values: impl IntoIterator<Item = T>) -> Self {
        Self(Arc::new(values.into_iter().collect()))
    }
}

struct ValuesReader<T> {
    values: Arc<Vec<T>>,
    next: usize,
}

impl<T: Data + Sync> Source for Values<T> {
    type Item = T;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        Ok(Box::new(FixedSplits(vec![SplitInfo::root("values")])))
    }

    fn open(
        &self,
        _split: &SplitInfo,
        position: Option<&[u8]>,
        _cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = T>>, OpError> {
        let next = match position {
            Some(bytes) => u64::from_le_bytes(bytes.try_into()?) as usize,
            None => 0,
        };
        Ok(Box::new(ValuesReader { values: self.0.clone(), next }))
    }

    fn describe(&self) -> String {
        format!("{} values", self.0.len())
    }
}

impl<T: Data + Sync> SplitReader for ValuesReader<T> {
    type Item = T;

    fn poll(&mut self, max_records: usize, out: &mut Fetched<T>) -> Result<Polled, OpError> {
        let end = self.values.len().min(self.next + max_records);
        if self.next < end {
            out.span = Some((self.next as u64, end as u64 - 1));
            out.values.extend_from_slice(&self.values[self.next..end]);
            self.next = end;
        }
        Ok(if end == self.values.len() { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> Vec<u8> {
        (self.next as u64).to_le_bytes().to_vec()
    }
}

/// A sink that keeps what is written in memory.
pub struct Collect<T>(Collected<T>);

/// What a [`Collect`] has got.
pub struct Collected<T>(Arc<Mutex<Vec<Record<T>>>>);

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Data> Collect<T> {
    /// A sink, and the handle on what it gets.
    #[must_use]
    pub fn new() -> (Self, Collected<T>) {
        let collected = Collected(Arc::default());
        (Self(collected.clone()), collected)
    }
}

impl<T: Data> Collected<T> {
    /// The values written, in the order in which workers wrote them.
    #[must_use]
    pub fn values(&self) -> Vec<T> {
        self.records().into_iter().map(|record| record.value).collect()
    }

    /// The records written.
    #[must_use]
    pub fn records(&self) -> Vec<Record<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> Clone for Collect<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Data> DirectSink for Collect<T> {
    type Item = T;

    fn write(&self, records: Vec<Record<T>>) -> OpResult {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

/// What a chain of stateless operators makes of `values`.
///
/// # Panics
/// If the graph has mistakes or an operator fails.
pub fn run_stateless<T: Data + Sync, U: Data>(
    values: impl IntoIterator<Item = T>,
    build: impl FnOnce(Stream<T>) -> Stream<U>,
) -> Vec<U> {
    let mut job = Job::new();
    let (sink, collected) = Collect::new();
    build(job.source("values", Values::of(values)).watermarks(Watermarks::none())).sink("collected", sink);
    let graph = job.finish().expect("the graph has no mistakes");
    run_to_end(&graph, Resources::default()).expect("no operator fails");
    collected.values()
}
