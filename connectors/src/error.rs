//! Every error of the crate. Messages say what happened, where, and what to do about it.
//!
//! The cause, where there is one, is the error's `source`, which `OpError` prints after it.

use std::io;
use std::path::PathBuf;

use pelton_dataflow::source::SplitId;

/// What goes wrong in a source or sink.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory to read is not there.
    #[error("there is no file or directory {}; check the path (it is relative to {})", .path.display(), working_directory())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// There is no room left.
    #[error("cannot {action} {}: the disk is full; make room: the job goes on from its last checkpoint", .path.display())]
    DiskFull {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A sink's directory cannot be written to.
    #[error("the output directory {} cannot be written to; check its owner and permissions, or name another one", .path.display())]
    Unwritable {
        /// The directory, or the part of it that stands in the way.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A path that cannot name a split.
    #[error("the path {} is not UTF-8, and a split is named by its path; rename it", .path.display())]
    PathNotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// A directory holds more files than a source takes.
    #[error("{} holds more than {limit} files, and each would be a split in every checkpoint; join them into fewer", .path.display())]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// A file is not the one that a checkpoint has read from.
    #[error("{} was changed since the checkpoint, which had read up to byte {offset}: {what}; put the old file back, or start without the checkpoint", .path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
        /// How far it had been read.
        offset: u64,
        /// What does not hold.
        what: &'static str,
    },
    /// The header of a CSV file cannot be read.
    #[error("{} has no usable header: {reason}; mend its first line, or read it with `without_header()`", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes of a position are not this source's.
    #[error(
        "the position of split `{split}` in the checkpoint is no {expected}: {reason}; the checkpoint belongs to another source or a newer version"
    )]
    Position {
        /// The split.
        split: SplitId,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        reason: String,
    },
    /// A split that this source does not have.
    #[error("split `{split}` of the checkpoint is none of {source_is}: {reason}")]
    UnknownSplit {
        /// The split.
        split: SplitId,
        /// What the source is.
        source_is: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// A setting that makes no sense.
    #[error("{what}: {reason}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// Why, and what would be right.
        reason: String,
    },
    /// A value cannot be written in the format.
    #[error("a value of {type_name} cannot be written as {format}: {reason}")]
    Encode {
        /// The value's type.
        type_name: &'static str,
        /// The format.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Output of another run stands where this one's would go.
    #[error("{} is there already and is not of this run; empty the directory, name another one, or resume from the checkpoint that wrote it", .path.display())]
    OutputExists {
        /// The file.
        path: PathBuf,
    },
    /// The bytes of a committable are not this sink's.
    #[error(
        "the committable of epoch {epoch}, worker {worker} cannot be read: {reason}; the checkpoint belongs to another sink or a newer version"
    )]
    Committable {
        /// Its epoch.
        epoch: u64,
        /// Its worker.
        worker: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// What a committable names is gone, and was not committed.
    #[error("{} was prepared and is gone, but never committed: something removed it; restore it, or resume from an earlier checkpoint", .path.display())]
    PreparedMissing {
        /// The prepared file.
        path: PathBuf,
    },
    /// What a committable names is not what was prepared.
    #[error("{} does not hold what was prepared there: {reason}; restore it, or resume from an earlier checkpoint", .path.display())]
    PreparedChanged {
        /// The file.
        path: PathBuf,
        /// What does not match.
        reason: String,
    },
    /// A name that makes no file name.
    #[error(
        "the names of the job (`{job}`) and of the sink (`{operator}`) are too long to name files by; shorten one of them"
    )]
    NamesTooLong {
        /// The job.
        job: String,
        /// The sink.
        operator: String,
    },
    /// A partition that is no directory below that of its sink.
    #[error(
        "a record is in partition `{partition}`, which is no directory below the sink's: give names without `..`, that begin with no `/` or `.`"
    )]
    Partition {
        /// The partition.
        partition: String,
    },
    /// An output that whoever read it has closed.
    #[error("cannot write to {target}; has its reader gone away?")]
    Output {
        /// Standard output, for instance.
        target: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Text that is no address of a stream.
    #[error(
        "`{text}` is no address of a stream: {reason}; write it as DIRECTORY/STREAM, such as ./data/payments"
    )]
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A stream knows a later generation of the sink than the one that wants to write.
    #[error(
        "the stream {address} was last written by generation {current} of sink `{operator}` of job `{job}`, and this is generation {generation}: either a newer run has taken over, or this one was started without the job's checkpoints; stop it, or resume from them, or write to another stream; to write everything again behind what is there, start it as another job (--job-id)"
    )]
    LaterGeneration {
        /// The stream.
        address: crate::LogAddress,
        /// The job.
        job: String,
        /// The sink.
        operator: String,
        /// The generation of this run.
        generation: u64,
        /// The one that the stream knows.
        current: u64,
    },
    /// The stream that a checkpoint has read from is not the one that is there.
    #[error(
        "the stream {address} was deleted and created anew since the checkpoint, which had read that one up to number {next}: what comes first in this one would be skipped. To read it from its start, start the job without the checkpoint, as another job (--job-id); else bring the old stream back"
    )]
    InputReplaced {
        /// The stream.
        address: crate::LogAddress,
        /// The number that the next record would have had.
        next: u64,
    },
    /// The stream that a job reads is not the one that it began to read.
    #[error(
        "the stream {address} was deleted{} while it was being read: {}", if *.anew { " and created anew" } else { "" },
        after_deletion(*.anew)
    )]
    InputDeleted {
        /// The stream.
        address: crate::LogAddress,
        /// Whether there is another of its name now.
        anew: bool,
    },
    /// The stream that a checkpoint's output was prepared for is not the one that is there.
    #[error(
        "the checkpoint lists {} of sink `{operator}` for the stream {address} that cannot be committed there: {reason}. Bring the stream back as it was; or give the sink another name, which needs --allow-dropped-state and writes on without that output; or start without the checkpoint, as another job (--job-id)", plural(*.transactions)
    )]
    OutputReplaced {
        /// The stream.
        address: crate::LogAddress,
        /// The sink.
        operator: String,
        /// How many.
        transactions: usize,
        /// What the log says of the first that does not fit.
        reason: String,
    },
    /// The stream of a sink is not there.
    #[error("{0}; or have the sink create it, with `.create_if_missing(shards)`")]
    NoStream(pelton_streams::Error),
    /// The shard log refused. Its message holds its cause.
    #[error("{0}")]
    Log(pelton_streams::Error),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<pelton_streams::Error> for Error {
    fn from(error: pelton_streams::Error) -> Self {
        Self::Log(error)
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

fn after_deletion(anew: bool) -> &'static str {
    if anew {
        "nothing of this one has been read. To read it from its start, start the job without its checkpoint, as another job (--job-id); else bring the old stream back"
    } else {
        "what had not been read of it is lost to this job. Bring it back, or end the job"
    }
}

fn plural(transactions: usize) -> String {
    if transactions == 1 { "a transaction".to_owned() } else { format!("{transactions} transactions") }
}

fn working_directory() -> String {
    std::env::current_dir()
        .map_or_else(|_| "the working directory".to_owned(), |dir| dir.display().to_string())
}
