//! The one thread that writes a stream. It takes what has queued up, gives it numbers, writes it, syncs
//! once, publishes the new end, and only then answers. Commits are in [`super::commit`], retention in
//! [`super::retention`].

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::Fences;
use super::active::ActiveSegment;
use super::end_file::EndFile;
use super::queue::{Op, Queue, Taken};
use super::recovery::{self, RecoveryReport};
use super::reroute::reroute;
use crate::batch::{Appended, BufferPool, EncodedFrame, Placement, RecordOrder};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::end::End;
use crate::format::frame::{FRAME_HEADER, FrameHeader, FrameKind};
use crate::format::meta::StreamMeta;
use crate::format::segment::{SegmentHead, ShardMark};
use crate::hash::Router;
use crate::options::Options;
use crate::shared::StreamShared;
use crate::storage::StorageLock;
use crate::ticket::Answer;
use crate::txn::table::TransactionTable;
use crate::types::{SequenceNumber, ShardId};

/// The thread's state: all that is needed to go on writing.
pub(crate) struct Engine {
    pub shared: Arc<StreamShared>,
    pub clock: Arc<dyn Clock>,
    pub transactions: TransactionTable,
    options: Options,
    pool: Arc<BufferPool>,
    active: ActiveSegment,
    end: EndFile,
    /// Where each shard stands, what is not yet synced included.
    marks: Vec<ShardMark>,
    /// The shards that are open.
    router: Arc<Router>,
    last_arrival_ms: u64,
    group: Group,
    /// Set by the first failure that leaves the disk in a state that is not known.
    failed: Option<String>,
    report: RecoveryReport,
    /// Held until the thread ends.
    _lock: Box<dyn StorageLock>,
}

/// What is written but not yet durable.
#[derive(Default)]
struct Group {
    appends: Vec<(Appended, Answer<Appended>)>,
    commits: Vec<Answer<()>>,
    committed: BTreeSet<u64>,
    /// Marks as they were, to be put back if the group is undone.
    undo: Vec<(usize, ShardMark)>,
    arrival_before: Option<u64>,
}

impl Engine {
    /// Recovers the stream, which is locked, and makes it ready for writing.
    pub fn open(
        shared: Arc<StreamShared>,
        lock: Box<dyn StorageLock>,
        options: &Options,
        clock: Arc<dyn Clock>,
        pool: Arc<BufferPool>,
        fences: Arc<Fences>,
    ) -> Result<Self> {
        let recovered = recovery::recover(&shared)?;
        let term = recovered.end.end().term;
        let transactions = TransactionTable::open(&shared, term, &recovered.committed, fences)?;
        let mut report = recovered.report;
        report.discarded_transactions = transactions.discarded;
        report.open_transactions = transactions.open_count();
        Ok(Self {
            router: shared.router(),
            shared,
            clock,
            transactions,
            options: options.clone(),
            pool,
            active: recovered.active,
            end: recovered.end,
            marks: recovered.marks,
            last_arrival_ms: recovered.last_arrival_ms,
            group: Group::default(),
            failed: None,
            report,
            _lock: lock,
        })
    }

    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    pub fn end(&self) -> End {
        self.end.end()
    }

    pub fn active_bytes(&self) -> u64 {
        self.active.tail()
    }

    /// Whether the active segment holds anything but its head.
    pub fn has_frames(&self) -> bool {
        self.active.has_frames()
    }

    /// Works until the queue is closed and empty.
    pub fn run(mut self, queue: &Queue) {
        let idle_after = Duration::from_millis(self.options.retention_check_ms.max(1));
        loop {
            match queue.take(self.options.group_bytes, idle_after) {
                Taken::Ops(ops) => {
                    for op in ops {
                        self.begin(op);
                    }
                    self.finish_group();
                }
                Taken::Idle => self.check_retention(Self::retire),
                Taken::Closed => break,
            }
            if let Some(cause) = &self.failed {
                queue.fail(cause);
            }
        }
        self.close();
    }

    fn begin(&mut self, op: Op) {
        match op {
            Op::Append { frames, order, answer } => self.begin_append(frames, order, answer),
            Op::Commit { committable, generation, answer } => {
                self.begin_commit(&committable, generation, answer);
            }
            Op::Call(call) => {
                // What came before is decided first, so that a fence or an abort sees it.
                self.finish_group();
                let failed = self.check_failed();
                call(failed.map(|()| self));
            }
        }
    }

    pub fn check_failed(&self) -> Result<()> {
        match &self.failed {
            Some(cause) => {
                Err(Error::WriterFailed { stream: self.shared.name.to_string(), cause: cause.clone() })
            }
            None => Ok(()),
        }
    }

    /// A failure after which nothing is known for sure but what was published.
    pub fn fail(&mut self, error: &Error) {
        tracing::error!(stream = %self.shared.name, %error, "the writer has failed");
        self.failed.get_or_insert_with(|| error.to_string());
    }

    fn begin_append(&mut self, frames: Vec<EncodedFrame>, order: RecordOrder, answer: Answer<Appended>) {
        let ready = self.prepare_to_write();
        let (frames, order) = match frames.iter().all(|frame| self.is_open(frame.shard)) {
            true => (frames, order),
            false => reroute(frames, &order, &self.router),
        };
        match ready.and_then(|()| self.write_frames(frames)) {
            Ok((placements, arrival_ms)) => {
                self.group.appends.push((Appended { placements, order, arrival_ms }, answer));
            }
            Err(error) => {
                self.undo_group(&error);
                answer.give(Err(self.not_written(&error)));
            }
        }
    }

    fn write_frames(&mut self, frames: Vec<EncodedFrame>) -> Result<(Vec<Placement>, u64)> {
        let arrival_ms = self.next_arrival();
        let mut placements: Vec<Placement> = Vec::new();
        let mut by_shard: HashMap<ShardId, usize> = HashMap::new();
        for mut frame in frames {
            let header = self.number(frame.header(arrival_ms));
            frame.bytes[..FRAME_HEADER].copy_from_slice(&header.encode(self.active.salt));
            self.active.write(&frame.bytes)?;
            let (records, bytes) = (u64::from(frame.records), u64::from(frame.payload_len));
            match by_shard.entry(frame.shard) {
                Entry::Occupied(index) => {
                    let placement = &mut placements[*index.get()];
                    placement.records += records;
                    placement.bytes += bytes;
                }
                Entry::Vacant(index) => {
                    index.insert(placements.len());
                    placements.push(Placement { shard: frame.shard, first: header.base, records, bytes });
                }
            }
            self.pool.give(frame.bytes);
        }
        Ok((placements, arrival_ms))
    }

    /// Called before anything of an operation is written: rolls the segment at the border of a group.
    pub fn prepare_to_write(&mut self) -> Result<()> {
        self.check_failed()?;
        if self.active.is_dirty() {
            return Ok(());
        }
        let age_ms = self.clock.now_ms().saturating_sub(self.active.created_ms);
        let is_old = self.active.has_frames() && age_ms >= self.options.segment_age_ms;
        if self.active.tail() >= self.options.segment_bytes || is_old {
            self.roll()?;
            self.check_retention(Self::apply_retention);
        }
        Ok(())
    }

    /// The arrival time of what is written now: the clock's, but never less than one given before.
    pub fn next_arrival(&mut self) -> u64 {
        self.group.arrival_before.get_or_insert(self.last_arrival_ms);
        self.last_arrival_ms = self.last_arrival_ms.max(self.clock.now_ms());
        self.last_arrival_ms
    }

    /// Gives a frame that is about to be written its place and its records their numbers.
    pub fn number(&mut self, mut header: FrameHeader) -> FrameHeader {
        header.offset = self.active.tail();
        header.synced_to = self.active.synced();
        header.term = self.end().term;
        if header.kind == FrameKind::Records {
            let shard = header.shard.0 as usize;
            let mark = &mut self.marks[shard];
            self.group.undo.push((shard, *mark));
            header.base = SequenceNumber(mark.next);
            mark.next += u64::from(header.records);
            mark.last = mark.next - 1;
            mark.records += u64::from(header.records);
            mark.bytes += u64::from(header.payload_len);
        }
        header
    }

    pub fn salt(&self) -> u32 {
        self.active.salt
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.active.write(bytes)
    }

    /// Whether records may be appended to `shard`.
    pub fn is_open(&self, shard: ShardId) -> bool {
        self.router.slot_of_shard(shard).is_some()
    }

    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    pub fn last_arrival_ms(&self) -> u64 {
        self.last_arrival_ms
    }

    /// Takes in a change of the shards that was published, by which there are `new` more.
    pub fn take_shards(&mut self, new: usize) {
        self.marks.resize(self.marks.len() + new, ShardMark::NEW);
        self.router = self.shared.router();
    }

    pub fn has_shard(&self, shard: ShardId) -> bool {
        (shard.0 as usize) < self.marks.len()
    }

    /// A commit that is written and becomes final with the group.
    pub fn await_commit(&mut self, transaction: u64, answer: Answer<()>) {
        self.group.committed.insert(transaction);
        self.group.commits.push(answer);
    }

    pub fn not_written(&self, error: &Error) -> Error {
        let stream = self.shared.name.to_string();
        match &self.failed {
            Some(cause) => Error::WriterFailed { stream, cause: cause.clone() },
            None => Error::NotWritten { stream, cause: error.to_string() },
        }
    }

    /// Makes the group durable, then visible, then known to those who wait.
    pub fn finish_group(&mut self) {
        if !self.active.is_dirty() {
            return self.answer_group();
        }
        if let Err(error) = self.active.write_out() {
            return self.undo_group(&error);
        }
        if let Err(error) = self.active.sync() {
            // Which of the pages are on disk is not known, and the kernel may report it only once: only a
            // new reading of the file tells.
            self.fail(&error);
            return self.drop_group(&error);
        }
        let (offset, last_arrival_ms) = (self.active.synced(), self.last_arrival_ms);
        let published = self.end.publish(|end| {
            end.offset = offset;
            end.last_arrival_ms = last_arrival_ms;
        });
        match published {
            Ok(end) => self.shared.publish(end, None),
            Err(error) => {
                // Durable, but other processes cannot be told; the next writer will find it.
                self.fail(&error);
                return self.drop_group(&error);
            }
        }
        self.answer_group();
    }

    fn answer_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        for transaction in group.committed {
            self.transactions.committed(&self.shared, transaction);
        }
        for (appended, answer) in group.appends {
            answer.give(Ok(appended));
        }
        for answer in group.commits {
            answer.give(Ok(()));
        }
    }

    /// A write has failed, for instance because the disk is full: nothing of the group stays.
    pub fn undo_group(&mut self, error: &Error) {
        if self.failed.is_none()
            && let Err(undo) = self.active.roll_back()
        {
            self.fail(&undo);
        }
        self.drop_group(error);
    }

    fn drop_group(&mut self, error: &Error) {
        let group = std::mem::take(&mut self.group);
        for (shard, old) in group.undo.into_iter().rev() {
            // The numbers stay used: a torn write may have carried them to the disk.
            self.marks[shard] = ShardMark { next: self.marks[shard].next, ..old };
        }
        if let Some(arrival_ms) = group.arrival_before {
            self.last_arrival_ms = arrival_ms;
        }
        for transaction in group.committed {
            self.transactions.not_committed(transaction);
        }
        for (_, answer) in group.appends {
            answer.give(Err(self.not_written(error)));
        }
        for answer in group.commits {
            answer.give(Err(self.not_written(error)));
        }
    }

    /// Begins a new segment. Everything before it is durable, and staged files of what is committed in
    /// it are durably gone: so recovery needs the last segment only.
    pub fn roll(&mut self) -> Result<()> {
        self.transactions.sync_removals(&self.shared)?;
        let head = SegmentHead {
            stream_id: self.end().stream_id,
            segment: self.active.id + 1,
            created_ms: self.clock.now_ms(),
            arrival_floor_ms: self.last_arrival_ms,
            previous_bytes: self.active.synced(),
            term: self.end().term,
            shards: self.marks.clone(),
        };
        let next = ActiveSegment::create(&*self.shared.storage, &self.shared.dir, &head);
        let anchored = next.and_then(|next| {
            let (segment, offset) = (next.id, next.tail());
            self.anchor_end(|end| (end.segment, end.offset) = (segment, offset))?;
            Ok(next)
        });
        match anchored {
            Ok(next) => {
                self.active = next;
                Ok(())
            }
            Err(error) => {
                // A file of the next segment may exist now, after which nothing may be added to this one.
                self.fail(&error);
                Err(error)
            }
        }
    }

    pub fn anchor_end(&mut self, change: impl FnOnce(&mut End)) -> Result<()> {
        let end = self.end.anchor(change)?;
        self.shared.publish(end, None);
        Ok(())
    }

    pub fn publish_meta(&mut self, meta: Arc<StreamMeta>) -> Result<()> {
        let version = meta.version;
        let end = self.end.anchor(|end| end.meta_version = version)?;
        self.shared.publish(end, Some(meta));
        Ok(())
    }

    fn check_retention(&mut self, apply: impl FnOnce(&mut Self) -> Result<usize>) {
        let meta = self.shared.meta();
        if self.failed.is_some() || (meta.retention_ms.is_none() && meta.retention_bytes.is_none()) {
            return;
        }
        if let Err(error) = apply(self) {
            tracing::warn!(stream = %self.shared.name, %error, "retention could not be applied, it is tried again later");
        }
    }

    /// Ends in order, so that the next writer need not search for the end.
    fn close(mut self) {
        if self.failed.is_none()
            && let Err(error) = self.end.anchor(|end| end.clean = true)
        {
            tracing::warn!(stream = %self.shared.name, %error, "the stream's end could not be marked as clean");
        }
        self.shared.set_local_writer(false);
    }
}
