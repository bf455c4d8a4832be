//! The contract of a partitioner: the sending half of an exchange.

use crate::error::OpError;
use crate::operator::OperatorContext;
use crate::rank::Rank;
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

struct Lane<T> {
    records: Vec<Record<T>>,
    /// As long as the records, where they have ranks; else empty.
    ranks: Vec<Rank>,
    origin: Origin,
}

/// A buffer of records for each destination, for partitioners to build on.
pub struct Lanes<T> {
    lanes: Vec<Lane<T>>,
    batch_records: usize,
    buffered: usize,
}

impl<T: Data> Lanes<T> {
    /// Empty lanes to `destinations` workers with batches of `batch_records`.
    #[must_use]
    pub fn new(destinations: usize, batch_records: usize) -> Self {
        let lane = || Lane {
            records: Vec::with_capacity(batch_records),
            ranks: Vec::new(),
            origin: Origin::default(),
        };
        Self { lanes: (0..destinations).map(|_| lane()).collect(), batch_records, buffered: 0 }
    }

    /// Notes that records of `origin` go into any of the lanes: once per batch, before its records.
    pub fn note(&mut self, origin: &Origin) {
        for lane in &mut self.lanes {
            lane.origin.merge(origin);
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
        let lane = &mut self.lanes[destination];
        lane.records.push(record);
        self.buffered += 1;
        if lane.records.len() >= self.batch_records {
            self.ship(destination, origin.clone(), full);
        }
    }

    /// As [`Lanes::push`], with the record's rank where records have some: all of them, or none.
    #[inline]
    pub fn push_ranked(
        &mut self,
        destination: usize,
        record: Record<T>,
        rank: Option<Rank>,
        origin: &Origin,
        full: &mut Vec<(usize, Batch)>,
    ) {
        if let Some(rank) = rank {
            self.lanes[destination].ranks.push(rank);
        }
        self.push(destination, record, origin, full);
    }

    /// Hands over everything that is buffered.
    pub fn flush(&mut self, full: &mut Vec<(usize, Batch)>) {
        for destination in 0..self.lanes.len() {
            if self.lanes[destination].records.is_empty() {
                self.lanes[destination].origin = Origin::default();
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
        let lane = &mut self.lanes[destination];
        let records = std::mem::replace(&mut lane.records, Vec::with_capacity(self.batch_records));
        let ranks = Some(std::mem::take(&mut lane.ranks)).filter(|ranks| !ranks.is_empty());
        self.buffered -= records.len();
        let batch = Batch::new(records, std::mem::replace(&mut lane.origin, rest));
        full.push((destination, batch.ranked(ranks)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Span;
    use crate::time::EventTime;

    fn at(position: u64) -> Origin {
        Origin::of(Span { split: "in/0".into(), first: position, last: position }, 5)
    }

    fn push(lanes: &mut Lanes<u64>, destination: usize, position: u64) -> Vec<(usize, String)> {
        let mut full = Vec::new();
        lanes.note(&at(position));
        lanes.push(destination, Record::new(EventTime(0), position), &at(position), &mut full);
        show(full)
    }

    fn show(batches: Vec<(usize, Batch)>) -> Vec<(usize, String)> {
        let show = |batch: Batch| {
            let (records, origin) = batch.into_records::<u64>();
            format!("{:?} of {origin}", records.iter().map(|record| record.value).collect::<Vec<_>>())
        };
        batches.into_iter().map(|(destination, batch)| (destination, show(batch))).collect()
    }

    #[test]
    fn a_lane_ships_when_it_is_full_and_the_rest_when_flushed() {
        let mut lanes = Lanes::new(3, 2);
        assert_eq!(push(&mut lanes, 0, 7), []);
        assert_eq!(push(&mut lanes, 1, 8), []);
        assert_eq!(push(&mut lanes, 0, 9), [(0, "[7, 9] of in/0 from 7 to 9".to_owned())]);
        assert!(!lanes.is_empty());
        let mut full = Vec::new();
        lanes.flush(&mut full);
        assert_eq!(show(full), [(1, "[8] of in/0 from 7 to 9".to_owned())]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn a_flush_forgets_where_records_came_from() {
        let mut lanes = Lanes::new(2, 2);
        push(&mut lanes, 0, 1);
        lanes.flush(&mut Vec::new());
        push(&mut lanes, 1, 50);
        let mut full = Vec::new();
        lanes.flush(&mut full);
        assert_eq!(show(full), [(1, "[50] of in/0 at 50".to_owned())]);
    }
}
