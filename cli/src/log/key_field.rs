//! A field of a line of JSON, found without building the rest of it.

use std::fmt;
use std::str::FromStr;

use pelton_dataflow::time::EventTime;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::units;

/// The names that lead to a field: `card`, `user.id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath(Vec<String>);

impl FromStr for FieldPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<String> = text.split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            return Err("write the name of a field, as `card` or `user.id`".to_owned());
        }
        Ok(Self(names))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl FieldPath {
    /// The field in `line` as text: a string without its quotes, a number as it is written short.
    pub fn text_in(&self, line: &[u8]) -> Result<String> {
        match self.value_in(line)? {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(flag) => Ok(flag.to_string()),
            other => Err(Error::configuration(format!(
                "the field `{self}` is {}: a partition key is a string or a number",
                kind(&other)
            ))),
        }
    }

    /// The field in `line` as an event time.
    pub fn time_ms_in(&self, line: &[u8]) -> Result<i64> {
        let value = self.value_in(line)?;
        let ms = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => {
                units::parse_time_ms(text, u64::MAX).ok().and_then(|ms| i64::try_from(ms).ok())
            }
            _ => None,
        };
        ms.filter(|ms| *ms != EventTime::MIN.0 && *ms != EventTime::END.0).ok_or_else(|| {
            Error::configuration(format!(
                "the field `{self}` is {value}: an event time is in milliseconds since 1970, or as \"2026-01-31T12:00:00Z\""
            ))
        })
    }

    fn value_in(&self, line: &[u8]) -> Result<Value> {
        let mut json = serde_json::Deserializer::from_slice(line);
        let found = Seek(&self.0).deserialize(&mut json).and_then(|found| json.end().map(|()| found));
        match found {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Error::configuration(format!("it has no field `{self}`"))),
            Err(error) => Err(Error::configuration(format!("it is no JSON object: {error}"))),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        _ => "a value",
    }
}

/// Walks objects along the names; everything beside them is passed over.
struct Seek<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(json).map(Some);
        }
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the field `{}`", self.0.join("."))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == self.0[0].as_str() {
                found = map.next_value_seed(Seek(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, line: &str) -> Result<String, String> {
        path.parse::<FieldPath>().unwrap().text_in(line.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_found_at_any_depth() {
        let line = r#"{"x": [1, {"card": 9}], "card": "c-1", "user": {"id": 42, "name": "\"q\""}}"#;
        assert_eq!(text("card", line), Ok("c-1".to_owned()));
        assert_eq!(text("user.id", line), Ok("42".to_owned()));
        assert_eq!(text("user.name", line), Ok("\"q\"".to_owned()));
    }

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        for (path, line, message) in [
            ("card", r#"{"id": 1}"#, "it has no field `card`"),
            ("card", r#"{"card": [1]}"#, "is a list"),
            ("card", r#"{"card": 1} trailing"#, "no JSON object"),
            ("card", "not json", "no JSON object"),
            ("user.id", r#"{"user": 1}"#, "an object with the field `id`"),
        ] {
            let error = text(path, line).unwrap_err();
            assert!(error.contains(message), "{line}: {error}");
        }
        assert!("".parse::<FieldPath>().is_err());
        assert!("a..b".parse::<FieldPath>().is_err());
    }

    #[test]
    fn times_are_numbers_or_rfc_3339() {
        let at: FieldPath = "at".parse().unwrap();
        assert_eq!(at.time_ms_in(br#"{"at": 1500}"#).unwrap(), 1_500);
        assert_eq!(at.time_ms_in(br#"{"at": "1970-01-01T00:00:02Z"}"#).unwrap(), 2_000);
        let error = at.time_ms_in(br#"{"at": true}"#).unwrap_err().to_string();
        assert!(error.contains("milliseconds since 1970"), "{error}");
    }
}
