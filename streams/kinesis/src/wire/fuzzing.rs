//! Doors for fuzzing: what reads bodies.

use bytes::Bytes;

use super::Encoding;
use crate::model::{Model, Operation, validate};

/// Reads `bytes` as the body of each operation.
///
/// # Panics
/// If what can be read does not come back as it was.
pub fn bodies(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    Model::kinesis().operations().iter().for_each(|operation| self::body(operation, &body));
}

/// Reads `body` in both encodings.
pub(crate) fn body(operation: &Operation, body: &Bytes) {
    let model = Model::kinesis();
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let Ok(value) = encoding.read(model, operation, body) else { continue };
        let _ = validate(model, operation.input, &value);
        let mut first = Vec::new();
        encoding.write(&value, &mut first);
        let again = encoding.read(model, operation, &Bytes::from(first.clone())).expect("it was written");
        let mut second = Vec::new();
        encoding.write(&again, &mut second);
        assert_eq!(first, second, "{} as {encoding:?}", operation.name);
    }
}
