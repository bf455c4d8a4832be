//! The small types that everything else speaks in: ids, sequence numbers, positions, names.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Limits that hold everywhere, with their reasons.
pub mod limits {
    /// Most open shards in a stream: what one Kinesis stream holds in the largest regions.
    pub const MAX_SHARDS: u32 = 10_000;
    /// Most shards that a stream has ever had: each takes 72 bytes of META and 32 of the head of each
    /// segment, which are written as a whole.
    pub const MAX_SHARDS_EVER: u32 = 100_000;
    /// Longest partition key in bytes: Kinesis takes 256 characters of up to 4 bytes of UTF-8.
    pub const MAX_PARTITION_KEY_BYTES: usize = 1024;
    /// Largest record data in bytes: the largest that Kinesis can be set to (10 MiB).
    pub const MAX_RECORD_BYTES: usize = 10 * 1024 * 1024;
    /// Longest stream, family or writer name in bytes: that of Kinesis stream names.
    pub const MAX_NAME_BYTES: usize = 128;
}

/// A shard of a stream: its number, given once, in order of creation, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    /// Writes it as Kinesis does: `shardId-000000000003`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shardId-{:012}", self.0)
    }
}

/// The place of a record in its shard. Numbers only grow and are never given twice; they have gaps.
///
/// The first number of a shard is 1. A gap appears where a writer did not end cleanly: its successor
/// starts at a number that the lost writer cannot have used (`FORMAT.md`, "Sequence numbers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SequenceNumber(pub u64);

impl SequenceNumber {
    /// Less than every number that a record has.
    pub const ZERO: Self = Self(0);

    /// The next number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StartPosition {
    /// At the oldest record that retention has left (Kinesis `TRIM_HORIZON`).
    Oldest,
    /// After everything that is durable now (`LATEST`).
    Latest,
    /// At the first record whose number is at least this (`AT_SEQUENCE_NUMBER`).
    At(SequenceNumber),
    /// At the first record whose number is greater (`AFTER_SEQUENCE_NUMBER`).
    After(SequenceNumber),
    /// At the first record that arrived at or after this, in ms since the Unix epoch (`AT_TIMESTAMP`).
    /// When there is none yet, the same as `Latest`.
    AtTime(u64),
}

pub(crate) fn check_name(what: &'static str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > limits::MAX_NAME_BYTES {
        "it is longer than 128 characters"
    } else if what == "stream" && !name.chars().all(allowed) {
        "only letters a-z A-Z, digits, `_`, `-` and `.` are allowed"
    } else if what != "stream" && !name.chars().all(|c| allowed(c) || matches!(c, '/' | ':')) {
        "only letters a-z A-Z, digits, `_`, `-`, `.`, `:` and `/` are allowed"
    } else if name.starts_with('.') {
        "it starts with a dot"
    } else {
        return Ok(());
    };
    Err(Error::InvalidName { what, name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_with_a_reason() {
        for good in ["a", "payments", "a.b-c_D9", &"x".repeat(128)] {
            check_name("stream", good).unwrap();
        }
        for (bad, reason) in [
            ("", "empty"),
            ("a/b", "only letters"),
            ("..", "dot"),
            ("ä", "only letters"),
            (&"x".repeat(129), "longer"),
        ] {
            let message = check_name("stream", bad).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
        check_name("writer", "job/sink/worker-3").unwrap();
    }

    #[test]
    fn shard_ids_read_as_in_kinesis() {
        assert_eq!(ShardId(3).to_string(), "shardId-000000000003");
    }
}
