//! Reads CBOR by the model's shapes, in one pass. Byte strings of a known length are slices of the body.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;

use super::super::scalar::{LIST_HERE, MAP_HERE, Scalar, under};
use super::super::{MOST_ITEMS, Refusal};
use super::{
    ARRAY, BREAK, BYTES, FALSE, MAP, NEGATIVE, NULL, SIMPLE, TAG, TEXT, TIME_TAG, TRUE, UNDEFINED, UNSIGNED,
};
use crate::model::{Kind, Model, Shape, Structure};
use crate::value::{Name, Value};

/// How deep what no shape asks for may go.
const MOST_LEVELS: u32 = 64;

/// It is not CBOR: nothing is said of it.
const MALFORMED: Refusal = None;

type Read<T> = Result<T, Refusal>;

pub(in super::super) fn read(model: &'static Model, shape: &'static Shape, body: &Bytes) -> Read<Value> {
    let mut reader = Reader { model, body, at: 0 };
    let value = reader.value(shape)?;
    if reader.at == body.len() { Ok(value) } else { Err(MALFORMED) }
}

struct Reader<'a> {
    model: &'static Model,
    body: &'a Bytes,
    at: usize,
}

/// The beginning of an item: its major type, its low bits, and its argument unless it has no length.
struct Head {
    major: u8,
    info: u8,
    argument: Option<u64>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: u64) -> Read<&'a [u8]> {
        let len = usize::try_from(len).map_err(|_| MALFORMED)?;
        let piece = self.body[self.at..].get(..len).ok_or(MALFORMED)?;
        self.at += len;
        Ok(piece)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N as u64)?.try_into().map_err(|_| MALFORMED)
    }

    fn head(&mut self) -> Read<Head> {
        let [byte] = self.array()?;
        let (major, info) = (byte >> 5, byte & 31);
        let argument = match info {
            0..24 => Some(info.into()),
            24 => Some(self.array::<1>()?[0].into()),
            25 => Some(u16::from_be_bytes(self.array()?).into()),
            26 => Some(u32::from_be_bytes(self.array()?).into()),
            27 => Some(u64::from_be_bytes(self.array()?)),
            31 if matches!(major, BYTES | TEXT | ARRAY | MAP) => None,
            _ => return Err(MALFORMED),
        };
        Ok(Head { major, info, argument })
    }

    /// Takes the end of what has no length, if it is there.
    fn breaks(&mut self) -> bool {
        let there = self.body.get(self.at) == Some(&BREAK);
        self.at += usize::from(there);
        there
    }

    /// Whether another item of an array or map follows; `left` is how many, where that is known.
    fn another(&mut self, left: &mut Option<u64>) -> bool {
        match left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => !self.breaks(),
        }
    }

    fn value(&mut self, shape: &'static Shape) -> Read<Value> {
        let mut head = self.head()?;
        let mut is_time = false;
        while head.major == TAG {
            is_time |= head.argument == Some(TIME_TAG.into());
            head = self.head()?;
        }
        match head.major {
            ARRAY => self.list(shape, head.argument),
            MAP => match &shape.kind {
                Kind::Structure(of) => self.structure(of, head.argument),
                Kind::Map { value, .. } => self.map(self.model.shape(*value), head.argument),
                _ => Err(Some(MAP_HERE.to_owned())),
            },
            _ => match self.scalar(&head)? {
                None => Ok(Value::Null),
                // AWS's CBOR counts whole milliseconds, whether there is a tag or not.
                Some(Scalar::Int(ms)) if matches!(shape.kind, Kind::Timestamp) => Ok(Value::Time(ms)),
                Some(_) if is_time && !matches!(shape.kind, Kind::Timestamp) => Err(MALFORMED),
                Some(scalar) => under(&shape.kind, scalar).map_err(Some),
            },
        }
    }

    fn scalar(&mut self, head: &Head) -> Read<Option<Scalar<'a>>> {
        let cut = |argument: Option<u64>| i64::try_from(argument.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
        Ok(Some(match head.major {
            UNSIGNED => Scalar::Int(cut(head.argument)),
            NEGATIVE => Scalar::Int(!cut(head.argument)),
            BYTES => Scalar::Bytes(self.bytes(head)?),
            TEXT => return self.text(head).map(Some),
            SIMPLE => match head.info {
                FALSE => Scalar::Bool(false),
                TRUE => Scalar::Bool(true),
                NULL | UNDEFINED => return Ok(None),
                25 => Scalar::Float(half(head.argument.unwrap_or(0) as u16)),
                26 => Scalar::Float(f32::from_bits(head.argument.unwrap_or(0) as u32).into()),
                27 => Scalar::Float(f64::from_bits(head.argument.unwrap_or(0))),
                _ => return Err(MALFORMED),
            },
            _ => return Err(MALFORMED),
        }))
    }

    fn bytes(&mut self, head: &Head) -> Read<Bytes> {
        Ok(match self.string(head)? {
            Cow::Borrowed(piece) => self.body.slice_ref(piece),
            Cow::Owned(joined) => joined.into(),
        })
    }

    fn text(&mut self, head: &Head) -> Read<Scalar<'a>> {
        match self.string(head)? {
            Cow::Borrowed(piece) => Ok(Scalar::Text(std::str::from_utf8(piece).map_err(|_| MALFORMED)?)),
            Cow::Owned(joined) => Ok(Scalar::Joined(String::from_utf8(joined).map_err(|_| MALFORMED)?)),
        }
    }

    /// A string of bytes or text: a piece of the body, or pieces joined.
    fn string(&mut self, head: &Head) -> Read<Cow<'a, [u8]>> {
        if let Some(len) = head.argument {
            return self.take(len).map(Cow::Borrowed);
        }
        let mut joined = Vec::new();
        while !self.breaks() {
            let piece = self.head()?;
            let len = piece.argument.filter(|_| piece.major == head.major).ok_or(MALFORMED)?;
            joined.extend_from_slice(self.take(len)?);
        }
        Ok(Cow::Owned(joined))
    }

    fn list(&mut self, shape: &'static Shape, mut left: Option<u64>) -> Read<Value> {
        let Kind::List { member, .. } = &shape.kind else { return Err(Some(LIST_HERE.to_owned())) };
        let member = self.model.shape(*member);
        let mut items = Vec::new();
        while self.another(&mut left) {
            if items.len() == MOST_ITEMS {
                return Err(MALFORMED);
            }
            items.push(self.value(member)?);
        }
        Ok(Value::List(items))
    }

    fn key(&mut self) -> Read<Cow<'a, str>> {
        let head = self.head()?;
        if head.major != TEXT {
            return Err(MALFORMED);
        }
        match self.text(&head)? {
            Scalar::Text(text) => Ok(Cow::Borrowed(text)),
            Scalar::Joined(text) => Ok(Cow::Owned(text)),
            _ => Err(MALFORMED),
        }
    }

    fn structure(&mut self, of: &'static Structure, mut left: Option<u64>) -> Read<Value> {
        let mut members: Vec<(Name, Value)> = Vec::with_capacity(of.members.len());
        while self.another(&mut left) {
            let name = self.key()?;
            let Some(member) = of.member(&name) else {
                self.skip(MOST_LEVELS)?;
                continue;
            };
            let value = self.value(self.model.shape(member.shape))?;
            match members.iter_mut().find(|(known, _)| known == member.name) {
                Some((_, earlier)) => *earlier = value,
                None => members.push((member.name.into(), value)),
            }
        }
        Ok(Value::Map(members))
    }

    fn map(&mut self, shape: &'static Shape, mut left: Option<u64>) -> Read<Value> {
        let mut entries: Vec<(Name, Value)> = Vec::new();
        let mut places: HashMap<Name, usize> = HashMap::new();
        while self.another(&mut left) {
            let key: Name = self.key()?.into_owned().into();
            let value = self.value(shape)?;
            match places.get(&key) {
                Some(&place) => entries[place].1 = value,
                None if entries.len() == MOST_ITEMS => return Err(MALFORMED),
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push((key, value));
                }
            }
        }
        Ok(Value::Map(entries))
    }

    /// Passes over an item.
    fn skip(&mut self, levels: u32) -> Read<()> {
        let levels = levels.checked_sub(1).ok_or(MALFORMED)?;
        let mut head = self.head()?;
        while head.major == TAG {
            head = self.head()?;
        }
        match head.major {
            ARRAY | MAP => {
                let mut left = head.argument;
                while self.another(&mut left) {
                    self.skip(levels)?;
                    if head.major == MAP {
                        self.skip(levels)?;
                    }
                }
                Ok(())
            }
            _ => self.scalar(&head).map(drop),
        }
    }
}

/// A number of 16 bits (RFC 8949, appendix D).
fn half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    let value = match exponent {
        0 => mantissa * f64::powi(2.0, -24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * f64::powi(2.0, exponent - 25),
    };
    if bits >> 15 == 0 { value } else { -value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::bad_input::good_body;
    use crate::wire::Encoding;
    use crate::{Error, ErrorCode};

    fn read_as(operation: &str, body: &[u8]) -> Result<Value, Error> {
        let model = Model::kinesis();
        Encoding::Cbor.read(model, model.operation(operation).unwrap(), &Bytes::copy_from_slice(body))
    }

    /// Bytes as RFC 8949 writes them down: hexadecimal, with what is quoted as it is.
    fn bytes(script: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, part) in script.split('"').enumerate() {
            if index % 2 == 1 {
                out.extend_from_slice(part.as_bytes());
                continue;
            }
            let digits: Vec<u8> = part.bytes().filter(u8::is_ascii_hexdigit).collect();
            for pair in digits.chunks(2) {
                out.push(u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            }
        }
        out
    }

    #[test]
    fn bodies_of_the_sdk_for_java_are_read() {
        // As Jackson writes them: structures without a length.
        let body = bytes(
            r#"bf 6a "StreamName" 61 "s" 67 "Records" 9f bf 64 "Data" 45 "hello"
            6c "PartitionKey" 61 "k" ff ff ff"#,
        );
        let value = read_as("PutRecords", &body).unwrap();
        let record = Value::Map(vec![
            ("Data".into(), Value::Blob(Bytes::from("hello"))),
            ("PartitionKey".into(), Value::Text("k".to_owned())),
        ]);
        assert_eq!(value.get("Records"), Some(&Value::List(vec![record])));
        let body = bytes(r#"bf 69 "Timestamp" c1 1b 0000018bcfe568ff ff"#);
        let value = read_as("GetShardIterator", &body).unwrap();
        assert_eq!(value.get("Timestamp"), Some(&Value::Time(0x018b_cfe5_68ff)));
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        let limit = |script: &str| {
            let body = bytes(&format!(r#"a1 65 "Limit" {script}"#));
            read_as("GetRecords", &body).map(|value| value.get("Limit").cloned())
        };
        for (script, value) in [
            ("17", 23),
            ("18 64", 100),
            ("19 03e8", 1000),
            ("1a 000f4240", 1_000_000),
            ("1b ffffffffffffffff", i64::from(i32::MAX)),
            ("20", -1),
            ("39 03e7", -1000),
            ("3b ffffffffffffffff", i64::from(i32::MIN)),
            ("f9 4500", 5),
            ("fa 47c35000", 100_000),
            ("fb 40091eb851eb851f", 3),
        ] {
            assert_eq!(limit(script), Ok(Some(Value::Int(value))), "{script}");
        }
        assert_eq!(limit("f6"), Ok(None));
        assert_eq!(limit("f7"), Ok(None));
        let refused = limit("f5").unwrap_err();
        assert_eq!(refused.message(), "class java.lang.Boolean can not be converted to an Integer");
        let refused = limit("41 00").unwrap_err();
        assert_eq!(refused.message(), "class java.nio.HeapByteBuffer can not be converted to an Integer");

        // Text and bytes in pieces; a blob as base64, as in JSON.
        let body = bytes(
            r#"a3 6a "StreamName" 7f 61 "a" 62 "bc" ff 64 "Data" 5f 42 0102 41 03 ff
            67 "Unknown" 82 c1 01 a1 01 f4"#,
        );
        let value = read_as("PutRecord", &body).unwrap();
        assert_eq!(value.get("StreamName"), Some(&Value::Text("abc".to_owned())));
        assert_eq!(value.get("Data"), Some(&Value::Blob(Bytes::from_static(&[1, 2, 3]))));
        let value = read_as("PutRecord", &bytes(r#"a1 64 "Data" 64 "AAEC""#)).unwrap();
        assert_eq!(value.get("Data"), Some(&Value::Blob(Bytes::from_static(&[0, 1, 2]))));
    }

    #[test]
    fn what_is_not_cbor_is_refused_without_a_word() {
        let deep = format!(r#"a1 67 "Unknown" {}"#, "81".repeat(100_000));
        for script in [
            "",
            "a1",
            "a0 00",
            "ff",
            "f6",
            "a1 01 02",
            r#"a1 6a "StreamName" 61 ff"#,
            r#"a1 6a "StreamName" 7f 41 00 ff"#,
            r#"a1 6a "StreamName" 7f 7f 61 "a" ff ff"#,
            r#"a1 6a "StreamName" 7b ffffffffffffffff 00"#,
            r#"a1 67 "TagKeys" 9b ffffffffffffffff 60"#,
            r#"a1 65 "Limit" 1c"#,
            r#"a1 65 "Limit" 1f"#,
            &deep,
        ] {
            let error = read_as("RemoveTagsFromStream", &bytes(script))
                .or_else(|_| read_as("GetRecords", &bytes(script)));
            assert_eq!(error, Err(Error::new(ErrorCode::Serialization, "")), "{script}");
        }
        let many = bytes(&format!(r#"a1 67 "TagKeys" 9f {} ff"#, "60".repeat(20_000)));
        assert_eq!(read_as("RemoveTagsFromStream", &many), Err(Error::new(ErrorCode::Serialization, "")));
    }

    #[test]
    fn half_numbers_are_those_of_the_rfc() {
        // RFC 8949, appendix A.
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0x3e00, 1.5),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x0400, 0.000_061_035_156_25),
            (0xc400, -4.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    /// What JSON says and what CBOR says of the same body is the same.
    #[test]
    fn both_encodings_come_back() {
        let model = Model::kinesis();
        for operation in model.operations() {
            let json = Bytes::from(good_body(model, operation.input).to_string());
            let value = Encoding::Json.read(model, operation, &json).unwrap();
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let mut body = Vec::new();
                encoding.write(&value, &mut body);
                let again = encoding.read(model, operation, &Bytes::from(body));
                assert_eq!(again.as_ref(), Ok(&value), "{} as {encoding:?}", operation.name);
            }
        }
    }

    proptest! {
        /// Whatever a body is: it is read or refused. What is read comes back.
        #[test]
        fn any_bytes_are_read_or_refused(body in any::<Vec<u8>>(), at in any::<prop::sample::Index>()) {
            for operation in Model::kinesis().operations() {
                let bytes = Bytes::copy_from_slice(&body);
                crate::wire::fuzzing::body(operation, Encoding::Json, &bytes);
                crate::wire::fuzzing::body(operation, Encoding::Cbor, &bytes);
            }
            // A good body with a piece of it replaced.
            let model = Model::kinesis();
            let operation = at.get(model.operations());
            let json = Bytes::from(good_body(model, operation.input).to_string());
            let value = Encoding::Json.read(model, operation, &json).unwrap();
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let mut good = Vec::new();
                encoding.write(&value, &mut good);
                let place = at.index(good.len());
                let end = (place + body.len().min(3)).min(good.len());
                good.splice(place..end, body.iter().copied());
                crate::wire::fuzzing::body(operation, encoding, &Bytes::from(good));
            }
        }
    }
}
