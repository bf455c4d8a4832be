//! What each operation does. A request has been checked against the model when it comes here; what is left
//! are the rules that the model does not have.
//!
//! * [`streams`]: creating, describing, deleting; [`listing`]: streams and shards by pages
//! * [`put`]; [`iterators`], [`get`]: reading; [`consumers`], [`subscribe`]: being told
//! * [`resharding`], [`retention`], [`tags`], [`monitoring`], [`settings`], by way of `changing`

mod changing;
pub mod request;

pub mod consumers;
pub mod get;
pub mod iterators;
pub mod listing;
pub mod monitoring;
pub mod put;
pub mod resharding;
pub mod retention;
pub mod settings;
pub mod streams;
pub mod subscribe;
pub mod tags;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;

use crate::error::{Error, ErrorCode, Result};
use crate::value::{Name, Value};
pub use request::Request;

/// A structure of a response: `members! { "StreamName": name, ... }`. Members that are `None` are left out.
macro_rules! members {
    ($($name:literal: $value:expr),* $(,)?) => {
        $crate::value::Value::Map(vec![
            $((::std::borrow::Cow::Borrowed($name), $crate::value::Value::from($value))),*
        ])
    };
}
pub(crate) use members;

/// What an operation answers.
#[derive(Debug)]
pub enum Reply {
    /// Nothing but that it is done.
    Done,
    /// A structure.
    Value(Value),
    /// What is encoded already.
    Body(Vec<u8>),
    /// What is encoded already, in pieces.
    Pieces(Vec<Bytes>),
    /// Events, as they come.
    Events(Receiver<Bytes>),
}

/// Whether the request is to be tried only; asked when nothing stands against it.
///
/// # Errors
/// `DryRunOperationException`, if so.
pub fn check_dry_run(request: &Request) -> Result {
    if request.is("DryRun") {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(Error::new(ErrorCode::DryRunOperation, message));
    }
    Ok(())
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(list)
    }
}

impl From<Vec<(Name, Value)>> for Value {
    fn from(members: Vec<(Name, Value)>) -> Self {
        Self::Map(members)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A time in ms since the Unix epoch.
#[must_use]
pub fn time(ms: u64) -> Value {
    Value::Time(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// A number that AWS has as a `long`.
#[must_use]
pub fn long(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
