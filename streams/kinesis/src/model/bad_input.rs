//! For every member of every operation, each way to break what the model asks of it, with the answer that
//! the service has for it. Tests of validation use it, and tests of a running server.
//!
//! A case begins with a body that breaks nothing and has every member, and changes one place. Bodies are
//! JSON, for some of them are of types that no [`Value`](crate::Value) of the shape can have.

use serde_json::{Map, Value as Json, json};

use super::{Bounds, Kind, Model, Shape, ShapeId, Text};
use crate::error::ErrorCode;

/// A body that breaks one constraint.
#[derive(Debug, Clone)]
pub struct BadInput {
    /// The operation that it is for.
    pub operation: &'static str,
    /// What is broken, for messages of a test.
    pub why: String,
    /// The body.
    pub body: Json,
    /// The error that the service answers with.
    pub code: ErrorCode,
    /// What its message is, or ends with where it quotes the value.
    pub message: String,
}

/// A body with every member of `shape` that breaks no constraint.
#[must_use]
pub fn good_body(model: &Model, shape: ShapeId) -> Json {
    let shape = model.shape(shape);
    match &shape.kind {
        Kind::Structure(of) => of
            .members
            .iter()
            .map(|member| (member.name.to_owned(), good_body(model, member.shape)))
            .collect::<Map<_, _>>()
            .into(),
        Kind::List { member, .. } => json!([good_body(model, *member)]),
        Kind::Map { value, .. } => json!({ "key": good_body(model, *value) }),
        Kind::Text(rule) => good_text(shape.name, rule).into(),
        Kind::Integer { value, .. } => value.min.unwrap_or(1).into(),
        Kind::Boolean => true.into(),
        Kind::Blob { .. } => "aGVsbG8=".into(),
        Kind::Timestamp => 1_700_000_000.into(),
    }
}

/// Text that keeps the constraints; for what has a pattern, one that is written down here.
fn good_text(name: &str, rule: &Text) -> String {
    const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/one";
    let text = match name {
        "StreamARN" | "ResourceARN" => STREAM.to_owned(),
        "ConsumerARN" => format!("{STREAM}/consumer/reader:1700000000"),
        "ChannelARN" => "arn:aws:kinesis:us-east-1:123456789012:channel/one".to_owned(),
        "QueueARN" => "arn:aws:kinesis:us-east-1:123456789012:queue/one".to_owned(),
        "BucketARN" => "arn:aws:s3:::bucket".to_owned(),
        "TableBucketARN" => "arn:aws:s3tables:us-east-1:123456789012:bucket/one".to_owned(),
        "GSRSchemaARN" => "arn:aws:glue:us-east-1:123456789012:schema/registry/one".to_owned(),
        "RoleARN" => "arn:aws:iam::123456789012:role/one".to_owned(),
        "StreamId" => "abcdefghij0123456789-xyz".to_owned(),
        "ExpectedBucketOwner" => "123456789012".to_owned(),
        "HashKey" | "SequenceNumber" => "17".to_owned(),
        _ => match rule.one_of.first() {
            Some(first) => (*first).to_owned(),
            None => "a".repeat(usize::try_from(rule.length.min.unwrap_or(1).max(1)).unwrap_or(1)),
        },
    };
    debug_assert!(rule.pattern.as_ref().is_none_or(|pattern| pattern.matches(&text)), "{name}: {text}");
    text
}

/// Every case that the model has.
#[must_use]
pub fn cases(model: &Model) -> Vec<BadInput> {
    let mut cases = Vec::new();
    for operation in model.operations() {
        let mut walk = Walk {
            model,
            operation: operation.name,
            body: good_body(model, operation.input),
            cases: &mut cases,
        };
        walk.inside(operation.input, &mut Vec::new(), "");
    }
    cases
}

struct Walk<'a> {
    model: &'a Model,
    operation: &'static str,
    body: Json,
    cases: &'a mut Vec<BadInput>,
}

/// A step into a body.
#[derive(Debug, Clone)]
enum Step {
    Member(&'static str),
    Item,
}

impl Walk<'_> {
    fn inside(&mut self, shape: ShapeId, steps: &mut Vec<Step>, path: &str) {
        let model = self.model;
        match &model.shape(shape).kind {
            Kind::Structure(of) => {
                for member in &of.members {
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{}", member.label);
                    steps.push(Step::Member(member.name));
                    if member.required {
                        let message = format!(
                            "1 validation error detected: Value null at '{path}' failed to satisfy constraint: \
                             Member must not be null"
                        );
                        self.case(steps, format!("no {path}"), Json::Null, ErrorCode::Validation, message);
                    }
                    self.value(model.shape(member.shape), steps, &path);
                    self.inside(member.shape, steps, &path);
                    steps.pop();
                }
            }
            Kind::List { member, .. } => {
                steps.push(Step::Item);
                let of = model.shape(*member);
                self.types(of, steps, path);
                self.inside(*member, steps, &format!("{path}.1.member"));
                steps.pop();
            }
            _ => {}
        }
    }

    /// Types and constraints of a member of a structure.
    fn value(&mut self, shape: &Shape, steps: &[Step], path: &str) {
        self.types(shape, steps, path);
        match &shape.kind {
            Kind::Text(rule) => {
                for (text, constraint) in bad_texts(rule) {
                    self.breaks(steps, path, text.into(), &constraint);
                }
            }
            Kind::Integer { value, .. } => {
                for (int, constraint) in outside(*value, "value") {
                    self.breaks(steps, path, int.into(), &constraint);
                }
            }
            Kind::List { member, length } => {
                self.list(self.model.shape(*member), *member, *length, steps, path);
            }
            Kind::Map { length, .. } => {
                for (count, constraint) in outside(*length, "length") {
                    let entries = (0..count).map(|key| (key.to_string(), json!("a"))).collect::<Map<_, _>>();
                    self.breaks(steps, path, entries.into(), &constraint);
                }
                let keys = "Map keys must satisfy constraint: [Member must have length less than or equal to 128, \
                            Member must have length greater than or equal to 1]";
                self.breaks(steps, path, json!({ "": "a" }), keys);
                let values = "Map value must satisfy constraint: [Member must have length less than or equal to 256, \
                              Member must have length greater than or equal to 0]";
                self.breaks(steps, path, json!({ "a": "a".repeat(257) }), values);
            }
            Kind::Blob { length } => {
                // One byte too many, in base64 and without padding.
                if let Some(max) = length.max {
                    let groups = usize::try_from(max / 3 + 1).unwrap_or(usize::MAX);
                    let constraint = format!("Member must have length less than or equal to {max}");
                    self.breaks(steps, path, "AAAA".repeat(groups).into(), &constraint);
                }
            }
            Kind::Structure(_) | Kind::Boolean | Kind::Timestamp => {}
        }
    }

    fn list(&mut self, member: &Shape, id: ShapeId, length: Bounds, steps: &[Step], path: &str) {
        let good = good_body(self.model, id);
        for (count, constraint) in outside(length, "length") {
            let items = vec![good.clone(); usize::try_from(count).unwrap_or(0)];
            self.breaks(steps, path, items.into(), &constraint);
        }
        if let Kind::Text(rule) = &member.kind {
            for (text, constraint) in bad_texts(rule) {
                let body = json!([good, text]);
                let before = self.cases.len();
                self.breaks(steps, path, body, "");
                // All constraints are told, whichever is broken: that of the case is among them.
                self.cases[before].message = constraint;
            }
        }
    }

    fn breaks(&mut self, steps: &[Step], path: &str, value: Json, constraint: &str) {
        let message = format!("' at '{path}' failed to satisfy constraint: {constraint}");
        self.case(steps, format!("{path}: {constraint}"), value, ErrorCode::Validation, message);
    }

    /// Values of every other type, with what is said of each.
    fn types(&mut self, shape: &Shape, steps: &[Step], path: &str) {
        for (value, message) in wrong_types(&shape.kind) {
            self.case(steps, format!("{path} is {value}"), value, ErrorCode::Serialization, message);
        }
    }

    fn case(&mut self, steps: &[Step], why: String, value: Json, code: ErrorCode, message: String) {
        let mut body = self.body.clone();
        let mut at = &mut body;
        for step in steps {
            at = match step {
                Step::Member(name) => &mut at[*name],
                Step::Item => &mut at[0],
            };
        }
        *at = value;
        self.cases.push(BadInput { operation: self.operation, why, body, code, message });
    }
}

/// Texts that break one constraint, as far as each can be broken alone.
fn bad_texts(rule: &Text) -> Vec<(String, String)> {
    let mut bad = Vec::new();
    if !rule.one_of.is_empty() {
        let constraint = format!("Member must satisfy enum value set: [{}]", rule.one_of.join(", "));
        bad.push(("NONE_OF_THESE".to_owned(), constraint));
    }
    if let Some(pattern) = &rule.pattern {
        // No pattern of the model takes a star and a space; of the right length, so that it alone is broken.
        let len = usize::try_from(rule.length.min.unwrap_or(1).max(2)).unwrap_or(2);
        let text = ["*", " "].into_iter().cycle().take(len).collect();
        let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.source());
        bad.push((text, constraint));
        return bad;
    }
    if rule.one_of.is_empty() {
        for (count, constraint) in outside(rule.length, "length") {
            bad.push(("a".repeat(usize::try_from(count).unwrap_or(0)), constraint));
        }
    }
    bad
}

/// Numbers just outside, with what is said of them. No length is negative.
fn outside(bounds: Bounds, what: &str) -> Vec<(i64, String)> {
    let mut out = Vec::new();
    if let Some(min) = bounds.min.filter(|min| what == "value" || *min > 0) {
        out.push((min - 1, format!("Member must have {what} greater than or equal to {min}")));
    }
    // What is larger than a request can be is not asked for.
    if let Some(max) = bounds.max.filter(|max| what == "value" || *max < 100_000) {
        out.push((max + 1, format!("Member must have {what} less than or equal to {max}")));
    }
    out
}

fn wrong_types(kind: &Kind) -> Vec<(Json, String)> {
    const BOOL: &str = "class java.lang.Boolean";
    const TEXT: &str = "class java.lang.String";
    const NUMBER: &str = "class com.amazon.coral.value.json.numbers.TruncatingBigNumber";
    let list = (json!([]), "Start of list found where not expected".to_owned());
    let map = (json!({}), "Start of structure or map found where not expected.".to_owned());
    let all = |what: &str| {
        vec![json!("23"), json!(true), json!(23)].into_iter().map(|v| (v, what.to_owned())).collect()
    };
    let of = |class: &str, into: &str| format!("{class} can not be converted to {into}");
    let mut wrong: Vec<(Json, String)> = match kind {
        Kind::Structure(_) => all("Expected null"),
        Kind::List { .. } => all("Expected list or null"),
        Kind::Map { .. } => all("Expected map or null"),
        Kind::Text(_) => vec![(json!(true), of(BOOL, "an String")), (json!(23), of(NUMBER, "an String"))],
        Kind::Integer { long, .. } => {
            let into = if *long { "an Long" } else { "an Integer" };
            vec![(json!(true), of(BOOL, into)), (json!("23"), of(TEXT, into))]
        }
        Kind::Boolean => vec![(json!(23), of(NUMBER, "an Boolean")), (json!("23"), of("'23'", "an Boolean"))],
        Kind::Blob { .. } => vec![
            (json!(true), of(BOOL, "a Blob")),
            (json!(23), of(NUMBER, "a Blob")),
            (
                json!("23456"),
                of("'23456'", "a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
            ),
            (json!("=+/="), of("'=+/='", "a Blob: Invalid Base64 character: '='")),
            (json!("+/+="), of("'+/+='", "a Blob: Invalid last non-pad Base64 character dectected")),
        ],
        Kind::Timestamp => {
            let into = "milliseconds since epoch";
            vec![(json!(true), of(BOOL, into)), (json!("23"), of(TEXT, into))]
        }
    };
    if !matches!(kind, Kind::List { .. }) {
        wrong.push(list);
    }
    if !matches!(kind, Kind::Map { .. } | Kind::Structure(_)) {
        wrong.push(map);
    }
    wrong
}
