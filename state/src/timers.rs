//! Timers: times at which a key wants to be called, in event time and in processing time.
//!
//! A timer is its time and its key, nothing else: setting it twice is setting it once. All timers
//! of a worker are in memory, ordered by time, then key group, then key, so that they fire in an
//! order that does not depend on how they were set. What changed since the last freeze is kept
//! beside them and is what the writer gets; a timer that was set and fired between two freezes is
//! never written.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyGroup, KeyHash, hash_of};

use crate::error::StateError;
use crate::layers::{FrozenPart, Space};
use crate::ordered;
use crate::rows::{self, Kind, RowBuffer};
use crate::small::SmallBytes;
use crate::store::Port;
use crate::store::dispatch::Parts;

/// Which clock a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeDomain {
    /// The operator's watermark.
    Event,
    /// The clock of the machine.
    Processing,
}

/// The timers of one operator on one worker.
pub struct Timers<K: Key> {
    /// `None` if the operator has not declared that it sets timers.
    domains: Option<[Domain<K>; 2]>,
    operator: Arc<str>,
}

impl<K: Key> Timers<K> {
    /// Timers with the rows of the two spaces; `None` if the operator declares none.
    pub(crate) fn open(
        operator: Arc<str>,
        spaces: Option<[Arc<Space>; 2]>,
        port: &Port,
    ) -> Result<Self, StateError> {
        let domains = match spaces {
            Some([event, processing]) => Some([Domain::open(event, port)?, Domain::open(processing, port)?]),
            None => None,
        };
        Ok(Self { domains, operator })
    }

    /// Has `key` called at `at_ms`. Setting a timer again changes nothing.
    ///
    /// # Errors
    /// The operator does not declare timers, or the key cannot be written.
    pub fn set(&mut self, domain: TimeDomain, hash: KeyHash, key: &K, at_ms: i64) -> Result<(), StateError> {
        self.domain(domain)?.set(hash, key, at_ms)
    }

    /// Takes a timer back. That there is none is no error.
    ///
    /// # Errors
    /// As [`Timers::set`].
    pub fn delete(
        &mut self,
        domain: TimeDomain,
        hash: KeyHash,
        key: &K,
        at_ms: i64,
    ) -> Result<(), StateError> {
        self.domain(domain)?.delete(hash, key, at_ms)
    }

    /// Takes the earliest timer out, if it is due at `up_to_ms`. Of timers of one time the one of
    /// the lowest key group, then of the lowest key, comes first.
    ///
    /// # Errors
    /// Its key cannot be read.
    pub fn pop(
        &mut self,
        domain: TimeDomain,
        up_to_ms: i64,
    ) -> Result<Option<(i64, KeyHash, K)>, StateError> {
        match &mut self.domains {
            Some(domains) => domains[domain as usize].pop(up_to_ms),
            None => Ok(None),
        }
    }

    /// When the earliest timer is due.
    #[must_use]
    pub fn next(&self, domain: TimeDomain) -> Option<i64> {
        self.domains.as_ref()?[domain as usize].waiting.first().map(|timer| timer.at_ms)
    }

    pub(crate) fn freeze(&mut self, parts: &mut Parts) {
        self.domains.iter_mut().flatten().for_each(|domain| domain.freeze(parts));
    }

    fn domain(&mut self, domain: TimeDomain) -> Result<&mut Domain<K>, StateError> {
        match &mut self.domains {
            Some(domains) => Ok(&mut domains[domain as usize]),
            None => Err(StateError::UndeclaredState {
                operator: self.operator.to_string(),
                state: crate::spec::EVENT_TIMERS.to_owned(),
            }),
        }
    }
}

/// A timer as it is ordered in memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    at_ms: i64,
    group: KeyGroup,
    /// Encoded, so that the order of keys is the same everywhere.
    key: SmallBytes,
}

/// A timer as its row is ordered.
type TimerRow = (KeyGroup, i64, SmallBytes);

/// What happened to a timer since the last freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It is new: no row of it lies below.
    Set,
    /// Its row, which lies below, has to go.
    Deleted,
}

struct Domain<K> {
    waiting: BTreeSet<Timer>,
    changed: BTreeMap<TimerRow, Change>,
    space: Arc<Space>,
    scratch: Vec<u8>,
    key: PhantomData<fn() -> K>,
}

impl<K: Key> Domain<K> {
    fn open(space: Arc<Space>, port: &Port) -> Result<Self, StateError> {
        let mut waiting = BTreeSet::new();
        if !port.starts_empty() {
            for group in space.partition.groups().map(KeyGroup) {
                let from = rows::head(group, space.id).to_vec();
                let to = ordered::end_of_prefix(&from);
                for row in port.base().scan(from..to)? {
                    let (row, _) = row?;
                    let Some((at_ms, key)) = rows::split_time(&row) else {
                        return Err(space.codec("read", "key", &"the row of a timer has no time"));
                    };
                    waiting.insert(Timer { at_ms, group, key: key.into() });
                }
            }
        }
        Ok(Self { waiting, changed: BTreeMap::new(), space, scratch: Vec::new(), key: PhantomData })
    }

    fn timer(&mut self, hash: KeyHash, key: &K, at_ms: i64) -> Result<Timer, StateError> {
        self.scratch.clear();
        ordered::encode_into(key, &mut self.scratch)
            .map_err(|error| self.space.codec("write", "key", &error))?;
        Ok(Timer { at_ms, group: self.space.partition.group(hash), key: self.scratch.as_slice().into() })
    }

    fn set(&mut self, hash: KeyHash, key: &K, at_ms: i64) -> Result<(), StateError> {
        let timer = self.timer(hash, key, at_ms)?;
        if self.waiting.insert(timer.clone()) {
            self.note(timer, Change::Set);
        }
        Ok(())
    }

    fn delete(&mut self, hash: KeyHash, key: &K, at_ms: i64) -> Result<(), StateError> {
        let timer = self.timer(hash, key, at_ms)?;
        if self.waiting.remove(&timer) {
            self.note(timer, Change::Deleted);
        }
        Ok(())
    }

    fn pop(&mut self, up_to_ms: i64) -> Result<Option<(i64, KeyHash, K)>, StateError> {
        if self.waiting.first().is_none_or(|timer| timer.at_ms > up_to_ms) {
            return Ok(None);
        }
        let Some(timer) = self.waiting.pop_first() else { return Ok(None) };
        let key: K =
            ordered::decode(timer.key.as_slice()).map_err(|error| self.space.codec("read", "key", &error))?;
        let at_ms = timer.at_ms;
        self.note(timer, Change::Deleted);
        Ok(Some((at_ms, hash_of(&key), key)))
    }

    /// A change and its opposite since the same freeze are no change.
    fn note(&mut self, timer: Timer, change: Change) {
        use std::collections::btree_map::Entry;
        match self.changed.entry((timer.group, timer.at_ms, timer.key)) {
            Entry::Vacant(place) => {
                place.insert(change);
            }
            Entry::Occupied(known) if *known.get() != change => {
                known.remove();
            }
            Entry::Occupied(_) => {}
        }
    }

    fn freeze(&mut self, parts: &mut Parts) {
        if !self.changed.is_empty() {
            let changed = std::mem::take(&mut self.changed);
            parts.push(Arc::new(FrozenTimers { changed, space: self.space.clone() }));
        }
    }
}

struct FrozenTimers {
    changed: BTreeMap<TimerRow, Change>,
    space: Arc<Space>,
}

impl FrozenPart for FrozenTimers {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn write(&self, groups: &Range<u16>, out: &mut RowBuffer) -> Result<(), StateError> {
        let first = |group: u16| (KeyGroup(group), i64::MIN, SmallBytes::from([].as_slice()));
        for ((group, at_ms, key), change) in self.changed.range(first(groups.start)..first(groups.end)) {
            let kind = match change {
                Change::Set => Kind::Put,
                Change::Deleted => Kind::Delete,
            };
            let row = |out: &mut Vec<u8>| {
                self.space.head(*group, out);
                out.extend_from_slice(&rows::time_bytes(*at_ms));
                out.extend_from_slice(key.as_slice());
                Ok::<_, StateError>(())
            };
            out.add(kind, row, |_| Ok(()))?;
        }
        Ok(())
    }
}
