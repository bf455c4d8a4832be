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
