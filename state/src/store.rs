//! The keyed state store of one worker: what operators register with, and what owns the threads.
//!
//! * `dispatch`: which frozen layer goes to the writer when;
//! * `writer`: the thread that writes layers and pins file sets;
//! * `upload`: the thread that puts pinned files into the checkpoint store;
//! * `restore`: what a worker takes over of a checkpoint;
//! * `pace`: how a worker that outruns its writer is slowed down;
//! * `budget`: how memory is shared out.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

use pelton_dataflow::clock::monotonic_ns;
use pelton_dataflow::env::Intake;
use pelton_dataflow::failpoint;
use pelton_dataflow::key::{Key, KeyGroups};
use pelton_dataflow::time::Epoch;

use crate::base::Base;
use crate::checkpoint::names::NameTable;
use crate::checkpoint::store::CheckpointStore;
use crate::error::StateError;
use crate::files::{Backend, KeyedAck};
use crate::keyed::KeyedState;
use crate::layers::{Layers, Settle, Space};
use crate::panes::Panes;
use crate::rows::StateId;
use crate::shards::{PANE_TABLES, Partition, STATE_TABLES};
use crate::spec::{EVENT_TIMERS, PROCESSING_TIMERS, State, StateSpec, VALUE};
use crate::tables::Tables;
use crate::timers::Timers;
use crate::values::Values;
use budget::{Budget, Claim, Held, Ledger, Share};
use dispatch::{Dispatch, Order, Parts};
use writer::WriterHandle;

pub(crate) mod budget;
pub(crate) mod dispatch;
mod pace;
mod restore;
mod upload;
mod writer;

/// Frozen layers that may wait to be written: each costs memory as large as an overlay, and a look by
/// every first read of a key.
pub const MAX_FROZEN: usize = 3;

/// Entries that one slice of maintenance moves: about a fifth of a millisecond. A freeze of millions
/// of keys has to be copied out before the next one.
const SLICE_ENTRIES: usize = 8_192;

/// Written layers that wait to be moved into the cache at a freeze; beyond, they are moved at once.
const MAX_UNMOVED: usize = 6;

/// What a store is opened with.
pub struct StoreOptions {
    /// Where rows lie.
    pub backend: Backend,
    /// A local directory of this worker alone. What an earlier run left there is deleted.
    pub dir: PathBuf,
    /// This worker.
    pub worker: usize,
    /// How many workers the job has.
    pub workers: usize,
    /// The job's key groups.
    pub groups: KeyGroups,
    /// The job's generation: part of the path of every file put.
    pub generation: u64,
    /// The budget for overlays and caches of this worker, in bytes. State beyond it lies in the
    /// backend. Timers do not count.
    pub memory_bytes: usize,
    /// Where checkpoints go.
    pub checkpoints: CheckpointStore,
    /// The acknowledgements that the checkpoint to start from consists of, of all its workers;
    /// empty on a fresh start.
    pub restored: Vec<KeyedAck>,
    /// The numbers of all states that the job declares.
    pub ids: NameTable,
    /// Gets the acknowledgement of each epoch, in order, or the failure that ended them; called on
    /// a thread of the store.
    pub on_ack: Box<dyn Fn(Result<KeyedAck, StateError>) + Send>,
}

/// The keyed state of one worker. A cheap handle: clones share the store.
///
/// An epoch is acknowledged once every state that was registered has frozen it. A store with no
/// state registered acknowledges nothing.
#[derive(Clone)]
pub struct StateStore {
    inner: Rc<Inner>,
}

struct Inner {
    base: Arc<dyn Base>,
    starts_empty: bool,
    groups: KeyGroups,
    worker: usize,
    workers: usize,
    ids: NameTable,
    budget: Budget,
    ledger: Ledger,
    dispatch: RefCell<Dispatch>,
    settles: RefCell<Vec<Weak<RefCell<dyn Settle>>>>,
    /// Whose turn the next slice of maintenance is.
    next: Cell<usize>,
    /// Rows that were looked up in the backend.
    reads: Cell<u64>,
    writer: WriterHandle,
}

impl StateStore {
    /// Opens the store and takes over what `restored` holds of this worker's key groups.
    ///
    /// # Errors
    /// The checkpoint is of another backend, lacks key groups, is damaged or cannot be fetched; the
    /// local directory cannot be written; or RocksDB is asked for and not built in.
    pub fn open(options: StoreOptions) -> Result<Self, StateError> {
        let opened = restore::open(&options)?;
        let range = options.groups.range(options.worker, options.workers);
        // The writer takes rows out unit by unit, which must be whole units of every state: panes
        // have the fewest tables, and so the largest units.
        let partition = Partition::new(options.groups, range.clone(), PANE_TABLES);
        let uploads = upload::Uploads {
            checkpoints: options.checkpoints,
            prefix: format!("data/{:08}/w{:04}", options.generation, options.worker),
            known: opened.known,
            worker: options.worker,
            groups: range,
            backend: options.backend,
        };
        let writer = WriterHandle::start(opened.writer, partition, uploads, options.on_ack)
            .map_err(StateError::local("start the state writer of", &options.dir))?;
        let inner = Inner {
            base: opened.base,
            starts_empty: opened.empty,
            groups: options.groups,
            worker: options.worker,
            workers: options.workers,
            ids: options.ids,
            budget: Budget(options.memory_bytes),
            ledger: Ledger::default(),
            dispatch: RefCell::default(),
            settles: RefCell::default(),
            next: Cell::new(0),
            reads: Cell::new(0),
            writer,
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// The keyed state of `operator`. Every operator registers before the first of them freezes.
    ///
    /// # Errors
    /// One of its states has no number, or its timers cannot be read.
    pub fn keyed<K: Key, S: State>(
        &self,
        operator: &str,
        spec: StateSpec<S>,
    ) -> Result<KeyedState<K, S>, StateError> {
        let operator: Arc<str> = operator.into();
        let port = self.port();
        let tables = spec.tables.into_iter().map(|table| {
            let space = self.space(&operator, table.name, 1, STATE_TABLES)?;
            Ok((table, Arc::new(space)))
        });
        let tables = Tables::new(operator.clone(), tables.collect::<Result<_, StateError>>()?, port.clone());
        let timers = match spec.timers {
            true => {
                let space =
                    |name| Ok::<_, StateError>(Arc::new(self.space(&operator, name, 1, STATE_TABLES)?));
                Some([space(EVENT_TIMERS)?, space(PROCESSING_TIMERS)?])
            }
            false => None,
        };
        let timers = Timers::open(operator.clone(), timers, &port)?;
        let version = spec.version.unwrap_or(1);
        let space = match self.space(&operator, VALUE, version, STATE_TABLES) {
            // A struct without fields is always its default: it has no rows, and needs no number.
            Err(StateError::UndeclaredState { .. }) if size_of::<S>() == 0 => {
                self.numbered(&operator, VALUE, version, STATE_TABLES, StateId { operator: 0, state: 0 })
            }
            space => space?,
        };
        let values = Values::open(Arc::new(space), spec.upgrade, &port);
        Ok(KeyedState { values, tables, timers, port })
    }

    /// The panes of the window operator `operator`, under the name `state`.
    ///
    /// # Errors
    /// The state has no number, or the backend cannot be read.
    pub fn panes<K: Key, A: State>(
        &self,
        operator: &str,
        state: &'static str,
        spec: &StateSpec<A>,
    ) -> Result<Rc<RefCell<Panes<K, A>>>, StateError> {
        let space = self.space(&operator.into(), state, spec.version.unwrap_or(1), PANE_TABLES)?;
        Panes::open(space, spec.upgrade, &self.port())
    }

    /// Which stages of the worker take input at `now_ns` of the monotonic clock: none for a part of the time that grows with what
    /// the writer has before it, for all of it while [`MAX_FROZEN`] whole layers wait; and while there are so
    /// many with those that wait for an epoch, only the stages that are in that epoch still.
    #[must_use]
    pub fn intake(&self, now_ns: u64) -> Intake {
        let backlog = self.inner.writer.backlog();
        if pace::is_time_to_wait(backlog.parts(), now_ns) {
            return Intake::Closed;
        }
        let waiting = backlog.layers();
        let dispatch = self.inner.dispatch.borrow();
        match dispatch.waits_for() {
            Some(epoch) if waiting + dispatch.held() >= MAX_FROZEN => Intake::UpTo(epoch),
            _ => Intake::Open,
        }
    }

    /// One slice of copying out what was frozen, of moving written layers into the cache, or of
    /// warming it after a restore, to be called between batches; whether there may be more to do at
    /// once. A frozen epoch is acknowledged only if this is called.
    ///
    /// # Errors
    /// Code of a type that is kept as state panicked at it.
    pub fn maintain(&self) -> Result<bool, StateError> {
        self.slice(SLICE_ENTRIES)
    }

    /// As [`StateStore::maintain`], with a slice of about `entries`.
    ///
    /// # Errors
    /// As [`StateStore::maintain`].
    pub fn slice(&self, entries: usize) -> Result<bool, StateError> {
        let mut settles = self.inner.settles.borrow_mut();
        settles.retain(|settles| settles.strong_count() > 0);
        let mut budget = entries;
        let first = self.inner.next.get();
        self.inner.next.set(first.wrapping_add(1));
        for turn in 0..settles.len() {
            if budget == 0 {
                return Ok(true);
            }
            let index = first.wrapping_add(turn) % settles.len();
            if let Some(settles) = settles[index].upgrade() {
                let mut settles = settles.borrow_mut();
                let trash = |trash| self.inner.writer.trash(trash);
                let settled = StateError::caught(|| settles.settle(&mut budget, &trash));
                settled.unwrap_or_else(|message| Err(settles.whose().panicked("moved", message)))?;
            }
        }
        Ok(budget == 0)
    }

    /// How many rows have been looked up in the backend: none, as long as the caches are complete.
    #[must_use]
    pub fn backend_reads(&self) -> u64 {
        self.inner.reads.get()
    }

    /// How many rows lie in the backend, of all operators: what has been written so far. It reads all of them.
    ///
    /// # Errors
    /// The backend cannot be read.
    pub fn backend_rows(&self) -> Result<usize, StateError> {
        // A row begins with its key group, of which there are at most half as many as 16 bits can tell.
        let mut rows = self.inner.base.scan(Vec::new()..vec![u8::MAX])?;
        rows.try_fold(0, |count, row| row.map(|_| count + 1))
    }

    /// Takes what the states hold in memory away from them, and has a thread of its own let go of it, which nobody waits
    /// for: of millions of structs that takes seconds, and a process that ends need not do it at all. To be called when the
    /// states are used no more, before they are dropped.
    pub fn give_up(&self) {
        let states: Vec<_> = self.inner.settles.borrow().iter().filter_map(Weak::upgrade).collect();
        let held: Vec<Box<dyn Send>> = states.iter().map(|state| state.borrow_mut().give_up()).collect();
        // If there is no thread to be had, it is dropped here and now.
        drop(thread::Builder::new().name("pelton-drop".to_owned()).spawn(move || drop(held)));
    }

    /// Ends the threads, after they have written what was handed to them, and waits for them.
    /// States that were registered must not freeze any more.
    ///
    /// # Errors
    /// A thread panicked.
    pub fn close(self) -> Result<(), StateError> {
        for state in self.inner.settles.borrow().iter().filter_map(Weak::upgrade) {
            state.borrow_mut().hand_over();
        }
        self.inner.writer.join()?;
        self.inner.base.stop();
        Ok(())
    }

    fn port(&self) -> Port {
        let owner = self.inner.dispatch.borrow_mut().register();
        Port { inner: self.inner.clone(), owner }
    }

    fn space(
        &self,
        operator: &Arc<str>,
        state: &'static str,
        version: u16,
        tables: u16,
    ) -> Result<Space, StateError> {
        match self.inner.ids.ids(operator, state) {
            Some((operator_id, state_id)) => {
                let id = StateId { operator: operator_id, state: state_id };
                Ok(self.numbered(operator, state, version, tables, id))
            }
            None => {
                Err(StateError::UndeclaredState { operator: operator.to_string(), state: state.to_owned() })
            }
        }
    }

    fn numbered(
        &self,
        operator: &Arc<str>,
        state: &'static str,
        version: u16,
        tables: u16,
        id: StateId,
    ) -> Space {
        let range = self.inner.groups.range(self.inner.worker, self.inner.workers);
        Space {
            id,
            window: None,
            version,
            partition: Partition::new(self.inner.groups, range, tables),
            operator: operator.clone(),
            state,
            row_bytes: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateStore(worker {} of {})", self.inner.worker, self.inner.workers)
    }
}

/// What a registered state reaches the store by. Clones are the same owner.
#[derive(Clone)]
pub(crate) struct Port {
    inner: Rc<Inner>,
    owner: usize,
}

impl Port {
    pub(crate) fn base(&self) -> &dyn Base {
        &*self.inner.base
    }

    /// Looks a row up in the backend.
    pub(crate) fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.inner.reads.set(self.inner.reads.get() + 1);
        self.inner.base.get(row)
    }

    pub(crate) fn base_handle(&self) -> Arc<dyn Base> {
        self.inner.base.clone()
    }

    /// Whether the backend held nothing when the store was opened.
    pub(crate) fn starts_empty(&self) -> bool {
        self.inner.starts_empty
    }

    /// Has the store move written layers of `state` on between batches.
    pub(crate) fn settles<S: Settle + 'static>(&self, state: &Rc<RefCell<S>>) {
        let state: Rc<RefCell<dyn Settle>> = state.clone();
        self.inner.settles.borrow_mut().push(Rc::downgrade(&state));
    }

    /// Moves layers of `layers` at once, if maintenance has not kept up.
    pub(crate) fn settle_if_many<K: Key, C: crate::layers::Cell>(&self, layers: &RefCell<Layers<K, C>>) {
        layers.borrow_mut().settle_if_many(MAX_UNMOVED, &|trash| self.trash(trash));
    }

    /// A state begins to share the worker's memory with the others.
    pub(crate) fn claim(&self) -> Rc<Claim> {
        self.inner.ledger.claim()
    }

    /// What a state that holds `held` may hold from now on.
    pub(crate) fn share<E>(&self, claim: &Claim, held: Held, space: &Space) -> Share {
        self.inner.budget.share::<E>(&self.inner.ledger, claim, held, space)
    }

    pub(crate) fn freeze(&self, epoch: Epoch, parts: Parts) -> Result<(), StateError> {
        failpoint::at("state::freeze")
            .map_err(|error| StateError::WriterStopped { reason: error.to_string() })?;
        let orders = self.inner.dispatch.borrow_mut().freeze(self.owner, epoch, parts, monotonic_ns());
        self.send(orders)
    }

    /// Hands over what was frozen before its barrier. A writer that has stopped says so at the
    /// next freeze; the layer stays readable till then.
    pub(crate) fn spill(&self, parts: Parts) {
        let orders = self.inner.dispatch.borrow_mut().spill(self.owner, parts);
        drop(self.send(orders));
    }

    /// Has the writer thread drop something large.
    pub(crate) fn trash(&self, trash: Box<dyn Send>) {
        self.inner.writer.trash(trash);
    }

    fn send(&self, orders: Vec<Order>) -> Result<(), StateError> {
        orders.into_iter().try_for_each(|order| self.inner.writer.send(order))
    }
}
