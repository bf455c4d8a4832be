//! Retention: which checkpoints are kept, and which files no checkpoint needs any more.
//!
//! The newest checkpoints of the branch that the job is on are kept. A file is garbage when no kept
//! manifest names it and either
//! * a manifest that is being dropped named it: a worker's file that has left its state never comes
//!   back; or
//! * a generation before the current one wrote it, and the current one has completed a checkpoint.
//!
//! A file of the current generation that no manifest has named yet may be one of an epoch still
//! under way, or of an abandoned one, and stays. With the files of earlier generations go the uploads that
//! they did not finish.

use std::collections::HashSet;

use super::log::{self, Found};
use super::manifest::Entry;
use super::store::CheckpointStore;
use crate::error::StateError;

/// Where data files lie, each generation's in a directory of its own.
pub const DATA: &str = "data";

/// What a collection found to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Entries of the manifest log, by sequence number.
    pub entries: Vec<u64>,
    /// Paths of data files.
    pub files: Vec<String>,
    /// Uploads that were not finished.
    pub unfinished: Vec<String>,
    /// Whether the strays of earlier generations are among them.
    pub swept: bool,
}

/// The directory of the data files of `generation`, without a slash at its end.
#[must_use]
pub fn data_directory(generation: u64) -> String {
    format!("{DATA}/{generation:08}")
}

/// Finds what a job that keeps `keep` checkpoints and is in `generation` does not need, and
/// deletes it: files first, then the entries that named them, so that a crash between leaves
/// nothing that nobody finds.
///
/// With `sweep` all files of earlier generations are looked at, not only those of the entries that
/// are dropped: for once a generation, which has to have a checkpoint of its own for that. `None` says
/// that it is too early to tell garbage: there are fewer checkpoints than are kept, or one of them
/// cannot be read.
///
/// # Errors
/// The store cannot be read or written; what is left is found the next time.
pub fn collect(
    store: &CheckpointStore,
    generation: u64,
    keep: usize,
    sweep: bool,
) -> Result<Option<Garbage>, StateError> {
    let found = log::entries(store)?;
    let Some((entries, mut files)) = plan(&found, keep) else { return Ok(None) };
    let swept = sweep && has_checkpoint(&found, generation);
    let mut unfinished = Vec::new();
    if swept {
        let kept = named(&found, |sequence| !entries.contains(&sequence));
        let stray = store.list(DATA)?.into_iter();
        files.extend(stray.filter(|path| is_before(path, generation) && !kept.contains(path.as_str())));
        files.sort_unstable();
        files.dedup();
        unfinished = store.list_unfinished(DATA)?;
        unfinished.retain(|path| is_before(path, generation));
    }
    if !files.is_empty() || !entries.is_empty() {
        // The newest entry may be of an append that failed. Were it to go after what it replaces is gone,
        // nothing would be left.
        store.settle(log::DIRECTORY)?;
    }
    for path in &files {
        store.delete(path)?;
    }
    for path in &unfinished {
        store.delete_unfinished(path)?;
    }
    for &sequence in &entries {
        store.delete(&log::path_of(sequence))?;
    }
    Ok(Some(Garbage { entries, files, unfinished, swept }))
}

/// Whether the newest checkpoint is of `generation`.
fn has_checkpoint(found: &[Found], generation: u64) -> bool {
    let newest = found.iter().rev().find_map(|one| match &one.entry {
        Ok(Entry::Checkpoint(manifest)) => Some(manifest.generation),
        _ => None,
    });
    newest == Some(generation)
}

/// The entries and files that can go; `None` if an entry cannot be read: its files are then unknown, and nothing goes
/// that it might need.
fn plan(found: &[Found], keep: usize) -> Option<(Vec<u64>, Vec<String>)> {
    let lineage = lineage(found);
    if lineage.len() < keep.max(1) {
        return None;
    }
    let oldest_kept = lineage[keep.max(1) - 1];
    let is_kept = |one: &Found| {
        one.sequence >= oldest_kept
            || matches!(&one.entry, Ok(Entry::Checkpoint(manifest)) if manifest.savepoint)
    };
    let may_be_needed = |one: &Found| match &one.entry {
        Ok(_) => false,
        Err(StateError::Damaged { .. }) => one.sequence >= oldest_kept,
        // It cannot be read for now, and may be a savepoint.
        Err(_) => true,
    };
    if found.iter().any(may_be_needed) {
        return None;
    }
    let dropped: Vec<u64> = found.iter().filter(|one| !is_kept(one)).map(|one| one.sequence).collect();
    let kept = named(found, |sequence| !dropped.contains(&sequence));
    let mut files: Vec<String> = named(found, |sequence| dropped.contains(&sequence))
        .difference(&kept)
        .map(|path| (*path).to_owned())
        .collect();
    files.sort_unstable();
    Some((dropped, files))
}

/// The checkpoints of the branch that the end of the log is on, newest first.
fn lineage(found: &[Found]) -> Vec<u64> {
    let is_checkpoint = |one: &&Found| matches!(one.entry, Ok(Entry::Checkpoint(_)));
    log::branch(found).filter(is_checkpoint).map(|one| one.sequence).collect()
}

/// The paths that the checkpoints among `found` name whose sequence number `counts`.
fn named(found: &[Found], counts: impl Fn(u64) -> bool) -> HashSet<&str> {
    found
        .iter()
        .filter(|one| counts(one.sequence))
        .filter_map(|one| match &one.entry {
            Ok(Entry::Checkpoint(manifest)) => Some(manifest),
            _ => None,
        })
        .flat_map(|manifest| manifest.files().map(|file| file.path.as_str()))
        .collect()
}

/// Whether the data file `path` is of a generation before `generation`.
fn is_before(path: &str, generation: u64) -> bool {
    let written_by = path.strip_prefix(DATA).and_then(|rest| rest.trim_start_matches('/').split('/').next());
    written_by.and_then(|name| name.parse::<u64>().ok()).is_some_and(|by| by < generation)
}
