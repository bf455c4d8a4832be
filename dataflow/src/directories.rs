//! Making directories that a power failure does not take away: for checkpoints and for output files.
//!
//! A file is durable once its bytes, its name, and the names of all directories above it are. Whoever syncs
//! only what he has made himself trusts that what he found was durable; it is not if the process that made
//! it was killed before it came to syncing. So directories are made one level after the other, each name
//! synced before the next: then at most the deepest directory that exists lacks a durable name, and
//! whoever finds it syncs that name.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// What is asked of a file system; [`LocalDirectories`] but in tests.
pub trait Directories: Send + Sync {
    /// Whether there is a directory `dir`.
    fn is_there(&self, dir: &Path) -> bool;
    /// Makes the directory `dir`, whose parent is there; fine if it is there itself.
    ///
    /// # Errors
    /// The file system refuses.
    fn make(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    ///
    /// # Errors
    /// The file system refuses.
    fn sync(&self, dir: &Path) -> io::Result<()>;
}

/// The directories of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDirectories;

impl Directories for LocalDirectories {
    fn is_there(&self, dir: &Path) -> bool {
        dir.is_dir()
    }

    fn make(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => Err(error),
            _ => Ok(()),
        }
    }

    fn sync(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// Makes `dir` and the directories above it, as far as they are missing; durable on return.
///
/// # Errors
/// One cannot be made or synced.
pub fn make_durable(directories: &dyn Directories, dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent == Path::new("") => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    if directories.is_there(dir) {
        return match directories.sync(parent) {
            Err(error) if is_no_place_of_ours(&error) => Ok(()),
            answer => answer,
        };
    }
    if dir != parent {
        make_durable(directories, parent)?;
    }
    directories.make(dir)?;
    directories.sync(parent)
}

/// Where we may not write we have made nothing, and some file systems have no directories to sync.
fn is_no_place_of_ours(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::*;

    /// Directories with what was done to them.
    #[derive(Default)]
    struct Recorded {
        there: Mutex<BTreeSet<PathBuf>>,
        steps: Mutex<Vec<String>>,
    }

    impl Recorded {
        fn step(&self, what: &str, dir: &Path) {
            self.steps.lock().unwrap().push(format!("{what} {}", dir.display()));
        }
    }

    impl Directories for Recorded {
        fn is_there(&self, dir: &Path) -> bool {
            dir.parent().is_none() || self.there.lock().unwrap().contains(dir)
        }
        fn make(&self, dir: &Path) -> io::Result<()> {
            self.step("make", dir);
            self.there.lock().unwrap().insert(dir.to_owned());
            Ok(())
        }
        fn sync(&self, dir: &Path) -> io::Result<()> {
            self.step("sync", dir);
            Ok(())
        }
    }

    #[test]
    fn each_name_is_durable_before_the_next_is_made() {
        let disk = Recorded::default();
        make_durable(&disk, Path::new("/a/b")).unwrap();
        assert_eq!(
            disk.steps.lock().unwrap().drain(..).collect::<Vec<_>>(),
            ["make /a", "sync /", "make /a/b", "sync /a"]
        );
        // Somebody may have been killed between making the deepest one and syncing its name.
        make_durable(&disk, Path::new("/a/b/c")).unwrap();
        assert_eq!(
            disk.steps.lock().unwrap().drain(..).collect::<Vec<_>>(),
            ["sync /a", "make /a/b/c", "sync /a/b"]
        );
        make_durable(&disk, Path::new("/a/b/c")).unwrap();
        assert_eq!(*disk.steps.lock().unwrap(), ["sync /a/b"]);
    }
}
