//! The lock on a job's state directory: two jobs on one directory would overwrite each other.
//!
//! The system drops it when the process ends, however it ends. Who may write checkpoints is
//! decided by the manifest log, not here.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::JobError;

/// Held while the job runs.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Makes `directory` if it is missing, and locks it.
    ///
    /// # Errors
    /// Another job holds it, or it cannot be written.
    pub fn hold(directory: &Path) -> Result<Self, JobError> {
        std::fs::create_dir_all(directory)
            .map_err(JobError::directory("make the state directory", directory))?;
        let path = directory.join("LOCK");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(JobError::directory("write to the state directory", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JobError::Locked { directory: directory.to_owned() }),
            Err(TryLockError::Error(error)) => Err(JobError::directory("lock", path)(error)),
        }
    }
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
}
