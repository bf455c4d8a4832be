//! The end of each workload: a checksum of the output, which is then discarded.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use super::source::Reached;
use super::{Run, Seen};
use crate::stopwatch::Gaps;
use crate::verify::Checksum;

/// What a sink has seen, to be taken once the dataflow is through.
pub struct Outcome(Rc<Cell<Seen>>);

impl Outcome {
    /// What it has seen by now.
    pub fn take(&self) -> Seen {
        self.0.get()
    }
}

/// Adds each record to the checksum by `add`, and tells the source by `reached` how far it is.
pub fn checksum<T: 'static>(
    stream: StreamVec<'_, u64, T>,
    run: &Run,
    reached: &Reached,
    mut add: impl FnMut(&mut Checksum, &T) + 'static,
) -> Outcome
where
    Vec<T>: Clone,
{
    let seen = Rc::new(Cell::new(Seen { checksum: Checksum::default(), gaps: Gaps::new(run.since) }));
    let (outcome, reached, done) = (seen.clone(), reached.clone(), run.done.clone());
    stream.sink(Pipeline, "Checksum", move |(input, frontier)| {
        let Seen { mut checksum, mut gaps } = seen.get();
        input.for_each(|_, batch| {
            batch.iter().for_each(|record| add(&mut checksum, record));
            gaps.output();
            batch.clear();
        });
        done.fetch_add(checksum.results - seen.get().checksum.results, Ordering::Relaxed);
        seen.set(Seen { checksum, gaps });
        reached.advance(frontier.frontier().first().copied().unwrap_or(u64::MAX));
    });
    Outcome(outcome)
}
