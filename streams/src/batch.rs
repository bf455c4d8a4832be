//! The append batch: records are routed and encoded by the caller's thread, straight into the bytes that
//! will be written, so that the writer's thread has only numbers to fill in. Each record is copied once.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::format::frame::{FRAME_HEADER, FrameHeader, FrameKind};
use crate::format::{ALIGN, record};
use crate::hash::{HashKey, Router};
use crate::types::{SequenceNumber, ShardId};

/// Buffers kept for reuse: as many as fill the append queue with frames of the default size.
const POOLED_BUFFERS: usize = 256;

/// Encoded frames are written and their buffers used again: fresh memory costs a page fault per 4 KiB.
#[derive(Debug, Default)]
pub(crate) struct BufferPool(Mutex<Vec<Vec<u8>>>);

impl BufferPool {
    fn take(&self, capacity: usize) -> Vec<u8> {
        let pooled = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        pooled.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED_BUFFERS {
            buffer.clear();
            pool.push(buffer);
        }
    }
}

/// A frame without its header's numbers: room for the header, then the payload, then padding.
#[derive(Debug)]
pub(crate) struct EncodedFrame {
    pub shard: ShardId,
    pub records: u32,
    pub bytes: Vec<u8>,
    pub payload_len: u32,
    pub payload_crc: u32,
}

impl EncodedFrame {
    /// Its header, without what its place gives it.
    pub fn header(&self, arrival_ms: u64) -> FrameHeader {
        FrameHeader {
            kind: FrameKind::Records,
            in_transaction: false,
            shard: self.shard,
            records: self.records,
            base: SequenceNumber::ZERO,
            arrival_ms,
            offset: 0,
            synced_to: 0,
            payload_len: self.payload_len,
            payload_crc: self.payload_crc,
            term: 0,
        }
    }
}

#[derive(Debug)]
struct OpenFrame {
    slot: usize,
    records: u32,
    bytes: Vec<u8>,
}

const NO_FRAME: u32 = u32::MAX;

/// Records for one append, in order. Made by `StreamWriter::batch` or `TransactionalWriter::batch`.
#[derive(Debug)]
pub struct AppendBatch {
    router: Arc<Router>,
    pool: Arc<BufferPool>,
    frame_bytes: usize,
    /// For each slot of the router, its open frame in `open`.
    by_slot: Vec<u32>,
    open: Vec<OpenFrame>,
    full: Vec<EncodedFrame>,
    /// The slot of each record, to tell each one's number afterwards.
    order: Vec<u32>,
    bytes: usize,
}

impl AppendBatch {
    pub(crate) fn new(router: Arc<Router>, pool: Arc<BufferPool>, frame_bytes: usize) -> Self {
        let by_slot = vec![NO_FRAME; router.slots()];
        Self {
            router,
            pool,
            frame_bytes,
            by_slot,
            open: Vec::new(),
            full: Vec::new(),
            order: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a record; its shard is that of the MD5 of the partition key.
    ///
    /// # Errors
    /// If the key has more than 1,024 bytes or the data more than 10 MiB.
    #[inline]
    pub fn push(&mut self, partition_key: &[u8], data: &[u8]) -> Result<()> {
        let slot = self.router.slot_of(partition_key);
        self.push_to(slot, partition_key, data, None, None)
    }

    /// Adds a record with the time of its event, in ms since the Unix epoch.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    #[inline]
    pub fn push_at(&mut self, partition_key: &[u8], data: &[u8], event_time_ms: i64) -> Result<()> {
        let slot = self.router.slot_of(partition_key);
        self.push_to(slot, partition_key, data, Some(event_time_ms), None)
    }

    /// Adds a record to the shard of an explicit hash key, whatever its partition key hashes to.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_hashed(
        &mut self,
        hash_key: HashKey,
        partition_key: &[u8],
        data: &[u8],
        event_time_ms: Option<i64>,
    ) -> Result<()> {
        let slot = self.router.slot(hash_key);
        self.push_to(slot, partition_key, data, event_time_ms, Some(hash_key))
    }

    #[inline]
    fn push_to(
        &mut self,
        slot: usize,
        key: &[u8],
        data: &[u8],
        event_time_ms: Option<i64>,
        hash_key: Option<HashKey>,
    ) -> Result<()> {
        record::check(key, data)?;
        let frame = match self.by_slot[slot] {
            NO_FRAME => self.start_frame(slot),
            index => &mut self.open[index as usize],
        };
        let before = frame.bytes.len();
        record::encode(&mut frame.bytes, key, data, event_time_ms, hash_key);
        frame.records += 1;
        let after = frame.bytes.len();
        self.bytes += after - before;
        self.order.push(slot as u32);
        if after - FRAME_HEADER >= self.frame_bytes {
            self.close_frame(slot);
        }
        Ok(())
    }

    #[cold]
    fn start_frame(&mut self, slot: usize) -> &mut OpenFrame {
        let mut bytes = self.pool.take(FRAME_HEADER);
        bytes.resize(FRAME_HEADER, 0);
        let index = self.open.len();
        self.by_slot[slot] = index as u32;
        self.open.push(OpenFrame { slot, records: 0, bytes });
        &mut self.open[index]
    }

    #[cold]
    fn close_frame(&mut self, slot: usize) {
        let index = self.by_slot[slot] as usize;
        let frame = &mut self.open[index];
        let mut next = self.pool.take(self.frame_bytes + self.frame_bytes / 8);
        next.resize(FRAME_HEADER, 0);
        let bytes = std::mem::replace(&mut frame.bytes, next);
        let records = std::mem::take(&mut frame.records);
        self.full.push(encoded(self.router.shard(slot), records, bytes));
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Bytes that the records will take in the log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frames, each shard's in order, and for each record its shard.
    pub(crate) fn finish(self) -> (Vec<EncodedFrame>, RecordOrder) {
        let Self { router, pool, mut full, open, order, .. } = self;
        for frame in open {
            if frame.records == 0 {
                pool.give(frame.bytes);
            } else {
                full.push(encoded(router.shard(frame.slot), frame.records, frame.bytes));
            }
        }
        (full, RecordOrder { router, slots: order })
    }
}

pub(crate) fn encoded(shard: ShardId, records: u32, mut bytes: Vec<u8>) -> EncodedFrame {
    let payload = &bytes[FRAME_HEADER..];
    let payload_crc = crc32c::crc32c(payload);
    // A payload is at most a frame's limit and one record.
    let payload_len = payload.len() as u32;
    bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
    EncodedFrame { shard, records, bytes, payload_len, payload_crc }
}

/// Which shard each record of a batch went to.
#[derive(Debug)]
pub(crate) struct RecordOrder {
    pub router: Arc<Router>,
    /// For each record its shard's slot in the router.
    pub slots: Vec<u32>,
}

/// Where the records of one shard went: numbers from `first` on, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The shard.
    pub shard: ShardId,
    /// The first record's number.
    pub first: SequenceNumber,
    /// How many records.
    pub records: u64,
    /// Their bytes in the log: keys, data and lengths.
    pub bytes: u64,
}

/// A durable append: where its records are.
#[derive(Debug)]
pub struct Appended {
    pub(crate) placements: Vec<Placement>,
    pub(crate) order: RecordOrder,
    pub(crate) arrival_ms: u64,
}

impl Appended {
    /// One entry for each shard that got records.
    #[must_use]
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// When the records arrived, in ms since the Unix epoch.
    #[must_use]
    pub fn arrival_ms(&self) -> u64 {
        self.arrival_ms
    }

    /// Shard and number of each record, in the order in which they were pushed.
    pub fn records(&self) -> impl Iterator<Item = (ShardId, SequenceNumber)> + '_ {
        self.places().map(|(placement, number)| (self.placements[placement].shard, number))
    }

    /// For each record, in the order in which they were pushed, which of [`placements`](Self::placements) it is
    /// in, and its number.
    pub fn places(&self) -> impl Iterator<Item = (usize, SequenceNumber)> + '_ {
        let RecordOrder { router, slots } = &self.order;
        let mut of_slot = vec![usize::MAX; router.slots()];
        for (index, placement) in self.placements.iter().enumerate() {
            let slot =
                router.slot_of_shard(placement.shard).expect("the order is of the shards that got records");
            of_slot[slot] = index;
        }
        let mut next: Vec<u64> = self.placements.iter().map(|placement| placement.first.0).collect();
        slots.iter().map(move |&slot| {
            let index = of_slot[slot as usize];
            next[index] += 1;
            (index, SequenceNumber(next[index] - 1))
        })
    }
}
