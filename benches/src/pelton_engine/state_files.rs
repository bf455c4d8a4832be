//! That keyed state costs one file per worker and epoch, however many operators have it: read from
//! the manifests that a run has left.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use pelton::state::checkpoint::log::entries;
use pelton::state::checkpoint::manifest::{Entry, Manifest};
use pelton::state::checkpoint::store::CheckpointStore;

/// The most files that a worker has added in one epoch, in the checkpoints of the job in
/// `directory`; fails if that is more than one.
///
/// Where a merge of files has come between two checkpoints, what is new in the second is not
/// only what the worker wrote, so that pair says nothing. At least one has to say something.
pub fn check_one_per_epoch(directory: &Path) -> Result<usize> {
    let store = CheckpointStore::open(&directory.join("checkpoints").display().to_string())?;
    let mut manifests = Vec::new();
    for found in entries(&store)? {
        if let Entry::Checkpoint(manifest) = found.entry? {
            manifests.push(*manifest);
        }
    }
    most_added(&manifests)?
        .context("no two checkpoints of this run show what one epoch added: give more `--events`")
}

fn most_added(manifests: &[Manifest]) -> Result<Option<usize>> {
    let mut most = None;
    // State begins empty, before epoch 0.
    let (mut before, mut next_epoch) = (HashMap::new(), 0);
    for manifest in manifests {
        let after = files_by_worker(manifest);
        let epochs = manifest.epoch.0 + 1 - next_epoch;
        for (worker, files) in &after {
            let known = before.get(worker).map_or(&[][..], Vec::as_slice);
            if known.iter().any(|file| !files.contains(file)) {
                continue;
            }
            let added = files.len() - known.len();
            ensure!(
                added as u64 <= epochs,
                "worker {worker} wrote {added} files of its state in {epochs} epochs up to {}, \
                 where one file holds all of an epoch",
                manifest.epoch.0
            );
            most = most.max(Some(added.div_ceil(epochs as usize)));
        }
        (before, next_epoch) = (after, manifest.epoch.0 + 1);
    }
    Ok(most)
}

/// The paths of the sorted files of each worker.
fn files_by_worker(manifest: &Manifest) -> HashMap<usize, Vec<&str>> {
    let sorted = |path: &&str| path.ends_with(".sst");
    manifest
        .keyed
        .iter()
        .map(|ack| (ack.worker, ack.files.iter().map(|file| file.path.as_str()).filter(sorted).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::dataflow::key::KeyGroups;
    use pelton::dataflow::time::Epoch;
    use pelton::state::files::{Backend, KeyedAck, StoredFile};

    fn manifest(epoch: u64, names: &[&str]) -> Manifest {
        let mut manifest = Manifest::empty("bench", 1, Epoch(epoch), KeyGroups::default(), 1);
        let file = |name: &&str| StoredFile {
            path: format!("data/1/w0/{name}"),
            name: (*name).to_owned(),
            length: 1,
            crc32c: 0,
        };
        manifest.keyed.push(KeyedAck {
            epoch: Epoch(epoch),
            worker: 0,
            groups: 0..128,
            backend: Backend::RocksDb,
            files: names.iter().map(file).collect(),
            new_bytes: 0,
            duration_us: 0,
        });
        manifest
    }

    #[test]
    fn two_files_in_an_epoch_are_one_too_many() {
        let one_each = [manifest(0, &["1.sst", "CURRENT"]), manifest(1, &["1.sst", "2.sst", "CURRENT"])];
        assert_eq!(most_added(&one_each).unwrap(), Some(1));
        assert!(most_added(&[manifest(0, &["1.sst", "2.sst"])]).is_err());
        let two = [manifest(1, &["1.sst"]), manifest(2, &["1.sst", "2.sst", "3.sst"])];
        assert!(most_added(&two).is_err());
        let in_two_epochs = [manifest(1, &["1.sst"]), manifest(3, &["1.sst", "2.sst", "3.sst"])];
        assert_eq!(most_added(&in_two_epochs).unwrap(), Some(1));
    }

    #[test]
    fn a_merge_says_nothing_of_what_was_written() {
        let merged = [manifest(1, &["1.sst", "2.sst"]), manifest(2, &["3.sst", "4.sst", "5.sst"])];
        assert_eq!(most_added(&merged).unwrap(), Some(1), "which the first alone says");
    }
}
