//! A disk in memory that forgets what was not synced, and on it the local store of `object_store` with the
//! steps that the real one takes.
//!
//! Of bytes that were not synced any part survives a power failure; of names whose directory was not synced
//! any subset does; a directory whose name does not survive takes with it what is in it. The power
//! fails, the process is killed, or one operation fails, done or not done, at any operation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use pelton_dataflow::directories::Directories;
use pelton_state::checkpoint::store::Files;

/// What happens at the operation that is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done there or later: the power fails, or the process is killed.
    Stops,
    /// It is not done, and says so.
    Fails,
    /// It is done, and says that it is not.
    LosesItsAnswer,
}

/// A disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    seen: Names,
    durable: Names,
    /// Changes of names by directory, in order, that no sync has covered.
    pending: BTreeMap<PathBuf, Vec<Change>>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    stopped: bool,
    /// Grows when the process ends: what it still holds is dead.
    boot: u64,
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, u64>,
    directories: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Change {
    Link {
        name: PathBuf,
        inode: u64,
    },
    Unlink {
        name: PathBuf,
    },
    /// Within one directory.
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: u64,
    },
    Directory {
        name: PathBuf,
    },
}

impl Names {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Link { name, inode } => drop(self.files.insert(name.clone(), *inode)),
            Change::Unlink { name } => drop(self.files.remove(name)),
            Change::Rename { from, to, inode } => {
                self.files.remove(from);
                self.files.insert(to.clone(), *inode);
            }
            Change::Directory { name } => drop(self.directories.insert(name.clone())),
        }
    }

    fn has_directory(&self, dir: &Path) -> bool {
        dir.parent().is_none() || self.directories.contains(dir)
    }
}

pub fn next_random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Chooses an operation, counted from now.
    pub fn plan(&self, at_operation: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.operations + at_operation, fault));
    }

    /// Whether the operation that was chosen has come.
    pub fn came(&self) -> bool {
        let state = self.state();
        state.fault.is_some_and(|(at, _)| state.operations > at)
    }

    /// The process ends; what it did is in the kernel.
    pub fn kill(&self) {
        let mut state = self.state();
        (state.stopped, state.fault) = (false, None);
        state.boot += 1;
    }

    /// The power fails; `seed` draws what survives.
    pub fn power_fails(&self, mut seed: u64) {
        let mut state = self.state();
        let state = &mut *state;
        for changes in std::mem::take(&mut state.pending).into_values() {
            let in_order = next_random(&mut seed).is_multiple_of(2);
            let first = next_random(&mut seed) as usize % (changes.len() + 1);
            for (index, change) in changes.iter().enumerate() {
                if if in_order { index < first } else { next_random(&mut seed).is_multiple_of(2) } {
                    state.durable.apply(change);
                }
            }
        }
        let all = std::mem::take(&mut state.durable);
        let reachable = |path: &&PathBuf| path.ancestors().skip(1).all(|dir| all.has_directory(dir));
        state.durable.directories = all.directories.iter().filter(reachable).cloned().collect();
        let files = all.files.iter().filter(|(name, _)| reachable(name));
        state.durable.files = files.map(|(name, inode)| (name.clone(), *inode)).collect();
        let mut inodes: Vec<_> = state.inodes.iter_mut().collect();
        inodes.sort_by_key(|(id, _)| **id);
        for (_, inode) in inodes {
            if inode.bytes != inode.durable {
                let kept = next_random(&mut seed) as usize % (inode.bytes.len() + 1);
                inode.durable = inode.bytes[..kept].to_vec();
                // A length may be there before its bytes are.
                if next_random(&mut seed).is_multiple_of(2) {
                    inode.durable.resize(inode.bytes.len(), 0);
                }
            }
            inode.bytes = inode.durable.clone();
        }
        state.seen = state.durable.clone();
        (state.stopped, state.fault) = (false, None);
        state.boot += 1;
    }

    /// A process's view of the disk, which dies with it.
    pub fn process(&self) -> Process {
        Process { disk: self.clone(), boot: self.state().boot }
    }
}

/// The operations of one process.
#[derive(Clone, Debug)]
pub struct Process {
    disk: Disk,
    boot: u64,
}

impl Process {
    fn operate<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.stopped || state.boot != self.boot {
            return Err(io::Error::other("the machine has stopped (simulated)"));
        }
        state.operations += 1;
        match state.fault {
            Some((at, fault)) if state.operations == at + 1 => match fault {
                Fault::Stops => {
                    state.stopped = true;
                    Err(io::Error::other("the machine stops (simulated)"))
                }
                Fault::Fails => Err(io::Error::other("the disk refuses (simulated)")),
                Fault::LosesItsAnswer => {
                    act(&mut state)?;
                    Err(io::Error::other("the answer is lost (simulated)"))
                }
            },
            _ => act(&mut state),
        }
    }

    fn change(state: &mut State, dir: &Path, change: Change) {
        state.seen.apply(&change);
        state.pending.entry(dir.to_owned()).or_default().push(change);
    }

    pub fn create(&self, file: &Path) -> io::Result<u64> {
        self.operate(|state| {
            let dir = file.parent().unwrap();
            if !state.seen.has_directory(dir) {
                return Err(ErrorKind::NotFound.into());
            }
            if state.seen.files.contains_key(file) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let inode = state.next_inode;
            state.next_inode += 1;
            state.inodes.insert(inode, Inode::default());
            Self::change(state, dir, Change::Link { name: file.to_owned(), inode });
            Ok(inode)
        })
    }

    pub fn append(&self, inode: u64, bytes: &[u8]) -> io::Result<()> {
        self.operate(|state| {
            state.inodes.get_mut(&inode).unwrap().bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    pub fn sync_file(&self, inode: u64) -> io::Result<()> {
        self.operate(|state| {
            let inode = state.inodes.get_mut(&inode).unwrap();
            inode.durable = inode.bytes.clone();
            Ok(())
        })
    }

    pub fn link(&self, inode: u64, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            if state.seen.files.contains_key(to) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            Self::change(state, to.parent().unwrap(), Change::Link { name: to.to_owned(), inode });
            Ok(())
        })
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            let inode = *state.seen.files.get(from).ok_or(ErrorKind::NotFound)?;
            let change = Change::Rename { from: from.to_owned(), to: to.to_owned(), inode };
            Self::change(state, to.parent().unwrap(), change);
            Ok(())
        })
    }

    pub fn remove(&self, file: &Path) -> io::Result<()> {
        self.operate(|state| {
            if !state.seen.files.contains_key(file) {
                return Err(ErrorKind::NotFound.into());
            }
            Self::change(state, file.parent().unwrap(), Change::Unlink { name: file.to_owned() });
            Ok(())
        })
    }

    pub fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        self.operate(|state| {
            let inode = state.seen.files.get(file).ok_or(ErrorKind::NotFound)?;
            Ok(state.inodes[inode].bytes.clone())
        })
    }

    /// All files below `dir` with their lengths.
    pub fn walk(&self, dir: &Path) -> io::Result<Vec<(PathBuf, usize)>> {
        self.operate(|state| {
            let files = state.seen.files.iter().filter(|(name, _)| name.starts_with(dir));
            Ok(files.map(|(name, inode)| (name.clone(), state.inodes[inode].bytes.len())).collect())
        })
    }
}

impl Directories for Process {
    fn is_there(&self, dir: &Path) -> bool {
        self.disk.state().seen.has_directory(dir)
    }

    fn make(&self, dir: &Path) -> io::Result<()> {
        self.operate(|state| {
            let parent = dir.parent().unwrap();
            if !state.seen.has_directory(parent) {
                return Err(ErrorKind::NotFound.into());
            }
            if !state.seen.has_directory(dir) {
                Self::change(state, parent, Change::Directory { name: dir.to_owned() });
            }
            Ok(())
        })
    }

    fn sync(&self, dir: &Path) -> io::Result<()> {
        self.operate(|state| {
            if !state.seen.has_directory(dir) {
                return Err(ErrorKind::NotFound.into());
            }
            for change in state.pending.remove(dir).unwrap_or_default() {
                state.durable.apply(&change);
            }
            Ok(())
        })
    }
}

impl Files for Process {
    fn files_below(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.walk(dir)?.into_iter().map(|(file, _)| file).collect())
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        Process::remove(self, file)
    }

    /// As if `from`, which is on the machine's own disk, were on this one too.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            if state.seen.files.contains_key(to) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let (bytes, inode) = (std::fs::read(from)?, state.next_inode);
            state.next_inode += 1;
            state.inodes.insert(inode, Inode { durable: bytes.clone(), bytes });
            Self::change(state, to.parent().unwrap(), Change::Link { name: to.to_owned(), inode });
            Ok(())
        })
    }
}

/// A process's view of a disk that is not the one of its local files.
pub struct Apart(pub Process);

impl Directories for Apart {
    fn is_there(&self, dir: &Path) -> bool {
        self.0.is_there(dir)
    }

    fn make(&self, dir: &Path) -> io::Result<()> {
        self.0.make(dir)
    }

    fn sync(&self, dir: &Path) -> io::Result<()> {
        self.0.sync(dir)
    }
}

impl Files for Apart {
    fn files_below(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.0.files_below(dir)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        Files::remove(&self.0, file)
    }

    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(ErrorKind::CrossesDevices.into())
    }
}
