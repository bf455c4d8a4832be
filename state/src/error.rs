//! What goes wrong with state and checkpoints: what, where, and what to do about it.

use std::path::Path;

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
    #[error("cannot {action} `{path}`: {source}")]
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
}

impl StateError {
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
