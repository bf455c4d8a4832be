//! What a checkpoint consists of besides its manifest: stored files, and the acknowledgement of a
//! worker's keyed state.

use std::ops::Range;

use pelton_dataflow::time::Epoch;
use serde::{Deserialize, Serialize};

/// A file in the checkpoint store. Immutable once put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its path in the store, `data/{generation}/...`.
    pub path: String,
    /// Its name where it is used: a RocksDB file name.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// CRC32C of its bytes.
    pub crc32c: u32,
}

/// Which backend wrote a file set; checkpoints are native to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Hash maps; a checkpoint is sorted runs of rows.
    Memory,
    /// RocksDB under an overlay; a checkpoint is a RocksDB checkpoint.
    RocksDb,
}

/// The complete keyed state of one worker at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedAck {
    /// The epoch.
    pub epoch: Epoch,
    /// The worker that wrote it.
    pub worker: usize,
    /// The key groups that it holds.
    pub groups: Range<u16>,
    /// Who can read it.
    pub backend: Backend,
    /// All files, not a difference.
    pub files: Vec<StoredFile>,
    /// Bytes of them that were put for this epoch.
    pub new_bytes: u64,
    /// How long the write took from the freeze to the last put, in microseconds.
    pub duration_us: u64,
}
