//! Every constraint that a body breaks, in the words and the order of the service: one `ValidationException`
//! of at most ten complaints. The wording is that on record in kinesalite's tests, which ran against AWS.
//! What members mean together (a name or an ARN, a type and its position) is for the operations.

use std::fmt::Write as _;

use super::order::hash_code;
use super::{Bounds, Kind, Model, Shape, ShapeId, Structure, Text};
use crate::error::{Error, ErrorCode, Result};
use crate::value::{Name, Value};

/// The service stops to count here.
const MOST_COMPLAINTS: usize = 10;

/// What structures are called in the service, when a list of them is quoted.
const PACKAGE: &str = "com.amazonaws.kinesis.v20131202";

/// Looks whether `value`, which has been read by `shape`, keeps what the model asks of it.
///
/// # Errors
/// `ValidationException` with up to ten complaints.
pub fn validate(model: &Model, shape: ShapeId, value: &Value) -> Result {
    let mut found = Complaints { model, list: Vec::new() };
    found.inside("", model.shape(shape), value);
    let (count, plural) = match found.list.len() {
        0 => return Ok(()),
        count => (count, if count == 1 { "" } else { "s" }),
    };
    let message = format!("{count} validation error{plural} detected: {}", found.list.join("; "));
    Err(Error::new(ErrorCode::Validation, message))
}

struct Complaints<'a> {
    model: &'a Model,
    list: Vec<String>,
}

impl Complaints<'_> {
    fn add(&mut self, value: &str, path: &str, constraint: &str) {
        if self.list.len() < MOST_COMPLAINTS {
            let complaint = format!("Value {value} at '{path}' failed to satisfy constraint: {constraint}");
            self.list.push(complaint);
        }
    }

    fn full(&self) -> bool {
        self.list.len() >= MOST_COMPLAINTS
    }

    /// The value at `path`, and what is in it.
    fn at(&mut self, path: &str, shape: &Shape, value: &Value) {
        let broken = self.broken(shape, value);
        if !broken.is_empty() {
            let quoted = format!("'{}'", self.quote(shape, value));
            for constraint in broken {
                self.add(&quoted, path, &constraint);
            }
        }
        self.inside(path, shape, value);
    }

    fn inside(&mut self, path: &str, shape: &Shape, value: &Value) {
        match (&shape.kind, value) {
            (Kind::Structure(structure), Value::Map(members)) => self.members(path, structure, members),
            (Kind::List { member, .. }, Value::List(items)) => {
                let member = self.model.shape(*member);
                for (item, number) in items.iter().zip(1..) {
                    if self.full() {
                        return;
                    }
                    if *item == Value::Null {
                        self.add("null", &format!("{path}.{number}.member"), "Member must not be null");
                    } else if matches!(member.kind, Kind::Structure(_)) {
                        self.at(&format!("{path}.{number}.member"), member, item);
                    }
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, path: &str, structure: &Structure, members: &[(Name, Value)]) {
        for member in structure.order.iter().map(|&index| &structure.members[index]) {
            if self.full() {
                return;
            }
            let value = members.iter().find(|(name, _)| name == member.name).map_or(&Value::Null, |(_, v)| v);
            if *value == Value::Null && !member.required {
                continue;
            }
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", member.label);
            if *value == Value::Null {
                self.add("null", &path, "Member must not be null");
            } else {
                self.at(&path, self.model.shape(member.shape), value);
            }
        }
    }

    /// What the value itself breaks.
    fn broken(&self, shape: &Shape, value: &Value) -> Vec<String> {
        let mut broken = Vec::new();
        match (&shape.kind, value) {
            (Kind::Text(rule), Value::Text(text)) => text_breaks(rule, text, &mut broken),
            (Kind::Integer { value, .. }, Value::Int(int)) => {
                out_of(*value, *int, "value", &mut broken);
            }
            (Kind::Blob { length }, Value::Blob(bytes)) => {
                out_of(*length, count(bytes.len()), "length", &mut broken);
            }
            (Kind::List { member, length }, Value::List(items)) => {
                out_of(*length, count(items.len()), "length", &mut broken);
                let member = self.model.shape(*member);
                if items.iter().any(|item| self.is_broken(member, item)) {
                    broken.push(format!("Member must satisfy constraint: [{}]", summary(member)));
                }
            }
            (Kind::Map { key, value, length }, Value::Map(entries)) => {
                out_of(*length, count(entries.len()), "length", &mut broken);
                let (key, value) = (self.model.shape(*key), self.model.shape(*value));
                if entries.iter().any(|(name, _)| text_is_broken(key, name)) {
                    broken.push(format!("Map keys must satisfy constraint: [{}]", summary(key)));
                }
                if entries.iter().any(|(_, of)| *of == Value::Null || self.is_broken(value, of)) {
                    broken.push(format!("Map value must satisfy constraint: [{}]", summary(value)));
                }
            }
            _ => {}
        }
        broken
    }

    /// Whether a plain member of a list or map breaks its constraints.
    fn is_broken(&self, shape: &Shape, value: &Value) -> bool {
        !matches!(shape.kind, Kind::Structure(_)) && !self.broken(shape, value).is_empty()
    }

    /// A value as messages have it.
    fn quote(&self, shape: &Shape, value: &Value) -> String {
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(bool) => bool.to_string(),
            Value::Int(int) | Value::Time(int) => int.to_string(),
            Value::Text(text) => text.clone(),
            Value::Blob(bytes) => format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", bytes.len()),
            Value::List(items) => {
                let member =
                    if let Kind::List { member, .. } = shape.kind { self.model.shape(member) } else { shape };
                let items: Vec<_> = items.iter().map(|item| self.quote(member, item)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Map(entries) => match shape.kind {
                Kind::Map { value, .. } => {
                    let value_shape = self.model.shape(value);
                    let entry =
                        |(key, value): &(Name, Value)| format!("{key}={}", self.quote(value_shape, value));
                    format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
                }
                _ => format!("{PACKAGE}.{}@{:x}", shape.name, hash_code(shape.name)),
            },
        }
    }
}

fn count(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn out_of(bounds: Bounds, is: i64, what: &str, broken: &mut Vec<String>) {
    if let Some(min) = bounds.min.filter(|min| is < *min) {
        broken.push(format!("Member must have {what} greater than or equal to {min}"));
    }
    if let Some(max) = bounds.max.filter(|max| is > *max) {
        broken.push(format!("Member must have {what} less than or equal to {max}"));
    }
}

fn text_breaks(rule: &Text, text: &str, broken: &mut Vec<String>) {
    if let Some(pattern) = rule.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
        broken.push(format!("Member must satisfy regular expression pattern: {}", pattern.source()));
    }
    if !rule.one_of.is_empty() && !rule.one_of.contains(&text) {
        broken.push(format!("Member must satisfy enum value set: [{}]", rule.one_of.join(", ")));
    }
    out_of(rule.length, utf16_len(text), "length", broken);
}

fn text_is_broken(shape: &Shape, text: &str) -> bool {
    if let Kind::Text(rule) = &shape.kind { !rule.takes(text) } else { false }
}

impl Text {
    /// Whether text keeps every constraint.
    pub(crate) fn takes(&self, text: &str) -> bool {
        let mut broken = Vec::new();
        text_breaks(self, text, &mut broken);
        broken.is_empty()
    }
}

/// The length that Java gives a text.
fn utf16_len(text: &str) -> i64 {
    count(if text.is_ascii() { text.len() } else { text.encode_utf16().count() })
}

/// All constraints of a plain shape: what is said of a list's members, whichever of them is broken.
fn summary(shape: &Shape) -> String {
    let mut out = String::new();
    let mut say = |text: std::fmt::Arguments<'_>| {
        let comma = if out.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(out, "{comma}Member must {text}");
    };
    let lengths = |bounds: &Bounds, say: &mut dyn FnMut(std::fmt::Arguments<'_>)| {
        if let Some(max) = bounds.max {
            say(format_args!("have length less than or equal to {max}"));
        }
        if let Some(min) = bounds.min {
            say(format_args!("have length greater than or equal to {min}"));
        }
    };
    if let Kind::Text(rule) = &shape.kind {
        lengths(&rule.length, &mut say);
        if let Some(pattern) = &rule.pattern {
            say(format_args!("satisfy regular expression pattern: {}", pattern.source()));
        }
        if !rule.one_of.is_empty() {
            say(format_args!("satisfy enum value set: [{}]", rule.one_of.join(", ")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::model::bad_input::{cases, good_body};
    use crate::wire::Encoding;

    fn look_at(operation: &str, body: &Json) -> Result {
        let model = Model::kinesis();
        let operation = model.operation(operation).unwrap();
        let value = Encoding::Json.read(model, operation, &Bytes::from(body.to_string()))?;
        validate(model, operation.input, &value)
    }

    fn complaints(operation: &str, body: &Json) -> String {
        let error = look_at(operation, body).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Validation);
        error.message().to_owned()
    }

    #[test]
    fn a_good_body_of_each_operation_passes() {
        for operation in Model::kinesis().operations() {
            let body = good_body(Model::kinesis(), operation.input);
            assert_eq!(look_at(operation.name, &body), Ok(()), "{}", operation.name);
        }
    }

    #[test]
    fn each_way_to_break_the_model_is_answered() {
        let cases = cases(Model::kinesis());
        assert!(cases.len() > 1500, "{}", cases.len());
        for case in cases {
            let error = look_at(case.operation, &case.body).expect_err(&case.why);
            let place = format!("{}, {}: {}", case.operation, case.why, error.message());
            assert_eq!(error.code(), case.code, "{place}");
            if case.code == ErrorCode::Serialization {
                assert_eq!(error.message(), case.message, "{place}");
            } else {
                assert!(error.message().contains(&case.message), "{place}\nand not\n{}", case.message);
                assert!(error.message().starts_with("1 validation error detected: Value "), "{place}");
            }
        }
    }

    /// Answers of the service, as kinesalite's tests have them on record, with the limits and patterns that
    /// the model has today.
    #[test]
    fn answers_are_worded_as_on_record() {
        assert_eq!(
            complaints("PutRecords", &json!({})),
            "1 validation error detected: \
             Value null at 'records' failed to satisfy constraint: Member must not be null"
        );
        assert_eq!(
            complaints(
                "PutRecords",
                &json!({"StreamName": "", "Records": [
                    {"PartitionKey": "", "Data": "", "ExplicitHashKey": ""}
                ]})
            ),
            "4 validation errors detected: \
             Value '' at 'records.1.member.partitionKey' failed to satisfy constraint: \
             Member must have length greater than or equal to 1; \
             Value '' at 'records.1.member.explicitHashKey' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: ^(0|([1-9]\\d{0,38}))$; \
             Value '' at 'streamName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; \
             Value '' at 'streamName' failed to satisfy constraint: \
             Member must have length greater than or equal to 1"
        );
        assert_eq!(
            complaints(
                "GetShardIterator",
                &json!({"StreamName": "s", "ShardIteratorType": "", "ShardId": "s"})
            ),
            "1 validation error detected: Value '' at 'shardIteratorType' failed to satisfy constraint: \
             Member must satisfy enum value set: \
             [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
        );
        assert_eq!(
            complaints("ListShards", &json!({"MaxResults": 100_000})),
            "1 validation error detected: Value '100000' at 'maxResults' failed to satisfy constraint: \
             Member must have value less than or equal to 10000"
        );
        let long = "a".repeat(129);
        assert_eq!(
            complaints("RemoveTagsFromStream", &json!({"StreamName": "s", "TagKeys": ["a", long, "b"]})),
            format!(
                "1 validation error detected: Value '[a, {long}, b]' at 'tagKeys' failed to satisfy constraint: \
                 Member must satisfy constraint: [Member must have length less than or equal to 128, \
                 Member must have length greater than or equal to 1]"
            )
        );
        assert_eq!(
            complaints("AddTagsToStream", &json!({"StreamName": "s", "Tags": {"a": "1", &long: "3"}})),
            format!(
                "1 validation error detected: Value '{{a=1, {long}=3}}' at 'tags' failed to satisfy constraint: \
                 Map keys must satisfy constraint: [Member must have length less than or equal to 128, \
                 Member must have length greater than or equal to 1]"
            )
        );
    }

    #[test]
    fn the_service_stops_at_ten() {
        let records = vec![json!({"PartitionKey": "", "Data": ""}); 501];
        let message = complaints("PutRecords", &json!({"StreamName": "", "Records": records}));
        let quoted = "com.amazonaws.kinesis.v20131202.PutRecordsRequestEntry@";
        assert!(
            message.starts_with(&format!("10 validation errors detected: Value '[{quoted}")),
            "{message}"
        );
        assert_eq!(message.matches(quoted).count(), 501);
        assert!(message.contains("at 'records' failed to satisfy constraint: Member must have length less"));
        assert!(message.ends_with(
            "Value '' at 'records.9.member.partitionKey' failed to satisfy constraint: \
             Member must have length greater than or equal to 1"
        ));
    }

    #[test]
    fn a_blob_is_quoted_by_its_length() {
        let data = "AAAA".repeat(10_485_760 / 3 + 1);
        let message = complaints("PutRecord", &json!({"StreamName": "s", "PartitionKey": "k", "Data": data}));
        assert_eq!(
            message,
            "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=10485762 cap=10485762]' at \
             'data' failed to satisfy constraint: Member must have length less than or equal to 10485760"
        );
    }

    #[test]
    fn a_hole_in_a_list_is_no_member() {
        let body = json!({"StreamName": "s", "Records": [null]});
        assert_eq!(
            complaints("PutRecords", &body),
            "1 validation error detected: Value null at 'records.1.member' failed to satisfy constraint: \
             Member must not be null"
        );
    }

    #[test]
    fn length_is_counted_as_java_does() {
        // Two units of UTF-16 each.
        let body = |count| json!({"StreamName": "s", "Data": "", "PartitionKey": "😀".repeat(count)});
        assert_eq!(look_at("PutRecord", &body(128)), Ok(()));
        assert!(
            complaints("PutRecord", &body(129))
                .ends_with("Member must have length less than or equal to 256")
        );
    }
}
