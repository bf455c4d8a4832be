//! Histories worth a name.

use std::sync::{Condvar, Mutex};

use pelton_dataflow::env::Intake;
use pelton_dataflow::key::hash_of;
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::{Backend, KeyedState, ListTable, MapTable, StateError, StateSpec, StateStore, TimeDomain};
use serde::{Deserialize, Serialize};

use crate::harness::{Card, Job, Key, LOG, SEEN, Worker, acks, backends, freeze, key, owner, spec};

/// A moment at which no worker waits but one that has to wait all the time.
const AWAKE_NS: u64 = 7_999_999;

fn pay(workers: &mut [Worker], job: &Job, card: u8, amount: u64) {
    let key = key(card);
    let worker = owner(job.groups, &key, workers.len());
    workers[worker].cards.values().state(hash_of(&key), &key).unwrap().payments += amount;
}

fn paid(workers: &mut [Worker], job: &Job, card: u8) -> u64 {
    let key = key(card);
    let worker = owner(job.groups, &key, workers.len());
    workers[worker].cards.values().state(hash_of(&key), &key).unwrap().payments
}

/// An overlay over its share is frozen and on its way to the backend when the barrier comes. What
/// was spilled before the barrier is in the checkpoint, what is spilled behind it is not, though
/// another operator of the worker has not frozen yet.
#[test]
fn spill_in_progress_when_the_barrier_arrives() {
    for backend in backends() {
        let mut job = Job { memory_bytes: 1 << 10, ..Job::new(backend) };
        let mut workers = job.start(1, &[]);
        for card in 0..200 {
            pay(&mut workers, &job, card, 1);
        }
        workers[0].cards.freeze(Epoch(1)).unwrap();
        for card in 0..200 {
            pay(&mut workers, &job, card, 10);
        }
        workers[0].sums.borrow_mut().freeze(Epoch(1)).unwrap();
        let saved = acks(&mut workers, 1);
        freeze(&mut workers, 2);
        let later = acks(&mut workers, 2);
        assert!((0..200).all(|card| paid(&mut workers, &job, card) == 11));
        drop(workers);

        let mut workers = job.start(1, &saved);
        assert!((0..200).all(|card| paid(&mut workers, &job, card) == 1), "{backend:?}");
        drop(workers);
        let mut workers = job.start(1, &later);
        assert!((0..200).all(|card| paid(&mut workers, &job, card) == 11), "{backend:?}");
    }
}

#[test]
fn state_moves_with_its_key_groups() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let mut saved = Vec::new();
        for (epoch, workers) in [1, 3, 2, 1].into_iter().enumerate() {
            let mut workers = job.start(workers, &saved);
            for card in 0..100 {
                assert_eq!(paid(&mut workers, &job, card), epoch as u64, "card {card}, {backend:?}");
                pay(&mut workers, &job, card, 1);
            }
            freeze(&mut workers, epoch as u64);
            saved = acks(&mut workers, epoch as u64);
        }
    }
}

/// A range marker takes away rows of the backend and of layers that are still being written, and
/// leaves those of its own layer.
#[test]
fn a_cleared_table_stays_cleared() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let mut workers = job.start(1, &[]);
        let (card, other) = (key(1), key(4));
        let at = |n: u16| (n, String::new());
        for (epoch, rows) in [(1, 0..40), (2, 40..50)] {
            for key in [&card, &other] {
                let mut seen = workers[0].cards.map(&SEEN, hash_of(key), key).unwrap();
                rows.clone().for_each(|n| seen.insert(&at(n), 1).unwrap());
            }
            freeze(&mut workers, epoch);
        }
        let mut seen = workers[0].cards.map(&SEEN, hash_of(&card), &card).unwrap();
        seen.clear();
        seen.insert(&at(7), 2).unwrap();
        drop(seen);
        freeze(&mut workers, 3);
        // Enough layers that they are merged.
        for epoch in 4..24 {
            pay(&mut workers, &job, 0, 1);
            freeze(&mut workers, epoch);
        }
        let saved = acks(&mut workers, 23);
        for restored in [false, true] {
            if restored {
                workers.clear();
                workers = job.start(1, &saved);
            }
            let mut seen = workers[0].cards.map(&SEEN, hash_of(&card), &card).unwrap();
            assert_eq!(seen.get(&at(7)).unwrap(), Some(2));
            assert_eq!(seen.get(&at(8)).unwrap(), None);
            let rows: Vec<_> = seen.iter().unwrap().map(Result::unwrap).collect();
            assert_eq!(rows, [(at(7), 2)], "{backend:?}, restored: {restored}");
            drop(seen);
            let mut seen = workers[0].cards.map(&SEEN, hash_of(&other), &other).unwrap();
            assert_eq!(seen.iter().unwrap().count(), 50, "another key keeps its rows");
        }
    }
}

#[test]
fn a_map_of_more_rows_than_are_cached_is_read_in_order() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let mut workers = job.start(1, &[]);
        let card = key(1);
        let at = |n: u16| (n, String::new());
        let mut seen = workers[0].cards.map(&SEEN, hash_of(&card), &card).unwrap();
        (0..1_000).for_each(|n| seen.insert(&at(n), 1).unwrap());
        drop(seen);
        freeze(&mut workers, 1);
        let saved = acks(&mut workers, 1);
        workers.clear();
        workers = job.start(1, &saved);
        let mut seen = workers[0].cards.map(&SEEN, hash_of(&card), &card).unwrap();
        seen.remove(&at(500)).unwrap();
        seen.insert(&at(1_500), 2).unwrap();
        let rows: Vec<u16> = seen.iter().unwrap().map(|row| row.unwrap().0.0).collect();
        let expected: Vec<u16> = (0..1_000).filter(|n| *n != 500).chain([1_500]).collect();
        assert_eq!(rows, expected, "{backend:?}");
    }
}

#[test]
fn files_that_lie_in_the_store_are_not_put_again() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let mut workers = job.start(1, &[]);
        (0..200).for_each(|card| pay(&mut workers, &job, card, 1));
        freeze(&mut workers, 1);
        let first = workers[0].ack(1);
        workers.clear();
        let mut workers = job.start(1, std::slice::from_ref(&first));
        freeze(&mut workers, 2);
        let second = workers[0].ack(2);
        let rows = |ack: &pelton_state::KeyedAck| {
            let named = ack
                .files
                .iter()
                .filter(|file| !file.path.contains("-MANIFEST") && !file.path.contains("-CURRENT"));
            named.cloned().collect::<Vec<_>>()
        };
        assert_eq!(rows(&first), rows(&second), "{backend:?}");
        assert!(rows(&first).iter().all(|file| file.path.starts_with("data/00000001/w0000/")));
        assert!(second.new_bytes < first.new_bytes, "{backend:?}");
    }
}

#[test]
fn a_damaged_file_is_named() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let mut workers = job.start(1, &[]);
        pay(&mut workers, &job, 1, 1);
        freeze(&mut workers, 1);
        let saved = acks(&mut workers, 1);
        workers.clear();
        for file in &saved[0].files {
            let path = job.dir.path().join("checkpoints").join(&file.path);
            let good = std::fs::read(&path).unwrap();
            let mut bad = good.clone();
            bad[good.len() / 2] ^= 0x10;
            for bytes in [&bad[..], &good[..good.len() - 1]] {
                std::fs::write(&path, bytes).unwrap();
                let error = Worker::open(&job, 0, 1, &saved).err().unwrap();
                assert!(matches!(error, StateError::Damaged { .. }), "{error}");
                assert!(error.to_string().contains(&file.path), "{error}");
            }
            std::fs::remove_file(&path).unwrap();
            let error = Worker::open(&job, 0, 1, &saved).err().unwrap().to_string();
            assert!(error.contains(&file.path), "{error}");
            std::fs::write(&path, good).unwrap();
        }
        assert!(Worker::open(&job, 0, 1, &saved).is_ok());
    }
}

/// Nothing can be put: the store says so once, and what was frozen stays readable.
#[test]
fn a_store_that_cannot_be_written_is_reported() {
    let mut job = Job::new(Backend::Memory);
    let checkpoints = job.checkpoints();
    drop(checkpoints);
    let mut workers = job.start(1, &[]);
    std::fs::remove_dir_all(job.dir.path().join("checkpoints")).unwrap();
    std::fs::write(job.dir.path().join("checkpoints"), "no directory").unwrap();
    pay(&mut workers, &job, 1, 5);
    freeze(&mut workers, 1);
    let error = workers[0].next_ack().unwrap_err().to_string();
    assert!(error.contains("checkpoint store") && error.contains("data/00000001/w0000/"), "{error}");
    assert_eq!(paid(&mut workers, &job, 1), 5);
}

#[test]
fn checkpoints_of_another_backend_are_refused() {
    let mut job = Job::new(Backend::Memory);
    let mut workers = job.start(1, &[]);
    freeze(&mut workers, 1);
    let mut saved = acks(&mut workers, 1);
    saved[0].backend = Backend::RocksDb;
    let error = Worker::open(&job, 0, 1, &saved).err().unwrap().to_string();
    assert!(error.contains("--backend rocksdb"), "{error}");
}

#[test]
fn undeclared_tables_and_timers_are_named() {
    let mut job = Job::new(Backend::Memory);
    let mut worker = job.start(1, &[]).remove(0);
    let card = key(1);
    let hash = hash_of(&card);
    let other: MapTable<u8, u8> = MapTable::new("other");
    let error = worker.cards.map(&other, hash, &card).err().unwrap().to_string();
    assert!(
        error.contains("`cards`") && error.contains("`other`") && error.contains("`seen`, `log`"),
        "{error}"
    );
    let types: ListTable<String> = ListTable::new("log");
    let error = worker.cards.list(&types, hash, &card).err().unwrap().to_string();
    assert!(error.contains("String") && error.contains("u32"), "{error}");
    let mut plain: KeyedState<Key, Card> = worker.store.keyed("cards", StateSpec::new()).unwrap();
    assert!(plain.set_timer(TimeDomain::Event, hash, &card, 1).is_err());
    let unknown = worker.store.keyed::<Key, Card>("nobody", spec()).err().unwrap().to_string();
    assert!(unknown.contains("`nobody`"), "{unknown}");
}

fn numbered(operator: &str) -> NameTable {
    let mut names = NameTable::default();
    let declared =
        Declared { operator, state: "value", kind: "value", type_name: "", fingerprint: "", version: 1 };
    names.declare([declared]).unwrap();
    names
}

#[test]
fn rows_of_an_earlier_version_are_upgraded_when_they_are_read() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Later {
        cents: i64,
        currency: String,
    }
    let mut job = Job::new(Backend::Memory);
    let open = |job: &Job, restored: &[_]| {
        let (mut options, acks) = job.options(0, 1, restored);
        options.ids = numbered("spend");
        (StateStore::open(options).unwrap(), acks)
    };
    job.generation = 1;
    let (store, acks) = open(&job, &[]);
    let mut spend: KeyedState<u8, u32> = store.keyed("spend", StateSpec::new()).unwrap();
    *spend.values().state(hash_of(&7u8), &7).unwrap() = 5;
    spend.freeze(Epoch(1)).unwrap();
    while store.maintain().unwrap() {}
    let saved = [acks.recv().unwrap().unwrap()];
    drop((spend, store));

    job.generation = 2;
    let (store, _acks) = open(&job, &saved);
    let spec = StateSpec::<Later>::new().version(2);
    let unread: KeyedState<u8, Later> = store.keyed("spend", spec.clone()).unwrap();
    let error = unread.values().state(hash_of(&7u8), &7).err().unwrap().to_string();
    assert!(error.contains("schema version 1, and reads version 2"), "{error}");
    let spec = spec.upgrade(|version, bytes| {
        assert_eq!(version, 1);
        let dollars: u32 = pelton_state::codec::decode(bytes).unwrap();
        Ok(Later { cents: i64::from(dollars) * 100, currency: "usd".to_owned() })
    });
    let spend: KeyedState<u8, Later> = store.keyed("spend", spec).unwrap();
    let found = spend.values().state(hash_of(&7u8), &7).unwrap().clone();
    assert_eq!(found, Later { cents: 500, currency: "usd".to_owned() });
}

/// Writing a state waits until its gate is open.
struct Gate(Mutex<bool>, Condvar);

static GATES: [Gate; 2] = [const { Gate(Mutex::new(false), Condvar::new()) }; 2];

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Slow<const GATE: usize>(u64);

impl<const GATE: usize> Serialize for Slow<GATE> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Gate(is_open, opened) = &GATES[GATE];
        drop(opened.wait_while(is_open.lock().unwrap(), |open| !*open).unwrap());
        self.0.serialize(to)
    }
}

#[test]
fn a_worker_pauses_while_three_layers_wait_to_be_written() {
    let mut job = Job::new(Backend::Memory);
    job.generation = 1;
    let (mut options, acks) = job.options(0, 1, &[]);
    options.ids = numbered("slow");
    let store = StateStore::open(options).unwrap();
    let mut slow: KeyedState<u8, Slow<0>> = store.keyed("slow", StateSpec::new()).unwrap();
    let mut intakes = Vec::new();
    for epoch in 1..=4 {
        intakes.push(store.intake(AWAKE_NS));
        slow.values().state(hash_of(&7u8), &7).unwrap().0 += 1;
        slow.freeze(Epoch(epoch)).unwrap();
        let frozen = slow.values().state(hash_of(&7u8), &7).unwrap().0;
        assert_eq!(frozen, epoch, "frozen state is readable");
    }
    // Three wait, and the writer may have come as far as the key with the one before them.
    intakes.push(store.intake(AWAKE_NS));
    // What fails before this hangs: the writer cannot end.
    GATES[0].open();
    assert_eq!((&intakes[..3], intakes[4]), (&[Intake::Open; 3][..], Intake::Closed));
    while store.maintain().unwrap() {}
    let epochs: Vec<_> = (0..4).map(|_| acks.recv().unwrap().unwrap().epoch.0).collect();
    assert_eq!((epochs, store.intake(AWAKE_NS)), (vec![1, 2, 3, 4], Intake::Open));
    store.clone().close().unwrap();
    assert!(slow.freeze(Epoch(5)).unwrap_err().to_string().contains("closed"));
}

/// An operator is ahead of another of its worker and outgrows its share again and again. What it
/// spills is of the epoch after, and waits for the other one, which alone gets input.
#[test]
fn who_is_an_epoch_ahead_waits_while_what_it_spills_cannot_be_written() {
    let mut job = Job { memory_bytes: 1 << 10, ..Job::new(Backend::Memory) };
    let mut workers = job.start(1, &[]);
    pay(&mut workers, &job, 0, 1);
    workers[0].cards.freeze(Epoch(1)).unwrap();
    assert_eq!(workers[0].store.intake(AWAKE_NS), Intake::Open, "one layer is held");
    let mut spent = 0;
    while workers[0].store.intake(AWAKE_NS) == Intake::Open {
        assert!(spent < 1_000, "an overlay has {FEW_ENTRIES} entries, and three layers may wait");
        pay(&mut workers, &job, (spent % 200) as u8, 1);
        spent += 1;
    }
    assert_eq!(workers[0].store.intake(AWAKE_NS), Intake::UpTo(Epoch(1)));
    assert!(spent > 2 * FEW_ENTRIES, "the layer of the epoch and two more, after {spent} payments");
    workers[0].sums.borrow_mut().freeze(Epoch(1)).unwrap();
    acks(&mut workers, 1);
    freeze(&mut workers, 2);
    acks(&mut workers, 2);
    assert_eq!(workers[0].store.intake(AWAKE_NS), Intake::Open);
    assert_eq!((0..200).map(|card| paid(&mut workers, &job, card)).sum::<u64>(), spent + 1);
}

/// The least that an overlay holds, however little memory there is.
const FEW_ENTRIES: u64 = 16;

/// What the backend does not have yet stays in memory, however little of that there is.
#[test]
fn what_is_being_written_is_not_let_go_of() {
    let mut job = Job { memory_bytes: FEW_BYTES, ..Job::new(Backend::Memory) };
    job.generation = 1;
    let (mut options, _acks) = job.options(0, 1, &[]);
    options.ids = numbered("slow");
    let store = StateStore::open(options).unwrap();
    let mut slow: KeyedState<u64, Slow<1>> = store.keyed("slow", StateSpec::new()).unwrap();
    let add =
        |slow: &KeyedState<u64, Slow<1>>, key: u64| slow.values().state(hash_of(&key), &key).unwrap().0 += 1;
    let read =
        |slow: &KeyedState<u64, Slow<1>>, key: u64| slow.values().state(hash_of(&key), &key).unwrap().0;
    (0..100).for_each(|key| add(&slow, key));
    slow.freeze(Epoch(1)).unwrap();
    while store.maintain().unwrap() {}
    (100..10_000).for_each(|key| add(&slow, key));
    let found: Vec<u64> = (0..100).map(|key| read(&slow, key)).collect();
    GATES[1].open();
    assert_eq!(found, [1; 100]);
    assert!((0..10_000).all(|key| read(&slow, key) == 1));
}

#[test]
fn a_window_fires_in_slices_with_barriers_in_between() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let mut workers = job.start(1, &[]);
        let window = EventTime(10);
        for card in 0..60 {
            *workers[0].sums.borrow_mut().at(window, hash_of(&key(card)), &key(card)).unwrap() += 1;
        }
        *workers[0].sums.borrow_mut().at(EventTime(20), hash_of(&key(0)), &key(0)).unwrap() += 1;
        freeze(&mut workers, 1);
        let mut given = workers[0].sums.borrow_mut().drain(window, 25).unwrap();
        freeze(&mut workers, 2);
        given.extend(workers[0].sums.borrow_mut().drain(window, 25).unwrap());
        let saved = acks(&mut workers, 2);
        given.truncate(25);
        workers.clear();

        let workers = job.start(1, &saved);
        assert_eq!(workers[0].sums.borrow().next_window(), Some(window));
        loop {
            let slice = workers[0].sums.borrow_mut().drain(window, 25).unwrap();
            if slice.is_empty() {
                break;
            }
            given.extend(slice);
        }
        let mut keys: Vec<Key> = given.into_iter().map(|(_, key, _)| key).collect();
        keys.sort();
        let mut expected: Vec<Key> = (0..60).map(key).collect();
        expected.sort();
        assert_eq!(keys, expected, "{backend:?}: each key once");
        assert_eq!(workers[0].sums.borrow().next_window(), Some(EventTime(20)));
    }
}

#[test]
fn a_store_without_change_acknowledges_all_the_same() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let mut workers = job.start(20, &[]);
        freeze(&mut workers, 1);
        let acks = acks(&mut workers, 1);
        let groups: usize = acks.iter().map(|ack| ack.groups.len()).sum();
        assert_eq!(groups, 12, "of 20 workers 8 have no key group, and acknowledge too");
        workers.clear();
        let mut workers = job.start(2, &acks);
        assert_eq!(paid(&mut workers, &job, 1), 0);
        let card = key(1);
        let worker = owner(job.groups, &card, 2);
        assert!(workers[worker].cards.list(&LOG, hash_of(&card), &card).unwrap().is_empty().unwrap());
    }
}

/// Between batches a restored state takes up all rows; then the backend is not asked any more.
#[test]
fn a_restored_state_warms_up_until_it_needs_no_backend() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let mut workers = job.start(2, &[]);
        for card in 0..200 {
            pay(&mut workers, &job, card, 1);
            let key = key(card);
            let worker = owner(job.groups, &key, 2);
            let mut log = workers[worker].cards.list(&LOG, hash_of(&key), &key).unwrap();
            (0..5).for_each(|n| log.push(n).unwrap());
        }
        freeze(&mut workers, 1);
        let saved = acks(&mut workers, 1);
        workers.clear();
        let mut workers = job.start(1, &saved);
        // The list table comes to be at its first use; half of the keys change while it warms.
        for card in 0..100 {
            pay(&mut workers, &job, card, 1);
            workers[0].cards.list(&LOG, hash_of(&key(card)), &key(card)).unwrap().push(5).unwrap();
            workers[0].store.maintain().unwrap();
        }
        freeze(&mut workers, 2);
        acks(&mut workers, 2);
        while workers[0].store.maintain().unwrap() {}
        for card in 0..200u8 {
            let changed = u64::from(card < 100);
            assert_eq!(paid(&mut workers, &job, card), 1 + changed, "{backend:?}");
            let key = key(card);
            let mut log = workers[0].cards.list(&LOG, hash_of(&key), &key).unwrap();
            assert_eq!(log.len().unwrap(), 5 + changed);
        }
        let before = workers[0].store.backend_reads();
        let all: u64 = (0..250).map(|card| paid(&mut workers, &job, card)).sum();
        assert_eq!(all, 300);
        assert_eq!(workers[0].store.backend_reads(), before, "{backend:?}: also for keys that do not exist");
    }
}

/// So little memory that caches let go of nearly everything.
const FEW_BYTES: usize = 1 << 15;

/// An operator without a struct has no number for one: what it reads must not be another's rows.
#[test]
fn a_state_without_fields_is_never_read() {
    use pelton_dataflow::key::KeyGroups;
    use pelton_state::StoreOptions;
    use pelton_state::checkpoint::store::CheckpointStore;
    const MARKS: MapTable<u64, u64> = MapTable::new("marks");
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Nothing;
    for backend in backends() {
        let dir = tempfile::tempdir().unwrap();
        let mut names = NameTable::default();
        let first = StateSpec::<u64>::new().decls::<u64>().unwrap();
        let second = StateSpec::<Nothing>::new().map(MARKS).decls::<u64>().unwrap();
        let all: Vec<_> =
            first.iter().map(|d| ("first", d)).chain(second.iter().map(|d| ("second", d))).collect();
        names
            .declare(all.iter().map(|(operator, decl)| Declared {
                operator,
                state: decl.name,
                kind: decl.kind,
                type_name: &decl.type_name,
                fingerprint: &decl.fingerprint,
                version: decl.version,
            }))
            .unwrap();
        let store = StateStore::open(StoreOptions {
            backend,
            dir: dir.path().join("local"),
            worker: 0,
            workers: 1,
            groups: KeyGroups::default(),
            generation: 1,
            memory_bytes: FEW_BYTES,
            checkpoints: CheckpointStore::open(dir.path().join("c").to_str().unwrap()).unwrap(),
            restored: Vec::new(),
            ids: names,
            on_ack: Box::new(|_| ()),
        })
        .unwrap();
        let mut first: KeyedState<u64, u64> = store.keyed("first", StateSpec::new()).unwrap();
        let mut second: KeyedState<u64, Nothing> =
            store.keyed("second", StateSpec::new().map(MARKS)).unwrap();
        for epoch in 1..200 {
            for key in 0..40u64 {
                let key = (epoch * 17 + key * 101) % 2_000;
                *first.values().state(hash_of(&key), &key).unwrap() += 1;
                let read = second.values().state(hash_of(&key), &key).map(|_| ());
                assert!(read.is_ok(), "{backend:?}, epoch {epoch}: {}", read.unwrap_err());
            }
            first.freeze(Epoch(epoch)).unwrap();
            second.freeze(Epoch(epoch)).unwrap();
            for _ in 0..5 {
                std::thread::yield_now();
                while store.maintain().unwrap() {}
            }
        }
    }
}
