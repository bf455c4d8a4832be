//! One file as a split: values, rejected rows, and the position after them.

use std::path::Path;

use pelton_dataflow::error::OpError;
use pelton_dataflow::record::Data;
use pelton_dataflow::source::{Fetched, Polled, Rejected, SplitId, SplitReader};

use super::rows::{Row, RowParser};
use super::window::Window;
use crate::error::Result;
use crate::position::{self, Kind};

/// Bytes that one poll reads at most: a poll of huge or endless lines must not hold up its worker.
const POLL_BYTES: usize = 4 * 1024 * 1024;

/// How far a file was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes up to the end of the last record.
    offset: u64,
    /// Lines in them.
    lines: u64,
}

/// A line that is longer than the limit, of which only the beginning is kept.
struct Overlong {
    head: Vec<u8>,
    bytes: u64,
    /// The [`Window::check`] of where it begins.
    check: u32,
}

pub(super) struct Reader<T, P> {
    parser: P,
    window: Window,
    place: Place,
    max_row_bytes: usize,
    overlong: Option<Overlong>,
    item: std::marker::PhantomData<fn() -> T>,
}

impl<T: Data, P: RowParser<T>> Reader<T, P> {
    pub fn open(
        path: &Path,
        parser: P,
        split: &SplitId,
        position: Option<&[u8]>,
        max_row_bytes: usize,
    ) -> Result<Self> {
        let (place, known) = match position {
            Some(bytes) => {
                let [offset, lines, check] = position::decode(Kind::File, bytes, split)?;
                // More than a checksum has is no checksum of this file.
                (Place { offset, lines }, Some(u32::try_from(check).unwrap_or(u32::MAX)))
            }
            None => {
                let (offset, lines) = parser.preamble();
                (Place { offset, lines }, None)
            }
        };
        let window = Window::open(path, place.offset, known)?;
        Ok(Self { parser, window, place, max_row_bytes, overlong: None, item: std::marker::PhantomData })
    }

    /// Takes `bytes` off the window and moves the position behind them.
    fn advance(&mut self, bytes: usize) {
        self.place.lines += memchr::memchr_iter(b'\n', &self.window.bytes()[..bytes]).count() as u64;
        self.window.consume(bytes);
        self.place.offset = self.window.offset();
    }

    /// Notes that the line at hand holds a record.
    fn note_line(&self, out: &mut Fetched<T>) {
        let line = self.place.lines + 1;
        out.span = Some((out.span.map_or(line, |(first, _)| first), line));
    }

    fn reject(&mut self, reason: String, bytes: usize, out: &mut Fetched<T>) {
        self.note_line(out);
        let raw = self.window.bytes()[..bytes].trim_ascii_end();
        let raw = raw[..raw.len().min(Rejected::MAX_RAW)].to_vec();
        out.rejected.push((self.place.lines + 1, reason, raw));
        self.advance(bytes);
    }

    /// Reads on to the end of an overlong line; `true` when it is there. The position stays at the
    /// line's beginning until then.
    fn skip_overlong(&mut self, out: &mut Fetched<T>) -> bool {
        let Some(overlong) = &mut self.overlong else { return true };
        let bytes = self.window.bytes();
        let end = memchr::memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |at| at + 1);
        let line = end.unwrap_or(bytes.len());
        let room = Rejected::MAX_RAW.saturating_sub(overlong.head.len());
        overlong.head.extend_from_slice(&bytes[..line.min(room)]);
        overlong.bytes += line as u64;
        self.window.consume(taken);
        let is_over = end.is_some() || self.window.at_end();
        if is_over && let Some(Overlong { head, bytes, .. }) = self.overlong.take() {
            let reason = format!("the line has {bytes} bytes, more than the limit of {}", self.max_row_bytes);
            self.note_line(out);
            out.rejected.push((self.place.lines + 1, reason, head));
            self.place = Place { offset: self.window.offset(), lines: self.place.lines + 1 };
        }
        is_over
    }

    /// Deals with the row at the start of the window; `false` if more bytes are needed first.
    fn take_row(&mut self, out: &mut Fetched<T>) -> bool {
        if self.overlong.is_some() {
            return self.skip_overlong(out);
        }
        match self.parser.row(self.window.bytes(), self.window.at_end()) {
            Row::Blank(bytes) => self.advance(bytes),
            Row::Value(_, bytes) | Row::Rejected(_, bytes) if self.is_too_long(bytes) => {
                self.reject_long(out);
            }
            Row::Value(value, bytes) => {
                self.note_line(out);
                out.values.push(value);
                self.advance(bytes);
            }
            Row::Rejected(reason, bytes) => self.reject(reason, bytes, out),
            Row::More if self.window.bytes().len() > self.max_row_bytes => self.reject_long(out),
            Row::More => return false,
        }
        true
    }

    fn is_too_long(&self, bytes: usize) -> bool {
        let has_break = bytes > 0 && self.window.bytes()[bytes - 1] == b'\n';
        bytes - usize::from(has_break) > self.max_row_bytes
    }

    /// Rejects the first line of a row over the limit. What lies behind that line in the window does
    /// not matter: a replay, whose window begins elsewhere, must reject the same.
    fn reject_long(&mut self, out: &mut Fetched<T>) {
        match memchr::memchr(b'\n', self.window.bytes()) {
            Some(end) if end <= self.max_row_bytes => {
                self.reject(self.parser.unended(self.max_row_bytes), end + 1, out);
            }
            _ => self.overlong = Some(Overlong { head: Vec::new(), bytes: 0, check: self.window.check() }),
        }
    }
}

impl<T: Data, P: RowParser<T>> SplitReader for Reader<T, P> {
    type Item = T;

    fn poll(&mut self, max_records: usize, out: &mut Fetched<T>) -> Result<Polled, OpError> {
        let mut read = 0;
        while out.values.len() + out.rejected.len() < max_records && read < POLL_BYTES {
            if self.take_row(out) {
                continue;
            }
            if self.window.at_end() {
                break;
            }
            read += self.window.fill()?;
        }
        let is_over = self.window.at_end() && self.window.bytes().is_empty() && self.overlong.is_none();
        Ok(if is_over && out.span.is_none() { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> Vec<u8> {
        let check = self.overlong.as_ref().map_or_else(|| self.window.check(), |overlong| overlong.check);
        position::encode(Kind::File, [self.place.offset, self.place.lines, u64::from(check)])
    }
}
