//! The Amazon Kinesis Data Streams API over the shard log: what AWS's SDKs speak, with what is
//! acknowledged on disk. It knows the log and nothing of the engine.
//!
//! In reading order, from the wire inwards:
//!
//! * [`Value`]: a request or response body without its encoding
//! * [`model`]: the service model, and what it asks of a body
//! * [`wire`]: JSON and CBOR
//! * [`auth`]: who sends a request
//! * [`event_stream`]: the framing of subscriptions
//! * [`Error`]: an error as AWS tells it: code, status, message

pub mod auth;
pub mod event_stream;
pub mod model;
pub mod wire;

mod error;
mod value;

pub use error::{Error, ErrorCode, Result};
pub use value::{Name, Value};
