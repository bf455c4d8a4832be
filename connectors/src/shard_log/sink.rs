//! Writing and preparing transactions on the shard log.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::{Committer, Guarantee, Sink, SinkContext, SinkWriter};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_streams::{AppendBatch, Options, StreamWriter, TransactionalWriter};

use super::address::LogAddress;
use super::commit::LogCommitter;
use super::committable;
use super::keys::{KeyOf, Keys};
use crate::error::{Error, Result};
use crate::format::Encode;
use crate::names::escaped;

/// Bytes of an epoch kept in memory before they go to the disk. Up to here the worker's thread
/// never waits for the log.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Streams are created by one thread at a time: the log refuses a second one instead of waiting.
static CREATING: Mutex<()> = Mutex::new(());

/// Records into a stream of the shard log, exactly once; made by [`ShardLog`](super::ShardLog).
///
/// Each worker writes a transaction per epoch. Readers see it as a whole when the epoch's
/// checkpoint is complete. Writers of an earlier generation of the job are fenced off.
///
/// Without [`LogSink::partition_by`] records go to the stream's shards in turn. The event time of
/// a record is written with it.
pub struct LogSink<T, F> {
    address: LogAddress,
    format: F,
    key: Option<Arc<KeyOf<T>>>,
    create_shards: Option<u32>,
}

impl<T: Data, F: Encode<T>> LogSink<T, F> {
    pub(super) fn new(address: LogAddress, format: F) -> Self {
        Self { address, format, key: None, create_shards: None }
    }

    /// Sends all records of one partition key to one shard, where they keep their order.
    #[must_use]
    pub fn partition_by<K: AsRef<[u8]>>(mut self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(move |value, bytes| bytes.extend_from_slice(key(value).as_ref())));
        self
    }

    /// Creates the stream with `shards` shards, and the log's directory, if they are not there.
    /// Otherwise a missing stream is an error.
    #[must_use]
    pub fn create_if_missing(mut self, shards: u32) -> Self {
        self.create_shards = Some(shards);
        self
    }

    /// A connection, and a first transactional writer: it fences earlier generations.
    fn connect(&self, cx: &SinkContext, member: &str) -> Result<(Connection, TransactionalWriter)> {
        let options = if self.create_shards.is_some() { Options::create() } else { Options::default() };
        let log = pelton_streams::ShardLog::open(self.address.directory(), &options)?;
        let stream = self.address.stream();
        if let Some(shards) = self.create_shards {
            let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
            if !log.list_streams()?.iter().any(|known| known == stream) {
                log.create_stream(stream, shards)?;
            }
        }
        let writer = log.writer(stream)?;
        let (family, member, generation) = (family(cx), member.to_owned(), cx.generation);
        let connection = Connection { log, writer, family, member, generation };
        match connection.transactional() {
            Err(Error::Log(pelton_streams::Error::Fenced { current, .. })) => Err(Error::LaterGeneration {
                address: self.address.clone(),
                job: cx.job.clone(),
                operator: cx.operator.clone(),
                generation,
                current,
            }),
            first => Ok((connection, first?)),
        }
    }
}

/// The writer family of a sink: its job and name.
fn family(cx: &SinkContext) -> String {
    format!("{}/{}", escaped(&cx.job, ':'), escaped(&cx.operator, ':'))
}

impl<T: Data, F: Encode<T>> Sink for LogSink<T, F> {
    type Item = T;

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn writer(
        &self,
        cx: &SinkContext,
        worker: usize,
        _workers: usize,
    ) -> Result<Box<dyn SinkWriter<Item = T>>, OpError> {
        let (connection, first) = self.connect(cx, &format!("worker-{worker}"))?;
        let description = connection.log.describe_stream(self.address.stream()).map_err(Error::from)?;
        Ok(Box::new(Writer {
            keys: Keys::new(self.key.clone(), &description, worker),
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
        let (connection, writer) = self.connect(cx, "committer")?;
        Ok(Some(Box::new(LogCommitter { writer, _log: connection.log })))
    }

    fn describe(&self) -> String {
        format!("shard log {}", self.address)
    }
}

/// What transactional writers are opened from. The log is held as long as they are: opened a second
/// time, it would find its streams locked by itself.
struct Connection {
    log: pelton_streams::ShardLog,
    writer: StreamWriter,
    family: String,
    member: String,
    generation: u64,
}

impl Connection {
    fn transactional(&self) -> Result<TransactionalWriter> {
        Ok(self.writer.transactional(&self.family, &self.member, self.generation)?)
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
            let Transaction { mut writer, label } = match begun {
                Some(transaction) => transaction,
                None => begin(&connection, &idle, epoch.0)?,
            };
            writer.write(batch).map_err(Error::from)?;
            let prepared = writer.prepare(label).map_err(Error::from)?;
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
