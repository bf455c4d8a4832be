//! The error of a command or a job: what it says, what the user can do, and the exit code.
//!
//! Owns how errors of all layers are sorted by what helps against them. Their messages are the
//! layers' own.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

use pelton_connectors::Error as ConnectorError;
use pelton_dataflow::error::Failure;
use pelton_dataflow::graph::GraphErrors;
use pelton_dataflow::testing::RunError;
use pelton_runtime::error::JobError;
use pelton_state::error::StateError;
use pelton_streams::Error as LogError;

/// What a job's function gives back.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// What went wrong, with what can be done about it.
///
/// Made from any error or string with `?` or `.into()`, so that a job's function can use `?` on
/// everything. Like `anyhow::Error` it is deliberately no `std::error::Error` itself.
///
/// ```
/// use pelton_cli::{Error, Remedy};
///
/// fn limit(text: &str) -> pelton_cli::Result<u64> {
///     Ok(text.parse()?)
/// }
/// assert_eq!(limit("ten").unwrap_err().to_string(), "invalid digit found in string");
///
/// let error = Error::new(Remedy::Configuration, "the limit is 0: give at least 1");
/// assert_eq!(error.remedy(), Remedy::Configuration);
/// ```
pub struct Error {
    remedy: Remedy,
    cause: Box<dyn StdError + Send + Sync>,
}

/// What helps against an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Trying again: the cause lies outside and may pass (a disk, a network, another process).
    Retry,
    /// Changing the graph: it is wired wrongly.
    FixGraph,
    /// Changing the code of an operator or connector, or what it is given: it fails on its input.
    FixJob,
    /// Changing the job back or starting another one: it cannot read the state that is there.
    IncompatibleState,
    /// Bringing back a good copy of a file, or starting from another checkpoint.
    CorruptData,
    /// Changing a setting, an argument or a path.
    Configuration,
    /// Stopping one of two processes that run the same job: this one has lost it to the other.
    TakenOver,
    /// Reporting it: a rule of the engine itself is broken.
    Report,
}

impl Remedy {
    /// The exit code of a process that ends with it: 2 for settings and graphs, 3 for state that
    /// does not fit, 4 for damaged data, 5 for a job that another process has taken over, else 1.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Retry | Self::FixJob | Self::Report => 1,
            Self::Configuration | Self::FixGraph => 2,
            Self::IncompatibleState => 3,
            Self::CorruptData => 4,
            Self::TakenOver => 5,
        })
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "try again once the cause is gone",
            Self::FixGraph => "change the graph",
            Self::FixJob => "change the operator, or what it is given",
            Self::IncompatibleState => {
                "change the job back, or start it without its state (another --checkpoint-dir)"
            }
            Self::CorruptData => "bring back a good copy, or start from another checkpoint (--from)",
            Self::Configuration => "change the setting",
            Self::TakenOver => {
                "stop this process or the other, or give each a job of its own (--job-id, --checkpoint-dir)"
            }
            Self::Report => "report it, with the log",
        })
    }
}

impl Error {
    /// An error with a remedy and a message that says what, where, and what to do.
    pub fn new(remedy: Remedy, message: impl Into<String>) -> Self {
        Self { remedy, cause: message.into().into() }
    }

    /// As [`Error::new`], for a setting, an argument or a path.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::new(Remedy::Configuration, message)
    }

    /// What helps against it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        self.remedy
    }

    /// The error that it was made from.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn StdError + Send + Sync> {
        self.cause
    }

    /// Whether whoever read the output has closed it, which is no failure: `pelton log get | head`.
    pub(crate) fn is_closed_output(&self) -> bool {
        let io = self.cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Error {
    fn from(cause: E) -> Self {
        let cause = cause.into();
        Self { remedy: remedy_of(cause.as_ref()), cause }
    }
}

impl fmt::Display for Error {
    /// The message with those of its causes, except those that it tells itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.cause.to_string();
        let mut source = self.cause.source();
        while let Some(cause) = source {
            let more = cause.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = cause.source();
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn remedy_of(error: &(dyn StdError + Send + Sync + 'static)) -> Remedy {
    if error.is::<GraphErrors>() {
        Remedy::FixGraph
    } else if let Some(error) = error.downcast_ref() {
        remedy_of_job(error)
    } else if let Some(error) = error.downcast_ref() {
        remedy_of_state(error)
    } else if let Some(error) = error.downcast_ref() {
        remedy_of_log(error)
    } else if let Some(error) = error.downcast_ref() {
        remedy_of_connector(error)
    } else if error.is::<std::io::Error>() {
        Remedy::Retry
    } else if error.is::<Failure>() || error.is::<RunError>() {
        Remedy::FixJob
    } else {
        Remedy::Configuration
    }
}

fn remedy_of_job(error: &JobError) -> Remedy {
    match error {
        JobError::Settings { .. } | JobError::Directory { .. } | JobError::Metrics { .. } => {
            Remedy::Configuration
        }
        // Its settings may be right, and who has the lock may end.
        JobError::Connector { cause, .. } => match cause.downcast_ref() {
            Some(ConnectorError::Log(LogError::Locked { .. })) => Remedy::Retry,
            _ => Remedy::Configuration,
        },
        JobError::Lost { .. } => Remedy::TakenOver,
        JobError::State(error) => remedy_of_state(error),
        JobError::Incompatible { .. } => Remedy::IncompatibleState,
        JobError::Failed { .. } => Remedy::FixJob,
        JobError::Panicked { .. } => Remedy::Report,
        JobError::Locked { .. } | JobError::Thread { .. } => Remedy::Retry,
    }
}

fn remedy_of_state(error: &StateError) -> Remedy {
    match error {
        StateError::Damaged { .. } | StateError::MissingGroups { .. } => Remedy::CorruptData,
        StateError::NewerFormat { .. }
        | StateError::OtherJob { .. }
        | StateError::SchemaVersion { .. }
        | StateError::OtherBackend { .. } => Remedy::IncompatibleState,
        StateError::UnknownStore { .. } | StateError::NoSuchCheckpoint { .. } | StateError::NoRocksDb => {
            Remedy::Configuration
        }
        StateError::Fenced { .. } => Remedy::TakenOver,
        StateError::UndeclaredTable { .. }
        | StateError::TableTypes { .. }
        | StateError::Untraceable { .. }
        | StateError::NotReadBack { .. }
        | StateError::Codec { .. } => Remedy::FixJob,
        _ => Remedy::Retry,
    }
}

fn remedy_of_log(error: &LogError) -> Remedy {
    match error {
        LogError::Corrupt { .. } => Remedy::CorruptData,
        LogError::UnsupportedVersion { .. } => Remedy::IncompatibleState,
        LogError::Io { .. }
        | LogError::NotWritten { .. }
        | LogError::WriterFailed { .. }
        | LogError::Locked { .. } => Remedy::Retry,
        _ => Remedy::Configuration,
    }
}

fn remedy_of_connector(error: &ConnectorError) -> Remedy {
    match error {
        ConnectorError::Log(error) => remedy_of_log(error),
        ConnectorError::Io { .. } | ConnectorError::Output { .. } => Remedy::Retry,
        ConnectorError::FileChanged { .. }
        | ConnectorError::PreparedMissing { .. }
        | ConnectorError::PreparedChanged { .. } => Remedy::CorruptData,
        ConnectorError::Position { .. }
        | ConnectorError::UnknownSplit { .. }
        | ConnectorError::Committable { .. } => Remedy::IncompatibleState,
        _ => Remedy::Configuration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_helps() {
        let job = |error: JobError| Error::from(error).remedy();
        assert_eq!(job(JobError::Settings { problems: vec![] }), Remedy::Configuration);
        assert_eq!(job(JobError::Failed { restarts: 3, message: String::new() }), Remedy::FixJob);
        let damaged = StateError::Damaged { file: "f".to_owned(), problem: "p".to_owned() };
        assert_eq!(job(damaged.into()), Remedy::CorruptData);
        assert_eq!(Error::from(GraphErrors(vec![])).remedy(), Remedy::FixGraph);
        assert_eq!(Error::from("a message").remedy(), Remedy::Configuration);
        let corrupt = LogError::Corrupt { file: "f".into(), offset: 7, what: "w".to_owned() };
        assert_eq!(Error::from(ConnectorError::from(corrupt)).remedy(), Remedy::CorruptData);
        let locked = || LogError::Locked { stream: "s".to_owned(), file: "f".into() };
        let cause = ConnectorError::from(locked()).into();
        assert_eq!(job(JobError::Connector { kind: "sink", name: "s".to_owned(), cause }), Remedy::Retry);
        assert_eq!(Error::from(locked()).remedy(), Remedy::Retry);
    }

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read `x`")]
        struct Outer(#[source] std::io::Error);
        let error = Error::from(Outer(std::io::Error::other("the disk is gone")));
        assert_eq!(error.to_string(), "cannot read `x`: the disk is gone");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert!(Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).is_closed_output());
        assert!(!Error::from(std::io::Error::other("full")).is_closed_output());
    }
}
