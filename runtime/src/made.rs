//! The directories that a start makes, which are taken away again if it is refused: a path that was
//! mistyped leaves nothing behind.

use std::path::{Path, PathBuf};

use crate::error::JobError;
use crate::lock::StateLock;
use crate::settings::JobSettings;

/// The directories that a job stands on, its state directory locked. Its drop unlocks that, and takes
/// away what it made and is still empty, unless the job has come to an end that was wanted.
#[derive(Debug)]
pub struct Ground {
    made: Made,
    state_dir: PathBuf,
    lock: Option<StateLock>,
    is_kept: bool,
}

impl Ground {
    /// Takes the directories of `settings`; makes that of the state.
    pub fn take(settings: &JobSettings) -> Result<Self, JobError> {
        let mut made = Made::default();
        for (_, directory, _) in settings.directories() {
            made.note(directory);
        }
        let mut ground = Self { made, state_dir: settings.state_dir.clone(), lock: None, is_kept: false };
        ground.lock = Some(StateLock::hold(&settings.state_dir)?);
        Ok(ground)
    }

    /// Leaves everything where it is.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Whether no worker has kept anything in the state directory.
    fn holds_only_the_lock(&self) -> bool {
        std::fs::read_dir(&self.state_dir).is_ok_and(|entries| entries.count() == 1)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if self.made.has(&self.state_dir)
            && self.holds_only_the_lock()
            && let Some(lock) = self.lock.take()
        {
            lock.take_away();
        }
        self.made.take_away();
    }
}

/// Directories that were not there before a start, outermost first.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Notes which of `directory` and those around it are missing, before it is made.
    fn note(&mut self, directory: &Path) {
        let missing = directory.ancestors().filter(|part| !part.as_os_str().is_empty() && !part.exists());
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        self.0.extend(missing.into_iter().rev());
    }

    /// Whether `directory` was made by this start.
    fn has(&self, directory: &Path) -> bool {
        self.0.iter().any(|made| made == directory)
    }

    /// Removes what was made and holds nothing.
    fn take_away(&self) {
        // One that is not empty stays, and so do those around it. One that is has nothing to lose: who
        // uses it at the same time makes it again.
        for directory in self.0.iter().rev() {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_and_is_empty_goes() {
        let root = tempfile::tempdir().unwrap();
        let place = |path: &str| root.path().join(path);
        std::fs::create_dir(place("before")).unwrap();
        let mut made = Made::default();
        for directory in ["before/a/b", "before/a/c", "full/d", "empty"] {
            made.note(&place(directory));
            std::fs::create_dir_all(place(directory)).unwrap();
        }
        assert!(
            made.has(&place("before/a")) && made.has(&place("before/a/c")) && !made.has(&place("before"))
        );
        std::fs::write(place("full/file"), "").unwrap();
        made.take_away();
        for (directory, is_there) in
            [("before", true), ("before/a", false), ("full", true), ("full/d", false), ("empty", false)]
        {
            assert_eq!(place(directory).exists(), is_there, "{directory}");
        }
    }
}
