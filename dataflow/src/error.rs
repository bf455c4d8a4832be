//! What goes wrong, and where: the errors of user code and connectors, and the failure of a job.

use std::any::Any;
use std::error::Error;
use std::fmt;

use crate::key::KeyGroup;
use crate::record::Origin;

/// What a panic said, of its payload: what `catch_unwind` and `join` give.
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// What user code and connectors return.
pub type OpResult<T = ()> = Result<T, OpError>;

/// An error from user code or a connector, before the engine adds where it happened.
///
/// Made from any error or string with `?` or `.into()`; like `anyhow::Error` it is deliberately no
/// `Error` itself, so that the conversion can be general.
pub struct OpError(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for OpError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl OpError {
    /// The error that was returned.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn Error + Send + Sync> {
        self.0
    }

    /// The `E` that it was made from, if it was.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }

    /// Whether it was made from an `E`.
    #[must_use]
    pub fn is<E: Error + 'static>(&self) -> bool {
        self.0.is::<E>()
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where an operator was when something went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The key group of the record or timer at hand, in a keyed operator.
    pub key_group: Option<KeyGroup>,
    /// The splits and positions of the record at hand.
    pub origin: Option<Origin>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(group) = self.key_group {
            write!(f, ", key group {group}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, ", records of {origin}")?;
        }
        Ok(())
    }
}

/// What kind of thing failed; it decides what a user can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// User code or a connector returned an error.
    Error,
    /// A record could not be read, and there is nowhere to send such ones: [`Malformed`].
    Malformed,
    /// User code panicked.
    Panic,
}

/// The failure of one operator on one worker; it ends the generation of the job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operator `{operator}` {verb} on worker {worker}{place}: {message}", verb = match cause {
    Cause::Error | Cause::Malformed => "failed",
    Cause::Panic => "panicked",
})]
pub struct Failure {
    /// The operator's name.
    pub operator: String,
    /// The worker's index.
    pub worker: usize,
    /// Error or panic.
    pub cause: Cause,
    /// The record at hand.
    pub place: Place,
    /// The error's or panic's own words.
    pub message: String,
}

/// An error of an operator, with the place it happened at.
#[derive(Debug)]
pub struct OperatorError {
    /// The record at hand.
    pub place: Place,
    /// What was returned.
    pub error: OpError,
}

/// A record that a source cannot make sense of, and that has no dead letters to go to.
///
/// What a reader says of a record is its last word, as with dead letters: it does not depend on anything
/// but the record's bytes. So the same record is malformed whenever it is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "malformed record in {split} at {counted_in} {position}: {reason}; send such records to a stream of their own with `.dead_letters()`"
)]
pub struct Malformed {
    /// Source and split, as `payments/shard-0`.
    pub split: String,
    /// What the split counts: see [`Source::counted_in`](crate::source::Source::counted_in).
    pub counted_in: &'static str,
    /// Its position in the split's own count.
    pub position: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What an enumerator says once the input that it has listed the splits of is no more, or another one
/// stands in its place. Other failures may pass, and a job goes on with the splits that it knows; after this
/// one it would wait for what never comes, and so it fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InputGone(pub String);

impl<E: Into<OpError>> From<E> for OperatorError {
    fn from(error: E) -> Self {
        Self { place: Place::default(), error: error.into() }
    }
}
