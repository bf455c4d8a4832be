//! Sorted runs: rows in the order of their keys, in memory and as files of a checkpoint.
//!
//! This is the one home of these bytes. A run file, all numbers little endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 8 | `PLTNRUN` and the format version, 1 |
//! | | for each row: |
//! | 1 | kind: 0 range marker, 1 deletion, 2 row |
//! | 4 | length of the key |
//! | 4 | length of the value |
//! | n | key, see [`crate::rows`] |
//! | n | value; a range marker's is the end of its range |
//! | | after the last row: |
//! | 8 | number of rows |
//! | 4 | CRC32C of all bytes before it |
//!
//! Rows are in strictly ascending order of (key, kind), so that a range marker stands before the
//! row with its key. A range marker says nothing about the rows of its own run.

use bytes::Bytes;

use crate::error::StateError;
use crate::rows::{Kind, Row};

const MAGIC: &[u8; 8] = b"PLTNRUN\x01";
/// Kind and lengths.
const ROW_HEAD: usize = 9;
const FOOTER: usize = 12;

/// One row in so many has its place in the index.
const INDEX_EVERY: usize = 16;

/// Writes a run.
pub(crate) struct RunBuilder {
    bytes: Vec<u8>,
    rows: u64,
}

impl Default for RunBuilder {
    fn default() -> Self {
        Self { bytes: MAGIC.to_vec(), rows: 0 }
    }
}

impl RunBuilder {
    /// Adds the next row.
    pub(crate) fn add(&mut self, row: Row<'_>) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a row is below 4 GiB").to_le_bytes();
        self.bytes.push(row.kind as u8);
        self.bytes.extend_from_slice(&length(row.key));
        self.bytes.extend_from_slice(&length(row.value));
        self.bytes.extend_from_slice(row.key);
        self.bytes.extend_from_slice(row.value);
        self.rows += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The bytes of the file.
    pub(crate) fn finish(mut self) -> Bytes {
        self.bytes.extend_from_slice(&self.rows.to_le_bytes());
        let checksum = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.bytes.into()
    }
}

/// A run in memory.
pub(crate) struct Run {
    bytes: Bytes,
    /// Where every so many-th row begins.
    index: Vec<usize>,
    /// Where the rows end.
    end: usize,
    /// Where the range markers begin; their ranges do not overlap.
    clears: Vec<usize>,
}

impl Run {
    /// Reads a run file; `file` is for messages.
    pub(crate) fn parse(bytes: &Bytes, file: &str) -> Result<Self, StateError> {
        let damaged =
            |problem: &str| StateError::Damaged { file: file.to_owned(), problem: problem.to_owned() };
        let (Some(body), Some((head, footer))) =
            (bytes.get(MAGIC.len()..), bytes.len().checked_sub(FOOTER).map(|at| bytes.split_at(at)))
        else {
            return Err(damaged("it is too short for a run of rows"));
        };
        if !bytes.starts_with(&MAGIC[..7]) {
            return Err(damaged("it does not begin as a run of rows does"));
        }
        if bytes[7] != MAGIC[7] {
            return Err(damaged(&format!("it has the format version {}, this program reads 1", bytes[7])));
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(head), &footer[..8]);
        if footer[8..] != checksum.to_le_bytes() {
            return Err(damaged("its checksum is wrong"));
        }
        let end = head.len().max(bytes.len() - body.len());
        let mut run = Self { bytes: bytes.clone(), index: Vec::new(), end, clears: Vec::new() };
        let (mut at, mut rows) = (MAGIC.len(), 0u64);
        let mut last: Option<(&[u8], Kind)> = None;
        while at < end {
            let (row, next) = read_row(&bytes[..end], at).ok_or_else(|| damaged("a row of it is cut"))?;
            let (key, clears) = (row.key, row.kind == Kind::Clear);
            if last.is_some_and(|last| (last.0, last.1 != Kind::Clear) >= (key, !clears)) {
                return Err(damaged("its rows are not in order"));
            }
            last = Some((key, row.kind));
            if rows.is_multiple_of(INDEX_EVERY as u64) {
                run.index.push(at);
            }
            if clears {
                run.clears.push(at);
            }
            (at, rows) = (next, rows + 1);
        }
        if footer[..8] != rows.to_le_bytes() {
            return Err(damaged("it does not hold as many rows as it says"));
        }
        Ok(run)
    }

    /// The bytes of its file.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The row or deletion of `key`.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Row<'_>> {
        for row in self.cursor(key) {
            match row.key.cmp(key) {
                std::cmp::Ordering::Equal if row.kind != Kind::Clear => return Some(row),
                std::cmp::Ordering::Greater => return None,
                _ => {}
            }
        }
        None
    }

    /// The end of the range marker that covers `key`.
    pub(crate) fn cleared_to(&self, key: &[u8]) -> Option<&[u8]> {
        let behind = self.clears.partition_point(|at| self.row(*at).key <= key);
        let end = self.row(*self.clears.get(behind.checked_sub(1)?)?).value;
        (key < end).then_some(end)
    }

    /// The rows from `key` on.
    pub(crate) fn cursor(&self, key: &[u8]) -> Cursor<'_> {
        let behind = self.index.partition_point(|at| self.row(*at).key < key);
        let at = behind.checked_sub(1).map_or(MAGIC.len(), |before| self.index[before]);
        let mut cursor = Cursor { run: self, at };
        while cursor.peek().is_some_and(|row| row.key < key) {
            cursor.next();
        }
        cursor
    }

    fn row(&self, at: usize) -> Row<'_> {
        read_row(&self.bytes, at).expect("`parse` has read all rows").0
    }
}

/// A row and where the next one begins.
fn read_row(bytes: &[u8], at: usize) -> Option<(Row<'_>, usize)> {
    let (head, rest) = bytes.get(at..)?.split_first_chunk::<ROW_HEAD>()?;
    let kind = Kind::from_byte(head[0])?;
    let length = |bytes: &[u8]| bytes.try_into().ok().map(|bytes| u32::from_le_bytes(bytes) as usize);
    let (key_len, value_len) = (length(&head[1..5])?, length(&head[5..])?);
    let (key, rest) = rest.split_at_checked(key_len)?;
    let value = rest.get(..value_len)?;
    Some((Row { kind, key, value }, at + ROW_HEAD + key_len + value_len))
}

/// A place in a run.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    run: &'a Run,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn peek(&self) -> Option<Row<'a>> {
        (self.at < self.run.end).then(|| self.run.row(self.at))
    }
}

impl<'a> Iterator for Cursor<'a> {
    type Item = Row<'a>;
    fn next(&mut self) -> Option<Row<'a>> {
        let row = self.peek()?;
        self.at += ROW_HEAD + row.key.len() + row.value.len();
        Some(row)
    }
}

/// Several runs as one: of each key what the newest run says.
pub(crate) struct Merge<'a> {
    /// The oldest first.
    runs: Vec<Cursor<'a>>,
    /// Of each run the end of the range marker that was passed last.
    cleared: Vec<Option<&'a [u8]>>,
    to: Option<&'a [u8]>,
}

impl<'a> Merge<'a> {
    /// The rows of `runs`, the oldest first, from the key `from` up to before `to`.
    pub(crate) fn new(runs: impl Iterator<Item = &'a Run>, from: &[u8], to: Option<&'a [u8]>) -> Self {
        let (runs, cleared) = runs.map(|run| (run.cursor(from), run.cleared_to(from))).unzip();
        Self { runs, cleared, to }
    }

    /// The next key with what the newest run says of it: range markers, deletions and rows.
    fn step(&mut self) -> Option<(Row<'a>, bool)> {
        let rank = |row: &Row<'a>| (row.key, row.kind != Kind::Clear);
        let least = self.runs.iter().filter_map(Cursor::peek).map(|row| rank(&row)).min()?;
        if self.to.is_some_and(|to| least.0 >= to) {
            return None;
        }
        let mut newest = None;
        for (index, cursor) in self.runs.iter_mut().enumerate() {
            if let Some(row) = cursor.peek().filter(|row| rank(row) == least) {
                cursor.next();
                if row.kind == Kind::Clear {
                    self.cleared[index] = Some(row.value);
                }
                newest = Some((index, row));
            }
        }
        let (index, row) = newest?;
        // A newer run's range marker takes the row away; its own run's does not.
        let covered = self.cleared[index + 1..].iter().flatten().any(|end| row.key < *end);
        Some((row, covered))
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = Row<'a>;
    fn next(&mut self) -> Option<Row<'a>> {
        loop {
            let (row, covered) = self.step()?;
            if !covered {
                return Some(row);
            }
        }
    }
}
