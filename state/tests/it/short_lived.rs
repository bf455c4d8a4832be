//! Keys that live shortly, structs without fields, and user code that panics while it is copied.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use pelton_dataflow::key::hash_of;
use pelton_dataflow::time::Epoch;
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::{Backend, KeyedAck, KeyedState, ListTable, StateError, StateSpec, StateStore};
use serde::{Deserialize, Serialize};

use crate::harness::Job;

type Acks = Receiver<Result<KeyedAck, StateError>>;

/// A store with a state of numbers, `first`, and its table declared.
fn open(memory_bytes: usize) -> (Job, StateStore, Acks) {
    let mut names = NameTable::default();
    let spec = StateSpec::<u64>::new().list(ListTable::<u64>::new("rows"));
    let decls = spec.decls::<u64>().unwrap();
    names
        .declare(decls.iter().map(|decl| Declared {
            operator: "first",
            state: decl.name,
            kind: decl.kind,
            type_name: &decl.type_name,
            fingerprint: &decl.fingerprint,
            version: decl.version,
        }))
        .unwrap();
    let mut job = Job { memory_bytes, ..Job::new(Backend::Memory) };
    job.generation = 1;
    let (mut options, acks) = job.options(0, 1, &[]);
    options.ids = names;
    (job, StateStore::open(options).unwrap(), acks)
}

/// Each freeze copies out what is left of the one before, which is then acknowledged.
fn written_up_to_the_last(epoch: u64, acks: &Acks) {
    if epoch > 1 {
        assert_eq!(acks.recv().unwrap().unwrap().epoch, Epoch(epoch - 1));
    }
}

/// What is its default again is not looked for in the backend, however many such keys there have been.
#[test]
fn keys_that_live_shortly_cost_no_reads() {
    let (_job, store, acks) = open(1 << 17);
    let mut first: KeyedState<u64, u64> = store.keyed("first", StateSpec::new()).unwrap();
    let mut next = 0u64;
    for epoch in 1..60u64 {
        for _ in 0..4 {
            for _ in 0..300 {
                next += 1;
                let mut values = first.values();
                *values.state(hash_of(&next), &next).unwrap() += 1;
                *values.state(hash_of(&next), &next).unwrap() -= 1;
            }
            store.slice(300).unwrap();
        }
        first.freeze(Epoch(epoch)).unwrap();
        written_up_to_the_last(epoch, &acks);
    }
    assert_eq!(store.backend_reads(), 0);
}

/// What comes for the first time is not looked for among what has been let go of, and that is found.
#[test]
fn new_keys_cost_no_reads_though_old_ones_have_been_let_go_of() {
    let (_job, store, acks) = open(1 << 18);
    let mut first: KeyedState<u64, u64> = store.keyed("first", StateSpec::new()).unwrap();
    let (epochs, per_epoch) = (25u64, 500u64);
    for epoch in 1..=epochs {
        for key in (epoch - 1) * per_epoch..epoch * per_epoch {
            *first.values().state(hash_of(&key), &key).unwrap() = key + 1;
        }
        while store.maintain().unwrap() {}
        first.freeze(Epoch(epoch)).unwrap();
        written_up_to_the_last(epoch, &acks);
    }
    let keys = epochs * per_epoch;
    assert!(store.backend_reads() * 10 < keys, "{} of {keys}", store.backend_reads());
    let before = store.backend_reads();
    for key in 0..keys {
        assert_eq!(*first.values().state(hash_of(&key), &key).unwrap(), key + 1);
    }
    assert!(store.backend_reads() > before + keys / 2, "most had been let go of");
}

/// A struct without fields has no number: rows that are looked for by it would be another's.
#[test]
fn a_struct_without_fields_beside_another_reads_nothing_of_it() {
    let (_job, store, acks) = open(1 << 15);
    let mut first: KeyedState<u64, u64> = store.keyed("first", StateSpec::new()).unwrap();
    let mut second: KeyedState<u64, ()> = store.keyed("second", StateSpec::new()).unwrap();
    for epoch in 1..8u64 {
        for key in (0..2_000u64).map(|key| epoch * 1_000 + key) {
            *first.values().state(hash_of(&key), &key).unwrap() += 1;
        }
        let others = (0..9_000u64).map(|key| 1_000_000 + epoch * 10_000 + key);
        for key in others.chain(if epoch > 3 { (epoch - 1) * 1_000..(epoch - 1) * 1_000 + 500 } else { 0..0 })
        {
            // As `fold` does with each record.
            let read = second.values().state(hash_of(&key), &key).map(|mut unit| *unit = ());
            assert!(read.is_ok(), "epoch {epoch}, key {key}: {}", read.unwrap_err());
        }
        first.freeze(Epoch(epoch)).unwrap();
        second.freeze(Epoch(epoch)).unwrap();
        for _ in 0..4 {
            store.slice(600).unwrap();
        }
        written_up_to_the_last(epoch, &acks);
    }
    let lost = (1_000..9_000u64).filter(|key| *first.values().state(hash_of(key), key).unwrap() == 0);
    assert_eq!(lost.count(), 0);
}

/// A value whose own code panics, in one of the calls that the store makes between those of its operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum At {
    #[default]
    Never,
    Clone,
    Compare,
    Serialize,
}

#[derive(Debug, Default, Deserialize)]
struct Breaks {
    at: At,
    armed: bool,
}

impl Breaks {
    fn reached(&self, at: At) {
        assert!(!self.armed || self.at != at, "boom at {at:?}");
    }
}

impl Clone for Breaks {
    fn clone(&self) -> Self {
        self.reached(At::Clone);
        Self { ..*self }
    }
}

impl PartialEq for Breaks {
    fn eq(&self, other: &Self) -> bool {
        self.reached(At::Compare);
        (self.at, self.armed) == (other.at, other.armed)
    }
}

impl Serialize for Breaks {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.reached(At::Serialize);
        (self.at, self.armed).serialize(serializer)
    }
}

fn breaking(store: &StateStore, at: At) -> KeyedState<u64, Breaks> {
    let mut first: KeyedState<u64, Breaks> = store.keyed("first", StateSpec::new()).unwrap();
    *first.values().state(hash_of(&7u64), &7).unwrap() = Breaks { at, armed: true };
    first.freeze(Epoch(1)).unwrap();
    first
}

/// Nobody waits for what is never written, and who hears of it hears where it was and what was said.
#[test]
fn a_panic_of_a_type_that_is_kept_is_an_error_of_its_operator_and_state() {
    for (at, done) in [(At::Clone, "copied"), (At::Compare, "copied"), (At::Serialize, "written")] {
        let words =
            format!("a type in state `value` of operator `first` panicked as it was {done}: boom at {at:?}");
        // On the worker's thread, between batches; the writer hears why it waits in vain.
        let (_job, store, acks) = open(1 << 20);
        let first = breaking(&store, at);
        let heard = match store.maintain() {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        let written = acks.recv().unwrap().unwrap_err().to_string();
        assert!(written.contains(&words), "{written}");
        assert_eq!(heard, if at == At::Serialize { "" } else { &words });
        drop(first);
        // At the next barrier, which comes before anything was copied.
        let (_job, store, acks) = open(1 << 20);
        let mut first = breaking(&store, at);
        let frozen = first.freeze(Epoch(2));
        if at != At::Serialize {
            assert_eq!(frozen.unwrap_err().to_string(), words);
        }
        assert!(acks.recv().unwrap().unwrap_err().to_string().contains(&words));
    }
}

/// The writer waits for no copies that are never made, and the epoch is not acknowledged. Without
/// the rule this test never ends.
#[test]
fn a_clone_that_panics_as_a_worker_stops_ends_the_writer() {
    let (_job, store, acks) = open(1 << 20);
    drop(breaking(&store, At::Clone));
    drop(store);
    assert!(acks.recv().unwrap().is_err());
}

static DROPS: OnceLock<Sender<(u64, Option<String>)>> = OnceLock::new();

/// Tells of its end, and on which thread it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tells(u64);

impl Drop for Tells {
    fn drop(&mut self) {
        if let (Some(drops), 1..) = (DROPS.get(), self.0) {
            drops.send((self.0, std::thread::current().name().map(str::to_owned))).unwrap();
        }
    }
}

/// Whatever a state holds, its end is no business of the worker that goes; and none of it stays.
#[test]
fn what_is_given_up_is_dropped_by_a_thread_of_its_own() {
    const TELLING: ListTable<Tells> = ListTable::new("rows");
    let (_job, store, acks) = open(1 << 20);
    let mut first: KeyedState<u64, Tells> = store.keyed("first", StateSpec::new().list(TELLING)).unwrap();
    for key in 1..=100u64 {
        first.values().state(hash_of(&key), &key).unwrap().0 = key;
        first.list(&TELLING, hash_of(&key), &key).unwrap().push(Tells(1_000 + key)).unwrap();
    }
    first.freeze(Epoch(1)).unwrap();
    while store.maintain().unwrap() {}
    acks.recv().unwrap().unwrap();
    // Rows that have been written come to lie in the cache.
    while store.maintain().unwrap() {}
    let (drops, dropped) = channel();
    DROPS.set(drops).unwrap();
    store.give_up();
    drop(first);
    store.close().unwrap();
    let mut numbers: Vec<u64> = Vec::new();
    while numbers.len() < 200 {
        let (number, thread) = dropped.recv().unwrap();
        match thread.as_deref() {
            Some("pelton-drop") => numbers.push(number),
            // Copies are the writer's to drop.
            other => assert_eq!(other, Some("pelton-state-0"), "{number}"),
        }
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq((1..=100).chain(1_001..=1_100)));
}
