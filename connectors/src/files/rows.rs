//! What a file format has to say: where the record at hand ends, and what it is.

use std::path::Path;

use crate::error::Result;

/// A file format, as a source is configured with it.
pub trait Rows<T>: Clone + Send + Sync + 'static {
    /// What reads one file of it.
    type Parser: RowParser<T>;

    /// A parser for the file at `path`, which it may read the beginning of.
    ///
    /// # Errors
    /// The file's beginning cannot be read or is not of this format.
    fn parser(&self, path: &Path, max_row_bytes: usize) -> Result<Self::Parser>;

    /// The format's name, for `explain`.
    fn name(&self) -> &'static str;
}

/// Reads the records of one file, one after the other.
pub trait RowParser<T>: Send + 'static {
    /// Bytes at the start of the file that are no records, such as a header, and the lines in them.
    fn preamble(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Looks for a record at the start of `bytes`. If `at_end`, the file ends with them, and the
    /// answer is not [`Row::More`] unless they are none.
    fn row(&mut self, bytes: &[u8], at_end: bool) -> Row<T>;

    /// Why a record of several lines did not end within `limit` bytes.
    fn unended(&self, limit: usize) -> String;
}

/// What was found at the start of some bytes, with the number of bytes that it takes.
pub enum Row<T> {
    /// Too few bytes to tell.
    More,
    /// Nothing, such as an empty line.
    Blank(usize),
    /// A record.
    Value(T, usize),
    /// Something that is no record, and why.
    Rejected(String, usize),
}
