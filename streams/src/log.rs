//! The log as a whole: a data directory with streams in it. Creates, lists, describes and deletes them,
//! and gives out readers and writers. Reading takes no lock; a stream has one writing process.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use crate::clock::{Clock, SystemClock};
use crate::describe::{self, StreamDescription};
use crate::error::{Error, Result};
use crate::format::codec::{seal, unseal};
use crate::format::end::End;
use crate::format::meta::{ShardMeta, StreamMeta};
use crate::format::segment::{SegmentHead, ShardMark};
use crate::hash::even_ranges;
use crate::options::{Options, Retention};
use crate::reader::Reader;
use crate::segment::segment_dir;
use crate::shared::{StreamShared, end_path, meta_path, read_meta};
use crate::storage::{FileStorage, Storage, StorageLock, create_dirs, read_all, replace};
use crate::txn::OpenTransaction;
use crate::txn::table::{list_staged, staged_dir};
use crate::types::{ShardId, StartPosition, check_name, limits};
use crate::verify::{self, VerifyReport};
use crate::writer::active::ActiveSegment;
use crate::writer::engine::Engine;
use crate::writer::{StreamWriter, Writers, retention};

pub(crate) const LOG_MAGIC: [u8; 8] = *b"PELTLOG\0";

/// Logs on the real disk that are open in this process: opening a directory again gives the same log, so
/// that its readers hear of its writers directly and its writers share their locks.
static OPEN_LOGS: LazyLock<Mutex<HashMap<PathBuf, Weak<LogInner>>>> = LazyLock::new(Mutex::default);

/// A data directory of streams. Clones share it.
#[derive(Debug, Clone)]
pub struct ShardLog {
    inner: Arc<LogInner>,
}

#[derive(Debug)]
struct LogInner {
    dir: PathBuf,
    options: Options,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    streams: Mutex<HashMap<String, Arc<StreamShared>>>,
    writers: Arc<Writers>,
}

impl ShardLog {
    /// Opens the log in `dir`, on disk and by the machine's clock. A directory that this process has open
    /// already gives the same log, with the options of the first time.
    ///
    /// # Errors
    /// [`Error::DirectoryMissing`] and [`Error::NotALog`] unless `options.create`, else
    /// [`Error::InsideLog`]; [`Error::NotADirectory`]; [`Error::DirectoryUnusable`].
    pub fn open(dir: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let dir = dir.as_ref();
        let mut open = OPEN_LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = dir.canonicalize().ok().and_then(|path| open.get(&path)?.upgrade());
        if let Some(inner) = known {
            return Ok(Self { inner });
        }
        let log = Self::open_with(dir, options, Arc::new(FileStorage), Arc::new(SystemClock))?;
        open.retain(|_, inner| inner.strong_count() > 0);
        if let Ok(path) = dir.canonicalize() {
            open.insert(path, Arc::downgrade(&log.inner));
        }
        Ok(log)
    }

    /// Opens a log on a storage and a clock of the caller's choice; nothing is shared with other logs.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        dir: impl AsRef<Path>,
        options: &Options,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        check_directory(&dir, options.create, &*storage)?;
        let options = options.clone();
        let (streams, writers) = (Mutex::default(), Arc::default());
        Ok(Self { inner: Arc::new(LogInner { dir, options, storage, clock, streams, writers }) })
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    fn stream_dir(&self, name: &str) -> PathBuf {
        self.inner.dir.join("streams").join(name)
    }

    /// Creates a stream whose shards divide the hash keys evenly, as Kinesis does. It keeps its records
    /// for ever until its writer sets a retention.
    ///
    /// # Errors
    /// [`Error::InvalidName`]; [`Error::InvalidArgument`] for 0 or more than 10,000 shards;
    /// [`Error::StreamExists`]; [`Error::DirectoryUnusable`].
    pub fn create_stream(&self, name: &str, shards: u32) -> Result<()> {
        self.create_stream_with(name, shards, Retention::default())
    }

    /// Creates a stream with a retention.
    ///
    /// # Errors
    /// As [`create_stream`](Self::create_stream).
    pub fn create_stream_with(&self, name: &str, shards: u32, retention: Retention) -> Result<()> {
        check_name("stream", name)?;
        if shards == 0 || shards > limits::MAX_SHARDS {
            return Err(Error::InvalidArgument(format!(
                "the stream `{name}` cannot have {shards} shards: 1 to {} are possible",
                limits::MAX_SHARDS
            )));
        }
        let storage = &*self.inner.storage;
        let dir = self.stream_dir(name);
        let exists = || Error::StreamExists { stream: name.to_owned(), dir: self.inner.dir.clone() };
        if read_meta(storage, &dir)?.is_some() {
            return Err(exists());
        }
        for dir in [dir.clone(), segment_dir(&dir), staged_dir(&dir)] {
            create_dirs(storage, &dir).map_err(|source| self.unwritable(source))?;
        }
        let _lock = self.lock(name)?;
        if read_meta(storage, &dir)?.is_some() {
            return Err(exists());
        }
        // What a creation or deletion that was cut short has left.
        self.remove_files(&dir)?;
        let meta = self.new_meta(name, shards, retention);
        self.write_stream(&dir, &meta)
    }

    fn new_meta(&self, name: &str, shards: u32, retention: Retention) -> StreamMeta {
        let created_ms = self.inner.clock.now_ms();
        let shards = even_ranges(shards).into_iter().map(|range| ShardMeta {
            first_hash: *range.start(),
            last_hash: *range.end(),
            parent: None,
            adjacent_parent: None,
            created_ms,
            closed_ms: None,
        });
        StreamMeta {
            // The standard library's only source of randomness.
            stream_id: std::hash::RandomState::new().hash_one((name, created_ms)),
            version: 1,
            created_ms,
            retention_ms: retention.age_ms,
            retention_bytes: retention.bytes,
            name: name.to_owned(),
            shards: shards.collect(),
        }
    }

    /// The metadata comes last: with it, the stream exists.
    fn write_stream(&self, dir: &Path, meta: &StreamMeta) -> Result<()> {
        let storage = &*self.inner.storage;
        let head = SegmentHead {
            stream_id: meta.stream_id,
            segment: 1,
            created_ms: meta.created_ms,
            arrival_floor_ms: 0,
            previous_bytes: 0,
            term: 0,
            shards: vec![ShardMark::NEW; meta.shards.len()],
        };
        let first = ActiveSegment::create(storage, dir, &head)?;
        let end = End {
            publication: 1,
            stream_id: meta.stream_id,
            segment: 1,
            offset: first.tail(),
            oldest_segment: 1,
            last_arrival_ms: 0,
            meta_version: meta.version,
            term: 0,
            clean: true,
        };
        for (path, bytes) in [(end_path(dir), end.encode_file()), (meta_path(dir), meta.encode())] {
            replace(storage, &path, &bytes).map_err(Error::io("write", &path))?;
        }
        Ok(())
    }

    /// The names of the streams, sorted.
    ///
    /// # Errors
    /// [`Error::DirectoryUnusable`].
    pub fn list_streams(&self) -> Result<Vec<String>> {
        let storage = &*self.inner.storage;
        let dir = self.inner.dir.join("streams");
        let names = match storage.list(&dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(Error::DirectoryUnusable { dir, action: "read", source }),
        };
        let mut streams = Vec::new();
        for name in names {
            let dir = dir.join(&name);
            let is_there = match storage.list(&dir) {
                Ok(files) => files.iter().any(|file| file == "META"),
                Err(error) if is_no_directory(&error) => false,
                // Whoever is told that a stream is not there may let go of what belongs to it.
                Err(source) => return Err(Error::DirectoryUnusable { dir, action: "read", source }),
            };
            streams.extend(is_there.then_some(name));
        }
        Ok(streams)
    }

    /// What a stream is and holds, as far as it is durable.
    ///
    /// # Errors
    /// [`Error::UnknownStream`]; [`Error::Corrupt`].
    pub fn describe_stream(&self, name: &str) -> Result<StreamDescription> {
        describe::describe(&self.shared(name)?)
    }

    /// Deletes a stream with everything in it. Readers find it gone.
    ///
    /// # Errors
    /// [`Error::UnknownStream`]; [`Error::Locked`] while it is being written.
    pub fn delete_stream(&self, name: &str) -> Result<()> {
        let dir = self.shared(name)?.dir.clone();
        let _lock = self.lock(name)?;
        let storage = &*self.inner.storage;
        let meta = meta_path(&dir);
        storage.remove(&meta).map_err(Error::io("remove", &meta))?;
        storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        self.inner.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.remove_files(&dir)
    }

    fn remove_files(&self, dir: &Path) -> Result<()> {
        let storage = &*self.inner.storage;
        // Synced, so that nothing of it comes back into a stream of the same name.
        for dir in [segment_dir(dir), staged_dir(dir), dir.to_owned()] {
            for name in storage.list(&dir).map_err(Error::io("list", &dir))? {
                let path = dir.join(&name);
                if name != "LOCK" && !storage.is_dir(&path).map_err(Error::io("look at", &path))? {
                    storage.remove(&path).map_err(Error::io("remove", &path))?;
                }
            }
            storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        }
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn StorageLock>> {
        let path = self.stream_dir(name).join("LOCK");
        let lock = self.inner.storage.lock(&path).map_err(Error::io("lock", &path))?;
        lock.ok_or_else(|| Error::Locked { stream: name.to_owned(), file: path })
    }

    /// Opens a stream for writing, recovering it if its last writer has crashed. In this process all
    /// writers of a stream are one; another process cannot write it meanwhile.
    ///
    /// # Errors
    /// [`Error::UnknownStream`]; [`Error::Locked`]; [`Error::Corrupt`] if durable bytes are damaged;
    /// [`Error::WriterFailed`] while there are handles of one that has failed.
    pub fn writer(&self, name: &str) -> Result<StreamWriter> {
        let shared = self.shared(name)?;
        self.inner.writers.open(shared, &self.inner.options, &self.inner.clock)
    }

    /// Removes what retention allows of a stream, its last segment too if all records in it are too old; gives the
    /// number of segments. A stream that nobody writes is opened for writing for that, if there is something to go.
    ///
    /// A writer that is open does the same by itself, from time to time.
    ///
    /// # Errors
    /// As [`writer`](Self::writer), or if a segment cannot be removed.
    pub fn apply_retention(&self, name: &str) -> Result<usize> {
        let shared = self.shared(name)?;
        if !retention::has_something_to_go(&shared, self.inner.clock.now_ms())? {
            return Ok(0);
        }
        self.writer(name)?.core.call(Engine::retire)
    }

    /// Opens a shard for reading. Takes no lock; the writer may be in any process, or nowhere.
    ///
    /// # Errors
    /// [`Error::UnknownStream`]; [`Error::UnknownShard`]; [`Error::Corrupt`].
    pub fn reader(&self, name: &str, shard: ShardId, start: StartPosition) -> Result<Reader> {
        Reader::open(self.shared(name)?, shard, start)
    }

    /// The stream's shards, in order of their ids.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub fn shards(&self, name: &str) -> Result<Vec<ShardId>> {
        let shards = self.shared(name)?.meta().shards.len() as u32;
        Ok((0..shards).map(ShardId).collect())
    }

    /// Transactions of a stream that are neither committed nor aborted, as any process may see them.
    ///
    /// # Errors
    /// [`Error::UnknownStream`]; [`Error::Corrupt`].
    pub fn open_transactions(&self, name: &str) -> Result<Vec<OpenTransaction>> {
        list_staged(&*self.shared(name)?)
    }

    /// Reads every durable byte of a stream and reports what does not hold. Takes no lock.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if a file cannot be read; damage is in the report.
    pub fn verify(&self, name: &str) -> Result<VerifyReport> {
        verify::verify(&self.shared(name)?)
    }

    fn shared(&self, name: &str) -> Result<Arc<StreamShared>> {
        check_name("stream", name)?;
        let dir = self.stream_dir(name);
        let Some(meta) = read_meta(&*self.inner.storage, &dir)? else {
            let known = self.list_streams()?;
            return Err(Error::UnknownStream { stream: name.to_owned(), dir: self.inner.dir.clone(), known });
        };
        let mut streams = self.inner.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = streams.get(name).filter(|shared| shared.meta().stream_id == meta.stream_id) {
            return Ok(shared.clone());
        }
        let shared = Arc::new(StreamShared::open(self.inner.storage.clone(), &self.inner.dir, dir, meta)?);
        streams.insert(name.to_owned(), shared.clone());
        Ok(shared)
    }

    fn unwritable(&self, source: io::Error) -> Error {
        Error::DirectoryUnusable { dir: self.inner.dir.clone(), action: "written to", source }
    }
}

fn is_no_directory(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The data directory must be there, be readable, and be a log's.
fn check_directory(dir: &Path, create: bool, storage: &dyn Storage) -> Result<()> {
    let unusable = |action| move |source| Error::DirectoryUnusable { dir: dir.to_owned(), action, source };
    let is_there = match storage.is_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => false,
        answer => answer.map_err(unusable("read"))?,
    };
    if !is_there {
        if let Some(file) = file_in_the_way(dir, storage) {
            return Err(Error::NotADirectory { path: file.to_owned() });
        }
        if !create {
            return Err(Error::DirectoryMissing { dir: dir.to_owned() });
        }
    }
    let path = dir.join("LOG");
    let found = if is_there { read_all(storage, &path) } else { Err(io::ErrorKind::NotFound.into()) };
    match found {
        Ok(bytes) => unseal(&path, &LOG_MAGIC, &bytes).map(|_| ()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            if let Some(log) = log_around(dir, storage) {
                return Err(Error::InsideLog { dir: dir.to_owned(), log });
            }
            create_dirs(storage, dir).map_err(unusable("created"))?;
            replace(storage, &path, &seal(&LOG_MAGIC, &[])).map_err(unusable("written to"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            storage.list(dir).map_err(unusable("read"))?;
            Err(Error::NotALog { dir: dir.to_owned() })
        }
        Err(source) => Err(unusable("read")(source)),
    }
}

/// The part of the path `dir`, which is no directory, that is a file.
fn file_in_the_way<'a>(dir: &'a Path, storage: &dyn Storage) -> Option<&'a Path> {
    let is_file = |path: &&Path| !storage.is_dir(path).unwrap_or(false) && storage.open(path, false).is_ok();
    dir.ancestors().find(is_file)
}

/// The data directory of the log that `dir` lies in, if it lies in one.
fn log_around(dir: &Path, storage: &dyn Storage) -> Option<PathBuf> {
    let is_log = |dir: &Path| {
        let path = dir.join("LOG");
        read_all(storage, &path).is_ok_and(|bytes| unseal(&path, &LOG_MAGIC, &bytes).is_ok())
    };
    let mut absolute = PathBuf::new();
    for component in std::path::absolute(dir).ok()?.components() {
        match component {
            Component::ParentDir => {
                absolute.pop();
            }
            other => absolute.push(other),
        }
    }
    let log = absolute.ancestors().skip(1).find(|above| is_log(above))?;
    let here = std::env::current_dir().ok();
    let as_typed = here.and_then(|here| log.strip_prefix(here).ok()).filter(|path| *path != Path::new(""));
    Some(as_typed.unwrap_or(log).to_owned())
}
