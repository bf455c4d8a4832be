//! A disk in memory that forgets what was not synced, loses names whose directory was not synced,
//! tears the last writes, fills up, and can stop at any operation. For tests, of this crate and others.
//!
//! What survives when the power fails is drawn from a seed: of the writes to a file any subset, each whole,
//! cut, or with holes of whole sectors; of the names in a directory the first so many changes, as a
//! journal keeps them, or any subset. A directory that is lost takes with it what is in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Storage, StorageFile, StorageLock, WatchGuard};

/// When the disk stops, and what survives.
#[derive(Debug, Clone, Copy)]
pub struct CrashPlan {
    /// The power fails at this operation, counted from now; it and all later ones return an error.
    pub at_operation: u64,
}

/// A disk in memory; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage(Arc<Mutex<Disk>>);

#[derive(Debug, Default, Clone)]
struct Disk {
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    /// What a program sees.
    names: BTreeMap<PathBuf, u64>,
    /// What is on the platter.
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names that no `sync_dir` has covered yet, by directory, in order.
    pending: BTreeMap<PathBuf, Vec<NameChange>>,
    dirs: BTreeSet<PathBuf>,
    durable_dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    crash_at: Option<u64>,
    crashed: bool,
    /// Operations that are refused, by their numbers.
    refused: BTreeSet<u64>,
    /// Grows by one at each restart: files opened before it are dead.
    boot: u64,
    capacity: Option<u64>,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    contents: Vec<u8>,
    durable: Vec<u8>,
    /// Writes and truncations since the last sync.
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

#[derive(Debug, Clone)]
enum NameChange {
    Link { name: PathBuf, inode: u64 },
    Unlink { name: PathBuf },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
    Directory { name: PathBuf },
}

fn apply_name(names: &mut BTreeMap<PathBuf, u64>, dirs: &mut BTreeSet<PathBuf>, change: &NameChange) {
    match change {
        NameChange::Link { name, inode } => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Unlink { name } => {
            names.remove(name);
        }
        NameChange::Rename { from, to, inode } => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
        NameChange::Directory { name } => {
            dirs.insert(name.clone());
        }
    }
}

/// What of a write reaches the platter.
#[derive(Debug, Clone, Copy)]
enum Kept {
    All,
    /// The first so many bytes.
    Until(usize),
    /// Each sector or not, as the seed decides. The file is as long as if all had been written.
    Sectors(u64),
}

/// The least that a disk writes at once.
const SECTOR: usize = 512;

fn apply_change(contents: &mut Vec<u8>, change: &Change, kept: Kept) {
    let Change::Write { offset, bytes } = change else {
        let Change::Truncate { len } = change else { unreachable!("a change is a write or a cut") };
        return contents.resize(*len, 0);
    };
    let len = if let Kept::Until(len) = kept { len.min(bytes.len()) } else { bytes.len() };
    if contents.len() < offset + len {
        contents.resize(offset + len, 0);
    }
    let mut seed = if let Kept::Sectors(seed) = kept { seed } else { 0 };
    let mut at = 0;
    while at < len {
        let end = len.min((offset + at + 1).next_multiple_of(SECTOR) - offset);
        if !matches!(kept, Kept::Sectors(_)) || next_random(&mut seed).is_multiple_of(2) {
            contents[offset + at..offset + end].copy_from_slice(&bytes[at..end]);
        }
        at = end;
    }
}

/// A directory that is there without having been made.
fn is_root(dir: &Path) -> bool {
    dir.parent().is_none_or(|parent| parent == Path::new("") && dir == Path::new("."))
}

/// splitmix64: the seed decides what survives a crash.
fn next_random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn power_failed() -> io::Error {
    io::Error::other("the power has failed (simulated)")
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there (simulated)", path.display()))
}

impl Disk {
    fn operate(&mut self) -> io::Result<()> {
        if self.crashed {
            return Err(power_failed());
        }
        self.operations += 1;
        if self.crash_at.is_some_and(|at| self.operations > at) {
            self.crashed = true;
            return Err(power_failed());
        }
        if self.refused.remove(&self.operations) {
            return Err(io::Error::other("the disk refuses (simulated)"));
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) {
        let (NameChange::Link { name, .. }
        | NameChange::Unlink { name }
        | NameChange::Directory { name }
        | NameChange::Rename { to: name, .. }) = &change;
        let dir = name.parent().unwrap_or(Path::new("")).to_owned();
        apply_name(&mut self.names, &mut self.dirs, &change);
        self.pending.entry(dir).or_default().push(change);
    }

    /// Takes away whatever lies in a directory whose name did not survive.
    fn drop_unreachable(&mut self) {
        let dirs = std::mem::take(&mut self.durable_dirs);
        let reachable = |path: &Path| path.ancestors().skip(1).all(|dir| is_root(dir) || dirs.contains(dir));
        self.durable_names.retain(|name, _| reachable(name));
        self.durable_dirs = dirs.iter().filter(|dir| reachable(dir)).cloned().collect();
    }

    fn has_dir(&self, dir: &Path) -> bool {
        is_root(dir) || self.dirs.contains(dir)
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|inode| self.inodes.get(inode))
            .map(|inode| inode.contents.len() as u64)
            .sum()
    }
}

impl MemoryStorage {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms a crash.
    pub fn plan(&self, plan: CrashPlan) {
        let mut disk = self.disk();
        disk.crash_at = Some(disk.operations + plan.at_operation);
    }

    /// Refuses one operation, counted from now as in a [`CrashPlan`]; those after it work again.
    pub fn refuse(&self, at_operation: u64) {
        let mut disk = self.disk();
        let refused = disk.operations + at_operation + 1;
        disk.refused.insert(refused);
    }

    /// How many operations the disk has seen.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Whether a planned crash has come.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.disk().crashed
    }

    /// Writes fail with `StorageFull` once the files hold this many bytes; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.disk().used()
    }

    /// Power off and on again. Of what was not synced, `seed` decides what has reached the platter.
    pub fn restart(&self, seed: u64) {
        let mut disk = self.disk();
        let disk = &mut *disk;
        let mut seed = seed;
        for changes in std::mem::take(&mut disk.pending).into_values() {
            let in_order = next_random(&mut seed).is_multiple_of(2);
            let first = next_random(&mut seed) as usize % (changes.len() + 1);
            for (index, change) in changes.iter().enumerate() {
                let kept = if in_order { index < first } else { next_random(&mut seed).is_multiple_of(2) };
                if kept {
                    apply_name(&mut disk.durable_names, &mut disk.durable_dirs, change);
                }
            }
        }
        disk.drop_unreachable();
        let mut ids: Vec<_> = disk.inodes.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(inode) = disk.inodes.get_mut(&id) else { continue };
            for change in std::mem::take(&mut inode.unsynced) {
                let len = if let Change::Write { bytes, .. } = &change { bytes.len() } else { 0 };
                let kept = match next_random(&mut seed) % 5 {
                    0 => continue,
                    1 => Kept::Until(next_random(&mut seed) as usize % (len + 1)),
                    2 => Kept::Sectors(next_random(&mut seed)),
                    _ => Kept::All,
                };
                apply_change(&mut inode.durable, &change, kept);
            }
            inode.contents = inode.durable.clone();
        }
        disk.names = disk.durable_names.clone();
        disk.dirs = disk.durable_dirs.clone();
        disk.locks.clear();
        disk.crash_at = None;
        disk.crashed = false;
        disk.boot += 1;
    }

    /// The process dies and the machine goes on: nothing is lost, locks are free, open files are dead.
    pub fn kill_process(&self) {
        let mut disk = self.disk();
        disk.locks.clear();
        disk.crash_at = None;
        disk.crashed = false;
        disk.boot += 1;
    }

    /// Another disk with the same files, on which nothing is open.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self(Arc::new(Mutex::new(self.disk().clone())));
        copy.kill_process();
        copy
    }

    /// All file names.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.disk().names.keys().cloned().collect()
    }

    /// Changes the bytes of a file behind the log's back.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn tamper(&self, file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        let id = disk.names[file];
        let inode = disk.inodes.get_mut(&id).expect("a name has an inode");
        change(&mut inode.contents);
        inode.durable = inode.contents.clone();
    }
}

impl Storage for MemoryStorage {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        if !dir.parent().is_some_and(|parent| disk.has_dir(parent)) {
            return Err(missing(dir));
        }
        if !disk.has_dir(dir) {
            disk.change_name(NameChange::Directory { name: dir.to_owned() });
        }
        Ok(())
    }

    fn is_dir(&self, dir: &Path) -> io::Result<bool> {
        let mut disk = self.disk();
        disk.operate()?;
        Ok(disk.has_dir(dir))
    }

    fn create(&self, file: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.disk();
        disk.operate()?;
        if disk.names.contains_key(file) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !file.parent().is_some_and(|dir| disk.has_dir(dir)) {
            return Err(missing(file));
        }
        let id = disk.next_inode;
        disk.next_inode += 1;
        disk.inodes.insert(id, Inode::default());
        disk.change_name(NameChange::Link { name: file.to_owned(), inode: id });
        Ok(Arc::new(MemoryFile { storage: self.clone(), id, boot: disk.boot }))
    }

    fn open(&self, file: &Path, _write: bool) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.disk();
        disk.operate()?;
        let id = *disk.names.get(file).ok_or_else(|| missing(file))?;
        Ok(Arc::new(MemoryFile { storage: self.clone(), id, boot: disk.boot }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        let inode = *disk.names.get(from).ok_or_else(|| missing(from))?;
        disk.change_name(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        if !disk.names.contains_key(file) {
            return Err(missing(file));
        }
        disk.change_name(NameChange::Unlink { name: file.to_owned() });
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut disk = self.disk();
        disk.operate()?;
        if !disk.has_dir(dir) {
            return Err(missing(dir));
        }
        let children = disk.names.keys().chain(&disk.dirs).filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> =
            children.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate()?;
        if !disk.has_dir(dir) {
            return Err(missing(dir));
        }
        let disk = &mut *disk;
        for change in disk.pending.remove(dir).unwrap_or_default() {
            apply_name(&mut disk.durable_names, &mut disk.durable_dirs, &change);
        }
        Ok(())
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let mut disk = self.disk();
        disk.operate()?;
        if !disk.locks.insert(file.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryLock { storage: self.clone(), file: file.to_owned(), boot: disk.boot })))
    }

    fn watch(
        &self,
        _file: &Path,
        _on_change: Box<dyn Fn() + Send>,
    ) -> io::Result<Option<Box<dyn WatchGuard>>> {
        Ok(None)
    }

    fn is_private(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct MemoryLock {
    storage: MemoryStorage,
    file: PathBuf,
    boot: u64,
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut disk = self.storage.disk();
        if disk.boot == self.boot {
            disk.locks.remove(&self.file);
        }
    }
}

#[derive(Debug)]
struct MemoryFile {
    storage: MemoryStorage,
    id: u64,
    boot: u64,
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut Inode) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.storage.disk();
        disk.operate()?;
        if disk.boot != self.boot {
            return Err(power_failed());
        }
        act(disk.inodes.get_mut(&self.id).ok_or_else(power_failed)?)
    }

    fn check_capacity(&self, adds: usize) -> io::Result<()> {
        let disk = self.storage.disk();
        match disk.capacity {
            Some(capacity) if disk.used() + adds as u64 > capacity => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl StorageFile for MemoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.check_capacity(
            (offset + bytes.len()).saturating_sub(usize::try_from(self.len()?).map_err(io::Error::other)?),
        )?;
        let mut disk = self.storage.disk();
        let was_crashed = disk.crashed;
        let running = disk.operate();
        if was_crashed || disk.boot != self.boot {
            return Err(power_failed());
        }
        let inode = disk.inodes.get_mut(&self.id).ok_or_else(power_failed)?;
        let change = Change::Write { offset, bytes: bytes.to_vec() };
        if running.is_ok() {
            apply_change(&mut inode.contents, &change, Kept::All);
        }
        // A write that the power failure interrupts may still reach the platter, whole or in part.
        inode.unsynced.push(change);
        running
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|inode| match inode.contents.get(offset..offset + bytes.len()) {
            Some(found) => {
                bytes.copy_from_slice(found);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|inode| {
            inode.unsynced.clear();
            inode.durable = inode.contents.clone();
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|inode| Ok(inode.contents.len() as u64))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.with(|inode| {
            let change = Change::Truncate { len };
            apply_change(&mut inode.contents, &change, Kept::All);
            inode.unsynced.push(change);
            Ok(())
        })
    }
}
