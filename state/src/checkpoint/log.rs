//! The manifest log: `manifest/{sequence}`, written by create-only puts.
//!
//! The log is the only truth about a job: which checkpoints exist, and which generation may add to
//! it. A generation begins by appending a [`Takeover`]; whoever finds the next place taken has lost
//! the job and stops for good. Nothing but create-if-absent is asked of the store for that.
//!
//! Sequence numbers have no gaps but at the old end, where [`super::retention`] deletes. So a place that was taken may
//! be free again when somebody who was paused comes back, and he creates an entry behind the others. The newest is
//! never deleted: whoever has created an entry looks whether there is one after it, and has lost if there is. What he
//! leaves is void ([`is_void`]): nobody starts from it.

use bytes::Bytes;
use tracing::{error, info};

use super::manifest::{Entry, Manifest, Takeover};
use super::store::CheckpointStore;
use super::wire;
use crate::error::StateError;

/// Where the entries lie.
pub const DIRECTORY: &str = "manifest";

/// How often a takeover is tried again when others write to the log at the same time.
const TAKEOVER_ATTEMPTS: usize = 100;

/// The log, as its one rightful writer sees it.
#[derive(Debug)]
pub struct ManifestLog {
    store: CheckpointStore,
    job: String,
    generation: u64,
    next: u64,
    /// What an append that failed may have left at `next` all the same.
    uncertain: Option<Bytes>,
    /// The entry of the one who took over.
    lost: Option<String>,
}

/// Where a generation starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// The newest checkpoint that is valid, or nothing if there is none.
    #[default]
    Newest,
    /// The checkpoint of this sequence number.
    Checkpoint(u64),
}

/// What a process knows of the generations that are its own.
#[derive(Debug, Default)]
pub struct Own {
    /// The newest that it has begun, 0 before the first.
    begun: u64,
    /// A takeover that failed, and may exist all the same: its place in the log, and its bytes.
    tried: Option<(u64, u64, Bytes)>,
}

impl Own {
    /// Finds out whether the takeover that failed exists. Another process may have begun a generation of the
    /// same number.
    fn settle(&mut self, store: &CheckpointStore, found: &[Found]) -> Result<(), StateError> {
        let Some((sequence, generation, bytes)) = &self.tried else { return Ok(()) };
        if found.iter().any(|one| one.sequence == *sequence) && store.get(&path_of(*sequence))? == *bytes {
            self.begun = *generation;
        }
        self.tried = None;
        Ok(())
    }
}

/// An entry of the log as it was found.
#[derive(Debug)]
pub struct Found {
    /// Its sequence number.
    pub sequence: u64,
    /// What it says, or why it cannot be read.
    pub entry: Result<Entry, StateError>,
}

/// Whether the entry at `index` of the log was appended by a generation that had lost the job, in the place of an
/// entry that retention had deleted. The one after it is missing then, or it is of a later generation that has not
/// begun there. Savepoints are kept where those after them are not.
#[must_use]
pub fn is_void(found: &[Found], index: usize) -> bool {
    let Ok(Entry::Checkpoint(manifest)) = &found[index].entry else { return false };
    let Some(after) = found.get(index + 1) else { return false };
    match &after.entry {
        Ok(Entry::Checkpoint(later)) if later.generation > manifest.generation => true,
        _ => after.sequence > found[index].sequence + 1 && !manifest.savepoint,
    }
}

/// The entries of the branch that the end of the log is on, the newest first: whatever is before a takeover and after what it
/// began from is of another one.
pub fn branch(found: &[Found]) -> impl Iterator<Item = &Found> {
    let mut below = u64::MAX;
    found.iter().enumerate().rev().filter_map(move |(index, one)| {
        if one.sequence > below || is_void(found, index) {
            return None;
        }
        if let Ok(Entry::Takeover(takeover)) = &one.entry {
            below = takeover.base.unwrap_or(0);
        }
        Some(one)
    })
}

/// What a generation begins with.
#[derive(Debug)]
pub struct Begun {
    /// The log, to append to.
    pub log: ManifestLog,
    /// The checkpoint to restore, with its sequence number.
    pub base: Option<(u64, Manifest)>,
    /// Newer entries that could not be read: the job falls back past them.
    pub skipped: Vec<String>,
}

/// All entries of the log in `store`, oldest first.
///
/// # Errors
/// The store cannot be read. A damaged entry is no error here.
pub fn entries(store: &CheckpointStore) -> Result<Vec<Found>, StateError> {
    let sequences = sequences(store)?;
    Ok(sequences.into_iter().map(|sequence| Found { sequence, entry: read(store, sequence) }).collect())
}

/// The entry `sequence`.
///
/// # Errors
/// It is missing or damaged.
pub fn read(store: &CheckpointStore, sequence: u64) -> Result<Entry, StateError> {
    let path = path_of(sequence);
    wire::decode(&store.full(&path), &store.get(&path)?)
}

/// Whether the takeover just created at `sequence` has come into a place that was free again: whoever takes over from
/// it appends a takeover next.
fn is_behind(store: &CheckpointStore, sequence: u64) -> Result<bool, StateError> {
    let Some(after) = sequences(store)?.into_iter().find(|other| *other > sequence) else { return Ok(false) };
    Ok(after > sequence + 1 || !matches!(read(store, after)?, Entry::Takeover(_)))
}

/// The sequence numbers of the entries, ascending.
///
/// # Errors
/// The store cannot be read.
pub fn sequences(store: &CheckpointStore) -> Result<Vec<u64>, StateError> {
    let paths = store.list(DIRECTORY)?;
    let number = |path: &String| path.rsplit('/').next().and_then(|name| name.parse().ok());
    Ok(paths.iter().filter_map(number).collect())
}

/// The path of the entry `sequence`.
#[must_use]
pub fn path_of(sequence: u64) -> String {
    format!("{DIRECTORY}/{sequence:020}")
}

impl ManifestLog {
    /// Begins the next generation of `job`, which ends all others, once `accept` has found nothing
    /// wrong with its number and the checkpoint that it would start from: a job that cannot go on
    /// leaves the one that runs alone.
    ///
    /// `own` are the generations of this process: one that has lost the job since does not take it back.
    ///
    /// # Errors
    /// The store fails, holds another job's checkpoints or those of a newer format, or the
    /// checkpoint asked for is missing or damaged; [`StateError::Fenced`] if another process has
    /// begun a generation after the last of `own`; what `accept` says.
    pub fn take_over<E: From<StateError>>(
        store: &CheckpointStore,
        job: &str,
        from: &StartFrom,
        at_ms: i64,
        own: &mut Own,
        accept: impl Fn(u64, Option<(u64, &Manifest)>) -> Result<(), E>,
    ) -> Result<Begun, E> {
        for _ in 0..TAKEOVER_ATTEMPTS {
            let found = readable(entries(store)?)?;
            refuse_foreign(store, job, &found)?;
            let generation = next_generation(&found);
            own.settle(store, &found)?;
            if own.begun > 0 && greatest_generation(&found) > own.begun {
                let last = found.last().map_or(0, |last| last.sequence);
                let file = store.full(&path_of(last));
                return Err(StateError::Fenced { job: job.to_owned(), generation: own.begun, file }.into());
            }
            let (base, skipped) = base_of(store, from, &found)?;
            accept(generation, base.as_ref().map(|(sequence, manifest)| (*sequence, manifest)))?;
            let next = found.last().map_or(1, |last| last.sequence + 1);
            let takeover = Takeover {
                job: job.to_owned(),
                generation,
                base: base.as_ref().map(|(sequence, _)| *sequence),
                at_ms,
            };
            let path = path_of(next);
            store.failpoint("manifest::take_over", "create", &path)?;
            let bytes = wire::encode_takeover(&takeover)?;
            // The entry may exist from here on, unless the store answers that another has its place.
            own.tried = Some((next, generation, bytes.clone()));
            let is_created = store.create(&path, bytes)?;
            let is_begun = is_created && !is_behind(store, next)?;
            own.tried = None;
            if is_begun {
                own.begun = generation;
                store.failpoint("manifest::taken_over", "create", &path)?;
                info!(job, generation = takeover.generation, base = ?takeover.base, "took the job over");
                let log = Self {
                    store: store.clone(),
                    job: job.to_owned(),
                    generation: takeover.generation,
                    next: next + 1,
                    uncertain: None,
                    lost: None,
                };
                return Ok(Begun { log, base, skipped });
            }
        }
        Err(StateError::Contended { location: store.full(DIRECTORY) }.into())
    }

    /// The generation that writes here.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The store that it lies in.
    #[must_use]
    pub fn store(&self) -> &CheckpointStore {
        &self.store
    }

    /// Appends `manifest`, from when on its checkpoint exists; answers with its sequence number.
    ///
    /// # Errors
    /// [`StateError::Fenced`] if another process has taken over, now and ever after. Any other
    /// error leaves the log usable, and it may exist all the same.
    pub fn append(&mut self, manifest: &Manifest) -> Result<u64, StateError> {
        let bytes = wire::encode_checkpoint(manifest)?;
        self.settle_uncertain()?;
        let path = path_of(self.next);
        self.uncertain = Some(bytes.clone());
        if !self.create(&path, bytes)? {
            return Err(self.lose(&path));
        }
        let sequences = sequences(&self.store)?;
        self.check_newest(&sequences)?;
        self.uncertain = None;
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Checks that nobody has appended anything behind the next place.
    fn check_newest(&mut self, sequences: &[u64]) -> Result<(), StateError> {
        match sequences.iter().find(|sequence| **sequence > self.next) {
            Some(newer) => Err(self.lose(&path_of(*newer))),
            None => Ok(()),
        }
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<bool, StateError> {
        self.store.failpoint("manifest::append", "create", path)?;
        let created = self.store.create(path, bytes)?;
        self.store.failpoint("manifest::appended", "create", path)?;
        Ok(created)
    }

    /// Finds out whether an append that failed has left its entry.
    fn settle_uncertain(&mut self) -> Result<(), StateError> {
        let path = path_of(self.next);
        if self.lost.is_some() {
            return Err(self.lose(&path));
        }
        let Some(attempted) = &self.uncertain else { return Ok(()) };
        let sequences = sequences(&self.store)?;
        let is_there = sequences.contains(&self.next);
        if is_there && self.store.get(&path)? != *attempted {
            return Err(self.lose(&path));
        }
        self.check_newest(&sequences)?;
        self.next += u64::from(is_there);
        self.uncertain = None;
        Ok(())
    }

    fn lose(&mut self, path: &str) -> StateError {
        let file = self.lost.get_or_insert_with(|| self.store.full(path)).clone();
        StateError::Fenced { job: self.job.clone(), generation: self.generation, file }
    }
}

/// The checkpoint that the next generation starts from, and the files it falls back past.
type Base = (Option<(u64, Manifest)>, Vec<String>);

fn base_of(store: &CheckpointStore, from: &StartFrom, found: &[Found]) -> Result<Base, StateError> {
    match from {
        StartFrom::Checkpoint(sequence) => match found.iter().find(|found| found.sequence == *sequence) {
            Some(Found { entry: Ok(Entry::Checkpoint(manifest)), .. }) => {
                Ok((Some((*sequence, (**manifest).clone())), Vec::new()))
            }
            Some(Found { entry: Err(_), .. }) => read(store, *sequence).map(|_| (None, Vec::new())),
            _ => Err(no_such(store, *sequence, found)),
        },
        StartFrom::Newest => newest(store, found),
    }
}

/// The newest valid checkpoint on the branch that the log's end is on.
fn newest(store: &CheckpointStore, found: &[Found]) -> Result<Base, StateError> {
    let mut skipped = Vec::new();
    for one in branch(found) {
        match &one.entry {
            Ok(Entry::Checkpoint(manifest)) => {
                return Ok((Some((one.sequence, (**manifest).clone())), skipped));
            }
            Ok(Entry::Takeover(takeover)) => {
                if let Some(base) = takeover.base
                    && !found.iter().any(|one| one.sequence == base)
                {
                    return Err(no_such(store, base, found));
                }
            }
            Err(problem) => {
                error!(
                    file = store.full(&path_of(one.sequence)),
                    %problem,
                    "falling back to the checkpoint before this one: records since then are processed again"
                );
                skipped.push(problem.to_string());
            }
        }
    }
    Ok((None, skipped))
}

/// The entries without those that were deleted while the log was read. What cannot be read for now is an
/// error: to take it for damaged would go back behind it for good.
fn readable(found: Vec<Found>) -> Result<Vec<Found>, StateError> {
    let mut readable = Vec::with_capacity(found.len());
    for one in found {
        match &one.entry {
            Ok(_) | Err(StateError::Damaged { .. } | StateError::NewerFormat { .. }) => readable.push(one),
            Err(StateError::Store { source: object_store::Error::NotFound { .. }, .. }) => {}
            Err(_) => {
                one.entry?;
            }
        }
    }
    Ok(readable)
}

/// Greater than every generation that is in the log, those of entries that cannot be read included.
fn next_generation(found: &[Found]) -> u64 {
    let unreadable = found.iter().filter(|one| one.entry.is_err()).count() as u64;
    greatest_generation(found) + unreadable + 1
}

/// The greatest generation of the entries that can be read.
fn greatest_generation(found: &[Found]) -> u64 {
    let generations = found.iter().filter_map(|one| match &one.entry {
        Ok(Entry::Checkpoint(manifest)) => Some(manifest.generation),
        Ok(Entry::Takeover(takeover)) => Some(takeover.generation),
        Err(_) => None,
    });
    generations.max().unwrap_or(0)
}

fn refuse_foreign(store: &CheckpointStore, job: &str, found: &[Found]) -> Result<(), StateError> {
    for one in found {
        let owner = match &one.entry {
            Ok(Entry::Checkpoint(manifest)) => &manifest.job,
            Ok(Entry::Takeover(takeover)) => &takeover.job,
            Err(StateError::NewerFormat { file, version, known }) => {
                return Err(StateError::NewerFormat { file: file.clone(), version: *version, known: *known });
            }
            Err(_) => continue,
        };
        if owner != job {
            return Err(StateError::OtherJob {
                location: store.location().to_owned(),
                found: owner.clone(),
                job: job.to_owned(),
            });
        }
    }
    Ok(())
}

fn no_such(store: &CheckpointStore, sequence: u64, found: &[Found]) -> StateError {
    let known: Vec<String> = found
        .iter()
        .filter(|one| matches!(one.entry, Ok(Entry::Checkpoint(_))))
        .map(|one| one.sequence.to_string())
        .collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    StateError::NoSuchCheckpoint { sequence, location: store.location().to_owned(), known }
}
