//! The memory backend: a stack of sorted runs, each a file of the checkpoints.
//!
//! Each written layer adds a run. Runs are merged in the background, on the writer thread, so that
//! there are few of them and a row is rewritten a logarithmic number of times.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use pelton_dataflow::failpoint;
use pelton_dataflow::time::Epoch;

use super::run::{Merge, Run, RunBuilder};
use super::{Base, BaseWriter, Content, NextRows, Opened, OwnedRow, Pinned, PinnedFile, RowScan};
use crate::error::StateError;
use crate::files::StoredFile;
use crate::rows::{Kind, Row, RowBuffer};

/// A run is merged with the older one below it while that has fewer than so many times its bytes.
const MERGE_RATIO: usize = 3;

/// Rows that a scan takes from the runs at once.
const SCAN_ROWS: usize = 256;

struct NamedRun {
    name: String,
    run: Run,
}

type Runs = Vec<Arc<NamedRun>>;

/// The runs, the oldest first, as readers see them.
#[derive(Default)]
struct Stack(RwLock<Runs>);

impl Stack {
    fn runs(&self) -> Runs {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, runs: Runs) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = runs;
    }
}

/// Opens the backend with the runs of a checkpoint, the oldest first.
pub(crate) fn open(files: Vec<(StoredFile, bytes::Bytes)>) -> Result<Opened, StateError> {
    let mut known = HashMap::new();
    let mut runs = Runs::new();
    let mut next = 0;
    for (file, bytes) in files {
        let run = Run::parse(&bytes, &file.path)?;
        let number = file.name.strip_suffix(".run").and_then(|number| number.parse::<u64>().ok());
        next = next.max(number.map_or(0, |number| number + 1));
        runs.push(Arc::new(NamedRun { name: file.name.clone(), run }));
        known.insert(file.name.clone(), file);
    }
    let empty = runs.is_empty();
    let stack = Arc::new(Stack::default());
    stack.set(runs);
    let writer = Box::new(MemoryWriter { stack: stack.clone(), next });
    Ok(Opened { base: stack, writer, known, empty })
}

impl Base for Stack {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        for named in self.runs().iter().rev() {
            if let Some(row) = named.run.find(key) {
                return Ok((row.kind == Kind::Put).then(|| row.value.to_vec()));
            }
            if named.run.cleared_to(key).is_some() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn scan(&self, range: Range<Vec<u8>>) -> Result<RowScan<'_>, StateError> {
        Ok(Box::new(Scan { runs: self.runs(), range: Some(range), ready: Vec::new().into_iter() }))
    }

    fn last_key(&self, range: Range<Vec<u8>>) -> Result<Option<Vec<u8>>, StateError> {
        let runs = self.runs();
        let merge = Merge::new(runs.iter().map(|named| &named.run), &range.start, Some(&range.end));
        Ok(merge.filter(|row| row.kind == Kind::Put).last().map(|row| row.key.to_vec()))
    }
}

/// A scan of runs that it holds on to.
struct Scan {
    runs: Runs,
    /// What is still to be scanned.
    range: Option<Range<Vec<u8>>>,
    ready: std::vec::IntoIter<OwnedRow>,
}

impl Iterator for Scan {
    type Item = Result<OwnedRow, StateError>;
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.ready.next() {
                return Some(Ok(row));
            }
            let mut range = self.range.take()?;
            let runs = self.runs.iter().map(|named| &named.run);
            let merge = Merge::new(runs, &range.start, Some(&range.end));
            let rows = merge.filter(|row| row.kind == Kind::Put).take(SCAN_ROWS);
            let rows: Vec<_> = rows.map(|row| (row.key.to_vec(), row.value.to_vec())).collect();
            if rows.len() == SCAN_ROWS
                && let Some((last, _)) = rows.last()
            {
                // The least key behind it.
                range.start = [last, [0].as_slice()].concat();
                self.range = Some(range);
            }
            self.ready = rows.into_iter();
        }
    }
}

struct MemoryWriter {
    stack: Arc<Stack>,
    /// The number of the next run.
    next: u64,
}

impl MemoryWriter {
    fn named(&mut self, built: RunBuilder) -> Result<Arc<NamedRun>, StateError> {
        let name = format!("{:012}.run", self.next);
        self.next += 1;
        let run = Run::parse(&built.finish(), &name)?;
        Ok(Arc::new(NamedRun { name, run }))
    }

    /// Merges the newest runs until each is a few times smaller than the one below it.
    fn merge(&mut self, runs: &mut Runs) -> Result<(), StateError> {
        let size = |named: &Arc<NamedRun>| named.run.bytes().len();
        let mut first = runs.len() - 1;
        let mut bytes = size(&runs[first]);
        while first > 0 && size(&runs[first - 1]) < bytes * MERGE_RATIO {
            first -= 1;
            bytes += size(&runs[first]);
        }
        if first + 1 == runs.len() {
            return Ok(());
        }
        let mut built = RunBuilder::default();
        let newest = runs[first..].iter().map(|named| &named.run);
        for row in Merge::new(newest, &[], None) {
            // Deletions have done their work once nothing lies below them.
            if first > 0 || row.kind == Kind::Put {
                built.add(row);
            }
        }
        runs.truncate(first);
        runs.push(self.named(built)?);
        Ok(())
    }
}

impl BaseWriter for MemoryWriter {
    fn write(&mut self, buffer: &mut RowBuffer, next: NextRows<'_>) -> Result<(), StateError> {
        let mut built = RunBuilder::default();
        while next(buffer)? {
            buffer.iter().for_each(|row: Row<'_>| built.add(row));
        }
        if built.is_empty() {
            return Ok(());
        }
        failpoint::at("state::write").map_err(StateError::local("write", "a run in memory"))?;
        let mut runs = self.stack.runs();
        runs.push(self.named(built)?);
        self.merge(&mut runs)?;
        failpoint::at("state::ingest").map_err(StateError::local("add a run to", "those in memory"))?;
        self.stack.set(runs);
        Ok(())
    }

    fn pin(&mut self, _: Epoch) -> Result<Pinned, StateError> {
        failpoint::at("state::pin").map_err(StateError::local("pin", "the runs in memory"))?;
        let runs = self.stack.runs();
        let files = runs.iter().map(|named| PinnedFile {
            name: named.name.clone(),
            content: Content::Bytes(named.run.bytes().clone()),
            of_epoch: false,
        });
        Ok(Pinned { files: files.collect(), dir: None })
    }
}
