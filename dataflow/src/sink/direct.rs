//! Sinks without transactions: what is written is out at once, and comes again after a recovery.

use super::{Guarantee, Sink, SinkWriter, WriterContext};
use crate::error::{OpError, OpResult};
use crate::operator::Deferred;
use crate::record::{Data, Record};
use crate::time::Epoch;

/// A sink of which each batch is out as soon as it is written: a [`Sink`] that promises
/// [`Guarantee::AtLeastOnce`]. Every worker writes with a clone of it.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use pelton_dataflow::error::OpResult;
/// use pelton_dataflow::record::Record;
/// use pelton_dataflow::sink::{DirectSink, Guarantee, Sink};
///
/// #[derive(Clone)]
/// struct Total(Arc<Mutex<u64>>);
///
/// impl DirectSink for Total {
///     type Item = u64;
///     fn write(&self, records: Vec<Record<u64>>) -> OpResult {
///         *self.0.lock().unwrap() += records.iter().map(|record| record.value).sum::<u64>();
///         Ok(())
///     }
///     fn describe(&self) -> String {
///         "a total".to_owned()
///     }
/// }
/// assert_eq!(Total(Arc::default()).guarantee(), Guarantee::AtLeastOnce);
/// ```
pub trait DirectSink: Clone + Send + Sync + 'static {
    /// What it writes.
    type Item: Data;

    /// Puts records out. Called by several workers at a time.
    ///
    /// # Errors
    /// They cannot be written; the job fails and recovers from its last checkpoint.
    fn write(&self, records: Vec<Record<Self::Item>>) -> OpResult;

    /// Sees to it that what was written has arrived; before each checkpoint, off the worker's thread.
    ///
    /// # Errors
    /// As [`DirectSink::write`].
    fn flush(&self) -> OpResult {
        Ok(())
    }

    /// Where it writes, for `explain`.
    fn describe(&self) -> String;
}

impl<S: DirectSink> Sink for S {
    type Item = S::Item;

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn writer(&self, _cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = S::Item>>, OpError> {
        Ok(Box::new(Writer(self.clone())))
    }

    fn describe(&self) -> String {
        DirectSink::describe(self)
    }
}

struct Writer<S>(S);

impl<S: DirectSink> SinkWriter for Writer<S> {
    type Item = S::Item;

    fn write(&mut self, records: Vec<Record<S::Item>>) -> Result<(), OpError> {
        self.0.write(records)
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<Deferred>, OpError> {
        let sink = self.0.clone();
        Ok(Some(Box::new(move || sink.flush().map(|()| None))))
    }
}
