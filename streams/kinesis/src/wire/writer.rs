//! Writes a body piece by piece, in either encoding: what has many records goes straight from where it lies
//! into the body.

use super::{Encoding, cbor, json};
use crate::value::Value;

/// Writes into a buffer. CBOR says in front how many members a structure has, and how many items a list;
/// the caller has to write as many.
#[derive(Debug)]
pub struct Writer<'a> {
    encoding: Encoding,
    out: &'a mut Vec<u8>,
    /// Whether something stands before, in the structure or list that is open: JSON puts a comma between.
    follows: bool,
}

impl<'a> Writer<'a> {
    /// Writes behind what is in `out`.
    pub fn new(encoding: Encoding, out: &'a mut Vec<u8>) -> Self {
        Self { encoding, out, follows: false }
    }

    /// Goes on within a structure or list that another writer has begun; `follows` says whether something of it
    /// stands before.
    pub fn after(encoding: Encoding, out: &'a mut Vec<u8>, follows: bool) -> Self {
        Self { encoding, out, follows }
    }

    /// Makes room for so many bytes more of blobs, and `around` beside them.
    pub fn reserve(&mut self, blobs: usize, around: usize) {
        let blobs = match self.encoding {
            Encoding::Json => blobs.div_ceil(3) * 4,
            Encoding::Cbor => blobs,
        };
        self.out.reserve(blobs + around);
    }

    /// Begins a structure of so many members.
    pub fn begin_structure(&mut self, members: usize) {
        self.begin(b'{', cbor::MAP, members);
    }

    /// Ends it.
    pub fn end_structure(&mut self) {
        self.end(b'}');
    }

    /// Begins a list of so many items. Before each of them, [`item`](Self::item) is called.
    pub fn begin_list(&mut self, items: usize) {
        self.begin(b'[', cbor::ARRAY, items);
    }

    /// Ends it.
    pub fn end_list(&mut self) {
        self.end(b']');
    }

    fn begin(&mut self, bracket: u8, major: u8, count: usize) {
        match self.encoding {
            Encoding::Json => self.out.push(bracket),
            Encoding::Cbor => cbor::head(major, count as u64, self.out),
        }
        self.follows = false;
    }

    fn end(&mut self, bracket: u8) {
        if self.encoding == Encoding::Json {
            self.out.push(bracket);
        }
        self.follows = true;
    }

    /// Goes on to the next item of a list.
    pub fn item(&mut self) {
        if self.follows && self.encoding == Encoding::Json {
            self.out.push(b',');
        }
    }

    /// Goes on to the next member of a structure: its name, which needs no escapes.
    pub fn member(&mut self, name: &str) -> &mut Self {
        self.item();
        self.plain(name.as_bytes());
        if self.encoding == Encoding::Json {
            self.out.push(b':');
        }
        self
    }

    /// Text of ASCII that needs no escapes.
    pub fn plain(&mut self, text: &[u8]) {
        debug_assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')));
        match self.encoding {
            Encoding::Json => {
                self.out.push(b'"');
                self.out.extend_from_slice(text);
                self.out.push(b'"');
            }
            Encoding::Cbor => cbor::string(cbor::TEXT, text, self.out),
        }
        self.follows = true;
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        match self.encoding {
            Encoding::Json => json::text(text, self.out),
            Encoding::Cbor => cbor::string(cbor::TEXT, text.as_bytes(), self.out),
        }
        self.follows = true;
    }

    /// Bytes.
    pub fn blob(&mut self, bytes: &[u8]) {
        match self.encoding {
            Encoding::Json => json::blob(bytes, self.out),
            Encoding::Cbor => cbor::string(cbor::BYTES, bytes, self.out),
        }
        self.follows = true;
    }

    /// What is there as a value.
    pub fn value(&mut self, value: &Value) {
        self.encoding.write(value, self.out);
        self.follows = true;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn it_writes_what_a_value_writes() {
        let record = Value::Map(vec![
            ("Data".into(), Value::Blob(Bytes::from("hello"))),
            ("PartitionKey".into(), Value::Text("a\"ä".to_owned())),
        ]);
        let value = Value::Map(vec![
            ("Name".into(), Value::Text("plain".to_owned())),
            ("Empty".into(), Value::List(vec![])),
            ("Records".into(), Value::List(vec![record.clone(), record])),
            ("None".into(), Value::Map(vec![])),
            ("Count".into(), Value::Int(7)),
        ]);
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let mut expected = b"before".to_vec();
            encoding.write(&value, &mut expected);
            let mut out = b"before".to_vec();
            let mut writer = Writer::new(encoding, &mut out);
            writer.begin_structure(5);
            writer.member("Name").plain(b"plain");
            writer.member("Empty").begin_list(0);
            writer.end_list();
            writer.member("Records").begin_list(2);
            for _ in 0..2 {
                writer.item();
                writer.begin_structure(2);
                writer.member("Data").blob(b"hello");
                writer.member("PartitionKey").text("a\"ä");
                writer.end_structure();
            }
            writer.end_list();
            writer.member("None").begin_structure(0);
            writer.end_structure();
            writer.member("Count").value(&Value::Int(7));
            writer.end_structure();
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        }
    }
}
