//! How far event time has come for each key group: what is earlier than that is late.
//!
//! The instances of an operator freeze at different watermarks. A key group takes along the watermark of
//! the instance that owned it, wherever a restart puts it: what was late for its keys stays late, what
//! was on time stays on time, and what has fired does not fire again.
//!
//! In a checkpoint ([`Frozen::bytes`](pelton_dataflow::operator::Frozen)), numbers little endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | the watermark that the operator was told last, `i64` |
//! | 12 each | a range of key groups that is ahead of it: first `u16`, end `u16`, watermark `i64` |

use std::ops::Range;

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::key::{KeyGroup, KeyGroups, KeyHash};
use pelton_dataflow::operator::{OperatorContext, RestoredPart};
use pelton_dataflow::time::EventTime;

/// The watermarks of the key groups of one instance of an operator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    groups: KeyGroups,
    told: EventTime,
    /// Groups that had come further before a restart, in order and apart.
    ahead: Vec<(Range<u16>, EventTime)>,
}

impl Reached {
    /// What the old instances had reached, for the groups of the new one.
    pub fn restore(cx: &OperatorContext<'_>) -> OpResult<Self> {
        Self::of_parts(cx.groups, cx.groups.range(cx.worker, cx.workers), cx.restored)
    }

    /// As [`Reached::restore`], for the groups `own`.
    pub fn of_parts(groups: KeyGroups, own: Range<u16>, parts: &[RestoredPart]) -> OpResult<Self> {
        let mut levels = vec![EventTime::MIN; own.len()];
        for part in parts {
            for (range, at) in ranges_of(part)? {
                for (group, level) in (own.start..).zip(&mut levels) {
                    if range.contains(&group) {
                        *level = (*level).max(at);
                    }
                }
            }
        }
        let told = levels.iter().copied().min().unwrap_or(EventTime::MIN);
        let mut ahead: Vec<(Range<u16>, EventTime)> = Vec::new();
        for (group, at) in (own.start..).zip(levels).filter(|(_, at)| *at > told) {
            match ahead.last_mut() {
                Some((range, level)) if range.end == group && *level == at => range.end = group + 1,
                _ => ahead.push((group..group + 1, at)),
            }
        }
        Ok(Self { groups, told, ahead })
    }

    /// Takes a watermark in.
    pub fn advance(&mut self, watermark: EventTime) {
        self.told = self.told.max(watermark);
        if !self.ahead.is_empty() {
            let told = self.told;
            self.ahead.retain(|(_, at)| *at > told);
        }
    }

    /// The watermark of all groups: timers and windows up to here are due.
    #[inline]
    pub fn told(&self) -> EventTime {
        self.told
    }

    /// The watermark of the group that has come furthest.
    pub fn furthest(&self) -> EventTime {
        self.ahead.iter().map(|(_, at)| *at).fold(self.told, EventTime::max)
    }

    /// Whether all groups have come as far as it was told.
    #[inline]
    pub fn is_even(&self) -> bool {
        self.ahead.is_empty()
    }

    /// The watermark for a key of this hash.
    #[inline]
    pub fn of(&self, hash: KeyHash) -> EventTime {
        if self.is_even() { self.told } else { self.of_group(self.groups.group(hash)) }
    }

    fn of_group(&self, group: KeyGroup) -> EventTime {
        let ahead = self.ahead.iter().find(|(range, _)| range.contains(&group.0));
        ahead.map_or(self.told, |(_, at)| *at)
    }

    /// As a checkpoint keeps it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_with(None)
    }

    /// As [`Reached::to_bytes`], if some groups have come further than all were told.
    pub fn to_bytes_with(&self, further: Option<&(Range<u16>, EventTime)>) -> Vec<u8> {
        let mut bytes = self.told.0.to_le_bytes().to_vec();
        // Of ranges that overlap the furthest counts.
        for (range, at) in self.ahead.iter().chain(further) {
            bytes.extend_from_slice(&range.start.to_le_bytes());
            bytes.extend_from_slice(&range.end.to_le_bytes());
            bytes.extend_from_slice(&at.0.to_le_bytes());
        }
        bytes
    }
}

/// The ranges of `part`, each with its watermark. An operator that left none itself was where its stage
/// was.
fn ranges_of(part: &RestoredPart) -> OpResult<Vec<(Range<u16>, EventTime)>> {
    let unreadable = || OpError::from(format!("{} bytes are no watermarks of key groups", part.bytes.len()));
    let Some((told, ahead)) = part.bytes.split_first_chunk() else {
        let all = (part.groups.clone(), part.watermark);
        return if part.bytes.is_empty() { Ok(vec![all]) } else { Err(unreadable()) };
    };
    let mut ranges = vec![(part.groups.clone(), EventTime(i64::from_le_bytes(*told)))];
    let (entries, []) = ahead.as_chunks::<12>() else { return Err(unreadable()) };
    for [a, b, c, d, at @ ..] in entries {
        let range = u16::from_le_bytes([*a, *b])..u16::from_le_bytes([*c, *d]);
        ranges.push((range, EventTime(i64::from_le_bytes(*at))));
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn groups() -> KeyGroups {
        KeyGroups::new(12).unwrap()
    }

    fn part(groups: Range<u16>, reached: &Reached) -> RestoredPart {
        RestoredPart { groups, watermark: EventTime::MIN, bytes: reached.to_bytes() }
    }

    /// Workers with what they have reached.
    fn restart(parts: &[RestoredPart], workers: usize) -> Vec<Reached> {
        let restored = |worker| Reached::of_parts(groups(), groups().range(worker, workers), parts).unwrap();
        (0..workers).map(restored).collect()
    }

    proptest! {
        /// Through restarts onto any number of workers each group has what it had, or what it was told since.
        #[test]
        fn each_group_keeps_its_watermark(lives in prop::collection::vec((1usize..6, prop::collection::vec(0i64..9, 5)), 1..6)) {
            let mut levels = [i64::MIN; 12];
            let mut parts = Vec::new();
            for (workers, told) in lives {
                let mut instances = restart(&parts, workers);
                for group in 0..12 {
                    let owner = groups().owner(KeyGroup(group), workers);
                    prop_assert_eq!(instances[owner].of_group(KeyGroup(group)).0, levels[usize::from(group)]);
                }
                parts.clear();
                for (worker, instance) in instances.iter_mut().enumerate() {
                    let own = groups().range(worker, workers);
                    instance.advance(EventTime(told[worker]));
                    for group in own.clone() {
                        let level = &mut levels[usize::from(group)];
                        *level = (*level).max(told[worker]);
                        prop_assert_eq!(instance.of_group(KeyGroup(group)).0, *level);
                        prop_assert!(instance.told().0 <= *level);
                    }
                    parts.push(part(own, instance));
                }
            }
        }
    }

    #[test]
    fn an_operator_that_left_nothing_was_where_its_stage_was() {
        let left = RestoredPart { groups: 0..12, watermark: EventTime(7), bytes: Vec::new() };
        let reached = &restart(&[left], 1)[0];
        assert_eq!((reached.told(), reached.ahead.len()), (EventTime(7), 0));
    }

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_bytes_are_fixed() {
        let ahead = vec![(3..0x0102, EventTime(9))];
        let reached = Reached { groups: groups(), told: EventTime(-2), ahead };
        let bytes = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x03\0\x02\x01\x09\0\0\0\0\0\0\0";
        assert_eq!(reached.to_bytes(), bytes);
        let part = RestoredPart { groups: 0..12, watermark: EventTime::MIN, bytes: vec![0; 9] };
        let refused = ranges_of(&part).unwrap_err().to_string();
        assert_eq!(refused, "9 bytes are no watermarks of key groups");
    }
}
