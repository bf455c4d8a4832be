//! Records with a payload, and what `keyed-count` asks of a record whatever its size.

use pelton::dataflow::record::Data;
use serde::{Deserialize, Serialize};

use crate::generator::{Event, event};
use crate::shape::EVENT_BYTES;

/// A record as `keyed-count` takes it.
pub trait Countable: Data {
    /// Record `index` of an input over `keys` keys, of `bytes` bytes in all.
    fn make(index: u64, keys: u64, bytes: usize) -> Self;
    /// Key, value and time.
    fn event(&self) -> &Event;
    /// The same, for the maps.
    fn event_mut(&mut self) -> &mut Event;
    /// Whether its payload is the one that it was made with.
    fn is_whole(&self, bytes: usize) -> bool;
}

impl Countable for Event {
    #[inline]
    fn make(index: u64, keys: u64, _bytes: usize) -> Self {
        event(index, keys)
    }
    #[inline]
    fn event(&self) -> &Event {
        self
    }
    #[inline]
    fn event_mut(&mut self) -> &mut Event {
        self
    }
    #[inline]
    fn is_whole(&self, _bytes: usize) -> bool {
        true
    }
}

/// A record with a payload on the heap, as one that owns a text has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeEvent {
    event: Event,
    /// The low byte of the value, over and over.
    payload: Box<[u8]>,
}

impl Countable for LargeEvent {
    #[inline]
    fn make(index: u64, keys: u64, bytes: usize) -> Self {
        let event = event(index, keys);
        Self { event, payload: vec![event.value as u8; bytes - EVENT_BYTES].into_boxed_slice() }
    }
    #[inline]
    fn event(&self) -> &Event {
        &self.event
    }
    #[inline]
    fn event_mut(&mut self) -> &mut Event {
        &mut self.event
    }
    /// Looks at both ends, which are on different cache lines, not at each byte: it is the engine
    /// that is measured.
    #[inline]
    fn is_whole(&self, bytes: usize) -> bool {
        let end = Some(&(self.event.value as u8));
        self.payload.len() == bytes - EVENT_BYTES && self.payload.first() == end && self.payload.last() == end
    }
}

/// The map of `keyed-count`: each moves a record to the next of `keys` keys, so that one too many or
/// too few shows in the counts.
#[inline]
pub fn next_key(key: u64, keys: u64) -> u64 {
    if key + 1 == keys { 0 } else { key + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_another_length_or_record_is_not_whole() {
        let record = LargeEvent::make(7, 100, 64);
        assert!(record.is_whole(64));
        assert!(!record.is_whole(65));
        let mut of_another = record.clone();
        of_another.event.value += 1;
        assert!(!of_another.is_whole(64));
    }

    #[test]
    fn keys_go_round() {
        assert_eq!([0, 1, 2].map(|key| next_key(key, 3)), [1, 2, 0]);
        assert_eq!(next_key(0, 1), 0);
    }
}
