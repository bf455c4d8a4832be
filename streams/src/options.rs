//! The settings of a log, with their units, defaults and reasons.

use serde::{Deserialize, Serialize};

/// How a log behaves. `Options::default()` is right for most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Create the data directory if it is missing. Default `false`: a mistyped path is an error.
    pub create: bool,
    /// A segment that has grown to this many bytes is followed by a new one. Default 256 MiB.
    /// Retention removes whole segments, so this is its grain.
    pub segment_bytes: u64,
    /// A segment older than this is followed by a new one at the next append. Default one hour, so that
    /// retention by time works on slow streams too.
    pub segment_age_ms: u64,
    /// A batch frame is closed when its payload has this many bytes. Default 256 KiB: a frame is
    /// checked as a whole, so a larger one costs memory, a smaller one costs headers.
    pub frame_bytes: usize,
    /// Appends collected for one sync, in bytes. Default 32 MiB.
    pub group_bytes: usize,
    /// Appends that may wait for the writer, in bytes; beyond it `append` blocks. Default 64 MiB.
    pub queue_bytes: usize,
    /// The largest transaction, in bytes; it is held in memory while it commits. Default 1 GiB.
    pub transaction_bytes: u64,
    /// How often an idle writer looks whether retention has something to remove, the segment that it writes
    /// included. Default 10 s.
    pub retention_check_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: false,
            segment_bytes: 256 << 20,
            segment_age_ms: 3_600_000,
            frame_bytes: 256 << 10,
            group_bytes: 32 << 20,
            queue_bytes: 64 << 20,
            transaction_bytes: 1 << 30,
            retention_check_ms: 10_000,
        }
    }
}

impl Options {
    /// The defaults, and the data directory is created if it is missing.
    #[must_use]
    pub fn create() -> Self {
        Self { create: true, ..Self::default() }
    }
}

/// How long a stream keeps records. Whole segments are removed, oldest first; the last one when nothing is written
/// any more and all records in it are too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention {
    /// Records older than this, by arrival time in ms, may be removed. `None` keeps them for ever.
    pub age_ms: Option<u64>,
    /// The oldest segments are removed while the stream's segments have more bytes than this.
    pub bytes: Option<u64>,
}
