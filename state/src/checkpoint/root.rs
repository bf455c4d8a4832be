//! The directory that a local store is in: makes the directories of its files, so that they last, and finds
//! the uploads that were begun there and never finished.
//!
//! `object_store` syncs the directories that a put has made. It does not sync those that it finds, which a
//! process that was killed, or a put that failed, may have made without their names being durable; nor the
//! directory of the store itself. So all of them are made here.
//!
//! It writes a file under another name, `1.sst#1`, and renames it when all of it is there. Names of that kind
//! it neither lists nor deletes, so that those of a process that was killed would stay for good.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pelton_dataflow::directories::{Directories, LocalDirectories, make_durable};

/// What is asked of the file system of a store's directory, beside what the store does itself;
/// [`LocalDirectories`] but in tests.
pub trait Files: Directories {
    /// All files below `dir`; none if it is not there.
    ///
    /// # Errors
    /// The file system refuses.
    fn files_below(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Removes a file.
    ///
    /// # Errors
    /// The file system refuses.
    fn remove(&self, file: &Path) -> io::Result<()>;
    /// Gives the local file `from`, whose bytes never change again, the name `to` too. The bytes are durable on
    /// return; the name is once its directory is synced.
    ///
    /// # Errors
    /// The file cannot be synced, there is something at `to`, or the two names cannot be those of one file: they are on
    /// two file systems, or on one without links.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
}

impl Files for LocalDirectories {
    fn files_below(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let (mut files, mut directories) = (Vec::new(), vec![dir.to_owned()]);
        while let Some(dir) = directories.pop() {
            let entries = match fs::read_dir(&dir) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let into = if entry.file_type()?.is_dir() { &mut directories } else { &mut files };
                into.push(entry.path());
            }
        }
        Ok(files)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        File::open(from)?.sync_all()?;
        fs::hard_link(from, to)
    }
}

/// A store's directory.
pub(super) struct Root {
    path: PathBuf,
    directories: Box<dyn Files>,
    /// Those whose names are known to be durable: each is looked after once.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Root {
    /// Makes the directory `path` with those above it.
    pub(super) fn make(path: impl AsRef<Path>, directories: Box<dyn Files>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        make_durable(&*directories, &path)?;
        Ok(Self { path, directories, durable: Mutex::default() })
    }

    /// Makes the directory that the file `path` of the store lies in.
    pub(super) fn make_room(&self, path: &str) -> io::Result<()> {
        let Some((directory, _)) = path.rsplit_once('/') else { return Ok(()) };
        let directory = self.path.join(directory);
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if !durable.contains(&directory) {
            make_durable(&*self.directories, &directory)?;
            durable.insert(directory);
        }
        Ok(())
    }

    /// Makes the names in `directory` of the store durable.
    pub(super) fn sync(&self, directory: &str) -> io::Result<()> {
        self.directories.sync(&self.path.join(directory))
    }

    /// Gives the local file `from` a name in the store, if it can have one there, and makes sure that both last;
    /// `false` if it has to be copied. The directory has been made ([`Self::make_room`]).
    pub(super) fn link(&self, from: &Path, path: &str) -> io::Result<bool> {
        let to = self.path.join(path);
        if self.directories.link(from, &to).is_err() {
            return Ok(false);
        }
        self.directories.sync(to.parent().unwrap_or(&self.path))?;
        Ok(true)
    }

    /// The uploads below `directory` of the store that are under way, or will never be finished.
    pub(super) fn unfinished(&self, directory: &str) -> io::Result<Vec<String>> {
        let files = self.directories.files_below(&self.path.join(directory))?;
        // Where a path is not UTF-8 it is none of a store's.
        let paths = files.iter().filter_map(|file| file.strip_prefix(&self.path).ok()?.to_str());
        Ok(paths.filter(|path| is_unfinished(path)).map(str::to_owned).collect())
    }

    /// Removes an upload, which may be gone.
    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        match self.directories.remove(&self.path.join(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Whether `object_store` hides the file `path`: it does so by the name, `FILE#NUMBER`.
fn is_unfinished(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let number = name.split_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
