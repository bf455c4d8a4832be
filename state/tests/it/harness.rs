//! A job of some workers without a job: states side by side, keys routed to their owners.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver};

use pelton_dataflow::key::{KeyGroups, hash_of};
use pelton_dataflow::time::Epoch;
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::{
    Backend, KeyedAck, KeyedState, ListTable, MapTable, Panes, StateError, StateSpec, StateStore,
    StoreOptions,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// Keys of two parts, so that they could run together.
pub type Key = (u8, String);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    pub payments: u64,
    pub note: Option<String>,
}

pub const SEEN: MapTable<(u16, String), i64> = MapTable::new("seen");
pub const LOG: ListTable<u32> = ListTable::new("log");

pub fn spec() -> StateSpec<Card> {
    StateSpec::new().map(SEEN).list(LOG).timers()
}

pub fn key(n: u8) -> Key {
    (n % 3, "k".repeat(usize::from(n % 5)) + &n.to_string())
}

/// The backends that are built in.
pub fn backends() -> Vec<Backend> {
    vec![
        Backend::Memory,
        #[cfg(feature = "rocksdb")]
        Backend::RocksDb,
    ]
}

pub const PLENTY: usize = 64 << 20;

/// What a job outlives its workers by.
pub struct Job {
    pub dir: TempDir,
    pub backend: Backend,
    pub groups: KeyGroups,
    pub memory_bytes: usize,
    pub generation: u64,
}

impl Job {
    pub fn new(backend: Backend) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            backend,
            groups: KeyGroups::new(12).unwrap(),
            memory_bytes: PLENTY,
            generation: 0,
        }
    }

    pub fn checkpoints(&self) -> CheckpointStore {
        CheckpointStore::open(self.dir.path().join("checkpoints").to_str().unwrap()).unwrap()
    }

    pub fn local(&self, worker: usize) -> PathBuf {
        self.dir.path().join("local").join(worker.to_string())
    }

    pub fn names() -> NameTable {
        let mut names = NameTable::default();
        let mut decls: Vec<_> = spec().decls::<Key>().unwrap().into_iter().map(|d| ("cards", d)).collect();
        decls.push(("sums", StateSpec::<u64>::new().pane_decl::<Key>("panes").unwrap()));
        names
            .declare(decls.iter().map(|(operator, decl)| Declared {
                operator,
                state: decl.name,
                kind: decl.kind,
                type_name: &decl.type_name,
                fingerprint: &decl.fingerprint,
                version: decl.version,
            }))
            .unwrap();
        names
    }

    pub fn options(
        &self,
        worker: usize,
        workers: usize,
        restored: &[KeyedAck],
    ) -> (StoreOptions, Receiver<Result<KeyedAck, StateError>>) {
        let (send, acks) = mpsc::channel();
        let options = StoreOptions {
            backend: self.backend,
            dir: self.local(worker),
            worker,
            workers,
            groups: self.groups,
            generation: self.generation,
            memory_bytes: self.memory_bytes,
            checkpoints: self.checkpoints(),
            restored: restored.to_vec(),
            ids: Self::names(),
            // A worker that crashed hears nothing any more.
            on_ack: Box::new(move |ack| drop(send.send(ack))),
        };
        (options, acks)
    }

    /// Starts `workers` workers from `restored`.
    pub fn start(&mut self, workers: usize, restored: &[KeyedAck]) -> Vec<Worker> {
        self.generation += 1;
        let start = |worker| Worker::open(self, worker, workers, restored).unwrap();
        (0..workers).map(start).collect()
    }
}

pub struct Worker {
    pub store: StateStore,
    pub cards: KeyedState<Key, Card>,
    pub sums: Rc<RefCell<Panes<Key, u64>>>,
    acks: Receiver<Result<KeyedAck, StateError>>,
    acked: HashMap<Epoch, KeyedAck>,
}

impl Worker {
    pub fn open(job: &Job, worker: usize, workers: usize, restored: &[KeyedAck]) -> Result<Self, StateError> {
        let (options, acks) = job.options(worker, workers, restored);
        let store = StateStore::open(options)?;
        let cards = store.keyed("cards", spec())?;
        let sums = store.panes("sums", "panes", &StateSpec::new())?;
        Ok(Self { store, cards, sums, acks, acked: HashMap::new() })
    }

    pub fn freeze(&mut self, epoch: u64) {
        self.cards.freeze(Epoch(epoch)).unwrap();
        self.sums.borrow_mut().freeze(Epoch(epoch)).unwrap();
    }

    /// Waits for what the store says next.
    pub fn next_ack(&self) -> Result<KeyedAck, StateError> {
        while self.store.maintain().unwrap() {}
        self.acks.recv().unwrap()
    }

    /// Waits for the acknowledgement of `epoch`.
    pub fn ack(&mut self, epoch: u64) -> KeyedAck {
        loop {
            if let Some(ack) = self.acked.get(&Epoch(epoch)) {
                return ack.clone();
            }
            let ack = self.next_ack().unwrap();
            self.acked.insert(ack.epoch, ack);
        }
    }
}

/// The worker that owns `key`.
pub fn owner(groups: KeyGroups, key: &Key, workers: usize) -> usize {
    groups.owner(groups.group(hash_of(key)), workers)
}

pub fn freeze(workers: &mut [Worker], epoch: u64) {
    workers.iter_mut().for_each(|worker| worker.freeze(epoch));
}

pub fn acks(workers: &mut [Worker], epoch: u64) -> Vec<KeyedAck> {
    workers.iter_mut().map(|worker| worker.ack(epoch)).collect()
}
