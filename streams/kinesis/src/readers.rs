//! Readers that are kept between two calls of `GetRecords`. Iterators are tokens without a state in the
//! service, so a reader is found again by where it stands; one that is not found is opened anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pelton_streams::{Reader, ShardId};

/// Readers that are kept: each consumer of a shard needs one, and an index of segments lives as long as
/// a reader that uses it.
const MOST_READERS: usize = 8_192;
/// Bytes of records that kept readers hold: what was read from disk and not given yet.
const MOST_BYTES: usize = 48 << 20;
/// A reader whose iterator has expired is of no use to anybody.
const LIFETIME_MS: u64 = crate::token::LIFETIME_MS;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    log_id: u64,
    shard: ShardId,
    next: u64,
}

#[derive(Debug)]
struct Kept {
    reader: Reader,
    bytes: usize,
    since_ms: u64,
    /// Counts up with each reader that is kept.
    turn: u64,
}

#[derive(Debug, Default)]
struct State {
    by_place: HashMap<Place, Vec<Kept>>,
    readers: usize,
    bytes: usize,
    turn: u64,
}

/// The readers of all streams.
#[derive(Debug, Default)]
pub struct Readers(Mutex<State>);

impl Readers {
    /// A reader of a shard that stands before the record with the number `next`, if one is kept.
    #[must_use]
    pub fn take(&self, log_id: u64, shard: ShardId, next: u64) -> Option<Reader> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Place { log_id, shard, next };
        let here = state.by_place.get_mut(&place)?;
        let kept = here.pop()?;
        if here.is_empty() {
            state.by_place.remove(&place);
        }
        state.readers -= 1;
        state.bytes -= kept.bytes;
        Some(kept.reader)
    }

    /// Keeps a reader for who goes on from where it stands.
    pub fn keep(&self, mut reader: Reader, now_ms: u64) {
        let bytes = reader.settle();
        let place = Place { log_id: reader.stream_id(), shard: reader.shard(), next: reader.position().0 };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.turn += 1;
        let turn = state.turn;
        state.by_place.entry(place).or_default().push(Kept { reader, bytes, since_ms: now_ms, turn });
        state.readers += 1;
        state.bytes += bytes;
        if state.readers > MOST_READERS || state.bytes > MOST_BYTES {
            state.make_room(now_ms);
        }
    }

    /// Lets go of readers that nobody can come back for.
    pub fn expire(&self, now_ms: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.retain(|kept| now_ms < kept.since_ms.saturating_add(LIFETIME_MS));
    }

    /// Lets go of the readers of a log that is gone.
    pub fn forget(&self, log_id: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.retain(|kept| kept.reader.stream_id() != log_id);
    }
}

impl State {
    fn retain(&mut self, mut holds: impl FnMut(&Kept) -> bool) {
        let (mut readers, mut bytes) = (0, 0);
        self.by_place.retain(|_, here| {
            here.retain(&mut holds);
            readers += here.len();
            bytes += here.iter().map(|kept| kept.bytes).sum::<usize>();
            !here.is_empty()
        });
        (self.readers, self.bytes) = (readers, bytes);
    }

    /// Lets go of the older half, so that this is rare.
    fn make_room(&mut self, now_ms: u64) {
        let mut turns: Vec<u64> = self.by_place.values().flatten().map(|kept| kept.turn).collect();
        let middle = turns.len() / 2;
        let (_, &mut median, _) = turns.select_nth_unstable(middle);
        self.retain(|kept| kept.turn >= median && now_ms < kept.since_ms.saturating_add(LIFETIME_MS));
    }
}

#[cfg(test)]
mod tests {
    use pelton_streams::{Options, ShardLog, StartPosition};

    use super::*;

    fn reader(next: u64) -> (tempfile::TempDir, Reader) {
        let dir = tempfile::tempdir().unwrap();
        let log = ShardLog::open(dir.path(), &Options::create()).unwrap();
        log.create_stream("s", 1).unwrap();
        let start = StartPosition::At(pelton_streams::SequenceNumber(next));
        let reader = log.reader("s", ShardId(0), start).unwrap();
        (dir, reader)
    }

    #[test]
    fn a_reader_is_found_where_it_stands_and_once() {
        let (_dir, reader) = reader(5);
        let id = reader.stream_id();
        let readers = Readers::default();
        readers.keep(reader, 0);
        assert!(readers.take(id, ShardId(0), 4).is_none());
        assert!(readers.take(id + 1, ShardId(0), 5).is_none());
        assert!(readers.take(id, ShardId(0), 5).is_some());
        assert!(readers.take(id, ShardId(0), 5).is_none());
    }

    #[test]
    fn readers_go_when_their_iterators_have_expired_or_there_are_too_many() {
        let (_dir, first) = reader(5);
        let id = first.stream_id();
        let readers = Readers::default();
        let more = (0..MOST_READERS).map(|_| first.another(ShardId(0), StartPosition::Oldest).unwrap());
        let more: Vec<_> = more.collect();
        readers.keep(first, 0);
        readers.expire(LIFETIME_MS - 1);
        for reader in more {
            readers.keep(reader, 1);
        }
        assert!(readers.take(id, ShardId(0), 5).is_none(), "it was the oldest");
        assert!(readers.take(id, ShardId(0), 1).is_some());
        readers.expire(LIFETIME_MS + 1);
        assert!(readers.take(id, ShardId(0), 1).is_none());
    }
}
