//! Windows that are fired: what firing holds of them, and user code that panics meanwhile.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use pelton_dataflow::env::Intake;
use pelton_dataflow::key::{Key, hash_of};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::{Backend, KeyedAck, Panes, State, StateError, StateSpec, StateStore};
use serde::{Deserialize, Serialize};

use crate::harness::{Job, PLENTY};

pub type Acks = Receiver<Result<KeyedAck, StateError>>;

const WINDOW: EventTime = EventTime(10);

/// A moment at which no worker waits but one that has to wait all the time.
const AWAKE_NS: u64 = 7_999_999;

/// A store that knows the windows `sums` of `A` by `K`.
pub fn open<K: Key, A: State>(job: &mut Job, restored: &[KeyedAck]) -> (StateStore, Acks) {
    let decl = StateSpec::<A>::new().pane_decl::<K>("panes").unwrap();
    let mut names = NameTable::default();
    let declared = Declared {
        operator: "sums",
        state: decl.name,
        kind: decl.kind,
        type_name: &decl.type_name,
        fingerprint: &decl.fingerprint,
        version: decl.version,
    };
    names.declare([declared]).unwrap();
    job.generation += 1;
    let (mut options, acks) = job.options(0, 1, restored);
    options.ids = names;
    (StateStore::open(options).unwrap(), acks)
}

/// Looks after the store as a worker does, which takes no more while the writer has enough to do.
fn pace(store: &StateStore) {
    store.slice(1_000).unwrap();
    while store.intake(AWAKE_NS) == Intake::Closed {
        store.slice(1_000).unwrap();
        std::thread::yield_now();
    }
}

/// Freezes and waits for the acknowledgement.
pub fn save<K: Key, A: State>(
    store: &StateStore,
    sums: &RefCell<Panes<K, A>>,
    acks: &Acks,
    epoch: u64,
) -> KeyedAck {
    sums.borrow_mut().freeze(Epoch(epoch)).unwrap();
    while store.maintain().unwrap() {}
    acks.recv().unwrap().unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Running,
    Restored,
    Warmed,
}

/// The tombstone of a key that was given out stands behind its older row, and before the newer one; and
/// whatever rows the backend still has of it, it begins anew.
#[test]
fn a_key_that_comes_back_after_it_was_given_out_is_in_the_window_as_a_new_one() {
    const KEYS: usize = 1_000;
    // In one go the window is gone before they come back, else it is not.
    let goes = [100, KEYS + 1];
    for (max, memory_bytes) in goes.into_iter().flat_map(|max| [(max, 1 << 10), (max, PLENTY)]) {
        let starts = [Start::Running, Start::Restored, Start::Warmed];
        for (start, has_barrier) in starts.into_iter().flat_map(|start| [(start, false), (start, true)]) {
            let mut job = Job { memory_bytes, ..Job::new(Backend::Memory) };
            let begin = |job: &mut Job, restored: &[KeyedAck]| {
                let (store, acks) = open::<u64, u64>(job, restored);
                let sums = store.panes::<u64, u64>("sums", "panes", &StateSpec::new()).unwrap();
                (store, acks, sums)
            };
            let add = |sums: &RefCell<Panes<u64, u64>>, key: u64| {
                *sums.borrow_mut().at(WINDOW, hash_of(&key), &key).unwrap() += 1;
            };
            let (mut store, mut acks, mut sums) = begin(&mut job, &[]);
            (0..KEYS as u64).for_each(|key| add(&sums, key));
            let saved = save(&store, &sums, &acks, 1);
            if start != Start::Running {
                (store, acks, sums) = begin(&mut job, &[saved]);
            }
            // With little memory what has been taken up when this ends is not all.
            while start == Start::Warmed && store.maintain().unwrap() {}
            let mut given_out = sums.borrow_mut().drain(WINDOW, max).unwrap();
            assert_eq!(given_out.len(), max.min(KEYS));
            if has_barrier {
                save(&store, &sums, &acks, 2);
            }
            let back: Vec<u64> = given_out.iter().map(|(_, key, _)| *key).take(100).collect();
            back.iter().for_each(|key| add(&sums, *key));
            let saved = save(&store, &sums, &acks, 3);
            let rest = sums.borrow_mut().drain(WINDOW, 2 * KEYS).unwrap();
            let (_store, _acks, sums) = begin(&mut job, &[saved]);
            given_out.extend(sums.borrow_mut().drain(WINDOW, 2 * KEYS).unwrap());
            assert_eq!(given_out.len(), max.min(KEYS) + rest.len(), "the same without a crash");
            let mut found: Vec<_> = given_out.into_iter().map(|(_, key, sum)| (key, sum)).collect();
            let mut expected: Vec<_> = (0..KEYS as u64).chain(back).map(|key| (key, 1)).collect();
            found.sort_unstable();
            expected.sort_unstable();
            let case = (max, memory_bytes, start, has_barrier);
            assert!(found == expected, "{case:?}: {} of {}", found.len(), expected.len());
        }
    }
}

static COPIES: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Copied(u64);

impl Clone for Copied {
    fn clone(&self) -> Self {
        COPIES.fetch_add(1, Ordering::SeqCst);
        Self(self.0)
    }
}

/// As long as what is touched between two barriers has room, it is copied once for each of them, in however
/// many windows it lies and however many there were before.
#[test]
fn what_has_room_is_copied_once_for_each_barrier() {
    let mut job = Job { memory_bytes: 1 << 16, ..Job::new(Backend::Memory) };
    let (store, acks) = open::<u64, Copied>(&mut job, &[]);
    let sums = store.panes::<u64, Copied>("sums", "panes", &StateSpec::new()).unwrap();
    let add = |window: i64| {
        for key in 0..10u64 {
            sums.borrow_mut().at(EventTime(window), hash_of(&key), &key).unwrap().0 += 1;
        }
    };
    let copies = || COPIES.load(Ordering::SeqCst);
    for epoch in 1..100 {
        (0..4).for_each(|_| (0..3).for_each(add));
        assert_eq!(copies(), 30 * (epoch as usize - 1), "before the barrier of epoch {epoch}");
        save(&store, &sums, &acks, epoch);
    }
    // In each window there is little, in all of them too much.
    let before = copies();
    (0..100).for_each(add);
    assert!(copies() > before + 500, "{} copies of 1,000 before the barrier", copies() - before);
}

static BROKEN: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Breaks(u64);

impl Clone for Breaks {
    fn clone(&self) -> Self {
        assert!(!BROKEN.load(Ordering::SeqCst), "it cannot be cloned now");
        Self(self.0)
    }
}

/// A key that leaves its window before the last freeze has copied it out, and cannot be copied, is in no
/// checkpoint: there is none, rather than one without it.
#[test]
fn a_clone_that_panics_as_a_window_fires_leaves_no_checkpoint_without_its_key() {
    let mut job = Job::new(Backend::Memory);
    let (store, acks) = open::<u64, Breaks>(&mut job, &[]);
    let sums = store.panes::<u64, Breaks>("sums", "panes", &StateSpec::new()).unwrap();
    for key in 0..100u64 {
        sums.borrow_mut().at(WINDOW, hash_of(&key), &key).unwrap().0 = key;
    }
    sums.borrow_mut().freeze(Epoch(1)).unwrap();
    BROKEN.store(true, Ordering::SeqCst);
    let drained = catch_unwind(AssertUnwindSafe(|| sums.borrow_mut().drain(WINDOW, 10)));
    assert!(drained.is_err());
    BROKEN.store(false, Ordering::SeqCst);
    drop(sums);
    store.close().unwrap();
    assert!(acks.recv().unwrap().is_err());
}

static LIVE: AtomicIsize = AtomicIsize::new(0);

/// A key that is counted as long as it is in memory.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Counted(u64);

impl Counted {
    fn new(key: u64) -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self(key)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Counted")]
        struct Plain(u64);
        Plain::deserialize(from).map(|Plain(key)| Self::new(key))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// However long the next barrier takes, of what has been given out no more keys are kept than an overlay may
/// hold; and none of them comes back.
#[test]
fn of_a_large_window_that_is_fired_not_all_keys_are_kept_until_the_next_barrier() {
    const KEYS: u64 = 5_000;
    let mut job = Job { memory_bytes: 1 << 16, ..Job::new(Backend::Memory) };
    let (store, acks) = open::<Counted, u64>(&mut job, &[]);
    let sums = store.panes::<Counted, u64>("sums", "panes", &StateSpec::new()).unwrap();
    for key in (0..KEYS).map(Counted::new) {
        *sums.borrow_mut().at(WINDOW, hash_of(&key), &key).unwrap() += key.0;
        pace(&store);
    }
    let kept = LIVE.load(Ordering::SeqCst);
    assert!(kept < KEYS as isize / 2, "{kept} keys are kept before they are given out");
    save(&store, &sums, &acks, 1);
    let mut given_out = 0;
    loop {
        let slice = sums.borrow_mut().drain(WINDOW, 100).unwrap();
        if slice.is_empty() {
            break;
        }
        given_out += slice.len() as u64;
        drop(slice);
        pace(&store);
    }
    assert_eq!(given_out, KEYS);
    let kept = LIVE.load(Ordering::SeqCst);
    assert!(kept < KEYS as isize / 2, "{kept} keys are kept");
    let saved = save(&store, &sums, &acks, 2);
    drop(sums);
    store.close().unwrap();
    let (store, _acks) = open::<Counted, u64>(&mut job, &[saved]);
    let sums = store.panes::<Counted, u64>("sums", "panes", &StateSpec::new()).unwrap();
    assert_eq!(sums.borrow().next_window(), None);
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bursts(u64);

impl Drop for Bursts {
    fn drop(&mut self) {
        let on_writer = std::thread::current().name() == Some("pelton-state-0");
        assert!(!on_writer || self.0 != 13 || std::thread::panicking(), "it cannot be dropped here");
    }
}

/// The writer drops copies of what users keep. If that panics the store says so; were its thread to end
/// without a word, a worker whose layers wait for it would take no input for good.
#[test]
fn a_drop_that_panics_on_the_writer_is_reported() {
    let mut job = Job::new(Backend::Memory);
    let (store, acks) = open::<u64, Bursts>(&mut job, &[]);
    let sums = store.panes::<u64, Bursts>("sums", "panes", &StateSpec::new()).unwrap();
    sums.borrow_mut().at(WINDOW, hash_of(&7u64), &7).unwrap().0 = 13;
    save(&store, &sums, &acks, 1);
    // Its copy is the writer's to drop.
    store.maintain().unwrap();
    let problem = acks.recv().unwrap().unwrap_err().to_string();
    assert!(problem.contains("it cannot be dropped here"), "{problem}");
    drop(sums);
    store.close().unwrap();
}
