//! Writing and preparing transactions on the shard log.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pelton_dataflow::error::OpError;
use pelton_dataflow::failpoint;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::{Committer, Guarantee, Sink, SinkContext, SinkWriter, WriterContext};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_streams::{AppendBatch, StreamWriter, TransactionalWriter};

use super::address::LogAddress;
use super::commit::LogCommitter;
use super::committable;
use super::keys::{KeyOf, Keys};
use super::target::Target;
use crate::error::{Error, Result};
use crate::format::Encode;

/// Bytes of an epoch kept in memory before they go to the disk. Up to here the worker's thread
/// never waits for the log.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Records into a stream of the shard log, exactly once; made by [`ShardLog`](super::ShardLog).
///
/// Each worker writes a transaction per epoch. Readers see it as a whole when the epoch's
/// checkpoint is complete. Writers of an earlier generation of the job are fenced off.
///
/// Without [`LogSink::partition_by`] records go to the stream's shards in turn. The event time of
/// a record is written with it.
pub struct LogSink<T, F> {
    target: Target,
    format: F,
    key: Option<Arc<KeyOf<T>>>,
}

impl<T: Data, F: Encode<T>> LogSink<T, F> {
    pub(super) fn new(address: LogAddress, format: F) -> Self {
        Self { target: Target { address, create_shards: None, log: None }, format, key: None }
    }

    /// Sends all records of one partition key to one shard, where they keep their order.
    #[must_use]
    pub fn partition_by<K: AsRef<[u8]>>(mut self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(move |value, bytes| bytes.extend_from_slice(key(value).as_ref())));
        self
    }

    /// Writes to `log`, which is open already, instead of opening the directory of the address: for
    /// instance to one on a storage of the caller's choice.
    #[must_use]
    pub fn in_log(mut self, log: &pelton_streams::ShardLog) -> Self {
        self.target.log = Some(log.clone());
        self
    }

    /// Creates the stream with `shards` shards, and the log's directory, if they are not there.
    /// Otherwise a missing stream is an error.
    #[must_use]
    pub fn create_if_missing(mut self, shards: u32) -> Self {
        self.target.create_shards = Some(shards);
        self
    }
}

impl<T: Data, F: Encode<T>> Sink for LogSink<T, F> {
    type Item = T;

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn writer(&self, cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = T>>, OpError> {
        let (log, writer) = self.target.open_or_create()?;
        let connection = Connection { target: self.target.clone(), log, writer, cx: cx.clone() };
        let first = connection.transactional()?;
        let stream = self.target.address.stream();
        let description = connection.log.describe_stream(stream).map_err(Error::from)?;
        Ok(Box::new(Writer {
            keys: Keys::new(self.key.clone(), &description, cx.worker),
            format: self.format.clone(),
            batch: first.batch(),
            begun: None,
            idle: Arc::new(Mutex::new(vec![first])),
            connection: Arc::new(connection),
            next_label: 0,
            bytes: Vec::new(),
            item: PhantomData,
        }))
    }

    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        Ok(Some(Box::new(LogCommitter::new(self.target.clone(), cx.clone())?)))
    }

    fn describe(&self) -> String {
        format!("shard log {}", self.target.address)
    }

    fn location(&self) -> Option<PathBuf> {
        Some(self.target.address.location())
    }
}

/// What transactional writers are opened from.
struct Connection {
    target: Target,
    log: pelton_streams::ShardLog,
    writer: StreamWriter,
    cx: WriterContext,
}

impl Connection {
    fn transactional(&self) -> Result<TransactionalWriter> {
        let WriterContext { sink, generation, worker, .. } = &self.cx;
        self.target.transactional(&self.writer, sink, &format!("worker-{worker}"), *generation)
    }
}

/// Handles on the log that have no transaction open. While one is being prepared, off the worker's
/// thread, the next epoch is written with another.
type Idle = Arc<Mutex<Vec<TransactionalWriter>>>;

struct Writer<T, F> {
    connection: Arc<Connection>,
    idle: Idle,
    keys: Keys<T>,
    format: F,
    /// Records that are not in the transaction yet.
    batch: AppendBatch,
    /// The transaction at hand, if it has been begun.
    begun: Option<Transaction>,
    /// What the log shows as epoch of the next transaction: the true one as soon as it is known.
    next_label: u64,
    /// The record at hand.
    bytes: Vec<u8>,
    item: PhantomData<fn(T)>,
}

/// An open transaction and the number that it was begun with. A transaction is begun before its
/// writer knows the epoch, if it is the first one and outgrows the buffer.
struct Transaction {
    writer: TransactionalWriter,
    label: u64,
}

impl<T: Data, F: Encode<T>> Writer<T, F> {
    /// Moves what is in memory to the disk.
    fn spill(&mut self) -> Result<()> {
        let transaction = match &mut self.begun {
            Some(transaction) => transaction,
            None => self.begun.insert(begin(&self.connection, &self.idle, self.next_label)?),
        };
        let next = transaction.writer.batch();
        transaction.writer.write(std::mem::replace(&mut self.batch, next))?;
        Ok(())
    }
}

impl<T: Data, F: Encode<T>> SinkWriter for Writer<T, F> {
    type Item = T;

    fn write(&mut self, records: Vec<Record<T>>) -> Result<(), OpError> {
        for Record { time, value } in &records {
            self.bytes.clear();
            self.format.encode(value, &mut self.bytes)?;
            let time_ms = (*time != EventTime::MIN && *time != EventTime::END).then_some(time.0);
            self.keys.push(value, &self.bytes, time_ms, &mut self.batch)?;
        }
        if self.batch.bytes() >= BUFFER_BYTES {
            self.spill()?;
        }
        Ok(())
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Deferred>, OpError> {
        self.next_label = epoch.next().0;
        if self.batch.is_empty() && self.begun.is_none() {
            return Ok(None);
        }
        let next = self.connection.writer.batch();
        let batch = std::mem::replace(&mut self.batch, next);
        let begun = self.begun.take();
        let (connection, idle) = (self.connection.clone(), self.idle.clone());
        Ok(Some(Box::new(move || {
            failpoint::at("sink::prepare")?;
            let Transaction { mut writer, label } = match begun {
                Some(transaction) => transaction,
                None => begin(&connection, &idle, epoch.0)?,
            };
            writer.write(batch).map_err(Error::from)?;
            let prepared = writer.prepare(label).map_err(Error::from)?;
            failpoint::at("sink::prepared")?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(writer);
            Ok(Some(committable::encode(prepared)))
        })))
    }
}

fn begin(connection: &Connection, idle: &Idle, label: u64) -> Result<Transaction> {
    let known = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut writer = match known {
        Some(writer) => writer,
        None => connection.transactional()?,
    };
    writer.begin(label)?;
    Ok(Transaction { writer, label })
}
