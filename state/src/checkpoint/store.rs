//! The checkpoint store: immutable files by path, on a local directory.
//!
//! Owns putting, fetching and verifying files; what they hold is for others. The calls block and
//! come from plain threads: workers' writers, the coordinator's driver. Everything goes through
//! the `object_store` interface, so that stores behind a URL need nothing but another builder.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, WriteMultipart};
use pelton_dataflow::directories::LocalDirectories;
use pelton_dataflow::failpoint;
use tokio::runtime::{Builder, Runtime};

pub use super::root::Files;
use super::root::Root;
use crate::error::StateError;
use crate::files::StoredFile;

/// What is read and put at once. Object stores refuse parts below 5 MiB.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// Files below this are copied: a copy is as quick.
pub(super) const LEAST_LINKED_BYTES: u64 = 64 * 1024;

/// What is read at once for a checksum alone.
const CHECKED_BYTES: usize = 128 * 1024;

/// Parts of one file on their way at the same time: bounds memory to a few parts a file.
const PARTS_IN_FLIGHT: usize = 2;

/// Threads for file system calls, of all users of one store together.
const BLOCKING_THREADS: usize = 4;

/// Where checkpoints lie. A cheap handle: clones share the store.
#[derive(Clone)]
pub struct CheckpointStore {
    shared: Arc<Shared>,
}

struct Shared {
    store: Box<dyn ObjectStore>,
    /// The directory that it is in, if it is in one.
    root: Option<Root>,
    /// For messages: the directory or URL that it was opened with.
    location: String,
    runtime: Runtime,
}

impl CheckpointStore {
    /// Opens the store at `location`, a directory, which is made if it is missing.
    ///
    /// # Errors
    /// The directory cannot be made, or `location` is a URL of an unknown kind.
    pub fn open(location: &str) -> Result<Self, StateError> {
        let directory = match location.split_once("://") {
            None => location,
            Some(("file", path)) => path,
            Some((scheme, _)) => {
                return Err(StateError::UnknownStore {
                    location: location.to_owned(),
                    scheme: scheme.to_owned(),
                });
            }
        };
        let root = Root::make(directory, Box::new(LocalDirectories))
            .map_err(StateError::local("make the directory", directory))?;
        let store = LocalFileSystem::new_with_prefix(directory)
            .map_err(StateError::store("open", location))?
            .with_fsync(true);
        Self::with(Box::new(store), Some(root), location)
    }

    /// A store over any implementation; `location` is for messages.
    ///
    /// # Errors
    /// The threads for its calls cannot be started.
    pub fn over(store: Box<dyn ObjectStore>, location: &str) -> Result<Self, StateError> {
        Self::with(store, None, location)
    }

    /// A store in the directory `location` of a file system of any kind, which `store` and
    /// `directories` both work on: for tests.
    ///
    /// # Errors
    /// The directory cannot be made, or the threads cannot be started.
    pub fn over_directory(
        store: Box<dyn ObjectStore>,
        directories: Box<dyn Files>,
        location: &str,
    ) -> Result<Self, StateError> {
        let root =
            Root::make(location, directories).map_err(StateError::local("make the directory", location))?;
        Self::with(store, Some(root), location)
    }

    fn with(store: Box<dyn ObjectStore>, root: Option<Root>, location: &str) -> Result<Self, StateError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("pelton-store")
            .build()
            .map_err(StateError::local("start the threads of the checkpoint store", location))?;
        Ok(Self { shared: Arc::new(Shared { store, root, location: location.to_owned(), runtime }) })
    }

    /// The directory or URL that it was opened with.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.shared.location
    }

    /// Puts the file `local`, whose bytes never change again, as `path`, where it is synced before this returns. `name`
    /// is what it is called where it is used.
    ///
    /// In a directory on the file system of `local` it is no copy: the file gets a second name (a hard link), and its
    /// bytes are there until both are deleted.
    ///
    /// # Errors
    /// The file cannot be read or the store cannot be written.
    pub fn put_file(&self, local: &Path, path: &str, name: &str) -> Result<StoredFile, StateError> {
        let read_error = || StateError::local("read", local);
        let mut file = File::open(local).map_err(read_error())?;
        let bytes = file.metadata().map_err(read_error())?.len();
        if bytes >= LEAST_LINKED_BYTES && self.link(local, path)? {
            let (length, crc32c) = checksum(&mut file).map_err(read_error())?;
            return Ok(StoredFile { path: path.to_owned(), name: name.to_owned(), length, crc32c });
        }
        let mut part = read_part(&mut file).map_err(read_error())?;
        if part.len() < PART_BYTES {
            return self.put_bytes(path, name, part.into());
        }
        let location = self.place(path)?;
        self.failpoint("checkpoint::put", "put", path)?;
        let (mut length, mut crc32c) = (0, 0);
        self.shared.runtime.block_on(async {
            let put_error = || StateError::store("put", self.full(path));
            let upload = self.shared.store.put_multipart(&location).await.map_err(put_error())?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
            while !part.is_empty() {
                length += part.len() as u64;
                crc32c = crc32c::crc32c_append(crc32c, &part);
                upload.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(put_error())?;
                upload.put(part.into());
                part = read_part(&mut file).map_err(read_error())?;
            }
            upload.finish().await.map_err(put_error())
        })?;
        Ok(StoredFile { path: path.to_owned(), name: name.to_owned(), length, crc32c })
    }

    /// Gives the file `local` the name `path` in the store; `false` if it has to be copied.
    fn link(&self, local: &Path, path: &str) -> Result<bool, StateError> {
        let Some(root) = &self.shared.root else { return Ok(false) };
        self.place(path)?;
        self.failpoint("checkpoint::put", "put", path)?;
        root.link(local, path).map_err(|error| self.local_error("link", path, error))
    }

    /// Puts `bytes` as `path`, where they are synced before this returns.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_bytes(&self, path: &str, name: &str, bytes: Bytes) -> Result<StoredFile, StateError> {
        let file = StoredFile {
            path: path.to_owned(),
            name: name.to_owned(),
            length: bytes.len() as u64,
            crc32c: crc32c::crc32c(&bytes),
        };
        let location = self.place(path)?;
        self.failpoint("checkpoint::put", "put", path)?;
        let put = self.shared.store.put(&location, bytes.into());
        self.shared.runtime.block_on(put).map_err(StateError::store("put", self.full(path)))?;
        Ok(file)
    }

    /// Puts `bytes` as `path` if there is nothing yet; `false` if there is.
    ///
    /// # Errors
    /// The store cannot be written. The file may be there all the same.
    pub fn create(&self, path: &str, bytes: Bytes) -> Result<bool, StateError> {
        let location = self.place(path)?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.shared.store.put_opts(&location, bytes.into(), options);
        match self.shared.runtime.block_on(put) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(StateError::store("create", self.full(path))(error)),
        }
    }

    /// Fetches `file` to the local path `to`, replacing what is there.
    ///
    /// # Errors
    /// It is missing, has another length or checksum, or `to` cannot be written; there may be
    /// part of a file at `to` then.
    pub fn fetch(&self, file: &StoredFile, to: &Path) -> Result<(), StateError> {
        let write_error = || StateError::local("write", to);
        let location = self.path(&file.path)?;
        // What is there may be a file of a store by its other name: it is not written into.
        match fs::remove_file(to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(write_error()(error)),
            _ => {}
        }
        let mut local = File::create_new(to).map_err(write_error())?;
        self.failpoint("checkpoint::fetch", "fetch", &file.path)?;
        let (mut length, mut crc32c) = (0, 0);
        self.shared.runtime.block_on(async {
            let get_error = || StateError::store("fetch", self.full(&file.path));
            let found = self.shared.store.get(&location).await.map_err(get_error())?;
            let mut stream = found.into_stream();
            while let Some(part) = stream.try_next().await.map_err(get_error())? {
                length += part.len() as u64;
                crc32c = crc32c::crc32c_append(crc32c, &part);
                local.write_all(&part).map_err(write_error())?;
            }
            Ok::<_, StateError>(())
        })?;
        self.verify(file, length, crc32c)
    }

    /// The bytes of `file`.
    ///
    /// # Errors
    /// It is missing, or has another length or checksum.
    pub fn read(&self, file: &StoredFile) -> Result<Bytes, StateError> {
        self.failpoint("checkpoint::fetch", "fetch", &file.path)?;
        let bytes = self.get(&file.path)?;
        self.verify(file, bytes.len() as u64, crc32c::crc32c(&bytes))?;
        Ok(bytes)
    }

    /// The bytes at `path`, as they are: for files that carry their own checksum.
    ///
    /// # Errors
    /// There is nothing, or the store cannot be read.
    pub fn get(&self, path: &str) -> Result<Bytes, StateError> {
        let location = self.path(path)?;
        let get = async { self.shared.store.get(&location).await?.bytes().await };
        self.shared.runtime.block_on(get).map_err(StateError::store("read", self.full(path)))
    }

    /// All paths below `prefix`, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, StateError> {
        let below = self.path(prefix)?;
        let list = self.shared.store.list(Some(&below)).map_ok(|object| object.location.to_string());
        let mut paths: Vec<String> = self
            .shared
            .runtime
            .block_on(list.try_collect())
            .map_err(StateError::store("list", self.full(prefix)))?;
        paths.sort_unstable();
        Ok(paths)
    }

    /// The paths below `prefix` of puts that are under way, or were cut short for good: what [`Self::list`]
    /// does not show.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list_unfinished(&self, prefix: &str) -> Result<Vec<String>, StateError> {
        // Stores that are no directory have no such files.
        let Some(root) = &self.shared.root else { return Ok(Vec::new()) };
        let mut paths = root.unfinished(prefix).map_err(|error| self.local_error("list", prefix, error))?;
        paths.sort_unstable();
        Ok(paths)
    }

    /// Deletes what [`Self::list_unfinished`] found; that it is gone is no error.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn delete_unfinished(&self, path: &str) -> Result<(), StateError> {
        let Some(root) = &self.shared.root else { return Ok(()) };
        self.failpoint("checkpoint::delete", "delete", path)?;
        root.remove(path).map_err(|error| self.local_error("delete", path, error))
    }

    /// Makes all that [`Self::list`] finds right below `directory` durable: a put that failed may have left
    /// what is seen but does not last.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn settle(&self, directory: &str) -> Result<(), StateError> {
        // Stores that are no directory show only what lasts.
        let Some(root) = &self.shared.root else { return Ok(()) };
        root.sync(directory).map_err(|error| self.local_error("sync", directory, error))
    }

    /// Deletes `path`; that it is not there is no error.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn delete(&self, path: &str) -> Result<(), StateError> {
        let location = self.path(path)?;
        self.failpoint("checkpoint::delete", "delete", path)?;
        match self.shared.runtime.block_on(self.shared.store.delete(&location)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StateError::store("delete", self.full(path))(error)),
        }
    }

    /// `path` with the place of the store before it, for messages.
    #[must_use]
    pub fn full(&self, path: &str) -> String {
        format!("{}/{path}", self.shared.location.trim_end_matches('/'))
    }

    /// The failpoint `name`; its error is one of the store.
    pub(super) fn failpoint(&self, name: &str, action: &'static str, path: &str) -> Result<(), StateError> {
        failpoint::at(name).map_err(|error| {
            let source = object_store::Error::Generic { store: "failpoint", source: error.into() };
            StateError::store(action, self.full(path))(source)
        })
    }

    /// The path that something is about to be put at.
    fn place(&self, path: &str) -> Result<StorePath, StateError> {
        if let Some(root) = &self.shared.root {
            root.make_room(path).map_err(|error| self.local_error("make the directory of", path, error))?;
        }
        self.path(path)
    }

    fn local_error(&self, action: &'static str, path: &str, error: std::io::Error) -> StateError {
        let source = object_store::Error::Generic { store: "local", source: error.into() };
        StateError::store(action, self.full(path))(source)
    }

    fn path(&self, path: &str) -> Result<StorePath, StateError> {
        StorePath::parse(path).map_err(|error| StateError::store("address", self.full(path))(error.into()))
    }

    fn verify(&self, file: &StoredFile, length: u64, crc32c: u32) -> Result<(), StateError> {
        let problem = if length != file.length {
            format!("it has {length} bytes, its manifest says {}", file.length)
        } else if crc32c != file.crc32c {
            format!("its bytes have the checksum {crc32c:08x}, its manifest says {:08x}", file.crc32c)
        } else {
            return Ok(());
        };
        Err(StateError::Damaged { file: self.full(&file.path), problem })
    }
}

impl std::fmt::Debug for CheckpointStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckpointStore({})", self.shared.location)
    }
}

/// The length and checksum of what is read from `file`.
fn checksum(file: &mut File) -> std::io::Result<(u64, u32)> {
    let (mut length, mut crc32c) = (0, 0);
    let mut part = vec![0; CHECKED_BYTES];
    loop {
        match file.read(&mut part)? {
            0 => return Ok((length, crc32c)),
            read => {
                length += read as u64;
                crc32c = crc32c::crc32c_append(crc32c, &part[..read]);
            }
        }
    }
}

/// Up to [`PART_BYTES`] of `file`; fewer only at its end.
fn read_part(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part)
}
