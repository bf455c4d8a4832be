//! One shard as a split.

use std::marker::PhantomData;

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::Waker;
use pelton_dataflow::record::Data;
use pelton_dataflow::source::{Fetched, Polled, Rejected, SplitId, SplitReader};
use pelton_dataflow::time::EventTime;
use pelton_streams::{SequenceNumber, ShardId, StartPosition, Subscription};

use super::address::LogAddress;
use crate::error::{Error, Result};
use crate::format::Decode;
use crate::position::{self, Kind};

/// Bytes of the log that one poll takes: with large records a batch has fewer of them.
const POLL_BYTES: usize = 1024 * 1024;

/// Which shard.
pub(super) struct Shard {
    pub log: pelton_streams::ShardLog,
    pub stream: String,
    pub id: ShardId,
}

impl Shard {
    /// The number of its newest record.
    fn last(&self) -> Result<SequenceNumber> {
        let shards = self.log.describe_stream(&self.stream)?.shards;
        let found = shards.iter().find(|shard| shard.shard == self.id);
        Ok(found.map_or(SequenceNumber::ZERO, |shard| shard.last))
    }
}

/// The end of a shard that is read without one.
const ENDLESS: u64 = u64::MAX;

/// How far a shard was read.
pub(super) struct Place {
    /// The number that the next record has at least.
    next: u64,
    /// The last number that is read.
    end: u64,
    /// Of which stream: one that is deleted and created anew gives its numbers again.
    stream_id: u64,
}

impl Place {
    pub fn decode(bytes: &[u8], split: &SplitId) -> Result<Self> {
        let [next, end, stream_id] = position::decode(Kind::Shard, bytes, split)?;
        Ok(Self { next, end, stream_id })
    }

    fn encode(&self) -> Vec<u8> {
        position::encode(Kind::Shard, [self.next, self.end, self.stream_id])
    }

    /// Refuses to go on in another stream than the one with the id `stream_id`.
    pub fn check(&self, log: &pelton_streams::ShardLog, stream: &str, stream_id: u64) -> Result<()> {
        if self.stream_id == stream_id {
            return Ok(());
        }
        Err(Error::InputReplaced { address: LogAddress::new(log.dir(), stream), next: self.next })
    }
}

pub(super) struct Reader<T, F> {
    reader: pelton_streams::Reader,
    /// The number that the next record has at least.
    next: u64,
    /// The last number that is read. It is fixed when the split is first opened and kept with its
    /// position: else a job that restarts would chase the end.
    end: u64,
    format: F,
    /// Wakes the worker when the stream has become longer.
    subscription: Option<Subscription>,
    item: PhantomData<fn() -> T>,
}

impl<T: Data, F: Decode<T>> Reader<T, F> {
    /// Opens `shard` to be read until its end, or, with a waker, for ever.
    pub fn open(
        shard: &Shard,
        split: &SplitId,
        position: Option<&[u8]>,
        start: StartPosition,
        waker: Option<Waker>,
        format: F,
    ) -> Result<Self> {
        let place = position.map(|bytes| Place::decode(bytes, split)).transpose()?;
        let start = place.as_ref().map_or(start, |place| StartPosition::At(SequenceNumber(place.next)));
        let known_end = place.as_ref().map_or(ENDLESS, |place| place.end);
        let reader = shard.log.reader(&shard.stream, shard.id, start)?;
        if let Some(place) = place {
            place.check(&shard.log, &shard.stream, reader.stream_id())?;
        }
        let end = match waker {
            Some(_) => ENDLESS,
            None if known_end != ENDLESS => known_end,
            None => shard.last()?.0,
        };
        let subscription = waker.map(|waker| reader.subscribe(move || waker.wake())).transpose()?;
        Ok(Self { next: reader.position().0, reader, end, format, subscription, item: PhantomData })
    }
}

impl<T: Data, F: Decode<T>> SplitReader for Reader<T, F> {
    type Item = T;

    fn poll(&mut self, max_records: usize, out: &mut Fetched<T>) -> Result<Polled, OpError> {
        if self.next > self.end {
            return Ok(Polled::Finished);
        }
        let batch = self.reader.poll(max_records, POLL_BYTES)?;
        out.values.reserve(batch.len());
        out.times.reserve(batch.len());
        let mut span: Option<(u64, u64)> = None;
        for record in &batch {
            let sequence = record.sequence.0;
            if sequence > self.end {
                break;
            }
            span = Some((span.map_or(sequence, |(first, _)| first), sequence));
            // Arrivals never go back: the first record is the oldest.
            out.created_us.get_or_insert_with(|| micros(record.arrival_ms));
            match self.format.decode(record.data) {
                Ok(value) => {
                    out.values.push(value);
                    let arrival_ms = || i64::try_from(record.arrival_ms).unwrap_or(i64::MAX);
                    out.times.push(EventTime(record.event_time_ms.unwrap_or_else(arrival_ms)));
                }
                Err(reason) => {
                    let raw = &record.data[..record.data.len().min(Rejected::MAX_RAW)];
                    out.rejected.push((sequence, reason, raw.to_vec()));
                }
            }
        }
        if batch.is_empty() {
            return Ok(self.nothing());
        }
        out.span = span;
        self.next = batch.next_sequence().0;
        Ok(Polled::Ready)
    }

    fn position(&self) -> Vec<u8> {
        let place = Place { next: self.next, end: self.end, stream_id: self.reader.stream_id() };
        place.encode()
    }
}

impl<T, F> Reader<T, F> {
    fn nothing(&mut self) -> Polled {
        match self.subscription {
            // A split or merge has closed the shard, and all of it was read: its children go on.
            Some(_) if self.reader.is_ended() => Polled::Finished,
            // Other systems' ways of watching a directory are not used by the log.
            Some(_) if cfg!(target_os = "linux") => Polled::Pending,
            Some(_) => Polled::PendingUnannounced,
            // The newest record was there at the start and is not there now: retention has had it.
            None => {
                self.next = self.end.saturating_add(1);
                Polled::Finished
            }
        }
    }
}

fn micros(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000)
}
