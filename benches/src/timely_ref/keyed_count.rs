//! W1: a running count per key, every update emitted.

use timely::container::NoopBuilder;
use timely::dataflow::operators::Operator;
use timely::worker::Worker;

use super::exchange::by_key;
use super::sink::{self, Outcome};
use super::source::{Reached, blocks};
use super::{KeyMap, Run};

/// A key and how often it has been seen.
type Update = (u64, u64);

/// Builds the dataflow on one worker.
pub fn build(worker: &mut Worker, run: &Run) -> Outcome {
    worker.dataflow::<u64, _, _>(|scope| {
        let reached = Reached::default();
        let keys = run.keys as usize / scope.peers();
        let counted = blocks(scope, run, &reached).unary::<NoopBuilder<Vec<Update>>, _, _, _>(
            by_key(),
            "Count",
            |_, _| {
                // With room to spare, so that the table does not grow by the chance of the hash.
                let mut counts: KeyMap<u64> =
                    KeyMap::with_capacity_and_hasher(keys + keys / 8, Default::default());
                let mut updates = Vec::new();
                move |input, output| {
                    input.for_each(|capability, batch| {
                        updates.clear();
                        updates.reserve_exact(batch.len());
                        updates.extend(batch.drain(..).map(|event| {
                            let count = counts.entry(event.key).or_insert(0);
                            *count += 1;
                            (event.key, *count)
                        }));
                        output.session_with_builder(&capability).give_container(&mut updates);
                    });
                }
            },
        );
        sink::checksum(counted, run, &reached, |checksum, &(key, count): &Update| {
            checksum.counted(key, count);
        })
    })
}
