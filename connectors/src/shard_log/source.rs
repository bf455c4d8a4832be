//! The shards of a stream as splits.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pelton_dataflow::error::{InputGone, OpError};
use pelton_dataflow::record::Data;
use pelton_dataflow::source::{
    Enumerator, ReaderContext, Source, SplitId, SplitInfo, SplitReader, SplitState,
};
use pelton_streams::{Options, ShardId, StartPosition};

use super::address::LogAddress;
use super::reader::{Place, Reader, Shard};
use crate::error::{Error, Result};
use crate::format::Decode;

/// Records of a stream in the shard log; made by [`ShardLog`](super::ShardLog).
///
/// Each shard is a split, named as in Kinesis; a position is a sequence number. Without
/// [`LogSource::until_end`] the source never ends: it is told by the log when there is more.
/// A record's event time, where the watermark strategy does not take it from the value, is the one
/// that its producer gave it, else its arrival.
pub struct LogSource<T, F> {
    address: LogAddress,
    format: F,
    start: StartPosition,
    is_bounded: bool,
    /// Kept open, so that readers hear of writers in this process directly.
    log: Mutex<Option<pelton_streams::ShardLog>>,
    item: PhantomData<fn() -> T>,
}

impl<T: Data, F: Decode<T>> LogSource<T, F> {
    pub(super) fn new(address: LogAddress, format: F) -> Self {
        Self {
            address,
            format,
            start: StartPosition::Oldest,
            is_bounded: false,
            log: Mutex::new(None),
            item: PhantomData,
        }
    }

    /// Reads what is in the stream when the job first starts, and ends.
    #[must_use]
    pub fn until_end(mut self) -> Self {
        self.is_bounded = true;
        self
    }

    /// Reads from `log`, which is open already, instead of opening the directory of the address: for
    /// instance from one on a storage of the caller's choice.
    #[must_use]
    pub fn in_log(self, log: &pelton_streams::ShardLog) -> Self {
        Self { log: Mutex::new(Some(log.clone())), ..self }
    }

    /// Begins elsewhere than at the oldest record, if there is no checkpoint to go on from.
    ///
    /// ```
    /// use pelton_connectors::{LogAddress, ShardLog};
    /// use pelton_streams::StartPosition;
    ///
    /// let address = LogAddress::new("./data", "payments");
    /// let new_ones = ShardLog::raw(&address).starting_at(StartPosition::Latest);
    /// ```
    #[must_use]
    pub fn starting_at(mut self, start: StartPosition) -> Self {
        self.start = start;
        self
    }

    fn log(&self) -> Result<pelton_streams::ShardLog> {
        let mut open = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &*open {
            return Ok(log.clone());
        }
        let log = pelton_streams::ShardLog::open(self.address.directory(), &Options::default())?;
        Ok(open.insert(log).clone())
    }

    fn shard_of(&self, split: &SplitId) -> Result<ShardId> {
        let number = split.0.strip_prefix("shardId-").and_then(|number| number.parse().ok());
        number.map(ShardId).ok_or_else(|| Error::UnknownSplit {
            split: split.clone(),
            source_is: self.describe(),
            reason: "it is no shard; the checkpoint belongs to another source".to_owned(),
        })
    }
}

impl<T: Data, F: Decode<T>> Source for LogSource<T, F> {
    type Item = T;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        let (log, stream) = (self.log()?, self.address.stream().to_owned());
        let stream_id = log.describe_stream(&stream).map_err(Error::from)?.stream_id;
        Ok(Box::new(Shards { log, stream, stream_id, is_bounded: self.is_bounded }))
    }

    fn open(
        &self,
        split: &SplitInfo,
        position: Option<&[u8]>,
        cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = T>>, OpError> {
        let shard = Shard {
            log: self.log()?,
            stream: self.address.stream().to_owned(),
            id: self.shard_of(&split.id)?,
        };
        let waker = (!self.is_bounded).then(|| cx.waker.clone());
        let reader = Reader::open(&shard, &split.id, position, self.start, waker, self.format.clone())?;
        Ok(Box::new(reader))
    }

    fn counted_in(&self) -> &'static str {
        "sequence number"
    }

    fn describe(&self) -> String {
        let until = if self.is_bounded { ", until its end" } else { "" };
        format!("shard log {}, {}{until}", self.address, self.format.name())
    }

    fn locations(&self) -> Vec<PathBuf> {
        vec![self.address.location()]
    }
}

/// Finds the shards.
struct Shards {
    log: pelton_streams::ShardLog,
    stream: String,
    /// The stream that was there when the job began.
    stream_id: u64,
    is_bounded: bool,
}

impl Shards {
    fn list(&self) -> Result<Vec<SplitInfo>, OpError> {
        let gone = |anew| {
            let error = Error::InputDeleted { address: LogAddress::new(self.log.dir(), &self.stream), anew };
            OpError::from(InputGone(error.to_string()))
        };
        let description = match self.log.describe_stream(&self.stream) {
            Err(pelton_streams::Error::UnknownStream { .. }) => return Err(gone(false)),
            description => description.map_err(Error::from)?,
        };
        if description.stream_id != self.stream_id {
            return Err(gone(true));
        }
        let split = |shard: ShardId| SplitId(shard.to_string());
        let info = |shard: pelton_streams::ShardDescription| SplitInfo {
            id: split(shard.shard),
            parents: shard.parent.into_iter().chain(shard.adjacent_parent).map(split).collect(),
        };
        Ok(description.shards.into_iter().map(info).collect())
    }
}

impl Enumerator for Shards {
    fn discover(&mut self) -> Result<Vec<SplitInfo>, OpError> {
        self.list()
    }

    fn is_complete(&self) -> bool {
        self.is_bounded
    }

    fn check(&self, splits: &[SplitState]) -> Result<(), OpError> {
        for split in splits {
            if let Some(position) = &split.position {
                let place = Place::decode(position, &split.info.id)?;
                place.check(&self.log, &self.stream, self.stream_id)?;
            }
        }
        Ok(())
    }
}
