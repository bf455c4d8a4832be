//! Which frozen layers go to the writer when: a pure state machine.
//!
//! The operators of a worker freeze one after the other, and go on at once. The layer of an epoch
//! goes to the writer when the last of them has frozen it, then the file set is pinned. What an
//! operator spills in a later epoch must not be written before that pin, and waits behind it.

use std::collections::VecDeque;
use std::sync::Arc;

use pelton_dataflow::time::Epoch;

use crate::layers::FrozenPart;

/// Frozen overlays that are written together; of equal keys the later part counts.
pub(crate) type Parts = Vec<Arc<dyn FrozenPart>>;

/// What the writer is to do next.
pub(crate) enum Order {
    /// Write one layer.
    Write(Parts),
    /// Pin the file set for a checkpoint that was complete at this monotonic time.
    Pin { epoch: Epoch, first_frozen_ns: u64 },
}

#[derive(Default)]
pub(crate) struct Dispatch {
    owners: usize,
    /// Epochs that some owners have frozen and others have not, in order.
    open: VecDeque<OpenEpoch>,
}

struct OpenEpoch {
    epoch: Epoch,
    frozen: Vec<usize>,
    parts: Parts,
    first_frozen_ns: u64,
    /// Spilled by owners that have frozen this epoch: part of a later one.
    later: Vec<Parts>,
}

impl Dispatch {
    /// A new owner of state, which takes part in every epoch from now on.
    pub(crate) fn register(&mut self) -> usize {
        self.owners += 1;
        self.owners - 1
    }

    /// `owner` has frozen `epoch`.
    ///
    /// # Panics
    /// If it has frozen that epoch before: barriers come once.
    pub(crate) fn freeze(&mut self, owner: usize, epoch: Epoch, parts: Parts, now_ns: u64) -> Vec<Order> {
        let index = self.open.partition_point(|open| open.epoch < epoch);
        if self.open.get(index).is_none_or(|open| open.epoch != epoch) {
            let (frozen, later) = (Vec::new(), Vec::new());
            let open = OpenEpoch { epoch, frozen, parts: Parts::default(), first_frozen_ns: now_ns, later };
            self.open.insert(index, open);
        }
        let open = &mut self.open[index];
        assert!(!open.frozen.contains(&owner), "state {owner} freezes epoch {epoch:?} twice");
        open.frozen.push(owner);
        open.parts.extend(parts);
        self.ready()
    }

    /// `owner` has frozen a part before its barrier.
    pub(crate) fn spill(&mut self, owner: usize, parts: Parts) -> Vec<Order> {
        match self.open.iter_mut().rev().find(|open| open.frozen.contains(&owner)) {
            Some(open) => {
                open.later.push(parts);
                Vec::new()
            }
            None => vec![Order::Write(parts)],
        }
    }

    /// The oldest epoch that some owners have frozen and others have not: what is held waits for it.
    pub(crate) fn waits_for(&self) -> Option<Epoch> {
        self.open.front().map(|open| open.epoch)
    }

    /// How many layers are held that the writer will get once epochs are done.
    pub(crate) fn held(&self) -> usize {
        self.open.iter().map(|open| usize::from(!open.parts.is_empty()) + open.later.len()).sum()
    }

    fn ready(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        while self.open.front().is_some_and(|open| open.frozen.len() == self.owners) {
            let Some(done) = self.open.pop_front() else { break };
            if !done.parts.is_empty() {
                orders.push(Order::Write(done.parts));
            }
            orders.push(Order::Pin { epoch: done.epoch, first_frozen_ns: done.first_frozen_ns });
            orders.extend(done.later.into_iter().map(Order::Write));
        }
        orders
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::error::StateError;
    use crate::layers::Space;
    use crate::rows::RowBuffer;

    struct Nothing;
    impl FrozenPart for Nothing {
        fn whose(&self) -> &Space {
            unreachable!("it is not written")
        }

        fn write(&self, _: &Range<u16>, _: &mut RowBuffer) -> Result<(), StateError> {
            Ok(())
        }
    }

    fn part() -> Parts {
        vec![Arc::new(Nothing)]
    }

    fn script(orders: Vec<Order>) -> String {
        let word = |order| match order {
            Order::Write(parts) => format!("write{} ", parts.len()),
            Order::Pin { epoch, .. } => format!("pin{} ", epoch.0),
        };
        orders.into_iter().map(word).collect()
    }

    #[test]
    fn an_epoch_is_written_when_its_last_owner_has_frozen_it() {
        let mut dispatch = Dispatch::default();
        let (a, b) = (dispatch.register(), dispatch.register());
        assert_eq!(script(dispatch.freeze(a, Epoch(1), part(), 0)), "");
        assert_eq!(script(dispatch.freeze(b, Epoch(1), part(), 0)), "write2 pin1 ");
        assert_eq!(script(dispatch.freeze(b, Epoch(2), Parts::default(), 0)), "");
        assert_eq!(script(dispatch.freeze(a, Epoch(2), Parts::default(), 0)), "pin2 ");
    }

    #[test]
    fn a_spill_waits_for_the_pin_of_the_epoch_before() {
        let mut dispatch = Dispatch::default();
        let (a, b) = (dispatch.register(), dispatch.register());
        assert_eq!(script(dispatch.spill(a, part())), "write1 ");
        assert_eq!(script(dispatch.freeze(a, Epoch(1), part(), 0)), "");
        assert_eq!(script(dispatch.spill(a, part())), "", "it is part of epoch 2");
        assert_eq!(script(dispatch.spill(b, part())), "write1 ", "it is part of epoch 1");
        assert_eq!(script(dispatch.freeze(b, Epoch(1), part(), 0)), "write2 pin1 write1 ");
    }

    #[test]
    fn an_owner_may_be_two_epochs_ahead() {
        let mut dispatch = Dispatch::default();
        let (a, b) = (dispatch.register(), dispatch.register());
        assert_eq!(script(dispatch.freeze(a, Epoch(1), part(), 0)), "");
        assert_eq!(script(dispatch.freeze(a, Epoch(2), part(), 0)), "");
        assert_eq!(script(dispatch.spill(a, part())), "");
        assert_eq!((dispatch.waits_for(), dispatch.held()), (Some(Epoch(1)), 3));
        assert_eq!(script(dispatch.freeze(b, Epoch(1), part(), 0)), "write2 pin1 ");
        assert_eq!((dispatch.waits_for(), dispatch.held()), (Some(Epoch(2)), 2));
        assert_eq!(script(dispatch.freeze(b, Epoch(2), part(), 0)), "write2 pin2 write1 ");
        assert_eq!((dispatch.waits_for(), dispatch.held()), (None, 0));
    }
}
