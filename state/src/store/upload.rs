//! The upload thread: puts pinned files into the checkpoint store and acknowledges epochs.
//!
//! It stands behind the writer, so that a slow store does not hold up the writing of layers. A
//! file that has been put is not put again as long as each checkpoint since has had it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::mpsc::Receiver;

use pelton_dataflow::clock::monotonic_ns;
use pelton_dataflow::failpoint;
use pelton_dataflow::time::Epoch;

use crate::base::{Content, Pinned, PinnedFile};
use crate::checkpoint::store::CheckpointStore;
use crate::error::StateError;
use crate::files::{Backend, KeyedAck, StoredFile};

/// What the writer hands over.
pub(super) enum Upload {
    Put { epoch: Epoch, pinned: Pinned, first_frozen_ns: u64 },
    Failed(StateError),
}

/// Where files go and what lies there.
pub(super) struct Uploads {
    pub(super) checkpoints: CheckpointStore,
    /// The directory of this worker and generation in the store.
    pub(super) prefix: String,
    /// Files of the last checkpoint by name.
    pub(super) known: HashMap<String, StoredFile>,
    pub(super) worker: usize,
    pub(super) groups: Range<u16>,
    pub(super) backend: Backend,
}

pub(super) fn run(
    mut uploads: Uploads,
    pinned: &Receiver<Upload>,
    on_ack: &(dyn Fn(Result<KeyedAck, StateError>) + Send),
) {
    let mut failed = false;
    while let Ok(upload) = pinned.recv() {
        let acked = match upload {
            // What could not be written is in no later epoch either.
            _ if failed => continue,
            // What could not be put may be put with the next epoch, which has all of it.
            Upload::Put { epoch, pinned, first_frozen_ns } => {
                let put = StateError::or_panic(|| uploads.put(epoch, &pinned, first_frozen_ns));
                put.map_err(|error| {
                    uploads.forget(&pinned);
                    // After a panic nothing is known of what has been put.
                    failed = matches!(error, StateError::WriterStopped { .. });
                    if failed { error } else { StateError::NotStored { epoch, problem: error.to_string() } }
                })
            }
            Upload::Failed(error) => {
                failed = true;
                Err(error)
            }
        };
        on_ack(acked);
    }
}

impl Uploads {
    fn put(&mut self, epoch: Epoch, pinned: &Pinned, first_frozen_ns: u64) -> Result<KeyedAck, StateError> {
        let mut files = Vec::with_capacity(pinned.files.len());
        let mut new_bytes = 0;
        for file in &pinned.files {
            match self.known.get(&file.name) {
                Some(known) if !file.of_epoch => files.push(known.clone()),
                _ => {
                    let stored = self.put_file(epoch, file)?;
                    new_bytes += stored.length;
                    files.push(stored);
                }
            }
        }
        self.known = files.iter().map(|file| (file.name.clone(), file.clone())).collect();
        if let Some(dir) = &pinned.dir {
            std::fs::remove_dir_all(dir).map_err(StateError::local("delete", dir))?;
        }
        failpoint::at("checkpoint::acknowledge").map_err(StateError::local("acknowledge", &self.prefix))?;
        let duration_us = monotonic_ns().saturating_sub(first_frozen_ns) / 1_000;
        Ok(KeyedAck {
            epoch,
            worker: self.worker,
            groups: self.groups.clone(),
            backend: self.backend,
            files,
            new_bytes,
            duration_us,
        })
    }

    /// Deletes what was pinned for an epoch that could not be put.
    fn forget(&self, pinned: &Pinned) {
        if let Some(dir) = &pinned.dir {
            // Gone or not: the next start clears the directory of the worker.
            let _ = std::fs::remove_dir_all(dir);
        }
    }

    fn put_file(&self, epoch: Epoch, file: &PinnedFile) -> Result<StoredFile, StateError> {
        let path = match file.of_epoch {
            true => format!("{}/e{:012}-{}", self.prefix, epoch.0, file.name),
            false => format!("{}/{}", self.prefix, file.name),
        };
        match &file.content {
            Content::File(local) => self.checkpoints.put_file(local, &path, &file.name),
            Content::Bytes(bytes) => self.checkpoints.put_bytes(&path, &file.name, bytes.clone()),
        }
    }
}
