//! What this process knows of a stream: its metadata, how far it is durable, who wants to hear when that
//! changes, and which segments are open. Readers and the writer meet here. It takes no lock on disk.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::end::{END_BYTES, End};
use crate::format::meta::StreamMeta;
use crate::hash::Router;
use crate::segment::Segment;
use crate::storage::{Storage, StorageFile, WatchGuard, read_all};
use crate::types::ShardId;

/// How often END is looked at where the storage cannot tell of changes.
const POLL: Duration = Duration::from_millis(20);
/// Reads of END that may fall between two halves of a write before it counts as damaged.
const END_READS: usize = 100;

type Listener = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct StreamShared {
    pub name: Arc<str>,
    pub log_dir: PathBuf,
    pub dir: PathBuf,
    pub storage: Arc<dyn Storage>,
    end_path: PathBuf,
    end_file: Arc<dyn StorageFile>,
    state: Mutex<State>,
    /// A copy of the publication's number, to look at without the lock.
    publication: AtomicU64,
    changed: Condvar,
    listeners: Mutex<Listeners>,
    /// The writer of this stream is in this process and publishes here by itself.
    local_writer: AtomicBool,
    segments: Mutex<HashMap<u64, Weak<Segment>>>,
}

#[derive(Clone)]
struct State {
    end: End,
    meta: Arc<StreamMeta>,
    router: Arc<Router>,
}

impl State {
    fn set_meta(&mut self, meta: Arc<StreamMeta>) {
        if meta.version != self.meta.version {
            self.router = router(&meta);
            self.meta = meta;
        }
    }
}

#[derive(Default)]
struct Listeners {
    next: u64,
    by_id: HashMap<u64, Listener>,
    watch: Option<Box<dyn WatchGuard>>,
}

impl fmt::Debug for StreamShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamShared")
            .field("name", &self.name)
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

fn relock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn meta_path(dir: &Path) -> PathBuf {
    dir.join("META")
}

pub(crate) fn end_path(dir: &Path) -> PathBuf {
    dir.join("END")
}

/// The metadata of the stream in `dir`; `None` if there is no stream.
pub(crate) fn read_meta(storage: &dyn Storage, dir: &Path) -> Result<Option<StreamMeta>> {
    let path = meta_path(dir);
    match read_all(storage, &path) {
        Ok(bytes) => StreamMeta::decode(&path, &bytes).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io("read", &path)(source)),
    }
}

/// The END file as it is now.
pub(crate) fn read_end(path: &Path, file: &dyn StorageFile) -> Result<([u8; END_BYTES], End)> {
    let mut bytes = [0; END_BYTES];
    let mut tries = 0;
    loop {
        match file.read_at(0, &mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Error::corrupt(path, 0, "it is cut short"));
            }
            Err(source) => return Err(Error::io("read", path)(source)),
        }
        match End::decode(path, &bytes) {
            Ok(end) => return Ok((bytes, end)),
            Err(error) if tries == END_READS => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

fn router(meta: &StreamMeta) -> Arc<Router> {
    let shards = meta.shards.iter().zip(0..);
    let open = shards
        .filter(|(shard, _)| shard.closed_ms.is_none())
        .map(|(shard, id)| (shard.first_hash, ShardId(id)));
    Arc::new(Router::new(open))
}

impl StreamShared {
    pub fn open(storage: Arc<dyn Storage>, log_dir: &Path, dir: PathBuf, meta: StreamMeta) -> Result<Self> {
        let end_path = end_path(&dir);
        let end_file = storage.open(&end_path, false).map_err(Error::io("open", &end_path))?;
        let (_, end) = read_end(&end_path, &*end_file)?;
        if end.stream_id != meta.stream_id {
            return Err(Error::corrupt(&end_path, 16, "it belongs to another stream than META"));
        }
        Ok(Self {
            name: meta.name.as_str().into(),
            log_dir: log_dir.to_owned(),
            dir,
            storage,
            end_path,
            end_file,
            publication: AtomicU64::new(end.publication),
            state: Mutex::new(State { end, router: router(&meta), meta: Arc::new(meta) }),
            changed: Condvar::new(),
            listeners: Mutex::default(),
            local_writer: AtomicBool::new(false),
            segments: Mutex::default(),
        })
    }

    pub fn end(&self) -> End {
        relock(&self.state).end
    }

    pub fn meta(&self) -> Arc<StreamMeta> {
        relock(&self.state).meta.clone()
    }

    pub fn router(&self) -> Arc<Router> {
        relock(&self.state).router.clone()
    }

    /// Whether a split or merge has closed `shard`, as far as this process knows.
    pub fn is_closed(&self, shard: ShardId) -> bool {
        let state = relock(&self.state);
        state.meta.shards.get(shard.0 as usize).is_some_and(|shard| shard.closed_ms.is_some())
    }

    /// How far the stream is durable, as its writer has published it.
    pub fn refresh(&self) -> Result<End> {
        if !self.local_writer.load(Ordering::Acquire) {
            let (_, end) = read_end(&self.end_path, &*self.end_file)?;
            if end.publication > self.publication.load(Ordering::Acquire) {
                self.take_over(end)?;
            }
        }
        Ok(self.end())
    }

    /// Takes what another process has published.
    fn take_over(&self, end: End) -> Result<()> {
        let known = self.meta();
        let meta = if end.meta_version == known.version { known } else { Arc::new(self.meta_on_disk()?) };
        self.publish(end, Some(meta));
        Ok(())
    }

    fn meta_on_disk(&self) -> Result<StreamMeta> {
        let found = read_meta(&*self.storage, &self.dir)?;
        let gone = || Error::StreamGone { stream: self.name.to_string(), dir: self.log_dir.clone() };
        found.filter(|found| found.stream_id == self.meta().stream_id).ok_or_else(gone)
    }

    /// Takes the metadata as it is on disk, for a writer that has just got the stream's lock: what this
    /// process remembers may be from before another one's writer.
    pub fn reload_meta(&self) -> Result<()> {
        let found = self.meta_on_disk()?;
        let mut state = relock(&self.state);
        state.set_meta(Arc::new(found));
        Ok(())
    }

    /// Makes a new end known to this process's readers. Never goes back.
    pub fn publish(&self, end: End, meta: Option<Arc<StreamMeta>>) {
        let mut state = relock(&self.state);
        if end.publication <= state.end.publication {
            return;
        }
        state.end = end;
        if let Some(meta) = meta {
            state.set_meta(meta);
        }
        drop(state);
        self.publication.store(end.publication, Ordering::Release);
        self.changed.notify_all();
        let listeners: Vec<Listener> = relock(&self.listeners).by_id.values().cloned().collect();
        for listener in listeners {
            listener();
        }
    }

    /// Waits until something newer than `seen` is published, or `timeout` has passed.
    pub fn wait(self: &Arc<Self>, seen: u64, timeout: Duration) -> Result<bool> {
        let watched = self.local_writer.load(Ordering::Acquire) || self.ensure_watch()?;
        let mut left = timeout;
        loop {
            if self.refresh()?.publication > seen {
                return Ok(true);
            }
            let slice = if watched { left } else { left.min(POLL) };
            let state = relock(&self.state);
            let waited = self.changed.wait_timeout_while(state, slice, |state| state.end.publication <= seen);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.end.publication > seen {
                return Ok(true);
            }
            drop(state);
            left = left.saturating_sub(slice);
            if left.is_zero() {
                return Ok(self.refresh()?.publication > seen);
            }
        }
    }

    /// Calls back after each publication, from the writer's or the watcher's thread.
    pub fn subscribe(self: &Arc<Self>, listener: Listener) -> Result<u64> {
        let mut listeners = relock(&self.listeners);
        let id = listeners.next;
        listeners.next += 1;
        listeners.by_id.insert(id, listener);
        drop(listeners);
        if !self.local_writer.load(Ordering::Acquire) {
            self.ensure_watch()?;
        }
        Ok(id)
    }

    pub fn unsubscribe(&self, id: u64) {
        relock(&self.listeners).by_id.remove(&id);
    }

    /// Starts to watch for publications of other processes; whether the storage can tell of them.
    fn ensure_watch(self: &Arc<Self>) -> Result<bool> {
        if relock(&self.listeners).watch.is_some() {
            return Ok(true);
        }
        let weak = Arc::downgrade(self);
        let on_change = Box::new(move || {
            if let Some(shared) = weak.upgrade()
                && let Err(error) = shared.refresh()
            {
                // The reader meets the same error at its next poll and reports it to its owner.
                tracing::debug!(stream = %shared.name, %error, "a published end could not be read");
            }
        });
        let watch = self.storage.watch(&self.end_path, on_change);
        let watch = watch.map_err(Error::io("watch", &self.end_path))?;
        let watched = watch.is_some();
        relock(&self.listeners).watch = watch;
        // What was published before the watch began.
        self.refresh()?;
        Ok(watched)
    }

    pub fn set_local_writer(self: &Arc<Self>, local: bool) {
        self.local_writer.store(local, Ordering::Release);
        // Those who relied on this process's writer now need to hear of another one's.
        let abandoned = !local && !relock(&self.listeners).by_id.is_empty();
        if abandoned && let Err(error) = self.ensure_watch() {
            tracing::debug!(stream = %self.name, %error, "the stream cannot be watched");
        }
        self.changed.notify_all();
    }

    /// An open segment, shared by all who read it.
    pub fn segment(&self, id: u64) -> Result<Arc<Segment>> {
        if let Some(segment) = relock(&self.segments).get(&id).and_then(Weak::upgrade) {
            return Ok(segment);
        }
        let opened = Arc::new(Segment::open(&*self.storage, &self.dir, self.meta().stream_id, id)?);
        let mut segments = relock(&self.segments);
        segments.retain(|_, segment| segment.strong_count() > 0);
        // Another reader may have been quicker; one index is enough.
        if let Some(segment) = segments.get(&id).and_then(Weak::upgrade) {
            return Ok(segment);
        }
        segments.insert(id, Arc::downgrade(&opened));
        Ok(opened)
    }

    /// How far a segment may be read: to its end, or to the durable end if it is the active one.
    pub fn limit_of(&self, segment: &Segment, end: &End) -> Result<u64> {
        if segment.id >= end.segment {
            return Ok(end.offset);
        }
        // The file's own length would hide that it was cut.
        match self.segment(segment.id + 1) {
            Ok(next) => Ok(next.head.previous_bytes),
            // Retention has taken the next one, and so this one too.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                segment.file.len().map_err(Error::io("read", &segment.path))
            }
            Err(error) => Err(error),
        }
    }
}
