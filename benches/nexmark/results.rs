//! Where the rows of a query go, and what its result is.
//!
//! A query gives rows as they come to be. Most results only grow: every row is one of the result's. In
//! others (`q4`, `q15` to `q19`) a row takes the place of an earlier one with the same key; the result is then the
//! last row of each key, which is what the public query's table holds in the end. [`Row::replaces`] is that
//! key, and [`table`] makes the result of the rows.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::hash::Hash;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pelton::connectors::ForEachBatch;
use pelton::dataflow::record::{Data, Record};
use pelton::prelude::{Files, Stream};
use serde::{Deserialize, Serialize};

use crate::model::Event;

/// The name of the sink.
const NAME: &str = "results";

/// A row of a query's result; its fields are the columns of the public query.
pub trait Row: Data {
    /// The key that the row is the newest of; `None` where every row stays.
    fn replaces(&self) -> Option<String> {
        None
    }
}

/// Without a query, all there is are the events.
impl Row for Event {}

/// A row as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The row's key, as [`Row::replaces`] gives it.
    pub replaces: Option<String>,
    /// The row in JSON.
    pub json: String,
}

impl Line {
    fn of(row: &impl Row) -> Self {
        let json = serde_json::to_string(row).expect("a row has names for keys and no failing part");
        Self { replaces: row.replaces(), json }
    }
}

/// Where the rows of a query go.
pub enum Results {
    /// They are counted, and dropped unless the query itself is to write files: then they are written
    /// below `directory`.
    Measure {
        /// How many there were.
        rows: Arc<AtomicU64>,
        /// Where files go.
        directory: PathBuf,
    },
    /// They are written as [`Line`]s into files of this directory, exactly once.
    Files(PathBuf),
}

impl Results {
    /// Ends `rows` here.
    #[track_caller]
    pub fn take<R: Row>(self, rows: &Stream<R>) {
        match self {
            Self::Measure { rows: count, .. } => rows.sink(
                NAME,
                ForEachBatch::new(move |batch: &[Record<R>]| {
                    count.fetch_add(std::hint::black_box(batch).len() as u64, Ordering::Relaxed);
                }),
            ),
            Self::Files(directory) => rows.map(|row| Line::of(&row)).sink(NAME, Files::jsonl(directory)),
        }
    }

    /// Ends `rows` here, of a query whose result is files in partitions: they are written where it is
    /// measured.
    #[track_caller]
    pub fn take_partitioned<R: Row, P>(
        self,
        rows: &Stream<R>,
        partition: impl Fn(&R) -> P + Send + Sync + 'static,
    ) where
        P: Clone + Eq + Hash + Display + Send + 'static,
    {
        match self {
            Self::Measure { rows: count, directory } => {
                let counted = rows.inspect(move |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                counted.sink(NAME, Files::jsonl(directory).partitioned_by(partition));
            }
            other => other.take(rows),
        }
    }
}

/// The lines that a job has written into `directory`, in the order in which each key had them.
///
/// # Errors
/// They cannot be read.
pub fn written(directory: &Path) -> io::Result<Vec<Line>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        files.extend(path.is_file().then_some(path));
    }
    // Their names begin with the epoch, and a key is on one worker.
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        for line in BufReader::new(fs::File::open(file)?).lines() {
            lines.push(serde_json::from_str(&line?)?);
        }
    }
    Ok(lines)
}

/// The rows that the result consists of in the end, of `lines` in the order in which each key had them.
pub fn table(lines: impl IntoIterator<Item = Line>) -> Vec<String> {
    let (mut rows, mut places) = (Vec::new(), HashMap::new());
    for Line { replaces, json } in lines {
        match replaces.map(|key| *places.entry(key).or_insert(rows.len())) {
            Some(place) if place < rows.len() => rows[place] = json,
            _ => rows.push(json),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_the_place_of_the_one_before_it() {
        let line =
            |key: Option<&str>, json: &str| Line { replaces: key.map(str::to_owned), json: json.to_owned() };
        let lines = [
            line(Some("a"), "1"),
            line(None, "2"),
            line(Some("b"), "3"),
            line(Some("a"), "4"),
            line(None, "2"),
        ];
        assert_eq!(table(lines), ["4", "2", "3", "2"]);
    }
}
