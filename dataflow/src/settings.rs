//! The engine's limits, with their units, defaults and reasons.

/// Limits of batches, channels and watermarks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Records in a full batch. Below about 1,000 the cost of progress tracking per batch shows.
    pub batch_records: usize,
    /// The longest that a record waits for its batch to fill while its worker is busy, in
    /// microseconds. An idle worker flushes at once.
    pub batch_linger_us: u64,
    /// Batches in flight from one worker to another on one edge. Bounds memory, and how much a
    /// barrier waits behind.
    pub channel_batches: usize,
    /// The least time between two watermarks that a source publishes, in milliseconds: every
    /// operator sees each of them.
    pub watermark_interval_ms: u64,
    /// How long a stage may run before others get their turn, in microseconds.
    pub slice_us: u64,
    /// How long an idle source with no means to be woken sleeps between polls, in microseconds.
    pub poll_interval_us: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_records: 1_024,
            batch_linger_us: 1_000,
            channel_batches: 8,
            watermark_interval_ms: 5,
            slice_us: 1_000,
            poll_interval_us: 100,
        }
    }
}
