//! What a plain value of a body becomes under a shape of the model, and what AWS says where it cannot. The
//! messages are those on record in kinesalite's tests, which ran against AWS.

use bytes::Bytes;

use crate::model::Kind;
use crate::value::Value;

/// A plain value as a body has it.
pub(super) enum Scalar<'a> {
    Bool(bool),
    /// Cut to 64 bits.
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// Text that stood in pieces.
    Joined(String),
    /// Only CBOR has bytes.
    Bytes(Bytes),
}

pub(super) const LIST_HERE: &str = "Start of list found where not expected";
pub(super) const MAP_HERE: &str = "Start of structure or map found where not expected.";

/// The value, or what is said of it.
pub(super) fn under(kind: &Kind, scalar: Scalar<'_>) -> Result<Value, String> {
    if let Scalar::Joined(text) = &scalar {
        return under(kind, Scalar::Text(text));
    }
    match kind {
        Kind::Structure(_) => Err("Expected null".to_owned()),
        Kind::List { .. } => Err("Expected list or null".to_owned()),
        Kind::Map { .. } => Err("Expected map or null".to_owned()),
        Kind::Text(_) => match scalar {
            Scalar::Text(text) => Ok(Value::Text(text.to_owned())),
            other => Err(cannot(&other, "an String")),
        },
        Kind::Integer { long, .. } => integer(*long, scalar),
        Kind::Boolean => boolean(scalar),
        Kind::Blob { .. } => match scalar {
            Scalar::Bytes(bytes) => Ok(Value::Blob(bytes)),
            Scalar::Text(text) => decode_base64(text).map(Value::Blob),
            other => Err(cannot(&other, "a Blob")),
        },
        Kind::Timestamp => match scalar {
            // Out of range is cut off by the cast, which is what is wanted.
            Scalar::Float(seconds) => Ok(Value::Time((seconds * 1000.0).round() as i64)),
            Scalar::Int(seconds) => Ok(Value::Time(seconds.saturating_mul(1000))),
            other => Err(cannot(&other, "milliseconds since epoch")),
        },
    }
}

fn cannot(scalar: &Scalar<'_>, into: &str) -> String {
    let class = match scalar {
        Scalar::Bool(_) => "class java.lang.Boolean",
        Scalar::Int(_) | Scalar::Float(_) => "class com.amazon.coral.value.json.numbers.TruncatingBigNumber",
        Scalar::Text(_) | Scalar::Joined(_) => "class java.lang.String",
        Scalar::Bytes(_) => "class java.nio.HeapByteBuffer",
    };
    format!("{class} can not be converted to {into}")
}

/// A number is cut to what its type holds.
fn integer(long: bool, scalar: Scalar<'_>) -> Result<Value, String> {
    let int = match scalar {
        Scalar::Int(int) => int,
        Scalar::Float(float) => float.floor() as i64,
        other => return Err(cannot(&other, if long { "an Long" } else { "an Integer" })),
    };
    Ok(Value::Int(if long { int } else { int.clamp(i32::MIN.into(), i32::MAX.into()) }))
}

fn boolean(scalar: Scalar<'_>) -> Result<Value, String> {
    match scalar {
        Scalar::Bool(bool) => Ok(Value::Bool(bool)),
        Scalar::Float(float) => Ok(Value::Bool(float != 0.0)),
        Scalar::Text(text) => {
            let text = text.to_uppercase();
            match text.as_str() {
                "TRUE" | "YES" | "1" => Ok(Value::Bool(true)),
                "FALSE" | "NO" | "0" => Ok(Value::Bool(false)),
                _ => Err(format!("'{text}' can not be converted to an Boolean")),
            }
        }
        other => Err(cannot(&other, "an Boolean")),
    }
}

fn decode_base64(text: &str) -> Result<Bytes, String> {
    if let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(text) {
        return Ok(bytes.into());
    }
    Err(format!("'{text}' can not be converted to a Blob: {}", base64_fault(text)))
}

/// What is wrong with text that is not base64.
fn base64_fault(text: &str) -> String {
    let units = text.encode_utf16().count();
    if !units.is_multiple_of(4) {
        return format!("Base64 encoded length is expected a multiple of 4 bytes but found: {units}");
    }
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let padding_inside = char == '=' && chars.peek().is_some_and(|next| *next != '=');
        if padding_inside || !(char.is_ascii_alphanumeric() || matches!(char, '+' | '/' | '=')) {
            return format!("Invalid Base64 character: '{char}'");
        }
    }
    // As the service spells it.
    "Invalid last non-pad Base64 character dectected".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bounds;

    fn read(kind: &Kind, scalar: Scalar<'_>) -> Result<Value, String> {
        under(kind, scalar)
    }

    #[test]
    fn numbers_are_cut_to_their_type() {
        let int = Kind::Integer { value: Bounds::default(), long: false };
        let long = Kind::Integer { value: Bounds::default(), long: true };
        assert_eq!(read(&int, Scalar::Int(1 << 40)), Ok(Value::Int(i64::from(i32::MAX))));
        assert_eq!(read(&long, Scalar::Int(1 << 40)), Ok(Value::Int(1 << 40)));
        assert_eq!(read(&int, Scalar::Float(2.9)), Ok(Value::Int(2)));
        assert_eq!(read(&int, Scalar::Float(f64::NAN)), Ok(Value::Int(0)));
        assert_eq!(read(&Kind::Timestamp, Scalar::Float(1.7e9 + 0.123)), Ok(Value::Time(1_700_000_000_123)));
        assert_eq!(read(&Kind::Timestamp, Scalar::Int(i64::MAX)), Ok(Value::Time(i64::MAX)));
    }

    #[test]
    fn some_words_are_booleans() {
        assert_eq!(read(&Kind::Boolean, Scalar::Text("yes")), Ok(Value::Bool(true)));
        assert_eq!(read(&Kind::Boolean, Scalar::Text("False")), Ok(Value::Bool(false)));
        let refused = read(&Kind::Boolean, Scalar::Text("hello"));
        assert_eq!(refused, Err("'HELLO' can not be converted to an Boolean".to_owned()));
    }

    #[test]
    fn base64_is_read_strictly() {
        assert_eq!(decode_base64(""), Ok(Bytes::new()));
        assert_eq!(decode_base64("aGVsbG8="), Ok(Bytes::from("hello")));
        for (text, fault) in [
            ("23456", "Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
            ("=+/=", "Invalid Base64 character: '='"),
            ("aGVs\nbG8", "Invalid Base64 character: '\n'"),
            ("+/+=", "Invalid last non-pad Base64 character dectected"),
            ("aGVsbG9=", "Invalid last non-pad Base64 character dectected"),
            ("a===", "Invalid last non-pad Base64 character dectected"),
        ] {
            assert_eq!(base64_fault(text), fault);
            assert!(decode_base64(text).unwrap_err().ends_with(fault), "{text}");
        }
    }
}
