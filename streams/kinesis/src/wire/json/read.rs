//! Reads JSON by the model's shapes, in one pass: what no shape asks for is passed over, and what is of
//! another type than its shape's is refused where it stands.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::scalar::{LIST_HERE, MAP_HERE, Scalar, under};
use super::super::{MOST_ITEMS, Refusal};
use crate::model::{Kind, Model, Shape, Structure};
use crate::value::{Name, Value};

pub(in super::super) fn read(
    model: &'static Model,
    shape: &'static Shape,
    body: &[u8],
) -> Result<Value, Refusal> {
    let refusal = RefCell::new(None);
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = Under { model, shape, refusal: &refusal }.deserialize(&mut json);
    match value.and_then(|value| json.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(_) => Err(refusal.into_inner()),
    }
}

/// Reads a value under a shape. What is refused for its type leaves the reason behind: the errors of the
/// reader itself only say that the text is not JSON.
#[derive(Clone, Copy)]
struct Under<'a> {
    model: &'static Model,
    shape: &'static Shape,
    refusal: &'a RefCell<Refusal>,
}

impl Under<'_> {
    fn refuse<E: serde::de::Error>(self, reason: String) -> E {
        *self.refusal.borrow_mut() = Some(reason);
        E::custom("of another type")
    }

    fn scalar<E: serde::de::Error>(self, scalar: Scalar<'_>) -> Result<Value, E> {
        under(&self.shape.kind, scalar).map_err(|reason| self.refuse(reason))
    }

    fn structure<'de, A: MapAccess<'de>>(
        self,
        of: &'static Structure,
        mut map: A,
    ) -> Result<Value, A::Error> {
        let mut members: Vec<(Name, Value)> = Vec::with_capacity(of.members.len());
        while let Some(Key(name)) = map.next_key()? {
            let Some(member) = of.member(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value_seed(Self { shape: self.model.shape(member.shape), ..self })?;
            match members.iter_mut().find(|(known, _)| known == member.name) {
                Some((_, earlier)) => *earlier = value,
                None => members.push((member.name.into(), value)),
            }
        }
        Ok(Value::Map(members))
    }
}

impl<'de> DeserializeSeed<'de> for Under<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Under<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape.name)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, bool: bool) -> Result<Value, E> {
        self.scalar(Scalar::Bool(bool))
    }

    fn visit_i64<E: serde::de::Error>(self, int: i64) -> Result<Value, E> {
        self.scalar(Scalar::Int(int))
    }

    fn visit_u64<E: serde::de::Error>(self, int: u64) -> Result<Value, E> {
        self.scalar(Scalar::Int(i64::try_from(int).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: serde::de::Error>(self, float: f64) -> Result<Value, E> {
        self.scalar(Scalar::Float(float))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.scalar(Scalar::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Kind::List { member, .. } = &self.shape.kind else {
            return Err(self.refuse(LIST_HERE.to_owned()));
        };
        let member = Self { shape: self.model.shape(*member), ..self };
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(member)? {
            if items.len() == MOST_ITEMS {
                return Err(A::Error::custom("too many items"));
            }
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let value = match &self.shape.kind {
            Kind::Structure(of) => return self.structure(of, map),
            Kind::Map { value, .. } => Self { shape: self.model.shape(*value), ..self },
            _ => return Err(self.refuse(MAP_HERE.to_owned())),
        };
        let mut entries: Vec<(Name, Value)> = Vec::new();
        let mut places: HashMap<Name, usize> = HashMap::new();
        while let Some(Key(key)) = map.next_key()? {
            let key: Name = key.into_owned().into();
            let value = map.next_value_seed(value)?;
            match places.get(&key) {
                Some(&place) => entries[place].1 = value,
                None if entries.len() == MOST_ITEMS => return Err(A::Error::custom("too many entries")),
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push((key, value));
                }
            }
        }
        Ok(Value::Map(entries))
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::model::Model;
    use crate::wire::Encoding;
    use crate::{Error, ErrorCode, Value};

    fn read(operation: &str, body: &str) -> Result<Value, Error> {
        let model = Model::kinesis();
        let operation = model.operation(operation).unwrap();
        Encoding::Json.read(model, operation, &Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn bodies_are_read_by_their_shapes() {
        let body = r#"{"StreamName": "s", "Unknown": {"Deep": [1, {"x": null}]}, "Records":
            [{"Data": "aGVsbG8=", "PartitionKey": "\u00e4\n", "ExplicitHashKey": null}]}"#;
        let value = read("PutRecords", body).unwrap();
        let record = Value::Map(vec![
            ("Data".into(), Value::Blob(Bytes::from("hello"))),
            ("PartitionKey".into(), Value::Text("ä\n".to_owned())),
            ("ExplicitHashKey".into(), Value::Null),
        ]);
        assert_eq!(value.get("Records"), Some(&Value::List(vec![record])));
        assert_eq!(value.get("StreamName"), Some(&Value::Text("s".to_owned())));
        assert_eq!(value.get("Unknown"), None);

        let value = read("AddTagsToStream", r#"{"Tags": {"b": "1", "a": "2", "b": "3"}}"#).unwrap();
        let tags = vec![("b".into(), Value::Text("3".to_owned())), ("a".into(), Value::Text("2".to_owned()))];
        assert_eq!(value.get("Tags"), Some(&Value::Map(tags)));

        let value = read("GetShardIterator", r#"{"Timestamp": 1459799926.480}"#).unwrap();
        assert_eq!(value.get("Timestamp"), Some(&Value::Time(1_459_799_926_480)));
    }

    #[test]
    fn what_is_not_json_is_refused_without_a_word() {
        let deep = format!("{{\"StreamName\": {}", "[".repeat(100_000));
        let many = format!("{{\"TagKeys\": [\"a\"{}]}}", ",\"a\"".repeat(20_000));
        for body in ["", "hello", "{", "{} x", "null", "{\"StreamName\": \"\\ud800\"}", &many] {
            let error = read("RemoveTagsFromStream", body).unwrap_err();
            assert_eq!(error, Error::new(ErrorCode::Serialization, ""), "{body}");
        }
        assert_eq!(read("GetRecords", "{\"Limit\": 1e999}").unwrap_err().message(), "");
        let error = read("PutRecord", &deep).unwrap_err();
        assert_eq!(error.message(), "Start of list found where not expected");
        let error = read("PutRecord", &format!("{{\"Unknown\": {}", "[".repeat(100_000))).unwrap_err();
        assert_eq!(error.message(), "");
    }

    #[test]
    fn the_top_has_to_be_a_structure() {
        for (body, message) in [("true", "Expected null"), ("[]", "Start of list found where not expected")] {
            assert_eq!(read("ListStreams", body).unwrap_err(), Error::new(ErrorCode::Serialization, message));
        }
    }
}
