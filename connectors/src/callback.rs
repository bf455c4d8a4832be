//! Sinks that keep nothing: a function called with each batch, and one that drops it.

use std::sync::Arc;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::DirectSink;

type Each<T> = dyn Fn(&[Record<T>]) -> OpResult + Send + Sync;

/// Calls a function with each batch, on the worker that has it. At least once: after a recovery
/// it sees records again.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use pelton_connectors::ForEachBatch;
/// use pelton_dataflow::record::Record;
///
/// let sum = Arc::new(AtomicU64::new(0));
/// let total = sum.clone();
/// let sink = ForEachBatch::new(move |batch: &[Record<u64>]| {
///     total.fetch_add(batch.iter().map(|record| record.value).sum(), Ordering::Relaxed);
/// });
/// ```
pub struct ForEachBatch<T>(Arc<Each<T>>);

impl<T: Data> ForEachBatch<T> {
    /// Calls `each` with every batch.
    pub fn new(each: impl Fn(&[Record<T>]) + Send + Sync + 'static) -> Self {
        Self::fallible(move |records| {
            each(records);
            Ok(())
        })
    }

    /// Calls `each` with every batch; its error fails the job, which recovers from its last
    /// checkpoint.
    ///
    /// ```
    /// use pelton_connectors::ForEachBatch;
    /// use pelton_dataflow::record::Record;
    ///
    /// let sink = ForEachBatch::fallible(|batch: &[Record<i64>]| {
    ///     let negative = batch.iter().find(|record| record.value < 0);
    ///     negative.map_or(Ok(()), |record| Err(format!("{} is negative", record.value).into()))
    /// });
    /// ```
    pub fn fallible(each: impl Fn(&[Record<T>]) -> OpResult + Send + Sync + 'static) -> Self {
        Self(Arc::new(each))
    }
}

impl<T> Clone for ForEachBatch<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Data> DirectSink for ForEachBatch<T> {
    type Item = T;

    fn write(&self, records: Vec<Record<T>>) -> OpResult {
        (self.0)(&records)
    }

    fn describe(&self) -> String {
        "a function per batch".to_owned()
    }
}

/// Drops all records, for benchmarks and for outputs that nobody wants.
///
/// ```
/// use pelton_connectors::Discard;
/// let nothing = Discard::<String>::new();
/// ```
pub struct Discard<T>(std::marker::PhantomData<fn(T)>);

impl<T: Data> Discard<T> {
    /// A sink that drops its records.
    #[must_use]
    pub fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: Data> Default for Discard<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Discard<T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<T: Data> DirectSink for Discard<T> {
    type Item = T;

    fn write(&self, records: Vec<Record<T>>) -> OpResult {
        // Without this the compiler may leave out the work of a benchmark.
        std::hint::black_box(records);
        Ok(())
    }

    fn describe(&self) -> String {
        "nowhere".to_owned()
    }
}
