//! The fixed hash: a serde serializer that folds a key's data model into 64 bits.
//!
//! Multiply-fold of 128-bit products, as in wyhash (Wang Yi, 2019), over the words that serde
//! reports; lengths and variant indices are folded in, so that ("a", "bc") and ("ab", "c")
//! differ. For an integer key the whole serializer compiles to two multiplications.

use serde::ser::{self, Impossible, Serialize};

use super::KeyHash;

/// Version of the hash, written into every manifest. A change moves keys between groups.
pub const HASH_VERSION: u16 = 1;

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIER: u64 = 0xd6e8_feb8_6659_fd93;

/// The fixed hash of `key`.
///
/// # Panics
/// If the key holds a floating point number or a map, which have no canonical form; the worker
/// reports it as an error of the operator that made the key.
#[must_use]
#[inline]
pub fn hash_of<K: Serialize + ?Sized>(key: &K) -> KeyHash {
    let mut hasher = Hasher(SEED);
    if let Err(refused) = key.serialize(&mut hasher) {
        panic!("{} cannot be a key: {refused}", std::any::type_name::<K>());
    }
    KeyHash(fold(hasher.0 ^ SEED, MULTIPLIER))
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

struct Hasher(u64);

impl Hasher {
    #[inline]
    fn word(&mut self, word: u64) {
        // The state enters both factors, so that a zero word does not erase it.
        self.0 = fold(self.0 ^ word, MULTIPLIER ^ word.rotate_left(32)).wrapping_add(SEED);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(word));
        }
    }
}

/// Why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl ser::Error for Refused {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn refuse<T>(what: &str) -> Result<T, Refused> {
    Err(Refused(format!("it contains {what}, which has no canonical form")))
}

macro_rules! words {
    ($($method:ident: $type:ty),*) => {
        $(#[inline] fn $method(self, value: $type) -> Result<(), Refused> {
            self.word(value as u64);
            Ok(())
        })*
    };
}

impl ser::Serializer for &mut Hasher {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Impossible<(), Refused>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_char: char
    }
    fn serialize_i128(self, value: i128) -> Result<(), Refused> {
        self.serialize_u128(value as u128)
    }
    fn serialize_u128(self, value: u128) -> Result<(), Refused> {
        self.word(value as u64);
        self.word((value >> 64) as u64);
        Ok(())
    }
    fn serialize_f32(self, _: f32) -> Result<(), Refused> {
        refuse("a floating point number")
    }
    fn serialize_f64(self, _: f64) -> Result<(), Refused> {
        refuse("a floating point number")
    }
    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Refused> {
        self.bytes(value.as_bytes());
        Ok(())
    }
    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Refused> {
        self.bytes(value);
        Ok(())
    }
    fn serialize_none(self) -> Result<(), Refused> {
        self.word(0);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refused> {
        self.word(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Refused> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Refused> {
        self.word(u64::from(index));
        Ok(())
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        self.word(u64::from(index));
        value.serialize(self)
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Refused> {
        match len {
            Some(len) => {
                self.word(len as u64);
                Ok(self)
            }
            None => refuse("a sequence of unknown length"),
        }
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.word(u64::from(index));
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Refused> {
        refuse("a map")
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.word(u64::from(index));
        Ok(self)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! compounds {
    ($($trait:ident::$method:ident),*) => {
        $(impl ser::$trait for &mut Hasher {
            type Ok = ();
            type Error = Refused;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                value.serialize(&mut **self)
            }
            #[inline]
            fn end(self) -> Result<(), Refused> {
                Ok(())
            }
        })*
    };
}
compounds!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! named_compounds {
    ($($trait:ident),*) => {
        $(impl ser::$trait for &mut Hasher {
            type Ok = ();
            type Error = Refused;
            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Refused> {
                value.serialize(&mut **self)
            }
            #[inline]
            fn end(self) -> Result<(), Refused> {
                Ok(())
            }
        })*
    };
}
named_compounds!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests {
    use super::*;

    /// Changing any of these moves persisted state to other key groups: raise `HASH_VERSION`.
    #[test]
    fn the_hash_is_fixed() {
        assert_eq!(hash_of(&0u64), hash_of(&0i64));
        let found = [hash_of(&0u64), hash_of(&1u64), hash_of("card"), hash_of(&("a", 7u8, Some(true)))];
        assert_eq!(found, FIXED);
    }
    const FIXED: [KeyHash; 4] = [
        KeyHash(18_177_369_320_787_515_874),
        KeyHash(598_402_444_117_650_281),
        KeyHash(2_002_866_315_330_215_660),
        KeyHash(2_303_329_106_695_716_156),
    ];

    #[test]
    fn keys_do_not_run_together() {
        assert_ne!(hash_of(&("a", "bc")), hash_of(&("ab", "c")));
        assert_ne!(hash_of(&vec![vec![1u8], vec![]]), hash_of(&vec![vec![], vec![1u8]]));
        assert_ne!(hash_of(&"\0"), hash_of(&""));
        // Where one ends and the other begins shows also if both fill words, and what fills one up.
        assert_ne!(hash_of(&("12345678", "")), hash_of(&("", "12345678")));
        assert_ne!(hash_of(&"a\0"), hash_of(&"a"));
    }

    #[test]
    #[should_panic(expected = "f64 cannot be a key: it contains a floating point number")]
    fn a_floating_point_key_is_refused() {
        let _ = hash_of(&1.0f64);
    }
}
