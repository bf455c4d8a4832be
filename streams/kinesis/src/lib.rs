//! The Amazon Kinesis Data Streams API over the shard log: what AWS's SDKs speak, with what is
//! acknowledged on disk. It knows the log and nothing of the engine.
//!
//! In reading order, from the wire inwards:
//!
//! * [`server`]: connections, TLS, HTTP/1.1 and HTTP/2 on one port
//! * [`dispatch`]: from an HTTP request to an operation and back
//! * [`Value`]: a request or response body without its encoding
//! * [`model`]: the service model, and what it asks of a body
//! * [`wire`]: JSON and CBOR; [`records`]: the records of a response, straight from the log's blocks
//! * [`auth`]: who sends a request; [`access`]: what they may do; [`event_stream`]: the framing of subscriptions
//! * [`Error`]: an error as AWS tells it: code, status, message
//! * [`ops`]: what each operation does
//! * [`Service`], [`stream`], [`shards`]: what is served; [`catalog`]: what is known beyond the log
//! * [`sequence`], [`token`]: what clients hold: sequence numbers, iterators, tokens of pages
//! * [`readers`]: readers that are kept between calls; [`subscriptions`]: who is subscribed
//! * [`limits`]: what clients are held to on request; [`room`]: what memory they may take; [`metrics`]: what is counted
//! * `upkeep`: what the service does by itself; [`on_demand`]: how many shards an on-demand stream is to have

pub mod access;
pub mod auth;
pub mod catalog;
pub mod dispatch;
pub mod event_stream;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod on_demand;
pub mod ops;
pub mod readers;
pub mod records;
pub mod room;
pub mod sequence;
pub mod server;
pub mod shards;
pub mod stream;
pub mod subscriptions;
pub mod token;
pub mod wire;

mod dates;
mod error;
mod service;
mod upkeep;
mod value;

pub use error::{Error, ErrorCode, Result};
pub use service::{Service, Settings, StartError};
pub use value::{Name, Value};

/// Runs what may wait for the disk where it holds up no connection.
///
/// # Errors
/// Those of `act`; `InternalFailure` if it panics.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(act).await {
        Ok(answer) => answer,
        Err(error) => Err(Error::internal(error)),
    }
}
