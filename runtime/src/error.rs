//! What ends a job, or keeps it from starting: what, where, and what to do about it.

use std::path::PathBuf;

use pelton_dataflow::error::OpError;
use pelton_state::error::StateError;

/// Why a job ended, other than by its end or by a stop.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Settings that cannot work.
    #[error("the settings of the job cannot work:\n  - {}", problems.join("\n  - "))]
    Settings {
        /// One line each.
        problems: Vec<String>,
    },
    /// Another job or process uses the state directory.
    #[error(
        "the state directory `{}` is in use by another process: if that one runs this job, leave it or stop it first; another job needs a state directory of its own",
        directory.display()
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// A local directory cannot be used.
    #[error("cannot {action} `{}`: {source}; check the path, its owner and permissions, or name another one", path.display())]
    Directory {
        /// What was tried.
        action: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// State or checkpoints failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The checkpoint was taken by a job that differs in what is fixed for good.
    #[error("cannot restore checkpoint {sequence}: {problem}")]
    Incompatible {
        /// Its number in the manifest log.
        sequence: u64,
        /// What differs, and what to do.
        problem: String,
    },
    /// A source or sink cannot be opened.
    #[error("cannot open {kind} `{name}`: {cause}")]
    Connector {
        /// `source` or `sink`.
        kind: &'static str,
        /// Its name in the graph.
        name: String,
        /// What it said.
        cause: OpError,
    },
    /// An operator failed, and the restart strategy gave up.
    #[error("the job failed{}: {message}", attempts(*.restarts))]
    Failed {
        /// How often it was started again.
        restarts: u32,
        /// The last failure.
        message: String,
    },
    /// Another process runs the job now.
    #[error("{message}")]
    Lost {
        /// Who, as far as is known.
        message: String,
    },
    /// A worker panicked outside of user code: a broken invariant, which a restart does not mend.
    #[error("worker {worker} panicked outside of user code, this is a defect of the engine: {message}")]
    Panicked {
        /// The worker.
        worker: usize,
        /// The panic's own words.
        message: String,
    },
    /// The metrics endpoint cannot be opened.
    #[error("cannot serve metrics at {address}: {problem}; choose another address with a free port")]
    Metrics {
        /// Where.
        address: std::net::SocketAddr,
        /// What went wrong.
        problem: String,
    },
    /// A thread of the runtime cannot be started.
    #[error("cannot start the thread `{name}`: {source}")]
    Thread {
        /// Its name.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
}

fn attempts(restarts: u32) -> String {
    match restarts {
        0 => String::new(),
        1 => " after 1 restart".to_owned(),
        more => format!(" after {more} restarts"),
    }
}

impl JobError {
    pub(crate) fn connector(kind: &'static str, name: &str) -> impl FnOnce(OpError) -> Self {
        let name = name.to_owned();
        move |cause| Self::Connector { kind, name, cause }
    }

    pub(crate) fn directory(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Directory { action, path, source }
    }
}
