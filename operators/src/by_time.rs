//! Records of one key in the order of their event times: what operators keep that wait for event time.
//!
//! Records come nearly in order, and what is past goes from the front: a ring takes both at its ends. One
//! that comes late is put in its place, which moves what is later than it and nothing else.

use std::collections::VecDeque;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use serde::{Deserialize, Serialize};

/// Records of one key that one call lets go of: a timer of a key with more of them is set again, so that
/// barriers and full outputs have their chance.
pub(crate) const SLICE: usize = 1_024;

/// Whether no record of `until` or before can come any more that is not late.
#[inline]
pub(crate) fn is_past(until: EventTime, watermark: EventTime) -> bool {
    until < watermark || watermark == EventTime::END
}

/// The first watermark at which `until` [`is_past`].
#[inline]
pub(crate) fn past_at(until: EventTime) -> EventTime {
    EventTime(until.0.saturating_add(1))
}

/// Refuses records without event time: to an operator that compares times they would all be of one.
#[inline]
pub(crate) fn has_time(time: EventTime) -> OpResult {
    if time == EventTime::MIN {
        return Err(
            "a record has no event time to go by: give the source `.watermarks(...)` that read it".into()
        );
    }
    Ok(())
}

/// A ring is made smaller only from this size on, and when it is less than a quarter full.
const WORTH_SHRINKING: usize = 64;

/// Records of one key by event time; of those of one time the first that came is the first.
///
/// As keyed state it equals its default when it is empty, and nothing else: records need not be comparable.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
#[serde(transparent)]
pub(crate) struct ByTime<T> {
    records: VecDeque<(EventTime, T)>,
}

impl<T> Default for ByTime<T> {
    fn default() -> Self {
        Self { records: VecDeque::new() }
    }
}

impl<T> PartialEq for ByTime<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_empty() && other.is_empty()
    }
}

impl<T> ByTime<T> {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The earliest time.
    pub fn first_time(&self) -> Option<EventTime> {
        self.records.front().map(|(time, _)| *time)
    }

    /// The latest time.
    pub fn last_time(&self) -> Option<EventTime> {
        self.records.back().map(|(time, _)| *time)
    }

    /// The earliest record.
    pub fn first(&self) -> Option<&(EventTime, T)> {
        self.records.front()
    }

    /// The time of the earliest record but one.
    pub fn second_time(&self) -> Option<EventTime> {
        self.records.get(1).map(|(time, _)| *time)
    }

    /// Puts a record behind those of its time.
    #[inline]
    pub fn insert(&mut self, time: EventTime, value: T) {
        if self.records.back().is_none_or(|(last, _)| *last <= time) {
            self.records.push_back((time, value));
        } else {
            let index = self.records.partition_point(|(at, _)| *at <= time);
            self.records.insert(index, (time, value));
        }
    }

    /// The records from `first` to `last`, both included.
    pub fn between(&self, first: EventTime, last: EventTime) -> impl Iterator<Item = &(EventTime, T)> {
        let from = self.records.partition_point(|(at, _)| *at < first);
        self.records.range(from..).take_while(move |(at, _)| *at <= last)
    }

    /// As [`ByTime::between`], to be changed.
    pub fn between_mut(
        &mut self,
        first: EventTime,
        last: EventTime,
    ) -> impl Iterator<Item = &mut (EventTime, T)> {
        let from = self.records.partition_point(|(at, _)| *at < first);
        self.records.range_mut(from..).take_while(move |(at, _)| *at <= last)
    }

    /// Takes the earliest record out if `goes` holds for its time.
    #[inline]
    pub fn pop_first_if(&mut self, goes: impl FnOnce(EventTime) -> bool) -> Option<(EventTime, T)> {
        let first = self.records.pop_front_if(|(time, _)| goes(*time))?;
        if self.records.capacity() >= WORTH_SHRINKING && self.records.len() < self.records.capacity() / 4 {
            self.records.shrink_to(self.records.len() * 2);
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list that is sorted after each insertion.
        #[test]
        fn records_lie_in_the_order_of_time_then_of_arrival(
            times in prop::collection::vec(0i64..9, 0..40), first in 0i64..10, width in 0i64..10, until in 0i64..10,
        ) {
            let mut ring = ByTime::default();
            let mut list: Vec<(EventTime, usize)> = Vec::new();
            for (nth, time) in times.into_iter().enumerate() {
                ring.insert(EventTime(time), nth);
                list.push((EventTime(time), nth));
                list.sort();
            }
            let (first, last) = (EventTime(first), EventTime(first + width));
            let expected: Vec<_> = list.iter().filter(|(at, _)| *at >= first && *at <= last).copied().collect();
            prop_assert_eq!(ring.between(first, last).copied().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(ring.between_mut(first, last).map(|it| *it).collect::<Vec<_>>(), expected);
            while let Some(gone) = ring.pop_first_if(|time| time < EventTime(until)) {
                prop_assert_eq!(gone, list.remove(0));
            }
            prop_assert_eq!(ring.first_time(), list.first().map(|(at, _)| *at));
            prop_assert_eq!(ring.first(), list.first());
            prop_assert_eq!(ring.second_time(), list.get(1).map(|(at, _)| *at));
            prop_assert_eq!(ring.last_time(), list.last().map(|(at, _)| *at));
            prop_assert!(ring.first_time().is_none_or(|first| first >= EventTime(until)));
        }
    }

    #[test]
    fn a_ring_that_has_run_empty_gives_its_memory_back() {
        let mut ring = ByTime::default();
        (0..10_000).for_each(|time| ring.insert(EventTime(time), 0u64));
        while ring.pop_first_if(|time| time < EventTime(9_990)).is_some() {}
        assert!(ring.records.capacity() < 2 * WORTH_SHRINKING, "room for {}", ring.records.capacity());
    }
}
