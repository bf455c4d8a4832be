//! Reading one shard in order, from any process, as far as its writer has made it durable. The reader
//! holds a position and a block of frames that it has read and checked; it takes no lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::format::end::End;
use crate::format::frame::FrameHeader;
use crate::format::record;
use crate::records::{RecordBatch, Run};
use crate::segment::{FrameEntry, Segment};
use crate::shared::StreamShared;
use crate::types::{SequenceNumber, ShardId, StartPosition};

/// What is read from disk at one go, unless a single frame is larger: enough that the system call does
/// not count, little enough to stay in the processor's cache.
const BLOCK_BYTES: u64 = 1 << 20;
/// Other shards' bytes that are read along rather than starting a new read.
const GAP_BYTES: u64 = 64 << 10;
/// Retries when retention removes a segment between looking and opening.
const RETRIES: usize = 8;

/// What a reader would give next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextRecord {
    /// When it arrived, in ms since the Unix epoch.
    pub arrival_ms: u64,
    /// Its bytes in the log, key, data and lengths.
    pub bytes: usize,
}

/// Reads one shard of a stream, in order.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<StreamShared>,
    shard: ShardId,
    /// The next record has at least this number.
    next: u64,
    /// It began at the oldest record and has not given one yet: what is trimmed meanwhile is not missed.
    from_oldest: bool,
    segment: Option<Arc<Segment>>,
    block: Bytes,
    /// Frames of the block whose records were not all given.
    ready: VecDeque<Run>,
    plan: Vec<FrameEntry>,
    /// The newest publication when the reader last came to its end.
    seen: u64,
    last_arrival_ms: u64,
    is_ended: bool,
}

impl Reader {
    pub(crate) fn open(shared: Arc<StreamShared>, shard: ShardId, start: StartPosition) -> Result<Self> {
        let shards = shared.meta().shards.len();
        if shard.0 as usize >= shards {
            return Err(Error::UnknownShard { stream: shared.name.to_string(), shard, shards });
        }
        let mut reader = Self {
            shared,
            shard,
            next: 0,
            from_oldest: false,
            segment: None,
            block: Bytes::new(),
            ready: VecDeque::new(),
            plan: Vec::new(),
            seen: 0,
            last_arrival_ms: 0,
            is_ended: false,
        };
        reader.seek(start)?;
        Ok(reader)
    }

    /// The random id of the stream that is read: one made again under the same name has another.
    #[must_use]
    pub fn stream_id(&self) -> u64 {
        self.shared.meta().stream_id
    }

    /// The shard that is read.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Where the next record is looked for: `StartPosition::At` this number goes on from here.
    #[must_use]
    pub fn position(&self) -> SequenceNumber {
        SequenceNumber(self.next)
    }

    /// Goes to another position. A position beyond the end is fine: the reader waits for it. One that
    /// retention has removed is found at the next `poll`.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub fn seek(&mut self, start: StartPosition) -> Result<()> {
        self.segment = None;
        self.ready.clear();
        self.seen = 0;
        self.is_ended = false;
        self.from_oldest = start == StartPosition::Oldest;
        self.next = match start {
            StartPosition::At(sequence) => sequence.0,
            StartPosition::After(sequence) => sequence.next().0,
            StartPosition::Oldest => self.oldest()?,
            StartPosition::Latest => self.latest()?,
            StartPosition::AtTime(time_ms) => self.at_time(time_ms)?,
        };
        self.next = self.next.max(1);
        Ok(())
    }

    /// The next records that are durable: at most `max_records`, and at most `max_bytes` of the log but
    /// at least one record. Empty if there is none yet.
    ///
    /// # Errors
    /// [`Error::Trimmed`] if retention has removed the next record; the reader stays where it is and can
    /// [`seek`](Self::seek). [`Error::Corrupt`] with file and offset if a frame is damaged; nothing is
    /// skipped.
    pub fn poll(&mut self, max_records: usize, max_bytes: usize) -> Result<RecordBatch> {
        if max_records > 0 {
            self.make_ready()?;
        }
        let mut batch = RecordBatch { block: self.block.clone(), ..RecordBatch::default() };
        while let Some(run) = self.ready.front_mut() {
            let taken = take(
                &self.block,
                run,
                max_records - batch.records,
                max_bytes,
                &mut batch.bytes,
                batch.records == 0,
            );
            if taken.records == 0 {
                break;
            }
            batch.records += taken.records as usize;
            self.next = taken.first + u64::from(taken.records);
            self.last_arrival_ms = taken.arrival_ms;
            batch.runs.push(taken);
            if run.records > 0 {
                break;
            }
            self.ready.pop_front();
        }
        if batch.is_empty() {
            batch.block = Bytes::new();
        } else {
            self.from_oldest = false;
        }
        batch.next = SequenceNumber(self.next);
        Ok(batch)
    }

    /// What the next `poll` begins with, if there is anything that is durable.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn peek(&mut self) -> Result<Option<NextRecord>> {
        self.make_ready()?;
        Ok(self.ready.front().map(|run| {
            let raw =
                record::decode(&self.block[run.start..run.end]).expect("the reader has walked this run");
            NextRecord { arrival_ms: run.arrival_ms, bytes: raw.len }
        }))
    }

    /// Another reader of the same stream, which need not read its metadata again.
    ///
    /// # Errors
    /// As `ShardLog::reader`.
    pub fn another(&self, shard: ShardId, start: StartPosition) -> Result<Self> {
        Self::open(self.shared.clone(), shard, start)
    }

    /// Lets go of what was read, unless records of it are still to be given; gives the bytes that the
    /// reader holds in memory. For readers that are kept for later.
    pub fn settle(&mut self) -> usize {
        if self.ready.is_empty() {
            self.block = Bytes::new();
            self.plan = Vec::new();
        }
        self.block.len()
    }

    /// Whether the shard is closed and everything in it was given: its children go on from here. Known
    /// after a `poll` or `peek` that gave nothing.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Waits until the stream has more than at the last empty `poll`, or `timeout` has passed. `true`
    /// says that polling is worth it; the news may be another shard's.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        if !self.ready.is_empty() {
            return Ok(true);
        }
        self.shared.wait(self.seen, timeout)
    }

    /// Calls `wake` after each time that the stream has become longer, from the thread of the writer or,
    /// when that is in another process, of a watcher: it must be quick and must not call the log.
    ///
    /// Poll once after subscribing: what became durable before is not told.
    ///
    /// # Errors
    /// If the stream cannot be watched.
    pub fn subscribe(&self, wake: impl Fn() + Send + Sync + 'static) -> Result<Subscription> {
        let id = self.shared.subscribe(Arc::new(wake))?;
        Ok(Subscription { shared: self.shared.clone(), id })
    }

    /// How far the last record given is behind the stream's newest one, by arrival, in ms. 0 at the end.
    #[must_use]
    pub fn behind_ms(&self) -> u64 {
        let end = self.shared.end();
        if self.ready.is_empty() && self.seen == end.publication {
            return 0;
        }
        end.last_arrival_ms.saturating_sub(self.last_arrival_ms)
    }

    /// Reads on if nothing is at hand, and learns whether the shard has ended.
    fn make_ready(&mut self) -> Result<()> {
        if !self.ready.is_empty() {
            return Ok(());
        }
        // Looked at before the end is: a shard gets nothing more once it is known to be closed.
        let mut is_closed = self.shared.is_closed(self.shard);
        self.fill()?;
        if self.ready.is_empty() && !is_closed && self.shared.is_closed(self.shard) {
            // Heard of by looking for the end: nobody may say so again.
            is_closed = true;
            self.fill()?;
        }
        self.is_ended = is_closed && self.ready.is_empty();
        Ok(())
    }

    /// Reads and checks the next block of frames, if there is one.
    fn fill(&mut self) -> Result<()> {
        let mut end = self.shared.refresh()?;
        loop {
            let segment = match &self.segment {
                Some(segment) => segment.clone(),
                None => {
                    let segment = self.locate(self.next)?;
                    end = self.shared.end();
                    self.segment = Some(segment.clone());
                    segment
                }
            };
            self.plan.clear();
            let limit = self.shared.limit_of(&segment, &end)?;
            segment.frames_from(limit, self.shard.0, self.next, &mut self.plan, |planned, frame| {
                let (Some(first), Some(last)) = (planned.first(), planned.last()) else { return true };
                frame.payload_end() - first.offset <= BLOCK_BYTES
                    && frame.offset - last.payload_end() <= GAP_BYTES
            })?;
            if !self.plan.is_empty() {
                return self.read_block(&segment);
            }
            if segment.id >= end.segment {
                self.seen = end.publication;
                return Ok(());
            }
            // This one is read to its end; the next is looked for from the position, because retention
            // may have been there.
            self.segment = match self.shared.segment(segment.id + 1) {
                Ok(segment) => Some(segment),
                Err(error) if is_missing(&error) => None,
                Err(error) => return Err(error),
            };
        }
    }

    fn read_block(&mut self, segment: &Segment) -> Result<()> {
        let (Some(first), Some(last)) = (self.plan.first(), self.plan.last()) else { return Ok(()) };
        let start = first.offset;
        let span = (last.payload_end() - start) as usize;
        // The block is used again once nobody holds a record of it.
        let block = std::mem::take(&mut self.block);
        let mut buffer = block.try_into_mut().unwrap_or_else(|_| BytesMut::new());
        if buffer.len() < span {
            buffer =
                BytesMut::zeroed(span.max(if span > GAP_BYTES as usize { BLOCK_BYTES as usize } else { 0 }));
        }
        let read = segment.file.read_at(start, &mut buffer[..span]);
        self.block = buffer.freeze();
        read.map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::corrupt(&segment.path, start, "the file ends before what was acknowledged")
            }
            _ => Error::Io { action: "read", path: segment.path.clone(), source },
        })?;
        let salt = segment.head.salt();
        for frame in &self.plan {
            let at = (frame.offset - start) as usize;
            match check_frame(segment, &self.block, at, frame, salt, self.next) {
                Ok(run) => self.ready.push_back(run),
                // What comes before the damage is given first; the next read begins at it.
                Err(_) if !self.ready.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The segment in which the first record from number `next` on lies, or will lie.
    fn locate(&mut self, next: u64) -> Result<Arc<Segment>> {
        let shard = self.shard.0 as usize;
        for _ in 0..RETRIES {
            let end = self.shared.refresh()?;
            match self.last_segment_where(&end, |segment| segment.head.mark(shard).last < next) {
                Ok(Some(segment)) => return Ok(segment),
                Ok(None) => {
                    let oldest = self.oldest()?;
                    if self.from_oldest {
                        self.next = oldest;
                        return self.locate(oldest);
                    }
                    return Err(Error::Trimmed {
                        stream: self.shared.name.to_string(),
                        shard: self.shard,
                        requested: SequenceNumber(next),
                        oldest: SequenceNumber(oldest),
                    });
                }
                Err(error)
                    if is_missing(&error) && self.shared.refresh()?.oldest_segment != end.oldest_segment => {}
                Err(error) => return Err(self.explain_missing(error)),
            }
        }
        Err(Error::InvalidArgument("retention removes segments faster than they can be opened".to_owned()))
    }

    /// The last segment for which `holds`, which is true up to some segment and false after it.
    fn last_segment_where(
        &self,
        end: &End,
        holds: impl Fn(&Segment) -> bool,
    ) -> Result<Option<Arc<Segment>>> {
        let (mut low, mut high) = (end.oldest_segment, end.segment + 1);
        let mut found = None;
        while low < high {
            // Most readers are near the end: look there first.
            let middle = if high == end.segment + 1 { high - 1 } else { low + (high - low) / 2 };
            let segment = self.shared.segment(middle)?;
            if holds(&segment) {
                found = Some(segment);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    fn oldest(&self) -> Result<u64> {
        for _ in 0..RETRIES {
            let end = self.shared.refresh()?;
            match self.shared.segment(end.oldest_segment) {
                Ok(segment) => return Ok(segment.head.mark(self.shard.0 as usize).last + 1),
                Err(error)
                    if is_missing(&error) && self.shared.refresh()?.oldest_segment != end.oldest_segment => {}
                Err(error) => return Err(self.explain_missing(error)),
            }
        }
        Err(Error::InvalidArgument("retention removes segments faster than they can be opened".to_owned()))
    }

    fn latest(&self) -> Result<u64> {
        let end = self.shared.refresh()?;
        let segment = self.shared.segment(end.segment).map_err(|error| self.explain_missing(error))?;
        let total = segment.total(end.offset.max(segment.first_frame), self.shard.0)?;
        Ok(total.last.unwrap_or(segment.head.mark(self.shard.0 as usize).last) + 1)
    }

    fn at_time(&self, time_ms: u64) -> Result<u64> {
        for _ in 0..RETRIES {
            let end = self.shared.refresh()?;
            match self.search_time(&end, time_ms) {
                Ok(Some(base)) => return Ok(base),
                Ok(None) => return self.latest(),
                Err(error)
                    if is_missing(&error) && self.shared.refresh()?.oldest_segment != end.oldest_segment => {}
                Err(error) => return Err(self.explain_missing(error)),
            }
        }
        Err(Error::InvalidArgument("retention removes segments faster than they can be opened".to_owned()))
    }

    fn search_time(&self, end: &End, time_ms: u64) -> Result<Option<u64>> {
        let first = self.last_segment_where(end, |segment| segment.head.arrival_floor_ms < time_ms)?;
        for id in first.map_or(end.oldest_segment, |segment| segment.id)..=end.segment {
            let segment = self.shared.segment(id)?;
            let limit = self.shared.limit_of(&segment, end)?;
            if let Some(frame) = segment.frame_at_time(limit, self.shard.0, time_ms)? {
                return Ok(Some(frame.base));
            }
        }
        Ok(None)
    }

    /// A segment that should be there and is not was lost, unless the stream was deleted.
    fn explain_missing(&self, error: Error) -> Error {
        match error {
            Error::Io { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Error::corrupt(&path, 0, "the segment is missing, or the stream was deleted")
            }
            error => error,
        }
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

/// Checks a frame that was read and makes a run of its records from number `next` on.
fn check_frame(
    segment: &Segment,
    block: &[u8],
    at: usize,
    frame: &FrameEntry,
    salt: u32,
    next: u64,
) -> Result<Run> {
    let corrupt = |what: &str| Error::corrupt(&segment.path, frame.offset, what);
    let header = block[at..].first_chunk().ok_or_else(|| corrupt("the frame's header is cut short"))?;
    FrameHeader::decode(header, salt, frame.offset).map_err(corrupt)?;
    let mut start = at + (frame.payload_at() - frame.offset) as usize;
    let end = start + frame.payload_len as usize;
    if crc32c::crc32c(&block[start..end]) != frame.payload_crc {
        return Err(corrupt("the checksum of the frame's records does not match"));
    }
    let skip = next.saturating_sub(frame.base).min(u64::from(frame.records));
    let mut from = start;
    for number in 0..u64::from(frame.records) {
        if number == skip {
            from = start;
        }
        let raw = record::decode(&block[start..end])
            .ok_or_else(|| corrupt("a record's lengths do not fit its frame"))?;
        start += raw.len;
    }
    if start != end {
        return Err(corrupt("the frame holds bytes after its last record"));
    }
    Ok(Run {
        start: from,
        end,
        first: frame.base + skip,
        records: frame.records - skip as u32,
        arrival_ms: frame.arrival_ms,
    })
}

/// Takes records from the front of `run` within the limits; at least one if `first`.
fn take(
    block: &[u8],
    run: &mut Run,
    max_records: usize,
    max_bytes: usize,
    bytes: &mut usize,
    first: bool,
) -> Run {
    let whole = run.end - run.start;
    let mut taken = Run { end: run.start, records: 0, ..*run };
    if run.records as usize <= max_records && *bytes + whole <= max_bytes {
        *bytes += whole;
        (taken.end, taken.records) = (run.end, run.records);
    } else {
        while (taken.records as usize) < max_records.min(run.records as usize) {
            let raw = record::decode(&block[taken.end..run.end]).expect("the reader has walked this run");
            let must = first && taken.records == 0;
            if *bytes + raw.len > max_bytes && !must {
                break;
            }
            *bytes += raw.len;
            taken.end += raw.len;
            taken.records += 1;
        }
    }
    run.start = taken.end;
    run.first += u64::from(taken.records);
    run.records -= taken.records;
    taken
}

/// Keeps a callback registered; dropping it ends that.
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    shared: Arc<StreamShared>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.unsubscribe(self.id);
    }
}
