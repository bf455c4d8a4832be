//! The contract of a partitioner: the sending half of an exchange.

use crate::error::OpError;
use crate::operator::OperatorContext;
use crate::record::{Batch, Data, Origin, Record};

/// Sends records to workers: one instance on each sending worker.
pub trait Partitioner {
    /// Distributes a batch over the buffers of the destinations; full buffers go to `full` as
    /// (destination worker, batch).
    ///
    /// # Errors
    /// What user code returned.
    fn partition(&mut self, batch: Batch, full: &mut Vec<(usize, Batch)>) -> Result<(), OpError>;

    /// Hands over everything that is buffered.
    fn flush(&mut self, full: &mut Vec<(usize, Batch)>);

    /// Whether anything is buffered.
    fn is_empty(&self) -> bool;
}

/// Builds the partitioner of a worker.
pub trait PartitionerFactory: Send + Sync {
    /// The partitioner for `cx.worker`, sending to `cx.workers` workers.
    fn build(&self, cx: &OperatorContext<'_>) -> Box<dyn Partitioner>;
}

impl<F: Fn(&OperatorContext<'_>) -> Box<dyn Partitioner> + Send + Sync> PartitionerFactory for F {
    fn build(&self, cx: &OperatorContext<'_>) -> Box<dyn Partitioner> {
        self(cx)
    }
}

/// A buffer of records for each destination, for partitioners to build on.
pub struct Lanes<T> {
    lanes: Vec<(Vec<Record<T>>, Origin)>,
    batch_records: usize,
    buffered: usize,
}

impl<T: Data> Lanes<T> {
    /// Empty lanes to `destinations` workers with batches of `batch_records`.
    #[must_use]
    pub fn new(destinations: usize, batch_records: usize) -> Self {
        let lane = || (Vec::with_capacity(batch_records), Origin::default());
        Self { lanes: (0..destinations).map(|_| lane()).collect(), batch_records, buffered: 0 }
    }

    /// Notes that records of `origin` go into any of the lanes: once per batch, before its records.
    pub fn note(&mut self, origin: &Origin) {
        for (_, known) in &mut self.lanes {
            known.merge(origin);
        }
    }

    /// Adds a record for `destination`.
    #[inline]
    pub fn push(
        &mut self,
        destination: usize,
        record: Record<T>,
        origin: &Origin,
        full: &mut Vec<(usize, Batch)>,
    ) {
        let lane = &mut self.lanes[destination].0;
        lane.push(record);
        self.buffered += 1;
        if lane.len() >= self.batch_records {
            self.ship(destination, origin.clone(), full);
        }
    }

    /// Hands over everything that is buffered.
    pub fn flush(&mut self, full: &mut Vec<(usize, Batch)>) {
        for destination in 0..self.lanes.len() {
            if self.lanes[destination].0.is_empty() {
                self.lanes[destination].1 = Origin::default();
            } else {
                self.ship(destination, Origin::default(), full);
            }
        }
    }

    /// Whether anything is buffered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffered == 0
    }

    fn ship(&mut self, destination: usize, rest: Origin, full: &mut Vec<(usize, Batch)>) {
        let (lane, origin) = &mut self.lanes[destination];
        let records = std::mem::replace(lane, Vec::with_capacity(self.batch_records));
        self.buffered -= records.len();
        full.push((destination, Batch::new(records, std::mem::replace(origin, rest))));
    }
}
