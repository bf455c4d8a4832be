//! What the jobs read: events whose every field follows from their index and a seed, so that a model
//! can make them again.

use std::time::Duration;

use pelton::prelude::*;

use super::random::Random;

/// Events of a job.
pub const EVENTS: u64 = 600;
/// Splits that they are dealt out to in turn.
pub const SPLITS: u32 = 4;
/// A multiple of the splits: the events of a key are all in one split, in order.
pub const KEYS: u64 = 24;
/// Event times are behind the order of the events by less than this.
pub const DISORDER_MS: i64 = 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: u64,
    pub key: u64,
    pub at: EventTime,
    pub amount: u64,
}

impl Event {
    /// The `index`-th event: one in a millisecond, each up to [`DISORDER_MS`] late.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut random = Random::new(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let at = EventTime(index as i64 - random.below(DISORDER_MS as u64) as i64);
        Self { id: index, key: index % KEYS, at, amount: random.below(100) }
    }

    pub fn all(seed: u64) -> impl Iterator<Item = Self> {
        (0..EVENTS).map(move |index| Self::new(seed, index))
    }
}

/// By this no event is late.
pub fn watermarks() -> Watermarks<fn(&Event) -> EventTime> {
    let time_of: fn(&Event) -> EventTime = |event| event.at;
    Watermarks::bounded(Duration::from_millis(DISORDER_MS.unsigned_abs()), time_of)
}
