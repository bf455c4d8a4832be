//! The shared buffer of a key: the events of its partial matches, each kept once.
//!
//! A partial match is a chain of *links* from its latest event back to its first one. Matches that
//! begin alike share the links of what they have in common, so the chains form a tree that grows from the
//! first events; a match that branches adds one link. Links and events count who holds them, and are
//! free for others when nobody does.

use std::sync::Arc;

use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::time::EventTime;
use serde::{Deserialize, Serialize};

use super::matches::StageName;

/// No link: the chain of a match that has not begun.
pub(super) const NONE: u32 = u32::MAX;

/// An event that a partial match has taken, for which stage, and what it had taken before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    event: u32,
    stage: u16,
    earlier: u32,
    owners: u32,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
struct Held<T> {
    record: Record<T>,
    /// Counts the events of the key that were taken or looked at, in the order of matching.
    serial: u64,
    owners: u32,
}

/// Entries with holes, which are filled before it grows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Slab<V> {
    entries: Vec<Option<V>>,
    free: Vec<u32>,
}

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<V> Slab<V> {
    fn add(&mut self, value: V) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = Some(value);
                index
            }
            None => {
                let index = self.entries.len() as u32;
                assert!(index != NONE, "a key holds fewer than 2^32 events and links");
                self.entries.push(Some(value));
                index
            }
        }
    }

    fn get(&self, index: u32) -> &V {
        self.entries[index as usize].as_ref().expect("what is held is there")
    }

    fn get_mut(&mut self, index: u32) -> &mut V {
        self.entries[index as usize].as_mut().expect("what is held is there")
    }

    fn remove(&mut self, index: u32) {
        self.entries[index as usize] = None;
        self.free.push(index);
        if self.free.len() == self.entries.len() {
            *self = Self::default();
        }
    }
}

/// The events and links of one key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
pub(super) struct Buffer<T> {
    links: Slab<Link>,
    events: Slab<Held<T>>,
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self { links: Slab::default(), events: Slab::default() }
    }
}

impl<T> Buffer<T> {
    /// Keeps an event, held once by the caller.
    pub fn add_event(&mut self, record: Record<T>, serial: u64) -> u32 {
        self.events.add(Held { record, serial, owners: 1 })
    }

    /// A link to `event` after `earlier`, held once by the caller; both are held by the link.
    pub fn add_link(&mut self, event: u32, stage: u16, earlier: u32) -> u32 {
        self.events.get_mut(event).owners += 1;
        if earlier != NONE {
            self.hold(earlier);
        }
        self.links.add(Link { event, stage, earlier, owners: 1 })
    }

    /// How many events there are.
    pub fn events(&self) -> usize {
        self.events.entries.len() - self.events.free.len()
    }

    /// Holds a link once more.
    pub fn hold(&mut self, link: u32) {
        self.links.get_mut(link).owners += 1;
    }

    /// Lets go of a link, and of what only it held.
    pub fn release(&mut self, mut link: u32) {
        while link != NONE {
            let held = self.links.get_mut(link);
            held.owners -= 1;
            if held.owners > 0 {
                return;
            }
            let (event, earlier) = (held.event, held.earlier);
            self.links.remove(link);
            self.release_event(event);
            link = earlier;
        }
    }

    /// Lets go of an event.
    pub fn release_event(&mut self, event: u32) {
        let held = self.events.get_mut(event);
        held.owners -= 1;
        if held.owners == 0 {
            self.events.remove(event);
        }
    }

    pub fn record(&self, event: u32) -> &Record<T> {
        &self.events.get(event).record
    }

    /// The events of a chain, latest first: stage, serial and record.
    pub fn chain(&self, link: u32) -> impl Iterator<Item = (u16, u64, &Record<T>)> {
        let mut next = link;
        std::iter::from_fn(move || {
            if next == NONE {
                return None;
            }
            let link = self.links.get(next);
            next = link.earlier;
            let held = self.events.get(link.event);
            Some((link.stage, held.serial, &held.record))
        })
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.links.entries.is_empty() && self.events.entries.is_empty()
    }
}

/// By what is held where, not by the values: an event is known by its serial.
impl<T> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        let serials = |buffer: &Self| {
            let events = buffer.events.entries.iter();
            events.map(|held| held.as_ref().map(|held| (held.serial, held.owners))).collect::<Vec<_>>()
        };
        self.links == other.links && serials(self) == serials(other)
    }
}

/// What a partial match has taken so far, as a condition sees it.
pub struct Matches<'a, T> {
    pub(super) buffer: &'a Buffer<T>,
    pub(super) link: u32,
    pub(super) names: &'a Arc<[StageName]>,
}

impl<T> Matches<'_, T> {
    /// The events taken for `stage`, in the order in which they were taken. The event that is being looked
    /// at is not among them.
    ///
    /// # Panics
    /// If the pattern has no such stage.
    pub fn of(&self, stage: &str) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        let Some(index) = self.names.iter().position(|name| name.as_str() == stage) else {
            let names: Vec<_> = self.names.iter().map(|name| format!("`{}`", name.as_str())).collect();
            panic!("a condition asks for the stage `{stage}`, the pattern has {}", names.join(", "));
        };
        let chain = self.buffer.chain(self.link).filter(|(stage, ..)| usize::from(*stage) == index);
        let mut found: Vec<&T> = chain.map(|(_, _, record)| &record.value).collect();
        found.reverse();
        found.into_iter()
    }

    /// The latest event, of whichever stage; `None` for a condition of the first event.
    #[must_use]
    pub fn latest(&self) -> Option<&T> {
        self.buffer.chain(self.link).next().map(|(_, _, record)| &record.value)
    }

    /// When the match began; `None` for a condition of the first event. In
    /// [arrival order](super::Pattern::in_arrival_order) event times are as they came.
    #[must_use]
    pub fn began(&self) -> Option<EventTime> {
        self.buffer.chain(self.link).last().map(|(_, _, record)| record.time)
    }
}
