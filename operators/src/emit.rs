//! Taking batches apart and putting batches together, in slices: what operators that may emit more
//! than they take are built on.

use std::vec;

use pelton_dataflow::operator::{Flow, Outputs};
use pelton_dataflow::rank::Rank;
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::EventTime;

/// The records of a batch that are still to be processed.
pub(crate) struct Feed<T> {
    records: vec::IntoIter<Record<T>>,
    /// As many as records, where those have ranks.
    ranks: Option<vec::IntoIter<Rank>>,
    pub origin: Origin,
}

impl<T> Default for Feed<T> {
    fn default() -> Self {
        Self { records: Vec::new().into_iter(), ranks: None, origin: Origin::default() }
    }
}

impl<T: Data> Feed<T> {
    pub fn of(batch: Batch) -> Self {
        let (records, origin, ranks) = batch.into_ranked::<T>();
        Self { records: records.into_iter(), ranks: ranks.map(Vec::into_iter), origin }
    }

    /// As [`Feed::of`], with the origin apart.
    pub fn with_origin(batch: Batch) -> (Self, Origin) {
        let mut feed = Self::of(batch);
        let origin = std::mem::take(&mut feed.origin);
        (feed, origin)
    }

    #[inline]
    pub fn next(&mut self) -> Option<Record<T>> {
        self.records.next()
    }

    /// The rank of the record that was taken last, if records have ranks; once for each.
    #[inline]
    pub fn rank(&mut self) -> Option<Rank> {
        self.ranks.as_mut()?.next()
    }

    /// The next `max` records, or as many as there are.
    #[inline]
    pub fn ahead(&self, max: usize) -> &[Record<T>] {
        let left = self.records.as_slice();
        &left[..left.len().min(max)]
    }
}

/// The batch that an output port is filling.
pub(crate) struct Emitter<U> {
    port: usize,
    records: Vec<Record<U>>,
    /// As long as `records`, where those have ranks; else empty.
    ranks: Vec<Rank>,
    /// What is pushed was made from this, so many before it.
    cause: Option<(Rank, u64)>,
    batch_records: usize,
}

impl<U: Data> Emitter<U> {
    pub fn new(port: usize, batch_records: usize) -> Self {
        Self { port, records: Vec::new(), ranks: Vec::new(), cause: None, batch_records }
    }

    #[inline]
    pub fn push(&mut self, time: EventTime, value: U) {
        self.records.push(Record::new(time, value));
        if let Some((cause, before)) = &mut self.cause {
            self.ranks.push(cause.then(*before));
            *before += 1;
        }
    }

    /// What is pushed from here on is made from the record or timer of this rank.
    #[inline]
    pub fn made_from(&mut self, cause: Option<&Rank>) {
        if let Some(cause) = cause {
            self.cause = Some((cause.clone(), 0));
        }
    }

    /// Sends what there is if it fills a batch; whether the operator has to stop.
    #[inline]
    pub fn ship_full(&mut self, origin: &Origin, out: &mut Outputs) -> bool {
        if self.records.len() >= self.batch_records {
            self.ship(origin, out);
        }
        out.is_full()
    }

    /// Sends what there is, in batches of the usual size: one callback may have emitted many.
    pub fn ship(&mut self, origin: &Origin, out: &mut Outputs) {
        let mut records = std::mem::take(&mut self.records);
        let mut ranks = Some(std::mem::take(&mut self.ranks)).filter(|ranks| !ranks.is_empty());
        if records.len() > 2 * self.batch_records {
            let mut all = records.into_iter();
            let mut all_ranks = ranks.map(Vec::into_iter);
            while all.len() > 2 * self.batch_records {
                let some = all.by_ref().take(self.batch_records).collect();
                let ranks = all_ranks.as_mut().map(|all| all.by_ref().take(self.batch_records).collect());
                out.send_ranked(self.port, some, origin.clone(), ranks);
            }
            records = all.collect();
            ranks = all_ranks.map(Iterator::collect);
        }
        out.send_ranked(self.port, records, origin.clone(), ranks);
    }
}

/// The flow of an operator that has stopped, or not.
pub(crate) fn flow(stopped: bool) -> Flow {
    if stopped { Flow::More } else { Flow::Done }
}
