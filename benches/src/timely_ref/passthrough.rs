//! W0: source, map, discard.

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::worker::Worker;

use super::Run;
use super::sink::{self, Outcome};
use super::source::{Reached, blocks};
use crate::generator::Event;
use crate::verify::w0_map;

/// Builds the dataflow on one worker.
pub fn build(worker: &mut Worker, run: &Run) -> Outcome {
    worker.dataflow::<u64, _, _>(|scope| {
        let reached = Reached::default();
        let mapped = blocks(scope, run, &reached).unary::<NoopBuilder<Vec<Event>>, _, _, _>(
            Pipeline,
            "Map",
            |_, _| {
                move |input, output| {
                    input.for_each(|capability, batch| {
                        batch.iter_mut().for_each(|event| *event = w0_map(*event));
                        output.session_with_builder(&capability).give_container(batch);
                    });
                }
            },
        );
        sink::checksum(mapped, run, &reached, |checksum, event: &Event| checksum.mapped(event.value))
    })
}
