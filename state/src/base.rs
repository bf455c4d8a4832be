//! The backend below the layers: rows by key, read by the worker, written by the writer thread.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use pelton_dataflow::time::Epoch;

use crate::error::StateError;
use crate::files::StoredFile;
use crate::rows::RowBuffer;

pub(crate) mod memory;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocks;
pub(crate) mod run;

/// A row: its key and value.
pub(crate) type OwnedRow = (Vec<u8>, Vec<u8>);

/// Rows in the order of their keys.
pub(crate) type RowScan<'a> = Box<dyn Iterator<Item = Result<OwnedRow, StateError>> + 'a>;

/// The reading half of a backend. A read sees some layers whole and none in part.
pub(crate) trait Base: Send + Sync {
    /// The value of a row.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// The rows in `range`, as they are now.
    fn scan(&self, range: Range<Vec<u8>>) -> Result<RowScan<'_>, StateError>;

    /// The greatest key in `range`.
    fn last_key(&self, range: Range<Vec<u8>>) -> Result<Option<Vec<u8>>, StateError>;

    /// Ends work in the background; reads go on. The writer has ended.
    fn stop(&self) {}
}

/// Gives the next sorted rows of a layer, behind all before; `false` when there are no more.
pub(crate) type NextRows<'a> = &'a mut dyn FnMut(&mut RowBuffer) -> Result<bool, StateError>;

/// The writing half of a backend, on the writer thread.
pub(crate) trait BaseWriter {
    /// Writes one layer over all that was written before, and makes it visible at once. `buffer`
    /// is what `next` fills.
    fn write(&mut self, buffer: &mut RowBuffer, next: NextRows<'_>) -> Result<(), StateError>;

    /// Holds on to everything that has been written, as the files of a checkpoint.
    fn pin(&mut self, epoch: Epoch) -> Result<Pinned, StateError>;
}

/// The files of a checkpoint, kept until they have been put into the checkpoint store.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) files: Vec<PinnedFile>,
    /// The directory that holds them, to be deleted when they have been put.
    pub(crate) dir: Option<PathBuf>,
}

/// One file of a checkpoint.
#[derive(Debug)]
pub(crate) struct PinnedFile {
    /// Its name where it is used.
    pub(crate) name: String,
    pub(crate) content: Content,
    /// Whether another epoch may have another file of that name.
    pub(crate) of_epoch: bool,
}

/// Where the bytes of a pinned file are.
#[derive(Debug)]
pub(crate) enum Content {
    #[cfg_attr(not(feature = "rocksdb"), expect(dead_code, reason = "only RocksDB keeps local files"))]
    File(PathBuf),
    Bytes(Bytes),
}

/// A backend as it is opened.
pub(crate) struct Opened {
    pub(crate) base: Arc<dyn Base>,
    pub(crate) writer: Box<dyn BaseWriter + Send>,
    /// Files that lie in the checkpoint store already, by name.
    pub(crate) known: HashMap<String, StoredFile>,
    /// Whether there is not a single row.
    pub(crate) empty: bool,
}
