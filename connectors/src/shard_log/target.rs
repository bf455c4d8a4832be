//! The stream that a sink writes to: opening it, and creating it where that is asked for.

use std::sync::{Mutex, PoisonError};

use pelton_dataflow::sink::SinkContext;
use pelton_streams::{Committable, Options, ShardLog, StreamWriter, TransactionalWriter};

use super::address::LogAddress;
use crate::error::{Error, Result};
use crate::names::escaped;

/// Streams are created by one thread at a time: the log refuses a second one instead of waiting.
static CREATING: Mutex<()> = Mutex::new(());

/// The writer family of a sink: its job and name.
fn family(cx: &SinkContext) -> String {
    format!("{}/{}", escaped(&cx.job, ':'), escaped(&cx.operator, ':'))
}

/// Where a sink writes.
#[derive(Clone)]
pub(super) struct Target {
    pub address: LogAddress,
    /// With how many shards the stream is created if it is missing; else that is an error.
    pub create_shards: Option<u32>,
    /// The log, if it was given open; else the address's directory is opened.
    pub log: Option<ShardLog>,
}

/// An open stream. The log is held as long as its writers are: opened a second time, it would find
/// its streams locked by itself.
pub(super) type Open = (ShardLog, StreamWriter);

impl Target {
    fn log(&self, options: &Options) -> pelton_streams::Result<ShardLog> {
        match &self.log {
            Some(log) => Ok(log.clone()),
            None => ShardLog::open(self.address.directory(), options),
        }
    }

    /// Opens the stream, which this process then has the lock of; `None` if it is yet to be created.
    pub fn open(&self) -> Result<Option<Open>> {
        use pelton_streams::Error::{DirectoryMissing, NotALog, UnknownStream};
        let open = || {
            let log = self.log(&Options::default())?;
            let writer = log.writer(self.address.stream())?;
            Ok((log, writer))
        };
        match open() {
            Ok(open) => Ok(Some(open)),
            Err(error @ (DirectoryMissing { .. } | NotALog { .. } | UnknownStream { .. })) => {
                if self.create_shards.is_some() { Ok(None) } else { Err(Error::NoStream(error)) }
            }
            Err(error) => Err(Error::Log(error)),
        }
    }

    /// Opens the stream, and creates it and its log before if that is asked for.
    pub fn open_or_create(&self) -> Result<Open> {
        let stream = self.address.stream();
        let Some(shards) = self.create_shards else {
            let log = self.log(&Options::default())?;
            let writer = log.writer(stream)?;
            return Ok((log, writer));
        };
        let log = self.log(&Options::create())?;
        let creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
        if !log.list_streams()?.iter().any(|known| known == stream) {
            log.create_stream(stream, shards)?;
        }
        drop(creating);
        let writer = log.writer(stream)?;
        Ok((log, writer))
    }

    /// Refuses a `generation` that has written before, or that a later one has: it is not of this run.
    pub fn check(&self, writer: &StreamWriter, cx: &SinkContext, generation: u64) -> Result<()> {
        let current = writer.newest_generation(&family(cx));
        if current >= generation {
            return Err(self.later_generation(cx, generation, current));
        }
        Ok(())
    }

    /// Refuses committables of a stream that is not there any more, or that has decided otherwise about
    /// them: what they hold would be lost, and nobody told. `writer` is of the stream, if there is one.
    pub fn check_listed(
        &self,
        writer: Option<&StreamWriter>,
        cx: &SinkContext,
        listed: &[Committable],
    ) -> Result<()> {
        let problem = |listed: &Committable| match writer {
            None => Some("it is not there any more".to_owned()),
            Some(writer) => writer.check_commit(listed).err().map(|error| error.to_string()),
        };
        let problems: Vec<String> = listed.iter().filter_map(problem).collect();
        let transactions = problems.len();
        let Some(reason) = problems.into_iter().next() else { return Ok(()) };
        let (address, operator) = (self.address.clone(), cx.operator.clone());
        Err(Error::OutputReplaced { address, operator, transactions, reason })
    }

    /// The first writer of `generation`, which fences all others.
    pub fn take_over(
        &self,
        writer: &StreamWriter,
        cx: &SinkContext,
        generation: u64,
    ) -> Result<TransactionalWriter> {
        self.check(writer, cx, generation)?;
        if writer.newest_generation(&family(cx)) == 0 {
            self.tell_of_records_of_others(cx)?;
        }
        self.transactional(writer, cx, "committer", generation)
    }

    /// A job that is started anew under another name writes everything a second time: that is allowed,
    /// and may not be what is wanted.
    fn tell_of_records_of_others(&self, cx: &SinkContext) -> Result<()> {
        let log = self.log(&Options::default())?;
        let shards = log.describe_stream(self.address.stream())?.shards;
        let records: u64 = shards.iter().map(|shard| shard.records).sum();
        if records > 0 {
            tracing::warn!(
                stream = %self.address,
                records,
                "the stream holds records that job `{}` has not written, and gets its output after them: a job that was started anew under another name writes everything again",
                cx.job
            );
        }
        Ok(())
    }

    /// A writer of transactions, which fences those of earlier generations.
    pub fn transactional(
        &self,
        writer: &StreamWriter,
        cx: &SinkContext,
        member: &str,
        generation: u64,
    ) -> Result<TransactionalWriter> {
        match writer.transactional(&family(cx), member, generation) {
            Err(pelton_streams::Error::Fenced { current, .. }) => {
                Err(self.later_generation(cx, generation, current))
            }
            writer => Ok(writer?),
        }
    }

    fn later_generation(&self, cx: &SinkContext, generation: u64, current: u64) -> Error {
        let (job, operator) = (cx.job.clone(), cx.operator.clone());
        Error::LaterGeneration { address: self.address.clone(), job, operator, generation, current }
    }
}
