//! All files of a source: their enumeration and the opening of one.

use std::fmt::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use pelton_dataflow::error::OpError;
use pelton_dataflow::record::Data;
use pelton_dataflow::source::{
    Enumerator, ReaderContext, Source, SplitInfo, SplitReader, SplitState, SplitStatus,
};

use super::csv::CsvRows;
use super::inputs;
use super::reader::Reader;
use super::rows::Rows;
use crate::error::Result;
use crate::splits::KnownSplits;

/// Longest row that is loaded: a file that is not of the format must not fill the memory. Ten
/// times what the shard log takes as a record would be too much for a batch of them.
const MAX_ROW_BYTES: usize = 1024 * 1024;

/// Records from files; made by [`Files`](crate::Files).
///
/// The files are those that are there when the job first starts; each is read to its end. A split
/// is named by its path as it was given, and its position is the byte offset and the line after
/// the last record. A file that was read up to some place must not change before it.
pub struct FileSource<T, R> {
    paths: Vec<PathBuf>,
    rows: R,
    max_row_bytes: usize,
    item: PhantomData<fn() -> T>,
}

impl<T: Data, R: Rows<T>> FileSource<T, R> {
    pub(super) fn new(path: PathBuf, rows: R) -> Self {
        Self { paths: vec![path], rows, max_row_bytes: MAX_ROW_BYTES, item: PhantomData }
    }

    /// Reads another file or directory too.
    ///
    /// ```
    /// use pelton_connectors::Files;
    /// let both = Files::read_jsonl::<u64>("./monday.jsonl").and("./tuesday.jsonl");
    /// ```
    #[must_use]
    pub fn and(mut self, path: impl Into<PathBuf>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Rejects rows of more than `bytes` bytes, instead of 1 MiB.
    #[must_use]
    pub fn max_row_bytes(mut self, bytes: usize) -> Self {
        self.max_row_bytes = bytes;
        self
    }
}

impl<T: Data> FileSource<T, CsvRows> {
    /// Fields are separated by `delimiter` instead of a comma.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.rows.delimiter = delimiter;
        self
    }

    /// The first line is a record like all others; fields are taken in the order of `T`'s.
    #[must_use]
    pub fn without_header(mut self) -> Self {
        self.rows.has_header = false;
        self
    }
}

impl<T: Data, R: Rows<T>> Source for FileSource<T, R> {
    type Item = T;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        let files = inputs::list(&self.paths)?;
        let splits = files.iter().map(|file| SplitInfo::root(file.to_string_lossy())).collect();
        let (rows, max_row_bytes) = (self.rows.clone(), self.max_row_bytes);
        let check = move |split: &SplitState| match split.status {
            // What has been read to its end may be gone.
            SplitStatus::Finished => Ok(()),
            _ => read::<T, R>(&rows, &split.info, split.position.as_deref(), max_row_bytes).map(drop),
        };
        Ok(Box::new(KnownSplits { splits, check }))
    }

    fn open(
        &self,
        split: &SplitInfo,
        position: Option<&[u8]>,
        _cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = T>>, OpError> {
        Ok(Box::new(read::<T, R>(&self.rows, split, position, self.max_row_bytes)?))
    }

    fn counted_in(&self) -> &'static str {
        "line"
    }

    fn describe(&self) -> String {
        let mut text = self.rows.name().to_owned();
        for (i, path) in self.paths.iter().enumerate() {
            let joint = if i == 0 { " in" } else { "," };
            write!(text, "{joint} {}", path.display()).expect("a string takes everything");
        }
        text
    }

    fn locations(&self) -> Vec<PathBuf> {
        self.paths.clone()
    }
}

/// Opens one file.
fn read<T: Data, R: Rows<T>>(
    rows: &R,
    split: &SplitInfo,
    position: Option<&[u8]>,
    max_row_bytes: usize,
) -> Result<Reader<T, R::Parser>> {
    let path = Path::new(&split.id.0);
    Reader::open(path, rows.parser(path, max_row_bytes)?, &split.id, position, max_row_bytes)
}
