//! The watermark board: what each source on each worker says of event time, so that idle ones can
//! follow those that are not. An operator that makes watermarks in the middle of a graph is a source here.
//!
//! An idle source follows the least watermark over the active splits of its own source; when that
//! source is wholly idle, over the sources of its connected component; else it holds. It never
//! jumps to the end of time: it may be given work again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::alignment::Alignment;
use crate::graph::{Graph, NodeId};
use crate::source::SourceTime;
use crate::time::EventTime;

/// The event times of the sources of a job.
#[derive(Debug, Default)]
pub struct WatermarkBoard {
    component_of: BTreeMap<NodeId, usize>,
    said: Mutex<BTreeMap<(NodeId, usize), SourceTime>>,
    alignment: Alignment,
}

impl WatermarkBoard {
    /// A board on which each of `workers` instances of each source starts as active and knowing
    /// nothing: one that has not spoken yet holds back those that would follow it.
    #[must_use]
    pub fn new(graph: &Graph, workers: usize) -> Self {
        let components = graph.components();
        let makers = graph.nodes().iter().filter(|node| node.makes_time());
        let component_of: BTreeMap<_, _> = makers.map(|node| (node.id, components[node.id.0])).collect();
        let said = component_of
            .keys()
            .flat_map(|&source| {
                (0..workers).map(move |worker| ((source, worker), SourceTime::Active(EventTime::MIN)))
            })
            .collect();
        Self { component_of, said: Mutex::new(said), alignment: Alignment::default() }
    }

    /// The groups of splits that keep in step.
    #[must_use]
    pub fn alignment(&self) -> &Alignment {
        &self.alignment
    }

    /// Notes what `source` on `worker` says, and answers with the watermark it may publish;
    /// `None` if it has to hold.
    pub fn say(&self, source: NodeId, worker: usize, time: SourceTime) -> Option<EventTime> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert((source, worker), time);
        if let SourceTime::Active(watermark) = time {
            return Some(watermark);
        }
        let least = |in_scope: &dyn Fn(NodeId) -> bool| {
            said.iter()
                .filter(|((other, _), _)| in_scope(*other))
                .filter_map(|(_, time)| match time {
                    // The end of another source's input is no time that this one has reached.
                    SourceTime::Active(watermark) if *watermark < EventTime::END => Some(*watermark),
                    _ => None,
                })
                .min()
        };
        let component = self.component_of.get(&source);
        least(&|other| other == source).or_else(|| least(&|other| self.component_of.get(&other) == component))
    }
}
