//! The writing half of the key encoding.

use serde::ser::{self, Impossible, Serialize};

use super::{END, ESCAPE, KeyCodecError, refuse};

/// Appends `key` to `out`.
///
/// # Errors
/// It contains what has no canonical form; `out` may hold a part of it then.
#[inline]
pub fn encode_into<K: Serialize + ?Sized>(key: &K, out: &mut Vec<u8>) -> Result<(), KeyCodecError> {
    key.serialize(Writer(out))
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn escaped(self, bytes: &[u8]) {
        for (i, run) in bytes.split(|byte| *byte == 0).enumerate() {
            if i > 0 {
                self.0.extend_from_slice(&[0, ESCAPE]);
            }
            self.0.extend_from_slice(run);
        }
        self.0.extend_from_slice(&[0, END]);
    }

    fn variant(&mut self, index: u32) {
        self.0.extend_from_slice(&index.to_be_bytes());
    }
}

macro_rules! unsigned {
    ($($method:ident: $type:ty),*) => {
        $(#[inline] fn $method(self, value: $type) -> Result<(), KeyCodecError> {
            self.0.extend_from_slice(&value.to_be_bytes());
            Ok(())
        })*
    };
}

macro_rules! signed {
    ($($method:ident: $type:ty),*) => {
        $(#[inline] fn $method(self, value: $type) -> Result<(), KeyCodecError> {
            self.0.extend_from_slice(&(value ^ <$type>::MIN).to_be_bytes());
            Ok(())
        })*
    };
}

impl<'a> ser::Serializer for Writer<'a> {
    type Ok = ();
    type Error = KeyCodecError;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeMap = Impossible<(), KeyCodecError>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    unsigned!(
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    );
    signed!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128
    );
    fn serialize_bool(self, value: bool) -> Result<(), KeyCodecError> {
        self.0.push(u8::from(value));
        Ok(())
    }
    fn serialize_char(self, value: char) -> Result<(), KeyCodecError> {
        self.serialize_u32(u32::from(value))
    }
    fn serialize_f32(self, _: f32) -> Result<(), KeyCodecError> {
        refuse("a floating point number")
    }
    fn serialize_f64(self, _: f64) -> Result<(), KeyCodecError> {
        refuse("a floating point number")
    }
    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), KeyCodecError> {
        self.escaped(value.as_bytes());
        Ok(())
    }
    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), KeyCodecError> {
        self.escaped(value);
        Ok(())
    }
    fn serialize_none(self) -> Result<(), KeyCodecError> {
        self.serialize_bool(false)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), KeyCodecError> {
        self.0.push(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), KeyCodecError> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), KeyCodecError> {
        Ok(())
    }
    fn serialize_unit_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), KeyCodecError> {
        self.variant(index);
        Ok(())
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), KeyCodecError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), KeyCodecError> {
        self.variant(index);
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, KeyCodecError> {
        Ok(Elements(self.0))
    }
    fn serialize_tuple(self, _: usize) -> Result<Fields<'a>, KeyCodecError> {
        Ok(Fields(self.0))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, KeyCodecError> {
        Ok(Fields(self.0))
    }
    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, KeyCodecError> {
        self.variant(index);
        Ok(Fields(self.0))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, KeyCodecError> {
        refuse("a map")
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, KeyCodecError> {
        Ok(Fields(self.0))
    }
    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, KeyCodecError> {
        self.variant(index);
        Ok(Fields(self.0))
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of a sequence, each announced, so that a shorter one sorts first.
struct Elements<'a>(&'a mut Vec<u8>);

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = KeyCodecError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyCodecError> {
        self.0.push(1);
        value.serialize(Writer(self.0))
    }
    fn end(self) -> Result<(), KeyCodecError> {
        self.0.push(0);
        Ok(())
    }
}

/// Fields whose number the type knows.
struct Fields<'a>(&'a mut Vec<u8>);

macro_rules! fields {
    ($($trait:ident::$method:ident($($name:ty)?)),*) => {
        $(impl ser::$trait for Fields<'_> {
            type Ok = ();
            type Error = KeyCodecError;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), KeyCodecError> {
                value.serialize(Writer(self.0))
            }
            #[inline]
            fn end(self) -> Result<(), KeyCodecError> {
                Ok(())
            }
        })*
    };
}
fields!(
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str)
);
