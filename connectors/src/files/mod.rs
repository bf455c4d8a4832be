//! Files as sources and as a sink. A map; the constructors are [`Files`].
//!
//! * `inputs`: which files a path stands for;
//! * `window`: the part of a file that is in memory; `rows`: what a record is, with one file per
//!   format, `jsonl` and `csv`; `reader`: one file as a split; `source`: all of them;
//! * `layout`: how output files are named and what a committable holds; `sink`: writing and
//!   preparing; `commit`: making visible; `partitioned`: the same in a directory for each partition.

mod commit;
mod csv;
mod inputs;
mod jsonl;
pub(crate) mod layout;
mod partitioned;
mod reader;
pub(crate) mod rows;
mod sink;
mod source;
mod window;

pub use csv::CsvRows;
pub use jsonl::JsonRows;
pub use partitioned::PartitionedFiles;
pub use sink::FileSink;
pub use source::FileSource;

use std::path::PathBuf;

use pelton_dataflow::record::Data;

/// Constructors of file sources and sinks.
pub struct Files;

impl Files {
    /// Reads JSON lines: one JSON value per line, of one file or of all files below a directory.
    ///
    /// Each file is a split. Files and directories whose names begin with `.` or `_` are passed
    /// over. Lines that are no `T` are rejected; empty ones are skipped.
    ///
    /// Files may grow; what has been read must not change. A checkpoint knows how far a file was read and not
    /// what it held: one that is shorter now, or has no line beginning there, is refused, and another that
    /// has is read on in its middle.
    ///
    /// ```
    /// use pelton_connectors::Files;
    /// let payments = Files::read_jsonl::<(u64, String)>("./payments");
    /// ```
    #[must_use]
    pub fn read_jsonl<T: Data>(path: impl Into<PathBuf>) -> FileSource<T, JsonRows> {
        FileSource::new(path.into(), JsonRows)
    }

    /// Reads comma-separated values with a header, whose names are the fields of `T`; of one file
    /// or of all files below a directory, as [`Files::read_jsonl`] does.
    ///
    /// ```
    /// use pelton_connectors::Files;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct City { name: String, people: u64 }
    ///
    /// let cities = Files::read_csv::<City>("./cities.csv").delimiter(b';');
    /// ```
    #[must_use]
    pub fn read_csv<T: Data>(path: impl Into<PathBuf>) -> FileSource<T, CsvRows> {
        FileSource::new(path.into(), CsvRows::default())
    }

    /// Writes JSON lines into files in a directory, exactly once: a file appears, complete, when
    /// the checkpoint of its epoch is done. The layout is described at [`FileSink`].
    ///
    /// ```
    /// use pelton_connectors::Files;
    /// let alerts = Files::jsonl::<(u64, String)>("./alerts");
    /// ```
    #[must_use]
    pub fn jsonl<T: Data>(directory: impl Into<PathBuf>) -> FileSink<T> {
        FileSink::new(directory.into())
    }
}
