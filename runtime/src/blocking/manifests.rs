//! The keeper of a generation's manifest log: appends to it, and deletes what no kept checkpoint needs.

use pelton_state::checkpoint::log::ManifestLog;
use pelton_state::checkpoint::manifest::Manifest;
use pelton_state::checkpoint::retention;
use pelton_state::error::StateError;
use tracing::{debug, warn};

use crate::coordinator::Event;

/// Keeps the log of one generation.
#[derive(Debug)]
pub struct LogKeeper {
    log: ManifestLog,
    retained: usize,
    /// Whether the strays of earlier generations have been deleted.
    is_swept: bool,
}

impl LogKeeper {
    /// Keeps `log`, and so many checkpoints in it.
    #[must_use]
    pub fn new(log: ManifestLog, retained: usize) -> Self {
        Self { log, retained, is_swept: false }
    }

    /// Appends `manifest`, and gives the answer for the coordinator.
    pub fn append(&mut self, manifest: &Manifest) -> Event {
        let epoch = manifest.epoch;
        match self.log.append(manifest) {
            Ok(sequence) => Event::ManifestAppended { epoch, sequence },
            Err(error @ StateError::Fenced { .. }) => Event::ManifestLost { message: error.to_string() },
            Err(error) => Event::ManifestFailed { epoch, message: error.to_string() },
        }
    }

    /// Deletes what no kept checkpoint needs. What fails is told, and found again the next time.
    pub fn collect_garbage(&mut self) {
        let sweep = !self.is_swept;
        match retention::collect(self.log.store(), self.log.generation(), self.retained, sweep) {
            Ok(Some(garbage)) => {
                self.is_swept |= garbage.swept;
                debug!(
                    entries = garbage.entries.len(),
                    files = garbage.files.len(),
                    "deleted old checkpoints"
                );
            }
            Ok(None) => {}
            Err(error) => warn!(%error, "cannot delete old checkpoints"),
        }
    }
}
