//! The reading half of the key encoding.

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

use super::{END, ESCAPE, KeyCodecError, refuse};

/// The key that `bytes` hold, all of them.
///
/// # Errors
/// They are not the bytes of a `K`.
pub fn decode<K: DeserializeOwned>(bytes: &[u8]) -> Result<K, KeyCodecError> {
    match decode_prefix(bytes)? {
        (key, []) => Ok(key),
        (_, rest) => {
            let (count, plural) = (rest.len(), if rest.len() == 1 { "" } else { "s" });
            Err(KeyCodecError(format!("there are {count} byte{plural} too many")))
        }
    }
}

/// The key that `bytes` begin with, and what follows it.
///
/// # Errors
/// They do not begin with a `K`.
pub fn decode_prefix<K: DeserializeOwned>(bytes: &[u8]) -> Result<(K, &[u8]), KeyCodecError> {
    let mut reader = Reader(bytes);
    let key = K::deserialize(&mut reader)?;
    Ok((key, reader.0))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], KeyCodecError> {
        match self.0.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.0 = rest;
                Ok(*head)
            }
            None => Err(KeyCodecError("the bytes end within the key".into())),
        }
    }

    fn byte(&mut self) -> Result<u8, KeyCodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, KeyCodecError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(KeyCodecError(format!("a flag is {other:#04x}"))),
        }
    }

    fn escaped(&mut self) -> Result<Vec<u8>, KeyCodecError> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                0 => match self.byte()? {
                    END => return Ok(bytes),
                    ESCAPE => bytes.push(0),
                    other => return Err(KeyCodecError(format!("a zero byte is followed by {other:#04x}"))),
                },
                byte => bytes.push(byte),
            }
        }
    }

    fn text(&mut self) -> Result<String, KeyCodecError> {
        String::from_utf8(self.escaped()?).map_err(|error| KeyCodecError(error.to_string()))
    }
}

macro_rules! unsigned {
    ($($method:ident $visit:ident: $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
            visitor.$visit(<$type>::from_be_bytes(self.array()?))
        })*
    };
}

macro_rules! signed {
    ($($method:ident $visit:ident: $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
            visitor.$visit(<$type>::from_be_bytes(self.array()?) ^ <$type>::MIN)
        })*
    };
}

impl<'de> de::Deserializer<'de> for &mut Reader<'_> {
    type Error = KeyCodecError;

    unsigned!(
        deserialize_u8 visit_u8: u8, deserialize_u16 visit_u16: u16, deserialize_u32 visit_u32: u32,
        deserialize_u64 visit_u64: u64, deserialize_u128 visit_u128: u128
    );
    signed!(
        deserialize_i8 visit_i8: i8, deserialize_i16 visit_i16: i16, deserialize_i32 visit_i32: i32,
        deserialize_i64 visit_i64: i64, deserialize_i128 visit_i128: i128
    );
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, KeyCodecError> {
        refuse("a type that asks its bytes what they are")
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        self.deserialize_any(visitor)
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        visitor.visit_bool(self.flag()?)
    }
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        let code = u32::from_be_bytes(self.array()?);
        visitor.visit_char(
            char::from_u32(code).ok_or_else(|| KeyCodecError(format!("no character is {code:#x}")))?,
        )
    }
    fn deserialize_f32<V: Visitor<'de>>(self, _: V) -> Result<V::Value, KeyCodecError> {
        refuse("a floating point number")
    }
    fn deserialize_f64<V: Visitor<'de>>(self, _: V) -> Result<V::Value, KeyCodecError> {
        refuse("a floating point number")
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        visitor.visit_string(self.text()?)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        visitor.visit_string(self.text()?)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        visitor.visit_byte_buf(self.escaped()?)
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        visitor.visit_byte_buf(self.escaped()?)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, KeyCodecError> {
        visitor.visit_unit()
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, KeyCodecError> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        visitor.visit_seq(Elements(self))
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, KeyCodecError> {
        visitor.visit_seq(Fields { reader: self, left })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, KeyCodecError> {
        self.deserialize_tuple(left, visitor)
    }
    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, KeyCodecError> {
        refuse("a map")
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, KeyCodecError> {
        self.deserialize_tuple(fields.len(), visitor)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, KeyCodecError> {
        visitor.visit_enum(self)
    }
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KeyCodecError> {
        self.deserialize_any(visitor)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Elements<'r, 'a>(&'r mut Reader<'a>);

impl<'de> de::SeqAccess<'de> for Elements<'_, '_> {
    type Error = KeyCodecError;
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, KeyCodecError> {
        if self.0.flag()? { seed.deserialize(&mut *self.0).map(Some) } else { Ok(None) }
    }
}

struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Fields<'_, '_> {
    type Error = KeyCodecError;
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, KeyCodecError> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                seed.deserialize(&mut *self.reader).map(Some)
            }
            None => Ok(None),
        }
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Reader<'_> {
    type Error = KeyCodecError;
    type Variant = Self;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), KeyCodecError> {
        let index = u32::from_be_bytes(self.array()?);
        let variant = seed.deserialize(IntoDeserializer::<KeyCodecError>::into_deserializer(index))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Reader<'_> {
    type Error = KeyCodecError;
    fn unit_variant(self) -> Result<(), KeyCodecError> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, KeyCodecError> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, KeyCodecError> {
        de::Deserializer::deserialize_tuple(self, len, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, KeyCodecError> {
        de::Deserializer::deserialize_tuple(self, fields.len(), visitor)
    }
}
