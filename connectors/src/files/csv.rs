//! Comma-separated values: a record is a line, or several where a field in quotes holds line breaks.
//!
//! `csv-core` finds fields and the record's end, the `csv` crate's serde support makes the value.

use std::path::Path;

use csv::ByteRecord;
use csv_core::{ReadRecordResult, ReaderBuilder};
use serde::de::DeserializeOwned;

use super::rows::{Row, RowParser, Rows};
use super::window::Window;
use crate::error::{Error, Result};

/// Most fields of a record: what spreadsheets have as columns.
const MAX_FIELDS: usize = 16_384;

/// The format of comma-separated values (RFC 4180).
#[derive(Clone, Copy, Debug)]
pub struct CsvRows {
    pub(crate) delimiter: u8,
    pub(crate) has_header: bool,
}

impl Default for CsvRows {
    fn default() -> Self {
        Self { delimiter: b',', has_header: true }
    }
}

impl<T: DeserializeOwned> Rows<T> for CsvRows {
    type Parser = CsvParser;

    fn parser(&self, path: &Path, max_row_bytes: usize) -> Result<CsvParser> {
        let mut parser = CsvParser::new(*self);
        if self.has_header {
            parser.read_header(path, max_row_bytes)?;
        }
        Ok(parser)
    }

    fn name(&self) -> &'static str {
        "CSV"
    }
}

/// Reads the records of one CSV file.
pub struct CsvParser {
    core: csv_core::Reader,
    header: Option<ByteRecord>,
    /// Bytes and lines up to the end of the header.
    preamble: (u64, u64),
    /// The fields of the record at hand, without quotes, and where each ends.
    fields: Vec<u8>,
    ends: Vec<usize>,
    record: ByteRecord,
}

/// What the bytes begin with.
enum Found {
    /// A record of this many bytes, now in `record`.
    Record(usize),
    /// A record that does not end with them.
    Open,
    TooManyFields,
}

impl CsvParser {
    fn new(format: CsvRows) -> Self {
        let core = ReaderBuilder::new().delimiter(format.delimiter).build();
        Self {
            core,
            header: None,
            preamble: (0, 0),
            fields: vec![0; 1024],
            ends: vec![0; 64],
            record: ByteRecord::new(),
        }
    }

    fn read_header(&mut self, path: &Path, max_row_bytes: usize) -> Result<()> {
        let wrong = |reason: String| Error::Header { path: path.to_owned(), reason };
        let mut window = Window::open(path, 0, None)?;
        loop {
            let blank = leading_breaks(window.bytes());
            match self.find(&window.bytes()[blank..], window.at_end()) {
                Found::Record(length) => {
                    if std::str::from_utf8(self.record.as_slice()).is_err() {
                        return Err(wrong("it is not UTF-8".to_owned()));
                    }
                    let taken = &window.bytes()[..blank + length];
                    self.preamble = (taken.len() as u64, memchr::memchr_iter(b'\n', taken).count() as u64);
                    self.header = Some(std::mem::take(&mut self.record));
                    return Ok(());
                }
                Found::TooManyFields => return Err(wrong(format!("it has more than {MAX_FIELDS} fields"))),
                // A file without a line has no records either.
                Found::Open if window.at_end() && window.bytes().len() == blank => return Ok(()),
                Found::Open if window.at_end() => return Err(wrong("a quote is not closed".to_owned())),
                Found::Open if window.bytes().len() > max_row_bytes => {
                    return Err(wrong(format!("it does not end within {max_row_bytes} bytes")));
                }
                Found::Open => {
                    window.fill()?;
                }
            }
        }
    }

    /// Reads the record that begins `bytes` into `record`.
    fn find(&mut self, bytes: &[u8], at_end: bool) -> Found {
        self.core.reset();
        let (mut taken, mut written, mut ended) = (0, 0, 0);
        // A line break more at the end of the file ends the record, unless a quote is open there.
        let mut chunks = [bytes, if at_end { b"\n" } else { b"" }].into_iter();
        let mut input = chunks.next().unwrap_or_default();
        loop {
            let (result, read, wrote, ends) =
                self.core.read_record(input, &mut self.fields[written..], &mut self.ends[ended..]);
            (taken, written, ended) = (taken + read, written + wrote, ended + ends);
            input = &input[read..];
            match result {
                ReadRecordResult::InputEmpty => match chunks.next() {
                    Some(more) if !more.is_empty() => input = more,
                    _ => return Found::Open,
                },
                ReadRecordResult::OutputFull => self.fields.resize(2 * self.fields.len(), 0),
                ReadRecordResult::OutputEndsFull if ended >= MAX_FIELDS => return Found::TooManyFields,
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => break,
                // Said only of empty input, which is never given.
                ReadRecordResult::End => return Found::Open,
            }
        }
        self.record.clear();
        let mut start = 0;
        for &end in &self.ends[..ended] {
            self.record.push_field(&self.fields[start..end]);
            start = end;
        }
        Found::Record(taken.min(bytes.len()))
    }

    fn value<T: DeserializeOwned>(&self) -> Result<T, String> {
        if let Some(header) = &self.header
            && header.len() != self.record.len()
        {
            return Err(format!("it has {} fields, the header has {}", self.record.len(), header.len()));
        }
        self.record.deserialize(self.header.as_ref()).map_err(|error| error.to_string())
    }
}

impl<T: DeserializeOwned> RowParser<T> for CsvParser {
    fn preamble(&self) -> (u64, u64) {
        self.preamble
    }

    fn row(&mut self, bytes: &[u8], at_end: bool) -> Row<T> {
        let breaks = leading_breaks(bytes);
        if breaks > 0 {
            return Row::Blank(breaks);
        }
        if bytes.is_empty() {
            return Row::More;
        }
        match self.find(bytes, at_end) {
            Found::Record(length) => match self.value() {
                Ok(value) => Row::Value(value, length),
                Err(reason) => Row::Rejected(reason, length),
            },
            // It costs its first line, not all others.
            Found::Open if at_end => {
                Row::Rejected("a quote opened in this line is not closed".to_owned(), first_line(bytes))
            }
            Found::Open => Row::More,
            Found::TooManyFields => {
                Row::Rejected(format!("it has more than {MAX_FIELDS} fields"), first_line(bytes))
            }
        }
    }

    fn unended(&self, limit: usize) -> String {
        format!("a quote opened in this line is not closed within {limit} bytes")
    }
}

fn leading_breaks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count()
}

/// The length of the first line with its break.
fn first_line(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}
