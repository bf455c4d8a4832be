//! Alignment: splits of a group keep in step, by their watermarks.
//!
//! A split that is ahead of the least watermark of its group by more than it may be is not read
//! until the others have followed. The one that is behind all others is never held; whoever is idle, finished or gone
//! does not count. To be held is only not to be read: its source takes part in every epoch.
//!
//! A split that is silent and does not become idle counts all the same, also if it has never had a record: as long as it
//! keeps the watermark where it is, all that others read would only wait behind it.
//!
//! What FLIP-182 and FLIP-217 describe for Flink, decided in shared memory instead of by messages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::operator::Waker;
use crate::time::EventTime;

/// The groups of one generation of a job.
#[derive(Debug, Default)]
pub struct Alignment(Mutex<BTreeMap<Arc<str>, Arc<Mutex<Group>>>>);

#[derive(Default)]
struct Group {
    next: u64,
    /// The watermarks of members that count.
    counted: BTreeMap<u64, EventTime>,
    /// Members that are held and want to know when the least of the group has changed.
    held: BTreeMap<u64, Waker>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("counted", &self.counted).field("held", &self.held.keys()).finish()
    }
}

impl Group {
    fn least(&self) -> Option<EventTime> {
        self.counted.values().copied().min()
    }

    /// Notes what `member` says; `None` takes it out. Answers with those who may go on now.
    fn note(&mut self, member: u64, watermark: Option<EventTime>) -> BTreeMap<u64, Waker> {
        let before = self.least();
        match watermark {
            Some(watermark) => self.counted.insert(member, watermark),
            None => self.counted.remove(&member),
        };
        let now = self.least();
        let has_risen = now.is_none_or(|now| before.is_some_and(|before| now > before));
        if has_risen { std::mem::take(&mut self.held) } else { BTreeMap::new() }
    }
}

impl Alignment {
    /// A new member of `group`, which does not count before it has said how far it is.
    #[must_use]
    pub fn join(&self, group: &Arc<str>) -> AlignedSplit {
        let group = lock(&self.0).entry(group.clone()).or_default().clone();
        let mut inner = lock(&group);
        let member = inner.next;
        inner.next += 1;
        drop(inner);
        AlignedSplit { group, member }
    }
}

/// A split that is a member of a group; dropped, it leaves.
#[derive(Debug)]
pub struct AlignedSplit {
    group: Arc<Mutex<Group>>,
    member: u64,
}

impl AlignedSplit {
    /// It has come to `watermark`.
    pub fn reached(&self, watermark: EventTime) {
        self.note(Some(watermark));
    }

    /// It does not count, until it is heard of again: it is idle or finished.
    pub fn steps_aside(&self) {
        self.note(None);
    }

    /// Whether it may be read, being at `watermark`. If not, `waker` is called once when it is
    /// worth asking again.
    #[must_use]
    pub fn may_read(&self, watermark: EventTime, max_drift: Duration, waker: &Waker) -> bool {
        let mut group = lock(&self.group);
        let may = group.least().is_none_or(|least| watermark <= least + max_drift);
        if !may {
            group.held.insert(self.member, waker.clone());
        }
        may
    }

    /// How many others of its group are held because it is behind them.
    #[must_use]
    pub fn holds(&self) -> usize {
        let group = lock(&self.group);
        let is_least = group.counted.get(&self.member).is_some_and(|own| Some(*own) == group.least());
        let others =
            group.held.keys().filter(|held| **held != self.member && group.counted.contains_key(held));
        if is_least { others.count() } else { 0 }
    }

    fn note(&self, watermark: Option<EventTime>) {
        let awake = lock(&self.group).note(self.member, watermark);
        // Not under the lock: who is woken may ask at once.
        awake.values().for_each(Waker::wake);
    }
}

impl Drop for AlignedSplit {
    fn drop(&mut self) {
        self.note(None);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const DRIFT: Duration = Duration::from_millis(10);

    fn group(members: usize) -> Vec<AlignedSplit> {
        let alignment = Alignment::default();
        (0..members).map(|_| alignment.join(&"together".into())).collect()
    }

    fn may(split: &AlignedSplit, at: i64) -> bool {
        split.may_read(EventTime(at), DRIFT, &Waker::noop())
    }

    #[test]
    fn a_split_ahead_waits_for_those_that_count() {
        let splits = group(3);
        assert!(may(&splits[0], 100), "nobody counts yet");
        splits[0].reached(EventTime(100));
        splits[1].reached(EventTime(89));
        assert!(!may(&splits[0], 100));
        assert!(may(&splits[1], 89), "the least one always goes on");
        splits[1].reached(EventTime(90));
        assert!(may(&splits[0], 100));
        splits[2].reached(EventTime::MIN);
        assert!(!may(&splits[0], 100) && !may(&splits[1], 90), "one that has begun counts");
        assert_eq!([0, 1, 2].map(|split: usize| splits[split].holds()), [0, 0, 2]);
        splits[2].steps_aside();
        assert_eq!(splits[2].holds(), 0);
        assert!(may(&splits[0], 100));
    }

    #[test]
    fn who_leaves_holds_nobody() {
        let mut splits = group(2);
        splits[0].reached(EventTime(100));
        splits[1].reached(EventTime(1));
        assert!(!may(&splits[0], 100));
        splits.pop();
        assert!(may(&splits[0], 100));
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let alignment = Alignment::default();
        let (a, b) = (alignment.join(&"a".into()), alignment.join(&"b".into()));
        a.reached(EventTime(0));
        b.reached(EventTime(100));
        assert!(may(&b, 100));
    }

    #[test]
    fn who_is_held_is_woken_when_the_least_rises() {
        let splits = group(3);
        let woken = Arc::new(AtomicUsize::new(0));
        let waker = Waker::new({
            let woken = woken.clone();
            move || {
                woken.fetch_add(1, Ordering::SeqCst);
            }
        });
        let calls = || woken.load(Ordering::SeqCst);
        splits[0].reached(EventTime(100));
        splits[1].reached(EventTime(0));
        splits[2].reached(EventTime(5));
        assert!(!splits[0].may_read(EventTime(100), DRIFT, &waker));
        splits[2].reached(EventTime(50));
        assert_eq!(calls(), 0, "the least is where it was");
        splits[1].reached(EventTime(20));
        assert_eq!(calls(), 1);
        splits[1].reached(EventTime(30));
        assert_eq!(calls(), 1, "it has to ask again first");
        assert!(!splits[0].may_read(EventTime(100), DRIFT, &waker));
        splits[1].steps_aside();
        assert_eq!(calls(), 2);
        assert!(!splits[0].may_read(EventTime(100), DRIFT, &waker));
        splits[2].steps_aside();
        assert_eq!(calls(), 3);
        assert!(splits[0].may_read(EventTime(100), DRIFT, &waker));
    }
}
