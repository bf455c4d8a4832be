//! W2: sums per key over tumbling windows of event time.

use std::collections::VecDeque;

use timely::container::NoopBuilder;
use timely::dataflow::operators::{Capability, Operator};
use timely::worker::Worker;

use super::exchange::by_key;
use super::sink::{self, Outcome};
use super::source::{Reached, blocks};
use super::{KeyMap, Run};
use crate::generator::WINDOW_MS;
use crate::verify::window_start;

/// A key, the start of its window, and the sum of its values there.
type Sum = (u64, i64, i64);

/// A window that is still open.
struct Window {
    start: i64,
    fires_under: Capability<u64>,
    sums: KeyMap<i64>,
}

/// Builds the dataflow on one worker.
pub fn build(worker: &mut Worker, run: &Run) -> Outcome {
    worker.dataflow::<u64, _, _>(|scope| {
        let reached = Reached::default();
        let keys = run.keys as usize / scope.peers();
        let summed = blocks(scope, run, &reached).unary_frontier::<NoopBuilder<Vec<Sum>>, _, _, _>(
            by_key(),
            "Sum",
            |_, _| {
                let mut open: VecDeque<Window> = VecDeque::new();
                let mut spare: Vec<KeyMap<i64>> = Vec::new();
                let mut results = Vec::new();
                move |(input, frontier), output| {
                    input.for_each(|capability, batch| {
                        let mut rest = batch.as_slice();
                        while let Some(first) = rest.first() {
                            let start = window_start(first.time);
                            let within =
                                rest.iter().take_while(|event| window_start(event.time) == start).count();
                            let (run, behind) = rest.split_at(within);
                            let at =
                                open.iter().position(|window| window.start == start).unwrap_or_else(|| {
                                    let sums = spare.pop().unwrap_or_else(|| {
                                        KeyMap::with_capacity_and_hasher(keys + keys / 8, Default::default())
                                    });
                                    let end = (start + WINDOW_MS) as u64;
                                    open.push_back(Window {
                                        start,
                                        fires_under: capability.delayed(&end, 0),
                                        sums,
                                    });
                                    open.len() - 1
                                });
                            let sums = &mut open[at].sums;
                            run.iter().for_each(|event| *sums.entry(event.key).or_insert(0) += event.value);
                            rest = behind;
                        }
                        batch.clear();
                    });
                    while open.front().is_some_and(|window| !frontier.less_than(window.fires_under.time())) {
                        let Some(mut window) = open.pop_front() else { break };
                        results.extend(window.sums.drain().map(|(key, sum)| (key, window.start, sum)));
                        output.session_with_builder(&window.fires_under).give_container(&mut results);
                        spare.push(window.sums);
                    }
                }
            },
        );
        sink::checksum(summed, run, &reached, |checksum, &(key, start, sum): &Sum| {
            checksum.summed(key, start, sum);
        })
    })
}
