//! The slices of one key that its next windows are made of, merged so far that each window takes two merges.
//!
//! It is a queue on two stacks with a running aggregate, in one buffer (Tangwongsan, Hirzel, Schneider: "Low-Latency
//! Sliding-Window Aggregation in Worst-Case Constant Time", DEBS 2017, as *Two-Stacks Lite*). New slices are appended as they are,
//! and merged into the running aggregate of all that were. When the oldest has to leave, all are *flipped*: each then holds what it and
//! all after it hold, so that the aggregate of any number of the newest of them is one look. A slice is merged twice in its life.

use std::collections::VecDeque;

use pelton_dataflow::time::EventTime;

use crate::aggregate::Aggregate;

/// The slices of a key, by their ends. Only those in which it has had records.
pub(super) struct Queue<A> {
    slices: VecDeque<(EventTime, A)>,
    /// So many from the front hold what they and all after them up to this one hold.
    flipped: usize,
    /// What all others hold together.
    rest: A,
}

impl<A: Default + Clone> Queue<A> {
    pub fn new() -> Self {
        Self { slices: VecDeque::new(), flipped: 0, rest: A::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Appends a slice that ends after all others.
    pub fn push<G: Aggregate<Accumulator = A>>(&mut self, aggregate: &G, end: EventTime, slice: A) {
        debug_assert!(self.slices.back().is_none_or(|(last, _)| *last < end), "the slice {end} came twice");
        aggregate.merge(&mut self.rest, slice.clone());
        self.slices.push_back((end, slice));
    }

    /// Drops the slices that end up to `start`.
    pub fn drop_until<G: Aggregate<Accumulator = A>>(&mut self, aggregate: &G, start: EventTime) {
        let due = |slices: &VecDeque<(EventTime, A)>| slices.front().is_some_and(|(end, _)| *end <= start);
        while self.flipped > 0 && due(&self.slices) {
            self.slices.pop_front();
            self.flipped -= 1;
        }
        if due(&self.slices) {
            while due(&self.slices) {
                self.slices.pop_front();
            }
            self.flip(aggregate);
        }
    }

    fn flip<G: Aggregate<Accumulator = A>>(&mut self, aggregate: &G) {
        let mut after: Option<A> = None;
        for (_, slice) in self.slices.iter_mut().rev() {
            if let Some(after) = after {
                aggregate.merge(slice, after);
            }
            after = Some(slice.clone());
        }
        self.flipped = self.slices.len();
        self.rest = A::default();
    }

    /// Adds a record to the slice that ends at `end`, among those that are there already.
    pub fn add<G: Aggregate<Accumulator = A>>(&mut self, aggregate: &G, end: EventTime, value: &G::In) {
        let index = self.slices.partition_point(|(known, _)| *known < end);
        let is_there = self.slices.get(index).is_some_and(|(known, _)| *known == end);
        if index < self.flipped {
            if !is_there {
                let after = self.slices[index].1.clone();
                self.slices.insert(index, (end, after));
                self.flipped += 1;
            }
            self.slices.iter_mut().take(index + 1).for_each(|(_, slice)| aggregate.add_ref(slice, value));
            return;
        }
        if !is_there {
            self.slices.insert(index, (end, A::default()));
        }
        aggregate.add_ref(&mut self.slices[index].1, value);
        aggregate.add_ref(&mut self.rest, value);
    }

    /// The aggregate of all slices, of which there are some.
    pub fn result<G: Aggregate<Accumulator = A>>(&self, aggregate: &G) -> G::Out {
        match self.slices.front() {
            Some((_, oldest)) if self.flipped > 0 => {
                if self.flipped == self.slices.len() {
                    return aggregate.result(oldest);
                }
                let mut all = oldest.clone();
                aggregate.merge(&mut all, self.rest.clone());
                aggregate.result(&all)
            }
            _ => aggregate.result(&self.rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Fold;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Push(i64, Vec<u8>),
        Drop(i64),
        Add(i64, u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1i64..3, prop::collection::vec(0u8..100, 1..3)).prop_map(|(by, values)| Step::Push(by, values)),
            3 => (0i64..4).prop_map(Step::Drop),
            2 => (0i64..8, 0u8..100).prop_map(|(back, value)| Step::Add(back, value)),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// Bags: what is lost or counted twice shows.
    fn bag() -> impl Aggregate<In = u8, Accumulator = BTreeMap<u8, u32>, Out = BTreeMap<u8, u32>> {
        Fold::new(|bag: &mut BTreeMap<u8, u32>, value| *bag.entry(value).or_default() += 1).merging(
            |bag, other| other.into_iter().for_each(|(value, count)| *bag.entry(value).or_default() += count),
        )
    }

    proptest! {
        #[test]
        fn a_queue_is_the_sum_of_its_slices(steps in steps()) {
            let bag = bag();
            let mut queue = Queue::new();
            let mut model: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
            let (mut newest, mut oldest) = (0, 0);
            for step in steps {
                match step {
                    Step::Push(by, values) => {
                        newest += by;
                        let mut slice = BTreeMap::new();
                        values.iter().for_each(|value| bag.add(&mut slice, *value));
                        queue.push(&bag, EventTime(newest), slice);
                        model.insert(newest, values);
                    }
                    Step::Drop(by) => {
                        oldest += by;
                        newest = newest.max(oldest);
                        queue.drop_until(&bag, EventTime(oldest));
                        model.retain(|end, _| *end > oldest);
                    }
                    Step::Add(back, value) if newest - back > oldest => {
                        queue.add(&bag, EventTime(newest - back), &value);
                        model.entry(newest - back).or_default().push(value);
                    }
                    Step::Add(..) => {}
                }
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                let mut expected = BTreeMap::new();
                model.values().flatten().for_each(|value| bag.add(&mut expected, *value));
                if !model.is_empty() {
                    prop_assert_eq!(queue.result(&bag), expected);
                }
            }
        }
    }

    /// However many slices a window has, it costs the same.
    #[test]
    fn a_window_takes_a_few_merges() {
        thread_local!(static MERGES: Cell<u64> = const { Cell::new(0) });
        let sum = Fold::new(|sum: &mut u64, value: u64| *sum += value).merging(|sum, other| {
            MERGES.set(MERGES.get() + 1);
            *sum += other;
        });
        const WINDOWS: i64 = 10_000;
        for slices in [2, 60, 360] {
            MERGES.set(0);
            let mut queue = Queue::new();
            for end in 0..WINDOWS {
                queue.push(&sum, EventTime(end), 1);
                queue.drop_until(&sum, EventTime(end - slices));
                assert_eq!(queue.result(&sum), (end + 1).min(slices) as u64);
            }
            assert!(MERGES.get() <= 3 * WINDOWS as u64, "{slices} slices: {} merges", MERGES.get());
        }
    }
}
