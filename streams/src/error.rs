//! Every error of the crate. Messages say what happened, where, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::types::{SequenceNumber, ShardId};

/// What went wrong in the shard log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stream, family or writer name that is not allowed.
    #[error("`{name}` is not a valid {what} name: {reason}")]
    InvalidName {
        /// "stream", "writer family" or "writer".
        what: &'static str,
        /// The name as given.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// An argument outside its limits.
    #[error("{0}")]
    InvalidArgument(String),
    /// The data directory does not exist.
    #[error("the data directory {dir} does not exist; check the path, or begin a log there: pelton log create {dir}/STREAM", dir = .dir.display())]
    DirectoryMissing {
        /// The directory as given.
        dir: PathBuf,
    },
    /// The path of the data directory leads to or through a file.
    #[error("{} is a file, where a data directory is expected; check the path, or name another directory", .path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// The data directory is there but cannot be used.
    #[error("the data directory {} cannot be {action}: {source}; check its owner and permissions", .dir.display())]
    DirectoryUnusable {
        /// The directory.
        dir: PathBuf,
        /// "read", "created" or "written to".
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The directory is there but holds something else.
    #[error("the data directory {dir} holds no shard log; check the path, or begin a log there: pelton log create {dir}/STREAM", dir = .dir.display())]
    NotALog {
        /// The directory.
        dir: PathBuf,
    },
    /// A log would begin inside the data directory of another one.
    #[error("the data directory {} would lie inside the shard log {}, whose files are its own; name a directory outside of it, or a stream of that log: {}/STREAM", .dir.display(), .log.display(), .log.display())]
    InsideLog {
        /// The directory as given.
        dir: PathBuf,
        /// The data directory of the log that is there.
        log: PathBuf,
    },
    /// `create_stream` of a name that is taken.
    #[error("the stream `{stream}` exists already in {}; give the new one another name, or delete that one first", .dir.display())]
    StreamExists {
        /// The stream.
        stream: String,
        /// The data directory.
        dir: PathBuf,
    },
    /// No stream of that name.
    #[error("there is no stream `{stream}` in {}; {}", .dir.display(), known_streams(.known))]
    UnknownStream {
        /// The name asked for.
        stream: String,
        /// The data directory.
        dir: PathBuf,
        /// The streams that exist.
        known: Vec<String>,
    },
    /// A stream that was open is not there any more.
    #[error("the stream `{stream}` in {} was deleted while it was in use, and perhaps created anew; open it again", .dir.display())]
    StreamGone {
        /// The stream.
        stream: String,
        /// The data directory.
        dir: PathBuf,
    },
    /// No shard of that id.
    #[error("the stream `{stream}` has no shard {shard}; {}", known_shards(*.shards))]
    UnknownShard {
        /// The stream.
        stream: String,
        /// The shard asked for.
        shard: ShardId,
        /// How many shards there are.
        shards: usize,
    },
    /// A split or merge of a shard that an earlier one has closed.
    #[error("{shard} of the stream `{stream}` is closed; its records go to {}", join_shards(.children))]
    ShardClosed {
        /// The stream.
        stream: String,
        /// The shard.
        shard: ShardId,
        /// Its children.
        children: Vec<ShardId>,
    },
    /// A stream has one writing process, and another one is it.
    #[error(
        "the stream `{stream}` is being written by another process (lock {}); stop that process, or write to another stream",
        .file.display()
    )]
    Locked {
        /// The stream.
        stream: String,
        /// The lock file.
        file: PathBuf,
    },
    /// Bytes that were durable are damaged. Nothing is skipped: restore the file, or delete the stream.
    #[error("{} is corrupt at byte {offset}: {what}; restore the file from a copy, or delete the stream", .file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Byte offset of the damage in it.
        offset: u64,
        /// What does not hold.
        what: String,
    },
    /// A file of a format that this version does not know.
    #[error("{} has format version {found}; this version reads up to {supported}: use a newer one", .file.display())]
    UnsupportedVersion {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        supported: u32,
    },
    /// Retention has removed records that the reader has not read.
    #[error(
        "{stream}/{shard}: record {requested} was removed by retention, the oldest left is {oldest}; read on from the oldest to accept the loss, or keep records longer"
    )]
    Trimmed {
        /// The stream.
        stream: String,
        /// The shard.
        shard: ShardId,
        /// The sequence number that was asked for.
        requested: SequenceNumber,
        /// The least sequence number that a record may still have.
        oldest: SequenceNumber,
    },
    /// A write to disk failed; what is acknowledged is safe, the writer takes no more.
    #[error(
        "the writer of `{stream}` has failed and takes no more records ({cause}); mend the cause and open the writer again"
    )]
    WriterFailed {
        /// The stream.
        stream: String,
        /// The first failure.
        cause: String,
    },
    /// The append was undone as a whole, because writing it failed. The writer goes on.
    #[error(
        "the append to `{stream}` was not written ({cause}); nothing of it is in the log, it can be tried again"
    )]
    NotWritten {
        /// The stream.
        stream: String,
        /// The failure, for instance a full disk.
        cause: String,
    },
    /// A newer generation of the writer family has taken over.
    #[error(
        "generation {generation} of the writer family `{family}` on stream `{stream}` is fenced: generation {current} has taken over; this writer must stop"
    )]
    Fenced {
        /// The stream.
        stream: String,
        /// The writer family.
        family: String,
        /// The generation that is too old.
        generation: u64,
        /// The newest generation.
        current: u64,
    },
    /// Calls out of order, for instance `write` before `begin`.
    #[error("writer `{writer}` on stream `{stream}`: {what}")]
    TransactionState {
        /// The stream.
        stream: String,
        /// The writer's member name.
        writer: String,
        /// Which rule was broken.
        what: String,
    },
    /// A commit of a transaction that was aborted.
    #[error(
        "transaction {transaction:#x} of `{family}` (generation {generation}, epoch {epoch}) on stream `{stream}` was aborted and cannot be committed"
    )]
    Aborted {
        /// The stream.
        stream: String,
        /// The writer family.
        family: String,
        /// The generation that prepared it.
        generation: u64,
        /// Its epoch.
        epoch: u64,
        /// Its id.
        transaction: u64,
    },
    /// An abort of a transaction that is committed.
    #[error("transaction {transaction:#x} on stream `{stream}` is committed and cannot be aborted")]
    AlreadyCommitted {
        /// The stream.
        stream: String,
        /// Its id.
        transaction: u64,
    },
    /// A committable that this stream or family has not made.
    #[error("the committable of transaction {transaction:#x} does not belong here: {what}")]
    ForeignCommittable {
        /// Its id.
        transaction: u64,
        /// What does not match.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn corrupt(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, what: what.into() }
    }

    /// Whether durable bytes were found damaged (and not, say, a full disk or a wrong name).
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::UnsupportedVersion { .. })
    }
}

fn known_streams(known: &[String]) -> String {
    if known.is_empty() {
        "it holds no streams yet".to_owned()
    } else {
        format!("it holds: {}", known.join(", "))
    }
}

fn join_shards(shards: &[ShardId]) -> String {
    shards.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn known_shards(shards: usize) -> String {
    match shards {
        1 => format!("its only shard is {}", ShardId(0)),
        _ => format!("it has {shards} shards, from {} on", ShardId(0)),
    }
}
