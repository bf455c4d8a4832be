//! Which splits there are, who reads them, when children may start, and when a source has ended.
//!
//! A child is given out once its parents have ended, in an epoch after the last of theirs: only
//! when the instance that is to read it has itself left that epoch. Alignment then keeps each
//! key's records in order: no operator takes the child's before it has all of the parents'.

use std::collections::BTreeMap;

use pelton_dataflow::graph::NodeId;
use pelton_dataflow::source::{SplitId, SplitInfo, SplitState, SplitStatus};
use pelton_dataflow::time::Epoch;
use pelton_state::checkpoint::manifest::{SourcePart, SplitPart};

use super::epochs::Ended;
use super::event::{Action, OperatorAcked, Plan};

/// A split, as this generation knows it.
#[derive(Debug)]
struct Split {
    /// How far it was read when it was found or restored.
    state: SplitState,
    worker: Option<usize>,
    finished_in: Option<Epoch>,
}

#[derive(Debug)]
struct SourceSplits {
    id: NodeId,
    name: String,
    is_discovered: bool,
    is_complete: bool,
    has_ended: bool,
    splits: BTreeMap<SplitId, Split>,
    /// The epoch that each worker's instance is known to have reached.
    reached: Vec<Epoch>,
}

/// What keeps a child whose parents have all ended from being given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// The instance that is to read it is not known to have left the epoch of its last parent. Any
    /// later epoch that it acknowledges says so too, if it is not heard of this one.
    Acknowledgement,
    /// Its last parent has ended in the current epoch.
    EndOfEpoch,
}

/// The splits of all sources.
#[derive(Debug)]
pub struct Splits {
    sources: Vec<SourceSplits>,
}

impl Splits {
    /// What the checkpoint knows of them.
    pub fn new(plan: &Plan) -> Self {
        let sources = plan.operators.iter().filter(|operator| operator.is_source).map(|operator| {
            let restored = plan.sources.iter().find(|part| part.source == operator.name);
            let splits = restored.map(|part| part.splits.iter().map(restore).collect()).unwrap_or_default();
            SourceSplits {
                id: operator.id,
                name: operator.name.clone(),
                is_discovered: false,
                is_complete: false,
                has_ended: false,
                splits,
                reached: vec![plan.first_epoch; plan.workers],
            }
        });
        Self { sources: sources.collect() }
    }

    /// All sources.
    pub fn sources(&self) -> impl Iterator<Item = NodeId> {
        self.sources.iter().map(|source| source.id)
    }

    /// The sources that may have splits not yet known.
    pub fn incomplete(&self) -> impl Iterator<Item = NodeId> {
        self.sources.iter().filter(|source| !source.is_complete).map(|source| source.id)
    }

    /// Whether every source has been asked once.
    pub fn all_discovered(&self) -> bool {
        self.sources.iter().all(|source| source.is_discovered)
    }

    /// Takes the answer of an enumerator.
    pub fn discovered(&mut self, source: NodeId, splits: Vec<SplitInfo>, complete: bool) {
        let source = self.source(source);
        source.is_discovered = true;
        source.is_complete = complete;
        for info in splits {
            source.splits.entry(info.id.clone()).or_insert_with(|| Split {
                state: SplitState::fresh(info),
                worker: None,
                finished_in: None,
            });
        }
    }

    /// Notes that an instance of a source has left an epoch.
    pub fn acknowledged(&mut self, ack: &OperatorAcked) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.id == ack.operator) {
            let reached = &mut source.reached[ack.worker];
            *reached = (*reached).max(ack.epoch.next());
        }
    }

    /// Notes that a split has ended; whether its source may have found others by that.
    pub fn finished(&mut self, source: NodeId, split: &SplitId, epoch: Epoch) -> bool {
        let source = self.source(source);
        if let Some(split) = source.splits.get_mut(split) {
            split.finished_in.get_or_insert(epoch);
        }
        !source.is_complete
    }

    /// What a child whose parents have all ended waits for.
    pub fn wait_for(&self, current: Epoch) -> Option<Wait> {
        let waiting = self.sources.iter().flat_map(|source| {
            source.waiting().filter_map(|split| source.start_after(split)).map(|after| {
                let is_current = after.is_some_and(|after| after >= current);
                if is_current { Wait::EndOfEpoch } else { Wait::Acknowledgement }
            })
        });
        waiting.max()
    }

    /// Gives out the splits that may start in `current`, each to the worker with the fewest.
    pub fn assign(&mut self, current: Epoch, actions: &mut Vec<Action>) {
        for source in &mut self.sources {
            let ready: Vec<(SplitId, Option<Epoch>)> = source
                .waiting()
                .filter_map(|split| Some((split.state.info.id.clone(), source.start_after(split)?)))
                .filter(|(_, after)| *after < Some(current))
                .collect();
            for (id, after) in ready {
                let worker = source.least_loaded();
                if after.is_some_and(|after| source.reached[worker] <= after) {
                    continue;
                }
                let split = source.splits.get_mut(&id).expect("it has just been found among the splits");
                split.worker = Some(worker);
                actions.push(Action::Assign { source: source.id, worker, split: split.state.clone() });
            }
        }
    }

    /// The sources whose input has ended since the last call.
    pub fn take_ended(&mut self) -> Vec<NodeId> {
        let ended = self.sources.iter_mut().filter(|source| {
            !source.has_ended
                && source.is_complete
                && source.splits.values().all(|split| split.finished_in.is_some())
        });
        let note = |source: &mut SourceSplits| {
            source.has_ended = true;
            source.id
        };
        ended.map(note).collect()
    }

    /// Whether the input of every source has ended.
    pub fn have_all_ended(&self) -> bool {
        self.sources.iter().all(|source| source.has_ended)
    }

    /// What the manifest of `ended` says of the sources.
    pub fn parts(&self, ended: &Ended) -> Vec<SourcePart> {
        self.sources.iter().map(|source| source.part(ended)).collect()
    }

    fn source(&mut self, id: NodeId) -> &mut SourceSplits {
        let found = self.sources.iter_mut().find(|source| source.id == id);
        found.unwrap_or_else(|| panic!("node {} is no source of this job", id.0))
    }
}

impl SourceSplits {
    /// Splits that nobody reads and that have not ended.
    fn waiting(&self) -> impl Iterator<Item = &Split> {
        self.splits.values().filter(|split| split.worker.is_none() && split.finished_in.is_none())
    }

    /// The epoch that `split` may start after; `None` inside if there is no such, `None` if one of
    /// its parents has not ended. A parent that is not known has left the source long ago.
    fn start_after(&self, split: &Split) -> Option<Option<Epoch>> {
        let mut after = None;
        for parent in &split.state.info.parents {
            if let Some(parent) = self.splits.get(parent) {
                after = after.max(Some(parent.finished_in?));
            }
        }
        Some(after)
    }

    fn least_loaded(&self) -> usize {
        let load = |worker: &usize| {
            let live = self.splits.values().filter(|split| split.finished_in.is_none());
            live.filter(|split| split.worker == Some(*worker)).count()
        };
        (0..self.reached.len()).min_by_key(load).unwrap_or(0)
    }

    fn part(&self, ended: &Ended) -> SourcePart {
        let mut read: BTreeMap<&SplitId, &SplitState> = BTreeMap::new();
        for ack in ended.acks().filter(|ack| ack.operator == self.id) {
            read.extend(ack.splits.iter().map(|split| (&split.info.id, split)));
        }
        let splits = self.splits.iter().map(|(id, split)| {
            // One that its worker has not yet taken is where it was when it was given out.
            let state = read.get(id).map_or(&split.state, |state| *state).clone();
            let was_finished = state.status == SplitStatus::Finished;
            SplitPart {
                assigned: split.worker.is_some(),
                finished_in: was_finished.then(|| split.finished_in.unwrap_or(ended.epoch)),
                state,
            }
        });
        SourcePart { source: self.name.clone(), complete: self.is_complete, splits: splits.collect() }
    }
}

/// Whether `part` leaves nothing to read.
pub fn is_read_to_its_end(part: &SourcePart) -> bool {
    part.complete && part.splits.iter().all(|split| split.finished_in.is_some())
}

fn restore(part: &SplitPart) -> (SplitId, Split) {
    let split = Split { state: part.state.clone(), worker: None, finished_in: part.finished_in };
    (part.state.info.id.clone(), split)
}
