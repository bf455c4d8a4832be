//! What a pattern gives: matches, and partial matches that came to nothing.

use std::fmt;
use std::sync::Arc;

use pelton_dataflow::key::Key;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::time::EventTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a stage, as a match carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct StageName(Arc<str>);

impl StageName {
    pub(super) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for StageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Self(name.into()))
    }
}

/// Events of a key that fit a pattern, each with the stage that it was taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Match<K: Key, T: Data> {
    /// The key.
    pub key: K,
    /// The events in the order in which they were taken.
    pub events: Vec<(StageName, Record<T>)>,
}

impl<K: Key, T: Data> Match<K, T> {
    /// The events of `stage`, in the order in which they were taken; none if an optional stage
    /// is missing, or if there is no such stage: [`Patterned::select_stages`](super::Patterned::select_stages)
    /// finds a wrong name when the graph is built.
    pub fn of<'a>(&'a self, stage: &'a str) -> impl DoubleEndedIterator<Item = &'a T> {
        let events = self.events.iter().filter(move |(name, _)| name.as_str() == stage);
        events.map(|(_, record)| &record.value)
    }

    /// The first event of `stage`.
    #[must_use]
    pub fn first(&self, stage: &str) -> Option<&T> {
        self.events.iter().find(|(name, _)| name.as_str() == stage).map(|(_, record)| &record.value)
    }

    /// The last event of `stage`.
    #[must_use]
    pub fn last(&self, stage: &str) -> Option<&T> {
        let mut events = self.events.iter().rev();
        events.find(|(name, _)| name.as_str() == stage).map(|(_, record)| &record.value)
    }

    /// The event times of its first and its last event.
    ///
    /// # Panics
    /// If it has no events: those that an operator gives have at least one.
    #[must_use]
    pub fn span(&self) -> (EventTime, EventTime) {
        let [(_, first), ..] = self.events.as_slice() else { panic!("a match has at least one event") };
        let (_, last) = self.events.last().unwrap_or(&self.events[0]);
        (first.time, last.time)
    }
}

/// Why a partial match came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Its time was up: [`Pattern::within`](super::Pattern::within), [`Pattern::within_gap`](super::Pattern::within_gap).
    TimedOut,
    /// There were too many of its key: [`Pattern::drop_oldest`](super::Pattern::drop_oldest).
    Dropped,
}

/// The events that a partial match had taken when it came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct PartialMatch<K: Key, T: Data> {
    /// Why it ended.
    pub why: Ended,
    /// What it had taken.
    pub so_far: Match<K, T>,
}
