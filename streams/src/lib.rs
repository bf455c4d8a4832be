//! The shard log: durable, sharded, ordered streams of records, as Amazon Kinesis defines them, in a
//! directory. It stands alone: it knows nothing of the engine that reads it.
//!
//! What is acknowledged is synced. Readers, in any process, see what is synced and nothing else. The
//! bytes on disk, and why a crash at any point loses and doubles nothing, are in `FORMAT.md`.
//!
//! In reading order:
//!
//! * [`types`]: shard ids, sequence numbers, start positions; [`HashKey`]: which shard a key belongs to
//! * `format`: every persisted layout, one file each
//! * [`storage`]: the disk, and a double of it that loses what was not synced
//! * [`ShardLog`]: the directory; creates, describes and deletes streams
//! * [`AppendBatch`], [`StreamWriter`], [`Ticket`]: appending; one thread writes and syncs for all
//! * [`Reader`], [`RecordBatch`]: reading without a lock and without copies
//! * [`TransactionalWriter`], [`Committable`]: records that become visible together, exactly once
//! * recovery, retention, [`VerifyReport`]; `failpoint`: steps at which tests have the log fail
//!
//! ```
//! use pelton_streams::{Options, ShardLog, StartPosition};
//!
//! # fn main() -> pelton_streams::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let log = ShardLog::open(dir, &Options::create())?;
//! log.create_stream("payments", 4)?;
//!
//! let writer = log.writer("payments")?;
//! let mut batch = writer.batch();
//! batch.push(b"card-7", br#"{"amount": 12}"#)?;
//! let appended = writer.append(batch)?; // returns once it is on disk
//! let (shard, sequence) = appended.records().next().unwrap();
//!
//! let mut reader = log.reader("payments", shard, StartPosition::Oldest)?;
//! let batch = reader.poll(1_000, 1 << 20)?;
//! let record = batch.iter().next().unwrap();
//! assert_eq!((record.sequence, record.partition_key), (sequence, &b"card-7"[..]));
//! # Ok(())
//! # }
//! ```

pub mod clock;
pub mod storage;
pub mod types;

mod batch;
mod describe;
mod error;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod log;
mod options;
mod reader;
mod records;
mod scan;
mod segment;
mod shared;
mod ticket;
mod txn;
mod verify;
mod writer;

pub use batch::{AppendBatch, Appended, Placement};
pub use describe::{ShardDescription, StreamDescription};
pub use error::{Error, Result};
pub use hash::HashKey;
pub use log::ShardLog;
pub use options::{Options, Retention};
pub use reader::{NextRecord, Reader, Subscription};
pub use records::{Record, RecordBatch, Records};
pub use ticket::Ticket;
pub use txn::{Committable, OpenTransaction, TransactionalWriter};
pub use types::{SequenceNumber, ShardId, StartPosition};
pub use verify::{Problem, VerifyReport};
pub use writer::{RecoveryReport, StreamWriter, TornTail};
