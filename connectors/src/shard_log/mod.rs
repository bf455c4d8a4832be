//! The shard log as source and sink. A map; the constructors are [`ShardLog`].
//!
//! * `address`: which stream is meant;
//! * `source`: its shards as splits; `reader`: one shard;
//! * `keys`: which shard a written record goes to; `committable`: its persisted bytes;
//! * `sink`: writing and preparing transactions; `commit`: committing and aborting them.

mod address;
mod commit;
pub(crate) mod committable;
mod keys;
mod reader;
mod sink;
mod source;
mod target;

pub use address::LogAddress;
pub use sink::LogSink;
pub use source::LogSource;

use pelton_dataflow::record::Data;

use crate::format::{Bincode, Decode, Encode, Json, Raw};

/// Constructors of sources and sinks on the shard log.
pub struct ShardLog;

impl ShardLog {
    /// Reads a stream whose records are JSON values, each a `T`; others are rejected.
    ///
    /// ```
    /// use pelton_connectors::{LogAddress, ShardLog};
    ///
    /// let address: LogAddress = "./data/payments".parse()?;
    /// let payments = ShardLog::json::<(u64, String)>(&address).until_end();
    /// # Ok::<_, pelton_connectors::Error>(())
    /// ```
    #[must_use]
    pub fn json<T: Data>(address: &LogAddress) -> LogSource<T, Json> {
        LogSource::new(address.clone(), Json)
    }

    /// Reads a stream whose records are `T` in bincode; others are rejected, as far as they show.
    ///
    /// ```
    /// use pelton_connectors::{LogAddress, ShardLog};
    /// let counts = ShardLog::bincode::<(u64, u64)>(&LogAddress::new("./data", "counts"));
    /// ```
    #[must_use]
    pub fn bincode<T: Data>(address: &LogAddress) -> LogSource<T, Bincode> {
        LogSource::new(address.clone(), Bincode)
    }

    /// Reads a stream's records as bytes.
    ///
    /// ```
    /// use pelton_connectors::{LogAddress, ShardLog};
    /// let bytes = ShardLog::raw(&LogAddress::new("./data", "frames"));
    /// ```
    #[must_use]
    pub fn raw(address: &LogAddress) -> LogSource<Vec<u8>, Raw> {
        LogSource::new(address.clone(), Raw)
    }

    /// Reads a stream in a format of your own.
    ///
    /// ```
    /// use pelton_connectors::{DecodeWith, LogAddress, ShardLog};
    ///
    /// let text = DecodeWith::new(|bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string()));
    /// let lines = ShardLog::with_format(&LogAddress::new("./data", "lines"), text);
    /// ```
    #[must_use]
    pub fn with_format<T: Data, F: Decode<T>>(address: &LogAddress, format: F) -> LogSource<T, F> {
        LogSource::new(address.clone(), format)
    }

    /// Writes JSON values to a stream, exactly once.
    ///
    /// ```
    /// use pelton_connectors::{LogAddress, ShardLog};
    ///
    /// let address = LogAddress::new("./data", "alerts");
    /// let alerts = ShardLog::json_sink::<(u64, String)>(&address)
    ///     .create_if_missing(4)
    ///     .partition_by(|(card, _)| card.to_be_bytes());
    /// ```
    #[must_use]
    pub fn json_sink<T: Data>(address: &LogAddress) -> LogSink<T, Json> {
        LogSink::new(address.clone(), Json)
    }

    /// Writes values in bincode to a stream, exactly once.
    ///
    /// ```
    /// use pelton_connectors::{LogAddress, ShardLog};
    /// let counts = ShardLog::bincode_sink::<(u64, u64)>(&LogAddress::new("./data", "counts"));
    /// ```
    #[must_use]
    pub fn bincode_sink<T: Data>(address: &LogAddress) -> LogSink<T, Bincode> {
        LogSink::new(address.clone(), Bincode)
    }

    /// Writes bytes to a stream, exactly once.
    ///
    /// ```
    /// use pelton_connectors::{LogAddress, ShardLog};
    /// let frames = ShardLog::raw_sink(&LogAddress::new("./data", "frames"));
    /// ```
    #[must_use]
    pub fn raw_sink(address: &LogAddress) -> LogSink<Vec<u8>, Raw> {
        LogSink::new(address.clone(), Raw)
    }

    /// Writes values in a format of your own to a stream, exactly once.
    #[must_use]
    pub fn sink_with_format<T: Data, F: Encode<T>>(address: &LogAddress, format: F) -> LogSink<T, F> {
        LogSink::new(address.clone(), format)
    }
}
