//! What goes wrong with state and checkpoints: what, where, and what to do about it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use pelton_dataflow::error::panic_message;

/// An error of keyed state or of the checkpoints.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The checkpoint store failed.
    #[error("cannot {action} `{path}` in the checkpoint store: {source}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The path, with the place of the store.
        path: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// A local file or directory failed.
    #[error("cannot {action} `{path}`: {source}; check the path, its owner and the room on the disk")]
    Local {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A store URL of a kind that is not known.
    #[error(
        "cannot open the checkpoint store `{location}`: `{scheme}` is not a known kind of store; give a directory"
    )]
    UnknownStore {
        /// What was given.
        location: String,
        /// Its scheme.
        scheme: String,
    },
    /// A file is not what was written.
    #[error("`{file}` is damaged: {problem}; bring back a good copy of it, or start from another checkpoint")]
    Damaged {
        /// The file, with the place of the store.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of a later format than this program knows.
    #[error(
        "`{file}` has format version {version}, this program knows up to {known}: run it with a newer version of the program"
    )]
    NewerFormat {
        /// The file, with the place of the store.
        file: String,
        /// Its version.
        version: u16,
        /// The newest version that can be read.
        known: u16,
    },
    /// A value that its codec refuses.
    #[error("cannot encode {what}: {problem}")]
    Unencodable {
        /// What was encoded.
        what: &'static str,
        /// What the codec said.
        problem: String,
    },
    /// Another process has taken the job over.
    #[error(
        "generation {generation} of job `{job}` has ended: another process took the job over at `{file}`; this one stops"
    )]
    Fenced {
        /// The job.
        job: String,
        /// The generation that has ended.
        generation: u64,
        /// The entry of the manifest log that the other process wrote.
        file: String,
    },
    /// Many processes begin generations of one job at once.
    #[error(
        "cannot take over the log in `{location}`: other processes keep writing to it; stop them, then try again"
    )]
    Contended {
        /// The log.
        location: String,
    },
    /// The checkpoint store holds the checkpoints of another job.
    #[error(
        "the checkpoints in `{location}` are those of job `{found}`, this is job `{job}`: give each job a checkpoint directory of its own"
    )]
    OtherJob {
        /// The store.
        location: String,
        /// Whose checkpoints they are.
        found: String,
        /// Who asks.
        job: String,
    },
    /// A checkpoint that is not there.
    #[error("there is no checkpoint {sequence} in `{location}`; there are: {known}")]
    NoSuchCheckpoint {
        /// The number that was asked for.
        sequence: u64,
        /// The store.
        location: String,
        /// The numbers that there are.
        known: String,
    },
    /// No number is left for a name.
    #[error(
        "there is no number left for state `{state}` of operator `{operator}`: a job can name 65,536 operators and as many states for each over its life; start it without its checkpoint"
    )]
    NamesExhausted {
        /// The operator.
        operator: String,
        /// The state.
        state: String,
    },
    /// A table is used that its operator has not declared.
    #[error(
        "operator `{operator}` uses the table `{table}` without declaring it; it declares {declared}: declare each table before the graph is built, so that checkpoints can be checked against it"
    )]
    UndeclaredTable {
        /// The operator.
        operator: String,
        /// The table.
        table: &'static str,
        /// What it declares instead.
        declared: String,
    },
    /// A table is used with other types than it was declared with.
    #[error(
        "operator `{operator}` uses the table `{table}` as {used}, but declares it as {declared}: give the two tables different names"
    )]
    TableTypes {
        /// The operator.
        operator: String,
        /// The table.
        table: &'static str,
        /// Its types where it is used.
        used: &'static str,
        /// Its types where it is declared.
        declared: &'static str,
    },
    /// A state that the job's name table does not know.
    #[error(
        "state `{state}` of operator `{operator}` has no number: it is not among the states that the operator's node declares in the graph"
    )]
    UndeclaredState {
        /// The operator.
        operator: String,
        /// The state.
        state: String,
    },
    /// A key or value that cannot be written, or bytes that cannot be read.
    #[error("cannot {action} a {what} of state `{state}` of operator `{operator}`: {problem}")]
    Codec {
        /// `write` or `read`.
        action: &'static str,
        /// `key` or `value`.
        what: &'static str,
        /// The operator.
        operator: String,
        /// The state.
        state: String,
        /// What is wrong.
        problem: String,
    },
    /// A row of another schema version than the state can read.
    #[error(
        "state `{state}` of operator `{operator}` has a row of schema version {found}, and reads version {reads}: give its spec an `upgrade` that reads version {found}"
    )]
    SchemaVersion {
        /// The operator.
        operator: String,
        /// The state.
        state: String,
        /// The row's version.
        found: u16,
        /// The version that the state declares.
        reads: u16,
    },
    /// A type whose shape cannot be found out by driving its `Deserialize`.
    #[error(
        "the shape of `{type_name}` cannot be found out ({reason}): state its schema version, and raise that whenever the type changes"
    )]
    Untraceable {
        /// The type.
        type_name: &'static str,
        /// What kept it from being traced.
        reason: String,
    },
    /// A type that cannot be read again from what it writes.
    #[error(
        "`{type_name}` cannot be read back from what it writes ({reason}): leave out `#[serde(skip_serializing_if)]`, `untagged`, `tag`, `flatten` and types such as `serde_json::Value`, which are for formats that say what they hold"
    )]
    NotReadBack {
        /// The type.
        type_name: &'static str,
        /// What went wrong with a made-up value.
        reason: String,
    },
    /// The local database failed.
    #[error("cannot {action} the local state in `{path}`: {problem}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Its directory or file.
        path: String,
        /// What the database said.
        problem: String,
    },
    /// A checkpoint of another backend.
    #[error(
        "the checkpoint holds keyed state of the backend {found:?}, and the job is to run with {asked:?}: run it with --backend {} once more; a backend is changed by a savepoint", name_of(*found)
    )]
    OtherBackend {
        /// Who wrote it.
        found: crate::files::Backend,
        /// Who is to read it.
        asked: crate::files::Backend,
    },
    /// A backend that this build does not have.
    #[error(
        "this program is built without RocksDB: build it with the feature `rocksdb`, or run with --backend memory"
    )]
    NoRocksDb,
    /// The checkpoint does not hold all key groups of this worker.
    #[error(
        "the checkpoint of epoch {epoch} holds nothing for key group {group}: one of its parts is missing; start from another checkpoint"
    )]
    MissingGroups {
        /// The checkpoint's epoch.
        epoch: u64,
        /// The first group that is missing.
        group: u16,
    },
    /// The state of one epoch could not be put into the checkpoint store; that of the next may be.
    #[error("the state at the end of epoch {epoch} is not stored: {problem}")]
    NotStored {
        /// The epoch.
        epoch: pelton_dataflow::time::Epoch,
        /// What the store said.
        problem: String,
    },
    /// Code of a type that is kept as state, such as its `Clone` or `Serialize`, has panicked.
    #[error("a type in state `{state}` of operator `{operator}` panicked as it was {action}: {message}")]
    Panicked {
        /// What was done with it: `copied`, `written`.
        action: &'static str,
        /// The operator.
        operator: String,
        /// The state.
        state: String,
        /// What the panic said.
        message: String,
    },
    /// The thread that writes state has failed before.
    #[error("keyed state is not written any more: {reason}")]
    WriterStopped {
        /// The first failure, or how the thread ended.
        reason: String,
    },
}

/// As `--backend` takes it.
fn name_of(backend: crate::files::Backend) -> &'static str {
    match backend {
        crate::files::Backend::Memory => "memory",
        crate::files::Backend::RocksDb => "rocksdb",
    }
}

impl StateError {
    /// What `act` does on a thread of the store. Its panic is an error, which those who wait for the
    /// thread hear of; unwound, it would leave them waiting.
    pub(crate) fn or_panic<T>(act: impl FnOnce() -> Result<T, Self>) -> Result<T, Self> {
        let stopped = |message| Self::WriterStopped { reason: format!("its thread panicked: {message}") };
        Self::caught(act).unwrap_or_else(|message| Err(stopped(message)))
    }

    /// What `act` does, or the message of its panic.
    pub(crate) fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(act)).map_err(|payload| panic_message(payload.as_ref()))
    }

    /// For `map_err`: the store failed at `action` on `path`.
    pub(crate) fn store(
        action: &'static str,
        path: impl Into<String>,
    ) -> impl FnOnce(object_store::Error) -> Self {
        let path = path.into();
        move |source| Self::Store { action, path, source }
    }

    /// For `map_err`: the system failed at `action` on `path`.
    pub(crate) fn local(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().display().to_string();
        move |source| Self::Local { action, path, source }
    }
}
