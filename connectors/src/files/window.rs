//! The part of a file that is in memory: a buffer that slides along the file.
//!
//! Knows bytes and offsets; what a record is, is left to `rows`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::inputs::explain;
use crate::error::{Error, Result};

/// Bytes asked of the operating system at once: enough that the call costs nothing beside the
/// parsing, little enough for the cache.
const READ_BYTES: usize = 256 * 1024;

/// Bytes before a position that it is known by again: of a file that was replaced by another, a line may begin at the same
/// byte. More than the last line mostly has, and little beside what is read at once.
const KNOWN_BY: usize = 256;

/// A buffer over a file: bytes are read at its end and consumed from its start.
pub(super) struct Window {
    path: PathBuf,
    file: File,
    /// Bytes of the file lie from `start` to `end`; the rest is room, cleared once and not each time. Of what has been consumed
    /// the last [`KNOWN_BY`] bytes stay before `start`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The offset of the first byte that is not consumed.
    offset: u64,
    at_end: bool,
}

impl Window {
    /// Opens `path`, to be read from byte `offset` on. If it was read before, `known` is the [`check`](Self::check) of what came
    /// before that byte then.
    pub fn open(path: &Path, offset: u64, known: Option<u32>) -> Result<Self> {
        let mut file = File::open(path).map_err(|source| explain("open", path, source))?;
        let metadata = file.metadata().map_err(Error::io("look at", path))?;
        if metadata.is_dir() {
            let source = std::io::ErrorKind::IsADirectory.into();
            return Err(Error::Io { action: "read", path: path.to_owned(), source });
        }
        let changed = |what| Error::FileChanged { path: path.to_owned(), offset, what };
        if offset > metadata.len() {
            return Err(changed("it is shorter now"));
        }
        let start = usize::try_from(offset).unwrap_or(KNOWN_BY).min(KNOWN_BY);
        // With a byte more than the file has, its end is found without making room.
        let left = usize::try_from(metadata.len() - offset).unwrap_or(usize::MAX);
        let mut buffer = vec![0; KNOWN_BY + READ_BYTES.min(left.saturating_add(1))];
        if start > 0 {
            file.seek(SeekFrom::Start(offset - start as u64)).map_err(Error::io("seek in", path))?;
            file.read_exact(&mut buffer[..start]).map_err(Error::io("read", path))?;
            if !matches!(buffer[start - 1], b'\n' | b'\r') && offset != metadata.len() {
                return Err(changed("no line begins there now"));
            }
        }
        let window = Self { path: path.to_owned(), file, buffer, start, end: start, offset, at_end: false };
        if known.is_some_and(|known| known != window.check()) {
            return Err(changed("what lies before that is not what was read"));
        }
        Ok(window)
    }

    /// The checksum of the last bytes before what is not consumed.
    pub fn check(&self) -> u32 {
        crc32c::crc32c(&self.buffer[self.start.saturating_sub(KNOWN_BY)..self.start])
    }

    /// The bytes that are there and not consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The file's offset of the first of them.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the file holds nothing beyond them.
    pub fn at_end(&self) -> bool {
        self.at_end
    }

    /// Takes `count` bytes off the front.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Reads more behind them; returns how many bytes came.
    pub fn fill(&mut self) -> Result<usize> {
        let first = self.start.saturating_sub(KNOWN_BY);
        self.buffer.copy_within(first..self.end, 0);
        (self.start, self.end) = (self.start - first, self.end - first);
        if self.end == self.buffer.len() {
            self.buffer.resize((2 * self.end).max(READ_BYTES), 0);
        }
        let count = loop {
            match self.file.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result.map_err(Error::io("read", &self.path))?,
            }
        };
        self.end += count;
        self.at_end = count == 0;
        Ok(count)
    }
}
