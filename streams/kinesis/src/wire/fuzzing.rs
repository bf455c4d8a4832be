//! Doors for fuzzing: what reads bodies.

use bytes::Bytes;

use super::{Encoding, put_records};
use crate::model::{Model, Operation, validate};

/// Reads a body: the first byte says of which operation, and whether it is JSON; the rest is the body.
///
/// # Panics
/// If what can be read does not come back as it was, or the short way takes what the long one refuses.
pub fn bodies(bytes: &[u8]) {
    let Some((&first, body)) = bytes.split_first() else { return };
    let operations = Model::kinesis().operations();
    let operation = &operations[usize::from(first >> 1) % operations.len()];
    let encoding = if first & 1 == 0 { Encoding::Json } else { Encoding::Cbor };
    let bytes = Bytes::copy_from_slice(body);
    self::body(operation, encoding, &bytes);
    put(encoding, &bytes);
    // A message of a subscription may be anything.
    let _ = crate::event_stream::read(body);
}

/// Reads `body` as that of an operation.
pub(crate) fn body(operation: &Operation, encoding: Encoding, body: &Bytes) {
    let model = Model::kinesis();
    let Ok(value) = encoding.read(model, operation, body) else { return };
    let _ = validate(model, operation.input, &value);
    let mut first = Vec::new();
    encoding.write(&value, &mut first);
    let again = encoding.read(model, operation, &Bytes::from(first.clone())).expect("it was written");
    let mut second = Vec::new();
    encoding.write(&again, &mut second);
    assert_eq!(first, second, "{} as {encoding:?}", operation.name);
}

/// Holds the short way of `PutRecords` to the long one.
fn put(encoding: Encoding, body: &Bytes) {
    let Some(put) = put_records(encoding, body) else { return };
    let mut scratch = Vec::new();
    if put.records.iter().all(|record| record.data.bytes(&mut scratch).is_some()) {
        let model = Model::kinesis();
        let operation = model.operation("PutRecords").expect("an operation of the model");
        let value = encoding.read(model, operation, body).expect("the short way has read it");
        validate(model, operation.input, &value).expect("the short way has taken it");
    }
}
