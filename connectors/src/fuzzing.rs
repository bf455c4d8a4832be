//! Doors for fuzzing: what reads records, positions and committables.

use std::fmt::Debug;
use std::path::Path;

use pelton_dataflow::sink::{Committable, SinkContext};
use pelton_dataflow::source::SplitId;
use pelton_dataflow::time::Epoch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files::layout::{Layout, Prepared};
use crate::files::rows::{Row, RowParser, Rows};
use crate::files::{CsvRows, JsonRows};
use crate::format::{Bincode, Decode, Encode, Json};
use crate::position::{self, Kind};
use crate::shard_log::committable;

/// Reads `bytes` as the position of each kind of split.
///
/// # Panics
/// If a position that can be read is written otherwise.
pub fn positions(bytes: &[u8]) {
    let split = SplitId("a".to_owned());
    let mut known = false;
    for kind in [Kind::Index, Kind::File, Kind::Shard] {
        known |= is_position::<1>(kind, bytes, &split);
        known |= is_position::<2>(kind, bytes, &split);
        known |= is_position::<3>(kind, bytes, &split);
    }
    assert!(known || position::describe(bytes).is_none());
}

/// Whether `bytes` are a position of `N` fields.
fn is_position<const N: usize>(kind: Kind, bytes: &[u8], split: &SplitId) -> bool {
    let fields = position::decode::<N>(kind, bytes, split);
    if let Ok(fields) = &fields {
        assert_eq!(position::encode(kind, *fields), bytes);
    }
    fields.is_ok()
}

/// Reads `bytes` as the committables of the sinks.
///
/// # Panics
/// If one that can be read is not written as it was, or names a file elsewhere.
pub fn committables(bytes: &[u8]) {
    let committable = Committable { epoch: Epoch(3), worker: 1, bytes: bytes.to_vec() };
    if let Ok(transaction) = committable::decode(&committable) {
        let again = Committable { bytes: committable::encode(transaction.clone()), ..committable.clone() };
        assert_eq!(committable::decode(&again).expect("what was written can be read"), transaction);
    }
    let cx = SinkContext { job: "job".to_owned(), operator: "sink".to_owned() };
    let layout = Layout::new(Path::new("out"), &cx).expect("the names are short");
    if let Ok(prepared) = Prepared::decode(&committable, &layout) {
        assert!(!prepared.file.contains('/'), "{}", prepared.file);
        let again = Committable { bytes: prepared.encode(), ..committable };
        assert_eq!(Prepared::decode(&again, &layout).expect("what was written can be read"), prepared);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Payment {
    id: u64,
    card: String,
    amount: Option<f64>,
    note: Option<String>,
}

/// Reads `bytes` as single records in each format.
///
/// # Panics
/// If one that can be read cannot be read again when it is written.
pub fn records(bytes: &[u8]) {
    if let Ok(payment) = Decode::<Payment>::decode(&Json, bytes) {
        let again: Result<Payment, String> = Json.decode(&written(&Json, &payment));
        assert!(again.is_ok(), "{payment:?}: {again:?}");
    }
    bincode::<(u64, Vec<String>, bool)>(bytes);
    bincode::<Vec<Option<(u8, char)>>>(bytes);
}

fn bincode<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    if let Ok(value) = Decode::<T>::decode(&Bincode, bytes) {
        assert_eq!(written(&Bincode, &value), bytes, "{value:?}");
    }
}

fn written<T: Debug>(format: &impl Encode<T>, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    format.encode(value, &mut bytes).expect("what was read can be written");
    bytes
}

/// Reads `bytes` as a file of JSON lines and of CSV, at once and as it comes in pieces: that must not
/// matter.
///
/// # Panics
/// If it does, or if a record takes more bytes than there are.
pub fn rows(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let piece = 1 + usize::from(choice >> 2) % 11;
    pieces::<Payment, _>(&JsonRows, bytes, piece);
    let delimiter = b",;\t|"[usize::from(choice % 4)];
    pieces::<(String, Option<i64>, Option<f64>), _>(&CsvRows { delimiter, has_header: false }, bytes, piece);
}

fn pieces<T: Debug, R: Rows<T>>(rows: &R, bytes: &[u8], piece: usize) {
    let parser = || rows.parser(Path::new("no-file"), 64).expect("it reads no file");
    assert_eq!(parse(parser(), bytes, piece), parse(parser(), bytes, bytes.len().max(1)));
}

/// Where each row of `bytes` begins and what it is, with `piece` bytes more at a time.
fn parse<T: Debug>(mut parser: impl RowParser<T>, bytes: &[u8], piece: usize) -> Vec<(usize, String)> {
    let (mut start, mut end, mut at_end) = (0, 0, false);
    let mut rows = Vec::new();
    loop {
        let window = &bytes[start..end];
        let taken = match parser.row(window, at_end) {
            Row::More if at_end => {
                assert!(window.is_empty(), "the end of the file is no row");
                return rows;
            }
            Row::More => {
                at_end = end == bytes.len();
                end = bytes.len().min(end + piece);
                continue;
            }
            Row::Blank(taken) => taken,
            Row::Value(value, taken) => {
                rows.push((start, format!("{value:?}")));
                taken
            }
            Row::Rejected(reason, taken) => {
                rows.push((start, reason));
                taken
            }
        };
        assert!(0 < taken && taken <= window.len(), "a row of {taken} bytes");
        start += taken;
    }
}
