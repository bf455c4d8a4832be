//! Writes CBOR straight into a buffer, with lengths in front.

use super::{ARRAY, BYTES, FALSE, MAP, NEGATIVE, NULL, SIMPLE, TAG, TEXT, TIME_TAG, TRUE, UNSIGNED};
use crate::value::Value;

pub(in super::super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(SIMPLE << 5 | NULL),
        Value::Bool(bool) => out.push(SIMPLE << 5 | if *bool { TRUE } else { FALSE }),
        Value::Int(int) => integer(*int, out),
        Value::Time(ms) => {
            out.push(TAG << 5 | TIME_TAG);
            integer(*ms, out);
        }
        Value::Text(text) => string(TEXT, text.as_bytes(), out),
        Value::Blob(bytes) => string(BYTES, bytes, out),
        Value::List(items) => {
            head(ARRAY, items.len() as u64, out);
            items.iter().for_each(|item| write(item, out));
        }
        Value::Map(members) => {
            let there = || members.iter().filter(|(_, value)| *value != Value::Null);
            head(MAP, there().count() as u64, out);
            for (name, value) in there() {
                string(TEXT, name.as_bytes(), out);
                write(value, out);
            }
        }
    }
}

/// Text or bytes.
pub(in super::super) fn string(major: u8, bytes: &[u8], out: &mut Vec<u8>) {
    head(major, bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn integer(int: i64, out: &mut Vec<u8>) {
    match u64::try_from(int) {
        Ok(int) => head(UNSIGNED, int, out),
        // -1 - n, which is the complement.
        Err(_) => head(NEGATIVE, !int as u64, out),
    }
}

/// The beginning of an item: its major type and its argument.
pub(in super::super) fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    if let Ok(byte) = u8::try_from(argument) {
        if byte < 24 { out.push(major | byte) } else { out.extend([major | 24, byte]) }
    } else if let Ok(short) = u16::try_from(argument) {
        out.push(major | 25);
        out.extend(short.to_be_bytes());
    } else if let Ok(word) = u32::try_from(argument) {
        out.push(major | 26);
        out.extend(word.to_be_bytes());
    } else {
        out.push(major | 27);
        out.extend(argument.to_be_bytes());
    }
}
