//! The watermark that an instance without keys was told last, over restarts.
//!
//! Instances freeze at different watermarks, and a record that is read again after a restart may come to any new
//! one. So a new instance begins at the least that the old ones were told: what was late for all of them
//! stays late, and nothing that was on time becomes so. What a part of a checkpoint says of its stage
//! ([`RestoredPart::watermark`](pelton_dataflow::operator::RestoredPart::watermark)) will not do: a stage reports no less than the furthest of
//! the instances before it, but for the end.
//!
//! In a checkpoint it stands at the head of the operator's bytes, behind the version of their layout if they have one: `i64`, little endian.

use pelton_dataflow::time::EventTime;

/// As a checkpoint keeps it, for the rest to be appended.
pub(crate) fn to_bytes(watermark: EventTime) -> Vec<u8> {
    watermark.0.to_le_bytes().to_vec()
}

/// The watermark in front of an old instance's bytes, and the rest; `None` if they are too short.
pub(crate) fn split(bytes: &[u8]) -> Option<(EventTime, &[u8])> {
    let (watermark, rest) = bytes.split_first_chunk()?;
    Some((EventTime(i64::from_le_bytes(*watermark)), rest))
}

/// Where a new instance begins. An old one that left nothing stood for something else, and was told nothing.
pub(crate) fn least(old: impl Iterator<Item = EventTime>) -> EventTime {
    old.min().unwrap_or(EventTime::MIN)
}
