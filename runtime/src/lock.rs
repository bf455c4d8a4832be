//! The lock on a job's state directory: two jobs on one directory would overwrite each other.
//!
//! The system drops it when the process ends, however it ends. Who may write checkpoints is
//! decided by the manifest log, not here.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::JobError;

/// Held while the job runs.
#[derive(Debug)]
pub struct StateLock {
    path: PathBuf,
    _file: File,
}

impl StateLock {
    /// Makes `directory` if it is missing, and locks it.
    ///
    /// # Errors
    /// Another job holds it, or it cannot be written.
    pub fn hold(directory: &Path) -> Result<Self, JobError> {
        let path = directory.join("LOCK");
        loop {
            std::fs::create_dir_all(directory)
                .map_err(JobError::directory("make the state directory", directory))?;
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(JobError::directory("write to the state directory", &path))?;
            match file.try_lock() {
                // A start that was refused takes its file away: a lock on that one keeps nobody out.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(JobError::Locked { directory: directory.to_owned() });
                }
                Err(TryLockError::Error(error)) => return Err(JobError::directory("lock", path)(error)),
            }
        }
    }

    /// Takes the lock's file away with the lock, where that keeps others out as well.
    pub fn take_away(self) {
        if cfg!(unix) {
            // What cannot be removed stays, and does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether `file` is the one that `path` names.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let place = |found: std::fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(file), Ok(named)) => place(file) == place(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_job_on_one_directory_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("deep/state");
        let held = StateLock::hold(&state).unwrap();
        let message = StateLock::hold(&state).unwrap_err().to_string();
        assert!(
            message.contains("deep/state` is in use by another process: if that one runs this job"),
            "{message}"
        );
        drop(held);
        StateLock::hold(&state).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_lock_that_was_taken_away_keeps_nobody_out_and_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        let held = StateLock::hold(directory.path()).unwrap();
        // Another start has opened the file just before it goes, and gets its lock after.
        let late = File::options().write(true).open(directory.path().join("LOCK")).unwrap();
        held.take_away();
        late.try_lock().unwrap();
        assert!(!is_at(&late, &directory.path().join("LOCK")));
        let held = StateLock::hold(directory.path()).unwrap();
        assert!(matches!(StateLock::hold(directory.path()), Err(JobError::Locked { .. })));
        drop(held);
    }
}
