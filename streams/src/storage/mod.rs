//! The disk as the log sees it: few operations, each with its durability spelled out. The log asks
//! for nothing else, so that [`MemoryStorage`] can stand in for it and lie in every way a disk may.

mod fs;
mod memory;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use fs::FileStorage;
pub use memory::{CrashPlan, MemoryStorage};

/// A directory tree with explicit durability.
///
/// Contents are durable after [`StorageFile::sync`]; names (creation, removal, renaming, directories
/// included) after [`Storage::sync_dir`] of their directory. Nothing else is promised, in particular no
/// order between writes that were not synced, or between names.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Creates a directory whose parent exists. Fine if it exists itself.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Whether a directory of this name exists.
    fn is_dir(&self, dir: &Path) -> io::Result<bool>;
    /// Creates an empty file; fails with `AlreadyExists` if the name is taken.
    fn create(&self, file: &Path) -> io::Result<Arc<dyn StorageFile>>;
    /// Opens a file, for writing too if `write`.
    fn open(&self, file: &Path, write: bool) -> io::Result<Arc<dyn StorageFile>>;
    /// Replaces `to` by `from` in one step, within one directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, file: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock on a file, creating it if needed; `None` if it is held elsewhere.
    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn StorageLock>>>;
    /// Calls back when another process changes the file's contents, until the guard is dropped.
    /// `None` if this storage cannot tell: then readers look again at intervals.
    fn watch(&self, file: &Path, on_change: Box<dyn Fn() + Send>) -> io::Result<Option<Box<dyn WatchGuard>>>;
    /// Whether only this process can see the storage, so that nobody else can have changed it.
    fn is_private(&self) -> bool {
        false
    }
}

/// An open file.
pub trait StorageFile: Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`, extending the file if needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Fills `bytes` from `offset`; `UnexpectedEof` if the file ends before.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Makes everything written durable, the length included.
    fn sync(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A held lock; dropping it releases it.
pub trait StorageLock: Debug + Send + Sync {}

/// A running watch; dropping it ends it.
pub trait WatchGuard: Debug + Send + Sync {}

/// Creates a directory with its parents; durable on return. Fine if it exists.
///
/// One level after the other, each synced before the next: so whoever is killed on the way leaves at most
/// the deepest directory without a durable name, and whoever finds a directory syncs that name.
///
/// # Errors
/// The operating system's.
pub fn create_dirs(storage: &dyn Storage, dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent == Path::new("") => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    if storage.is_dir(dir)? {
        return match storage.sync_dir(parent) {
            // Where we may not write we have made nothing either, and not every file system has
            // directories that can be synced.
            Err(error) if is_no_place_of_ours(&error) => Ok(()),
            answer => answer,
        };
    }
    if dir != parent {
        create_dirs(storage, parent)?;
    }
    storage.create_dir(dir)?;
    storage.sync_dir(parent)
}

fn is_no_place_of_ours(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported)
}

/// Replaces a small file in one durable step: after a crash there is the old one or the new one.
///
/// # Errors
/// The operating system's.
pub fn replace(storage: &dyn Storage, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = file.with_extension("tmp");
    match storage.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let new = storage.create(&temporary)?;
    new.write_at(0, bytes)?;
    new.sync()?;
    storage.rename(&temporary, file)?;
    storage.sync_dir(file.parent().unwrap_or(Path::new(".")))
}

/// All of a small file.
///
/// # Errors
/// The operating system's.
pub fn read_all(storage: &dyn Storage, file: &Path) -> io::Result<Vec<u8>> {
    let file = storage.open(file, false)?;
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}
