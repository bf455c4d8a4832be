//! The directory that a local store is in: makes the directories of its files, so that they last.
//!
//! `object_store` syncs the directories that a put has made. It does not sync those that it finds, which a
//! process that was killed, or a put that failed, may have made without their names being durable; nor the
//! directory of the store itself. So all of them are made here.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pelton_dataflow::directories::{Directories, make_durable};

/// A store's directory.
pub(super) struct Root {
    path: PathBuf,
    directories: Box<dyn Directories>,
    /// Those whose names are known to be durable: each is looked after once.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Root {
    /// Makes the directory `path` with those above it.
    pub(super) fn make(path: impl AsRef<Path>, directories: Box<dyn Directories>) -> io::Result<Self> {
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
}
