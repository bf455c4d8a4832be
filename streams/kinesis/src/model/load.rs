//! Reads the model's file. What the file may say is checked by `strip.py` and a test, not here: it is part
//! of the program.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use super::{Bounds, Kind, Member, Model, Operation, Pattern, Shape, ShapeId, Structure, Text};
use super::{label, order};

#[derive(Deserialize)]
struct File<'a> {
    target: &'a str,
    #[serde(borrow)]
    operations: Vec<OperationEntry<'a>>,
    #[serde(borrow)]
    shapes: Vec<ShapeEntry<'a>>,
}

#[derive(Deserialize)]
struct OperationEntry<'a> {
    name: &'a str,
    input: &'a str,
    output: Option<&'a str>,
    #[serde(borrow)]
    errors: Vec<&'a str>,
}

#[derive(Deserialize)]
struct ShapeEntry<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    min: Option<i64>,
    max: Option<i64>,
    #[serde(borrow)]
    pattern: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "enum", default)]
    one_of: Vec<&'a str>,
    #[serde(borrow, default)]
    members: Vec<MemberEntry<'a>>,
    member: Option<&'a str>,
    key: Option<&'a str>,
    value: Option<&'a str>,
}

#[derive(Deserialize)]
struct MemberEntry<'a> {
    name: &'a str,
    shape: &'a str,
    #[serde(default)]
    required: bool,
}

pub(super) fn load(text: &'static str) -> Model {
    let file: File<'static> = serde_json::from_str(text).expect("the file is part of the program");
    let ids: HashMap<&str, ShapeId> =
        file.shapes.iter().map(|shape| shape.name).zip((0..).map(ShapeId)).collect();
    let id = |name: &str| *ids.get(name).expect("a shape that the file has");
    let operations: Vec<Operation> = file
        .operations
        .into_iter()
        .map(|entry| Operation {
            name: entry.name,
            input: id(entry.input),
            output: entry.output.map(id),
            errors: entry.errors,
        })
        .collect();
    let by_name = operations.iter().map(|operation| operation.name).zip(0..).collect();
    let shapes = file.shapes.into_iter().map(|entry| shape(entry, &id)).collect();
    Model { target: file.target, operations, by_name, shapes }
}

fn shape(entry: ShapeEntry<'static>, id: &impl Fn(&str) -> ShapeId) -> Shape {
    let bounds = Bounds { min: entry.min, max: entry.max };
    let named = |name: Option<&'static str>| id(name.expect("a list or map says of what"));
    let kind = match entry.kind {
        "structure" => Kind::Structure(structure(&entry.members, id)),
        "list" => Kind::List { member: named(entry.member), length: bounds },
        "map" => Kind::Map { key: named(entry.key), value: named(entry.value), length: bounds },
        "string" => {
            let mut one_of = entry.one_of;
            order::of_enum(entry.name, &mut one_of);
            Kind::Text(Text { length: bounds, pattern: entry.pattern.map(Pattern::new), one_of })
        }
        "integer" => Kind::Integer { value: bounds, long: false },
        "long" => Kind::Integer { value: bounds, long: true },
        "boolean" => Kind::Boolean,
        "blob" => Kind::Blob { length: bounds },
        "timestamp" => Kind::Timestamp,
        other => panic!("the file has a shape {} of unknown type {other}", entry.name),
    };
    Shape { name: entry.name, kind }
}

fn structure(entries: &[MemberEntry<'static>], id: &impl Fn(&str) -> ShapeId) -> Structure {
    let members: Vec<Member> = entries
        .iter()
        .map(|entry| Member {
            name: entry.name,
            label: label(entry.name),
            shape: id(entry.shape),
            required: entry.required,
        })
        .collect();
    let order = order::of_members(members.iter().map(|member| member.label.as_str()));
    Structure { members, order }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_that_of_kinesis() {
        let model = Model::kinesis();
        assert_eq!(model.target(), "Kinesis_20131202");
        assert!(model.operations().len() >= 45);
        let put = model.operation("PutRecords").unwrap();
        let Kind::Structure(input) = &model.shape(put.input).kind else { panic!("a structure") };
        let records = input.member("Records").unwrap();
        assert!(records.required);
        let Kind::List { member, length } = &model.shape(records.shape).kind else { panic!("a list") };
        assert_eq!(*length, Bounds { min: Some(1), max: Some(500) });
        assert_eq!(model.shape(*member).name, "PutRecordsRequestEntry");
        assert!(put.errors.contains(&"ProvisionedThroughputExceededException"));
        assert_eq!(model.find("PutRecordsInput"), Some(put.input));
        assert_eq!(model.find("Nothing"), None);
        assert!(model.operation("DropEverything").is_none());
    }

    #[test]
    fn every_pattern_can_be_read() {
        for shape in &Model::kinesis().shapes {
            if let Kind::Text(Text { pattern: Some(pattern), .. }) = &shape.kind {
                pattern.matches("");
            }
        }
    }

    /// Readers and writers descend by it without counting.
    #[test]
    fn no_shape_contains_itself() {
        fn depth(model: &Model, id: ShapeId, above: usize) -> usize {
            assert!(above < 16, "{}", model.shape(id).name);
            let inner = match &model.shape(id).kind {
                Kind::Structure(of) => of.members.iter().map(|m| depth(model, m.shape, above + 1)).max(),
                Kind::List { member, .. } => Some(depth(model, *member, above + 1)),
                Kind::Map { value, .. } => Some(depth(model, *value, above + 1)),
                _ => None,
            };
            inner.unwrap_or(above)
        }
        let model = Model::kinesis();
        let deepest = model.operations().iter().map(|operation| depth(model, operation.input, 0)).max();
        assert!(deepest.unwrap() >= 3, "{deepest:?}");
    }
}
