//! Which consumer is subscribed to which shard: one subscription for each pair. A newer one takes the place
//! of one that is old enough; streams and consumers that go end theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pelton_streams::ShardId;
use tokio::sync::oneshot;

use crate::error::Error;

/// A subscription that is younger is not taken over.
const SETTLED_MS: u64 = 5_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    log_id: u64,
    consumer: String,
    shard: ShardId,
}

#[derive(Debug)]
struct Open {
    since_ms: u64,
    turn: u64,
    end: oneshot::Sender<Error>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<Key, Open>,
    turn: u64,
}

/// The subscriptions of all streams.
#[derive(Debug, Default)]
pub struct Subscriptions(Arc<Mutex<State>>);

fn relock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the subscriptions; dropping it gives it up.
#[derive(Debug)]
pub struct Place {
    state: Arc<Mutex<State>>,
    key: Key,
    turn: u64,
}

impl Subscriptions {
    /// Takes the place of a consumer at a shard. What ends the subscription from outside comes by the receiver.
    /// `taken_over` is what one that is there is told; without a place, it is the refusal.
    ///
    /// # Errors
    /// `taken_over`, if there is one that is too young to be taken over.
    pub fn take(
        &self,
        (log_id, consumer, shard): (u64, &str, ShardId),
        now_ms: u64,
        taken_over: Error,
    ) -> Result<(Place, oneshot::Receiver<Error>), Error> {
        let key = Key { log_id, consumer: consumer.to_owned(), shard };
        let mut state = relock(&self.0);
        if let Some(open) = state.open.get(&key) {
            if now_ms < open.since_ms.saturating_add(SETTLED_MS) {
                return Err(taken_over);
            }
            if let Some(open) = state.open.remove(&key) {
                // One that has just ended by itself hears nothing.
                let _ = open.end.send(taken_over);
            }
        }
        let (end, ended) = oneshot::channel();
        state.turn += 1;
        let turn = state.turn;
        state.open.insert(key.clone(), Open { since_ms: now_ms, turn, end });
        Ok((Place { state: self.0.clone(), key, turn }, ended))
    }

    /// Ends all subscriptions of a log, or those of one consumer.
    pub fn end_of(&self, log_id: u64, consumer: Option<&str>, why: &Error) {
        let mut state = relock(&self.0);
        let is_meant =
            |key: &Key| key.log_id == log_id && consumer.is_none_or(|consumer| key.consumer == consumer);
        let meant: Vec<Key> = state.open.keys().filter(|key| is_meant(key)).cloned().collect();
        for open in meant.iter().filter_map(|key| state.open.remove(key)) {
            let _ = open.end.send(why.clone());
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        relock(&self.0).open.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = relock(&self.state);
        // Whoever has taken it over keeps it.
        if state.open.get(&self.key).is_some_and(|open| open.turn == self.turn) {
            state.open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn a_place_is_taken_once_and_taken_over_when_it_has_settled() {
        let subscriptions = Subscriptions::default();
        let busy = || Error::new(ErrorCode::ResourceInUse, "busy");
        let take = |now_ms| subscriptions.take((1, "risk", ShardId(0)), now_ms, busy());
        let (first, mut first_ended) = take(0).unwrap();
        assert_eq!(take(SETTLED_MS - 1).unwrap_err(), busy());
        assert!(subscriptions.take((1, "risk", ShardId(1)), 0, busy()).is_ok());
        let (second, mut second_ended) = take(SETTLED_MS).unwrap();
        assert_eq!(first_ended.try_recv().unwrap(), busy());
        drop(first);
        assert_eq!(subscriptions.count(), 1, "the second has the place");
        subscriptions.end_of(1, Some("other"), &busy());
        subscriptions.end_of(2, None, &busy());
        assert!(second_ended.try_recv().is_err());
        subscriptions.end_of(1, None, &busy());
        assert_eq!(second_ended.try_recv().unwrap(), busy());
        drop(second);
        assert!(take(SETTLED_MS + 1).is_ok());
    }
}
