//! Writes JSON straight into a buffer.

use crate::value::Value;

pub(in super::super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(bool) => out.extend_from_slice(if *bool { b"true" } else { b"false" }),
        Value::Int(int) => integer(*int, out),
        Value::Time(ms) => time(*ms, out),
        Value::Text(text_) => text(text_, out),
        Value::Blob(bytes) => blob(bytes, out),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Map(members) => {
            let mut before = b'{';
            for (name, value) in members.iter().filter(|(_, value)| *value != Value::Null) {
                out.push(before);
                before = b',';
                text(name, out);
                out.push(b':');
                write(value, out);
            }
            if before == b'{' {
                out.push(b'{');
            }
            out.push(b'}');
        }
    }
}

fn integer(int: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
}

/// Seconds with three digits behind the point.
fn time(ms: i64, out: &mut Vec<u8>) {
    if ms < 0 {
        out.push(b'-');
    }
    let ms = ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(ms / 1000).as_bytes());
    let rest = ms % 1000;
    out.extend([b'.', b'0' + (rest / 100) as u8, b'0' + (rest / 10 % 10) as u8, b'0' + (rest % 10) as u8]);
}

/// Bytes in base64, in quotes.
pub(in super::super) fn blob(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    base64_simd::STANDARD.encode_append(bytes, out);
    out.push(b'"');
}

/// Text in quotes, with what JSON asks to be escaped.
pub(in super::super) fn text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            byte => {
                out.extend(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn written(value: &Value) -> String {
        let mut out = Vec::new();
        write(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_is_written() {
        let value = Value::Map(vec![
            ("A".into(), Value::Null),
            ("B".into(), Value::List(vec![Value::Int(i64::MIN), Value::Bool(true)])),
            ("C".into(), Value::Blob(Bytes::from("hello"))),
            ("D".into(), Value::Time(1_700_000_000_005)),
            ("E".into(), Value::Time(-1_500)),
            ("F".into(), Value::Map(vec![])),
        ]);
        assert_eq!(
            written(&value),
            r#"{"B":[-9223372036854775808,true],"C":"aGVsbG8=","D":1700000000.005,"E":-1.500,"F":{}}"#
        );
    }

    proptest! {
        #[test]
        fn text_comes_back(text in any::<String>()) {
            let json = written(&Value::Text(text.clone()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn times_come_back(ms in -10_000_000_000_000_i64..10_000_000_000_000) {
            let seconds: f64 = serde_json::from_str(&written(&Value::Time(ms))).unwrap();
            prop_assert_eq!((seconds * 1000.0).round() as i64, ms);
        }
    }
}
