//! The encoding of keys in rows: memcomparable and self-delimiting.
//!
//! Comparing the bytes compares the values as `derive(Ord)` does, and what follows a key cannot be
//! taken for a part of it. So keys can be put one after the other, and rows of one key, or of one
//! key's table, lie side by side.
//!
//! | data | bytes |
//! | --- | --- |
//! | `bool`, `u8` to `u128` | big endian, fixed width |
//! | `i8` to `i128` | the same with the sign bit flipped |
//! | `char` | its code point as `u32` |
//! | string, bytes | each `00` as `00 ff`, then `00 01` |
//! | `None`, `Some(x)` | `00`; `01` then `x` |
//! | sequence | `01` before each element, then `00` |
//! | tuple, struct | its fields one after the other |
//! | enum | the index of the variant as `u32`, then its fields |
//! | unit, newtype | nothing; what it wraps |
//!
//! Floating point numbers and maps have no canonical form and are refused. The bytes are persisted
//! and must never change.

mod de;
mod ser;

pub use de::{decode, decode_prefix};
pub use ser::encode_into;

/// Ends a string: lower than `00 ff`, which stands for a zero byte inside one.
const END: u8 = 0x01;
/// After a zero byte of a string.
const ESCAPE: u8 = 0xff;

/// Why a value cannot be written as a key or read as one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyCodecError(String);

impl serde::ser::Error for KeyCodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for KeyCodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn refuse<T>(what: &str) -> Result<T, KeyCodecError> {
    Err(KeyCodecError(format!("it contains {what}, which no key can")))
}

/// The first byte string behind all that begin with `prefix`: the end of their range.
///
/// # Panics
/// If `prefix` has nothing but `ff` bytes: no row's key does, key groups being below 32,768.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    panic!("no range ends behind {prefix:02x?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Shape {
        Dot,
        Line(i32, Option<String>),
        Box { name: String, sides: Vec<u8> },
    }

    fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
        let mut out = Vec::new();
        encode_into(value, &mut out).unwrap();
        out
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        let text = || {
            prop::collection::vec(prop_oneof![Just('\0'), Just('\u{1}'), any::<char>()], 0..4)
                .prop_map(String::from_iter)
        };
        prop_oneof![
            Just(Shape::Dot),
            (any::<i32>(), prop::option::of(text())).prop_map(|(n, s)| Shape::Line(n, s)),
            (text(), prop::collection::vec(any::<u8>(), 0..3))
                .prop_map(|(name, sides)| Shape::Box { name, sides }),
        ]
    }

    proptest! {
        #[test]
        fn order_is_kept_and_all_comes_back(a in (shapes(), any::<i64>(), shapes()), b in (shapes(), any::<i64>(), shapes())) {
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
            prop_assert_eq!(decode::<(Shape, i64, Shape)>(&bytes(&a)).unwrap(), a);
        }

        #[test]
        fn a_key_ends_by_itself(key in shapes(), rest: Vec<u8>) {
            let mut row = bytes(&key);
            row.extend_from_slice(&rest);
            let (found, behind) = decode_prefix::<Shape>(&row).unwrap();
            prop_assert_eq!((found, behind), (key, rest.as_slice()));
        }

        #[test]
        fn no_bytes_make_it_panic(found: Vec<u8>) {
            let _ = decode::<(Shape, Option<char>, bool, i128)>(&found);
        }
    }

    #[test]
    fn keys_do_not_run_together() {
        assert_ne!(bytes(&("a", "bc")), bytes(&("ab", "c")));
        assert_ne!(bytes(&("", "\0")), bytes(&("\0", "")));
        assert_ne!(bytes(&(vec![1u8], vec![2u8, 3])), bytes(&(vec![1u8, 2], vec![3u8])));
    }

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_bytes_are_fixed() {
        assert_eq!(bytes(&(1u16, -1i8, 'a')), b"\0\x01\x7f\0\0\0a");
        assert_eq!(bytes(&("a\0", Some(true))), b"a\0\xff\0\x01\x01\x01");
        assert_eq!(bytes(&Shape::Box { name: String::new(), sides: vec![9] }), b"\0\0\0\x02\0\x01\x01\x09\0");
    }

    #[test]
    fn what_has_no_canonical_form_is_refused() {
        let mut out = Vec::new();
        let refused = encode_into(&1.5f64, &mut out).unwrap_err().to_string();
        assert_eq!(refused, "it contains a floating point number, which no key can");
        assert!(decode::<u8>(&[1, 2]).unwrap_err().to_string().contains("1 byte too many"));
    }

    #[test]
    fn the_end_of_a_prefix_is_behind_it() {
        assert_eq!(end_of_prefix(&[1, 0xff, 0xff]), [2]);
        assert_eq!(end_of_prefix(&[1, 2]), [1, 3]);
    }
}
