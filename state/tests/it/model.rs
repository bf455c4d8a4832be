//! Random histories of keyed state against plain ordered maps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pelton_dataflow::key::{KeyGroup, KeyGroups, KeyHash, hash_of};
use pelton_dataflow::time::EventTime;
use pelton_state::{Backend, KeyedAck, TimeDomain};
use proptest::prelude::*;

use crate::harness::{Card, Job, Key, LOG, PLENTY, SEEN, Worker, acks, freeze, key, owner};

#[derive(Clone, Debug)]
enum Op {
    Pay(u8),
    Note(u8, String),
    Forget(u8),
    Look(u8),
    See(u8, (u16, String)),
    Unsee(u8, (u16, String)),
    UnseeAll(u8),
    Log(u8, u8),
    Unlog(u8),
    Set(TimeDomain, u8, i64),
    Delete(TimeDomain, u8, i64),
    Fire(TimeDomain, i64),
    Add(u8, i64),
    Drain(usize),
    Maintain(usize),
    Freeze,
    /// Waits for the acknowledgements of the first epoch that has not been waited for, or for more.
    Wait(usize),
    /// Goes back to the last checkpoint that was waited for, with so many workers.
    Crash {
        workers: usize,
    },
}

/// Keys that histories use.
const CARDS: u8 = 100;

fn ops() -> impl Strategy<Value = Op> {
    // Few, which meet again often, and many, for which there is no room.
    let card = prop_oneof![4 => 0u8..12, 1 => 0..CARDS];
    let seen = || (0u16..6, prop_oneof![Just(String::new()), Just("a\0".to_owned()), Just("long".repeat(9))]);
    let domain = || prop_oneof![Just(TimeDomain::Event), Just(TimeDomain::Processing)];
    prop_oneof![
        8 => card.clone().prop_map(Op::Pay),
        2 => (card.clone(), "[a-c]{0,3}").prop_map(|(card, note)| Op::Note(card, note)),
        2 => card.clone().prop_map(Op::Forget),
        2 => card.clone().prop_map(Op::Look),
        6 => (card.clone(), seen()).prop_map(|(card, what)| Op::See(card, what)),
        2 => (card.clone(), seen()).prop_map(|(card, what)| Op::Unsee(card, what)),
        2 => card.clone().prop_map(Op::UnseeAll),
        4 => (card.clone(), 1u8..4).prop_map(|(card, count)| Op::Log(card, count)),
        1 => card.clone().prop_map(Op::Unlog),
        4 => (domain(), card.clone(), -3i64..9).prop_map(|(domain, card, at)| Op::Set(domain, card, at)),
        2 => (domain(), card.clone(), -3i64..9).prop_map(|(domain, card, at)| Op::Delete(domain, card, at)),
        2 => (domain(), -3i64..9).prop_map(|(domain, up_to)| Op::Fire(domain, up_to)),
        6 => (card, -2i64..3).prop_map(|(card, window)| Op::Add(card, window)),
        3 => (1usize..6).prop_map(Op::Drain),
        4 => prop_oneof![Just(1usize), Just(3), Just(64), Just(10_000)].prop_map(Op::Maintain),
        3 => Just(Op::Freeze),
        2 => (1usize..4).prop_map(Op::Wait),
        1 => (1usize..4).prop_map(|workers| Op::Crash { workers }),
    ]
}

#[derive(Clone, Default)]
struct Model {
    cards: BTreeMap<Key, Card>,
    seen: BTreeMap<Key, BTreeMap<(u16, String), i64>>,
    logs: BTreeMap<Key, Vec<u32>>,
    timers: [BTreeSet<(i64, KeyGroup, Key)>; 2],
    sums: BTreeMap<i64, BTreeMap<Key, u64>>,
}

/// The state under test beside its model.
struct Run {
    job: Job,
    workers: Vec<Worker>,
    model: Model,
    epoch: u64,
    /// Epochs that were frozen and not waited for, with the model as it was then.
    frozen: VecDeque<(u64, Model)>,
    /// The last checkpoint that was waited for.
    saved: (Vec<KeyedAck>, Model),
    count: u32,
}

impl Run {
    fn new(backend: Backend, memory_bytes: usize) -> Self {
        let mut job = Job { memory_bytes, ..Job::new(backend) };
        let workers = job.start(1, &[]);
        Self {
            job,
            workers,
            model: Model::default(),
            epoch: 0,
            frozen: VecDeque::new(),
            saved: Default::default(),
            count: 0,
        }
    }

    fn at(&mut self, card: u8) -> (usize, Key, KeyHash) {
        let key = key(card);
        (owner(self.job.groups, &key, self.workers.len()), key.clone(), hash_of(&key))
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Pay(card) => self.change(*card, |card| card.payments += 1),
            Op::Note(card, note) => self.change(*card, |card| card.note = Some(note.clone())),
            Op::Forget(card) => self.change(*card, |card| *card = Card::default()),
            Op::Look(card) => self.look(*card),
            Op::See(..) | Op::Unsee(..) | Op::UnseeAll(_) => self.see(op),
            Op::Log(card, count) => self.log(*card, *count),
            Op::Unlog(card) => {
                let (worker, key, hash) = self.at(*card);
                self.workers[worker].cards.list(&LOG, hash, &key).unwrap().clear();
                self.model.logs.remove(&key);
            }
            Op::Set(domain, card, at) => {
                let (worker, key, hash) = self.at(*card);
                self.workers[worker].cards.set_timer(*domain, hash, &key, *at).unwrap();
                self.model.timers[*domain as usize].insert((*at, self.job.groups.group(hash), key));
            }
            Op::Delete(domain, card, at) => {
                let (worker, key, hash) = self.at(*card);
                self.workers[worker].cards.delete_timer(*domain, hash, &key, *at).unwrap();
                self.model.timers[*domain as usize].remove(&(*at, self.job.groups.group(hash), key));
            }
            Op::Fire(domain, up_to) => self.fire(*domain, *up_to),
            Op::Add(card, window) => {
                let (worker, key, hash) = self.at(*card);
                *self.workers[worker].sums.borrow_mut().at(EventTime(*window), hash, &key).unwrap() += 1;
                *self.model.sums.entry(*window).or_default().entry(key).or_default() += 1;
            }
            Op::Drain(max) => self.drain(*max),
            Op::Maintain(entries) => self.workers.iter().for_each(|worker| {
                worker.store.slice(*entries).unwrap();
            }),
            Op::Freeze => {
                self.epoch += 1;
                freeze(&mut self.workers, self.epoch);
                self.frozen.push_back((self.epoch, self.model.clone()));
            }
            Op::Wait(epochs) => {
                for (epoch, model) in self.frozen.drain(..self.frozen.len().min(*epochs)) {
                    self.saved = (acks(&mut self.workers, epoch), model);
                }
            }
            Op::Crash { workers } => {
                self.workers.clear();
                self.frozen.clear();
                self.model = self.saved.1.clone();
                self.workers = self.job.start(*workers, &self.saved.0);
            }
        }
    }

    fn change(&mut self, card: u8, change: impl Fn(&mut Card)) {
        let (worker, key, hash) = self.at(card);
        change(&mut self.workers[worker].cards.values().state(hash, &key).unwrap());
        change(self.model.cards.entry(key).or_default());
    }

    fn look(&mut self, card: u8) {
        let (worker, key, hash) = self.at(card);
        let worker = &mut self.workers[worker].cards;
        let expected = self.model.cards.get(&key).cloned().unwrap_or_default();
        assert_eq!(*worker.values().state(hash, &key).unwrap(), expected, "the struct of {key:?}");
        let mut seen = worker.map(&SEEN, hash, &key).unwrap();
        let expected = self.model.seen.get(&key).cloned().unwrap_or_default();
        let found: Vec<_> = seen.iter().unwrap().map(Result::unwrap).collect();
        assert_eq!(found, expected.clone().into_iter().collect::<Vec<_>>(), "the map of {key:?}");
        assert_eq!(seen.is_empty().unwrap(), expected.is_empty());
        drop(seen);
        let mut log = worker.list(&LOG, hash, &key).unwrap();
        let expected = self.model.logs.get(&key).cloned().unwrap_or_default();
        assert_eq!(log.len().unwrap(), expected.len() as u64);
        let found: Vec<_> = log.iter().unwrap().map(Result::unwrap).collect();
        assert_eq!(found, expected, "the list of {key:?}");
    }

    fn see(&mut self, op: &Op) {
        let (Op::See(card, _) | Op::Unsee(card, _) | Op::UnseeAll(card)) = op else { unreachable!() };
        let (worker, key, hash) = self.at(*card);
        let mut seen = self.workers[worker].cards.map(&SEEN, hash, &key).unwrap();
        let model = self.model.seen.entry(key.clone()).or_default();
        match op {
            Op::See(_, what) => {
                assert_eq!(seen.get(what).unwrap().as_ref(), model.get(what));
                seen.update(what, |n| n + 1).unwrap();
                *model.entry(what.clone()).or_default() += 1;
            }
            Op::Unsee(_, what) => {
                seen.remove(what).unwrap();
                model.remove(what);
                assert!(!seen.contains(what).unwrap());
            }
            _ => {
                seen.clear();
                model.clear();
            }
        }
    }

    fn log(&mut self, card: u8, count: u8) {
        let (worker, key, hash) = self.at(card);
        let mut log = self.workers[worker].cards.list(&LOG, hash, &key).unwrap();
        for _ in 0..count {
            self.count += 1;
            log.push(self.count).unwrap();
            self.model.logs.entry(key.clone()).or_default().push(self.count);
        }
    }

    fn fire(&mut self, domain: TimeDomain, up_to: i64) {
        let (groups, workers) = (self.job.groups, self.workers.len());
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let timers = &mut self.model.timers[domain as usize];
            let own = |timer: &&(i64, KeyGroup, Key)| groups.owner(timer.1, workers) == index;
            let expected: Vec<_> =
                timers.iter().filter(own).filter(|timer| timer.0 <= up_to).cloned().collect();
            assert_eq!(worker.cards.next_timer(domain), timers.iter().find(own).map(|timer| timer.0));
            let mut fired = Vec::new();
            while let Some((at, hash, key)) = worker.cards.pop_timer(domain, up_to).unwrap() {
                assert_eq!(hash, hash_of(&key));
                fired.push((at, groups.group(hash), key));
            }
            assert_eq!(fired, expected, "timers of worker {index} up to {up_to}");
            timers.retain(|timer| !expected.contains(timer));
        }
    }

    /// Takes one slice of the earliest window of each worker.
    fn drain(&mut self, max: usize) {
        let (groups, workers) = (self.job.groups, self.workers.len());
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let own = |key: &&Key| owner(groups, key, workers) == index;
            let Some(window) = worker.sums.borrow().next_window() else {
                assert!(!self.model.sums.values().any(|sums| sums.keys().any(|key| own(&key))));
                continue;
            };
            let sums = self.model.sums.entry(window.0).or_default();
            let expected = sums.keys().filter(own).count().min(max);
            let drained = worker.sums.borrow_mut().drain(window, max).unwrap();
            assert_eq!(drained.len(), expected, "a slice of window {window}");
            for (hash, key, sum) in drained {
                assert_eq!((hash, sums.remove(&key)), (hash_of(&key), Some(sum)), "{key:?} in {window}");
            }
            assert!(self.model.sums.range(..window.0).all(|(_, sums)| !sums.keys().any(|key| own(&key))));
        }
    }

    fn check_all(&mut self) {
        (0..CARDS).for_each(|card| self.look(card));
        self.fire(TimeDomain::Event, i64::MAX);
        self.fire(TimeDomain::Processing, i64::MAX);
        for _ in 0..200 {
            self.drain(5);
        }
        assert!(self.model.sums.values().all(BTreeMap::is_empty), "all windows have been drained");
        assert!(self.workers.iter().all(|worker| worker.sums.borrow().next_window().is_none()));
    }
}

fn check(backend: Backend, memory_bytes: usize, groups: u16, ops: &[Op]) {
    let mut run = Run::new(backend, memory_bytes);
    if groups != 12 {
        run.workers.clear();
        run.job.groups = KeyGroups::new(groups).unwrap();
        run.workers = run.job.start(1, &[]);
    }
    ops.iter().for_each(|op| run.apply(op));
    run.check_all();
}

/// Too little for anything: overlays spill, and caches let go of almost everything.
const NOTHING: usize = 1 << 10;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn memory_agrees_with_the_model(ops in prop::collection::vec(ops(), 1..160), little: bool) {
        check(Backend::Memory, if little { NOTHING } else { PLENTY }, 12, &ops);
    }

    /// With more groups than tables, and with a single group.
    #[test]
    fn any_number_of_groups_agrees_with_the_model(
        ops in prop::collection::vec(ops(), 1..80), groups in prop_oneof![Just(1u16), Just(3), Just(1_000), Just(32_768)]
    ) {
        check(Backend::Memory, NOTHING, groups, &ops);
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    // Each opens databases, which syncs: fewer histories.
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn rocksdb_agrees_with_the_model(ops in prop::collection::vec(ops(), 1..200), little: bool) {
        check(Backend::RocksDb, if little { NOTHING } else { PLENTY }, 12, &ops);
    }
}
