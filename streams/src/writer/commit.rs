//! Committing: a transaction's staged frames are copied to the log in one run, ended by a marker, with
//! the group that is being written. The run counts only with its marker, so it is whole or absent.

use super::engine::Engine;
use super::reroute::deal;
use crate::batch::EncodedFrame;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::codec::SEAL_HEAD;
use crate::format::frame::{FRAME_HEADER, FrameHeader, FrameKind, file_salt, frame_len};
use crate::format::marker::CommitMarker;
use crate::format::staged::{StagedHead, StagedTrailer, TRAILER_BYTES};
use crate::storage::read_all;
use crate::ticket::Answer;
use crate::txn::Committable;
use crate::txn::table::{Standing, staged_path};
use crate::types::{SequenceNumber, ShardId};

/// A staged file that was read and checked: its bytes, and the place and header of each frame.
struct Staged {
    bytes: Vec<u8>,
    frames: Vec<(usize, FrameHeader)>,
}

impl Engine {
    /// Writes the commit of a prepared transaction, unless it is committed already.
    pub(super) fn begin_commit(
        &mut self,
        committable: &Committable,
        generation: Option<u64>,
        answer: Answer<()>,
    ) {
        match self.check_commit(committable, generation) {
            Err(error) => return answer.give(Err(error)),
            Ok(Standing::Committed) => return answer.give(Ok(())),
            Ok(Standing::Committing) => return self.await_commit(committable.transaction, answer),
            Ok(Standing::Prepared) => {}
        }
        // The whole file is checked before anything of it is written.
        let staged = match self.load_staged(committable) {
            Ok(staged) => staged,
            Err(error) => return answer.give(Err(error)),
        };
        match self.write_run(committable, staged) {
            Ok(()) => {
                self.transactions.committing(committable.transaction);
                self.await_commit(committable.transaction, answer);
            }
            Err(error) => {
                self.undo_group(&error);
                answer.give(Err(self.not_written(&error)));
            }
        }
    }

    /// Where a transaction stands that `generation`, if one is given, would commit.
    pub(super) fn check_commit(
        &mut self,
        committable: &Committable,
        generation: Option<u64>,
    ) -> Result<Standing> {
        self.check_failed()?;
        if let Some(generation) = generation {
            self.transactions.check_fence(&self.shared, &committable.family, generation)?;
        }
        self.transactions.standing(&self.shared, committable)
    }

    fn load_staged(&self, committable: &Committable) -> Result<Staged> {
        let path = staged_path(&self.shared.dir, committable.transaction);
        let bytes = read_all(&*self.shared.storage, &path).map_err(Error::io("read", &path))?;
        let (head, first_frame) = StagedHead::decode(&path, &bytes)?;
        let tail = &bytes[bytes.len().saturating_sub(TRAILER_BYTES)..];
        let trailer = StagedTrailer::decode(&path, tail, bytes.len() as u64)?;
        if head.transaction != committable.transaction || trailer.records != committable.records {
            return Err(Error::corrupt(&path, SEAL_HEAD as u64, "it is not what the committable describes"));
        }
        let salt = file_salt(head.stream_id, head.transaction);
        let mut frames = Vec::new();
        let mut at = first_frame;
        while (at as u64) < trailer.frames_end {
            let corrupt = |what: &str| Error::corrupt(&path, at as u64, what);
            let header = bytes[at..].first_chunk().ok_or_else(|| corrupt("a frame is cut short"))?;
            let header = FrameHeader::decode(header, salt, at as u64).map_err(corrupt)?;
            let payload = bytes[at + FRAME_HEADER..].get(..header.payload_len as usize);
            if payload.map(crc32c::crc32c) != Some(header.payload_crc) {
                return Err(corrupt("the checksum of the frame's records does not match"));
            }
            if !self.has_shard(header.shard) {
                return Err(corrupt("the frame is of a shard that the stream does not have"));
            }
            frames.push((at, header));
            at += header.len() as usize;
        }
        if at as u64 != trailer.frames_end {
            return Err(Error::corrupt(&path, at as u64, "the frames do not end where the trailer begins"));
        }
        Ok(Staged { bytes, frames })
    }

    /// Takes the frames of shards that were closed since they were staged out of `staged`, and deals their
    /// records out to the shards that are open.
    fn dealt_anew(&self, staged: &mut Staged) -> Vec<EncodedFrame> {
        let (open, closed) = staged.frames.drain(..).partition(|(_, header)| self.is_open(header.shard));
        staged.frames = open;
        let payload = |(at, header): &(usize, FrameHeader)| {
            let start = at + FRAME_HEADER;
            &staged.bytes[start..start + header.payload_len as usize]
        };
        deal(closed.iter().map(payload), self.router())
    }

    fn write_run(&mut self, committable: &Committable, mut staged: Staged) -> Result<()> {
        self.prepare_to_write()?;
        let arrival_ms = self.next_arrival();
        let salt = self.salt();
        let mut run_start = None;
        let dealt = self.dealt_anew(&mut staged);
        let run_frames = (staged.frames.len() + dealt.len()) as u64;
        for (at, header) in std::mem::take(&mut staged.frames) {
            let header = self.number(FrameHeader { arrival_ms, in_transaction: true, ..header });
            run_start.get_or_insert(header.offset);
            let frame = &mut staged.bytes[at..at + header.len() as usize];
            frame[..FRAME_HEADER].copy_from_slice(&header.encode(salt));
            self.write(frame)?;
        }
        for mut frame in dealt {
            let header = self.number(FrameHeader { in_transaction: true, ..frame.header(arrival_ms) });
            run_start.get_or_insert(header.offset);
            frame.bytes[..FRAME_HEADER].copy_from_slice(&header.encode(salt));
            self.write(&frame.bytes)?;
        }
        let staged = || staged_path(&self.shared.dir, committable.transaction);
        failpoint::at("txn::commit").map_err(|error| Error::io("commit", &staged())(error))?;
        let Committable { transaction, generation, epoch, family, member, .. } = committable.clone();
        let run_start = run_start.unwrap_or(self.active_bytes());
        let marker = CommitMarker { transaction, generation, epoch, run_start, run_frames, family, member };
        let payload = marker.encode();
        let header = self.number(FrameHeader {
            kind: FrameKind::Commit,
            in_transaction: true,
            shard: ShardId(0),
            records: 0,
            base: SequenceNumber::ZERO,
            arrival_ms,
            offset: 0,
            synced_to: 0,
            payload_len: payload.len() as u32,
            payload_crc: crc32c::crc32c(&payload),
            term: 0,
        });
        let mut frame = header.encode(salt).to_vec();
        frame.extend_from_slice(&payload);
        frame.resize(frame_len(payload.len() as u64) as usize, 0);
        self.write(&frame)
    }
}
