//! The Amazon Kinesis Data Streams API over the shard log: what AWS's SDKs speak, with what is
//! acknowledged on disk. It knows the log and nothing of the engine.
//!
//! In reading order, from the wire inwards:
//!
//! * [`Value`]: a request or response body without its encoding
//! * [`Error`]: an error as AWS tells it: code, status, message

mod error;
mod value;

pub use error::{Error, ErrorCode, Result};
pub use value::Value;
