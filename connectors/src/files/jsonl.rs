//! JSON lines: a record is a line.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::rows::{Row, RowParser, Rows};
use crate::error::Result;
use crate::format::{Decode, Json};

/// The format of JSON lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonRows;

impl<T: DeserializeOwned> Rows<T> for JsonRows {
    type Parser = Self;

    fn parser(&self, _path: &Path, _max_row_bytes: usize) -> Result<Self> {
        Ok(*self)
    }

    fn name(&self) -> &'static str {
        "JSON lines"
    }
}

/// Some programs begin every text file with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<T: DeserializeOwned> RowParser<T> for JsonRows {
    #[inline]
    fn row(&mut self, bytes: &[u8], at_end: bool) -> Row<T> {
        let (line, taken) = match memchr::memchr(b'\n', bytes) {
            Some(end) => (&bytes[..end], end + 1),
            None if at_end && !bytes.is_empty() => (bytes, bytes.len()),
            None => return Row::More,
        };
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        if line.first().is_none_or(u8::is_ascii_whitespace) && line.trim_ascii().is_empty() {
            return Row::Blank(taken);
        }
        match Json.decode(line) {
            Ok(value) => Row::Value(value, taken),
            Err(reason) => Row::Rejected(reason, taken),
        }
    }

    fn unended(&self, limit: usize) -> String {
        format!("it does not end within {limit} bytes")
    }
}
