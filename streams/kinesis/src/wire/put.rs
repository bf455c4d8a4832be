//! The short way of `PutRecords`: its records as pieces of the body, without a value of each in between. It
//! takes what SDKs send: bodies of known members, each once, that keep every constraint, with text that needs
//! no unescaping. Of all else it takes nothing; the long way through the model tells what is wrong, if
//! anything is. A test holds the two to each other.

use std::sync::LazyLock;

use bytes::Bytes;

use super::Encoding;
use super::scan::{self, Data, Scan};
use crate::model::{Kind, Model, Text};

/// The request, as pieces of its body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PutRecords<'a> {
    /// `StreamName`
    pub stream_name: Option<&'a str>,
    /// `StreamARN`
    pub stream_arn: Option<&'a str>,
    /// `Records`
    pub records: Vec<PutRecord<'a>>,
}

/// A record of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutRecord<'a> {
    /// `PartitionKey`
    pub key: &'a str,
    /// `ExplicitHashKey`
    pub hash_key: Option<&'a str>,
    /// `Data`
    pub data: Data<'a>,
}

/// Reads the request the short way; none if it has to go the long one.
#[must_use]
pub fn put_records(encoding: Encoding, body: &Bytes) -> Option<PutRecords<'_>> {
    match encoding {
        Encoding::Json => read(scan::json(body)),
        Encoding::Cbor => read(scan::cbor(body)),
    }
}

fn read<'a>(mut scan: impl Scan<'a>) -> Option<PutRecords<'a>> {
    let mut out = PutRecords::default();
    let mut found = None;
    scan.members(|scan, name| match name {
        b"StreamName" => once(&mut out.stream_name, scan.text()?),
        b"StreamARN" => once(&mut out.stream_arn, scan.text()?),
        b"Records" => once(&mut found, records(scan)?),
        _ => None,
    })?;
    out.records = found?;
    if scan.is_at_end() { out.done() } else { None }
}

fn records<'a>(scan: &mut impl Scan<'a>) -> Option<Vec<PutRecord<'a>>> {
    let mut records = Vec::new();
    scan.items(|scan| {
        if records.len() == RULES.most_records {
            return None;
        }
        let mut entry = Entry::default();
        scan.members(|scan, name| match name {
            b"Data" => once(&mut entry.data, scan.data()?),
            b"PartitionKey" => once(&mut entry.key, scan.text()?),
            b"ExplicitHashKey" => once(&mut entry.hash_key, scan.text()?),
            _ => None,
        })?;
        records.push(entry.done()?);
        Some(())
    })?;
    Some(records)
}

/// What the model asks of the members.
struct Rules {
    name: &'static Text,
    arn: &'static Text,
    most_records: usize,
    most_key: usize,
    most_data: usize,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let model = Model::kinesis();
    let kind = |name| &model.shape(model.find(name).expect("a shape of the model")).kind;
    let text = |name| if let Kind::Text(text) = kind(name) { text } else { panic!("{name} is text") };
    let most = |max: Option<i64>| max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let Kind::List { length: records, .. } = kind("PutRecordsRequestEntryList") else { panic!("a list") };
    let Kind::Blob { length: data } = kind("Data") else { panic!("a blob") };
    Rules {
        name: text("StreamName"),
        arn: text("StreamARN"),
        most_records: most(records.max),
        most_key: most(text("PartitionKey").length.max),
        most_data: most(data.max),
    }
});

/// A record whose members are still being found.
#[derive(Default)]
struct Entry<'a> {
    key: Option<&'a str>,
    hash_key: Option<&'a str>,
    data: Option<Data<'a>>,
}

impl<'a> Entry<'a> {
    /// The record, if it keeps the model's constraints.
    fn done(self) -> Option<PutRecord<'a>> {
        let (key, data) = (self.key?, self.data?);
        // Bytes are at least as many as the units of UTF-16 that are asked for.
        if key.is_empty() || key.len() > RULES.most_key {
            return None;
        }
        let len = match data {
            Data::Base64(text) if !text.len().is_multiple_of(4) => return None,
            Data::Base64(text) => text.len() / 4 * 3,
            Data::Plain(bytes) => bytes.len(),
        };
        if len > RULES.most_data || !self.hash_key.is_none_or(is_hash_key) {
            return None;
        }
        Some(PutRecord { key, hash_key: self.hash_key, data })
    }
}

impl<'a> PutRecords<'a> {
    /// The request, if it keeps the model's constraints.
    fn done(self) -> Option<Self> {
        let named = self.stream_name.is_none_or(|name| RULES.name.takes(name))
            && self.stream_arn.is_none_or(|arn| RULES.arn.takes(arn));
        let counted = (1..=RULES.most_records).contains(&self.records.len());
        (named && counted).then_some(self)
    }
}

/// Whether text is a number of at most 39 digits, as the pattern of `HashKey` has it.
fn is_hash_key(text: &str) -> bool {
    let digits = text.as_bytes();
    (1..=39).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && (digits[0] != b'0' || digits.len() == 1)
}

/// Puts a member in its place, once.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::Value;
    use crate::model::validate;

    fn short(body: &Json) -> bool {
        put_records(Encoding::Json, &Bytes::from(body.to_string())).is_some()
    }

    #[test]
    fn what_sdks_send_goes_the_short_way() {
        let body = Bytes::from(
            r#"{"StreamName": "s", "Records": [{"Data": "aGVsbG8=", "PartitionKey": "k"},
                {"PartitionKey": "ä", "ExplicitHashKey": "17", "Data": ""}]}"#,
        );
        let read = put_records(Encoding::Json, &body).unwrap();
        assert_eq!((read.stream_name, read.stream_arn), (Some("s"), None));
        let mut scratch = Vec::new();
        let first = read.records[0];
        assert_eq!(
            (first.key, first.hash_key, first.data.bytes(&mut scratch)),
            ("k", None, Some(&b"hello"[..]))
        );
        let second = read.records[1];
        assert_eq!(
            (second.key, second.hash_key, second.data.bytes(&mut scratch)),
            ("ä", Some("17"), Some(&b""[..]))
        );
    }

    #[test]
    fn what_breaks_a_constraint_goes_the_long_way() {
        let record = json!({"Data": "aGVsbG8=", "PartitionKey": "k"});
        assert!(short(&json!({"StreamName": "s", "Records": vec![&record; 500]})));
        assert!(short(&json!({"StreamARN": "arn:aws:kinesis:r:123456789012:stream/s", "Records": [record]})));
        for body in [
            json!({"StreamName": "s", "Records": vec![&record; 501]}),
            json!({"StreamName": "s", "Records": []}),
            json!({"StreamName": "s"}),
            json!({"StreamName": "a b", "Records": [record]}),
            json!({"StreamName": "", "Records": [record]}),
            json!({"StreamARN": "arn", "Records": [record]}),
            json!({"StreamName": "s", "StreamId": "abcdefghij0123456789-xyz", "Records": [record]}),
            json!({"StreamName": "s", "Records": [record, {"Data": "", "PartitionKey": ""}]}),
            json!({"StreamName": "s", "Records": [record, {"Data": "", "PartitionKey": "k".repeat(257)}]}),
            json!({"StreamName": "s", "Records": [record, {"Data": "abc", "PartitionKey": "k"}]}),
            json!({"StreamName": "s", "Records": [record, {"PartitionKey": "k"}]}),
            json!({"StreamName": "s", "Records": [record, {"Data": "", "PartitionKey": "k\n"}]}),
            json!({"StreamName": "s", "Records": [record, {"Data": "", "PartitionKey": "k", "ExplicitHashKey": "01"}]}),
            json!({"StreamName": "s", "Records": [record, {"Data": null, "PartitionKey": "k"}]}),
            json!([]),
        ] {
            assert!(!short(&body), "{body}");
        }
    }

    /// Members in any order, a few of them wrong or odd, and bytes of the whole changed.
    fn bodies() -> impl Strategy<Value = (Value, Vec<(usize, u8)>)> {
        let key = prop_oneof![Just("k".to_owned()), Just(String::new()), "\\PC{1,4}"];
        let hash = prop_oneof![Just(Value::Null), "[0-9]{1,40}".prop_map(Value::Text)];
        let data = prop::collection::vec(any::<u8>(), 0..9).prop_map(|data| Value::Blob(data.into()));
        let record = (key, hash, data, any::<bool>()).prop_map(|(key, hash, data, turn)| {
            let mut members = vec![
                ("Data".into(), data),
                ("PartitionKey".into(), Value::Text(key)),
                ("ExplicitHashKey".into(), hash),
            ];
            if turn {
                members.reverse();
            }
            Value::Map(members)
        });
        let records = prop::collection::vec(record, 0..4).prop_map(Value::List);
        let name =
            prop_oneof![Just("s"), Just("a b"), Just("")].prop_map(|name| Value::Text(name.to_owned()));
        let changes = prop::collection::vec((any::<usize>(), any::<u8>()), 0..2);
        ((name, records), changes).prop_map(|((name, records), changes)| {
            (Value::Map(vec![("StreamName".into(), name), ("Records".into(), records)]), changes)
        })
    }

    /// What the long way says of a body: nothing if it refuses it.
    fn long(encoding: Encoding, body: &Bytes) -> Option<Value> {
        let model = Model::kinesis();
        let operation = model.operation("PutRecords").unwrap();
        let value = encoding.read(model, operation, body).ok()?;
        validate(model, operation.input, &value).ok()?;
        Some(value)
    }

    /// What the short way says of a body, as the value that the long way makes.
    fn as_value(read: &PutRecords<'_>) -> Option<Value> {
        let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
        let mut scratch = Vec::new();
        let mut records = Vec::new();
        for record in &read.records {
            let data = Bytes::copy_from_slice(record.data.bytes(&mut scratch)?);
            records.push(Value::Map(vec![
                ("Data".into(), Value::Blob(data)),
                ("ExplicitHashKey".into(), text(record.hash_key)),
                ("PartitionKey".into(), text(Some(record.key))),
            ]));
        }
        Some(sorted(Value::Map(vec![
            ("StreamName".into(), text(read.stream_name)),
            ("StreamARN".into(), text(read.stream_arn)),
            ("Records".into(), Value::List(records)),
        ])))
    }

    /// Members that are there, in the order of their names.
    fn sorted(value: Value) -> Value {
        match value {
            Value::Map(mut members) => {
                members.retain(|(_, value)| *value != Value::Null);
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                Value::Map(members.into_iter().map(|(name, value)| (name, sorted(value))).collect())
            }
            Value::List(items) => Value::List(items.into_iter().map(sorted).collect()),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn the_short_way_says_what_the_long_way_says((value, changes) in bodies()) {
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let mut body = Vec::new();
                encoding.write(&value, &mut body);
                for (at, byte) in &changes {
                    let at = at % body.len();
                    body[at] = *byte;
                }
                let body = Bytes::from(body);
                let read = put_records(encoding, &body);
                if let Some(short) = read.as_ref().and_then(as_value) {
                    let long = long(encoding, &body).map(sorted);
                    prop_assert_eq!(long, Some(short), "{:?}", body);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_left(body in any::<Vec<u8>>()) {
            let body = Bytes::from(body);
            let _ = (put_records(Encoding::Json, &body), put_records(Encoding::Cbor, &body));
        }
    }
}
