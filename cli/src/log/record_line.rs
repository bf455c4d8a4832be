//! A record as a line: JSON with everything that is known of it, or its data alone.
//!
//! A partition key is one string whatever its bytes are: text as it is, all else escaped.

use std::borrow::Cow;
use std::io::Write;

use base64::prelude::{BASE64_STANDARD, Engine};
use pelton_streams::{Record, ShardId};
use serde::Serialize;

use crate::error::Result;

/// Data is text where it is UTF-8, else base64 under another name.
#[derive(Debug, Serialize)]
struct Line<'a> {
    shard: String,
    sequence: u64,
    arrival_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_time_ms: Option<i64>,
    partition_key: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct LineFlags {
    /// Write the data alone, as it is, with a line feed after each record
    #[arg(long)]
    data_only: bool,
}

impl LineFlags {
    /// Writes `record` of `shard`.
    pub fn write(self, shard: ShardId, record: &Record<'_>, out: &mut impl Write) -> Result {
        if self.data_only {
            out.write_all(record.data)?;
        } else {
            let (data, data_base64) = text_or_base64(record.data);
            let line = Line {
                shard: shard.to_string(),
                sequence: record.sequence.0,
                arrival_ms: record.arrival_ms,
                event_time_ms: record.event_time_ms,
                partition_key: escaped(record.partition_key),
                data,
                data_base64,
            };
            // A closed pipe is to be known as one.
            serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
        }
        out.write_all(b"\n")?;
        Ok(())
    }
}

/// `bytes` as text: what is not printable UTF-8 becomes `\xNN`, and a backslash two.
fn escaped(bytes: &[u8]) -> Cow<'_, str> {
    let is_plain = |c: char| c != '\\' && !c.is_control();
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(is_plain)
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::new();
    let hex =
        |bytes: &[u8], text: &mut String| bytes.iter().for_each(|byte| *text += &format!("\\x{byte:02x}"));
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if is_plain(c) => text.push(c),
                c => hex(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut text),
            }
        }
        hex(chunk.invalid(), &mut text);
    }
    Cow::Owned(text)
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use pelton_streams::SequenceNumber;

    use super::*;

    fn line(data_only: bool, data: &[u8]) -> String {
        let record = Record {
            sequence: SequenceNumber(7),
            arrival_ms: 5,
            event_time_ms: None,
            partition_key: b"card",
            data,
        };
        let mut out = Vec::new();
        LineFlags { data_only }.write(ShardId(2), &record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_partition_key_is_one_string_whatever_its_bytes() {
        for (key, text) in [
            (&b"card"[..], "card"),
            ("\u{e4}\u{1f600}".as_bytes(), "\u{e4}\u{1f600}"),
            (b"", ""),
            (b"a\\b", "a\\\\b"),
            (b"\0\x05", "\\x00\\x05"),
            (b"a\xffb\xe2\x82", "a\\xffb\\xe2\\x82"),
            ("a\u{85}".as_bytes(), "a\\xc2\\x85"),
        ] {
            assert_eq!(escaped(key), text);
        }
    }

    #[test]
    fn text_is_text_and_other_bytes_are_base64() {
        assert_eq!(
            line(false, br#"{"a":1}"#),
            "{\"shard\":\"shardId-000000000002\",\"sequence\":7,\"arrival_ms\":5,\"partition_key\":\"card\",\"data\":\"{\\\"a\\\":1}\"}\n"
        );
        assert!(line(false, &[0xff, 0x00]).contains("\"data_base64\":\"/wA=\""));
        assert_eq!(line(true, b"as it is"), "as it is\n");
    }
}
