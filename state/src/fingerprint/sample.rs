//! The deserializer that makes up one value, as small or as large as it is told.
//!
//! It shares no code with the tracer, which explores a shape: here what counts are values in which things are
//! left out, and values in which they are not.

use std::cell::Cell;

use serde::de::value::Error;
use serde::de::{self, DeserializeSeed, Error as _, IntoDeserializer, Visitor};

/// How deep types may lie within each other before enums are at their first variant, which ends most of them.
const DEEP: usize = 8;

/// How deep they may lie at all.
const TOO_DEEP: usize = 64;

/// Which value is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe<'a> {
    /// Of options and collections that lie within each other, so many have contents; those within them have none.
    pub full: usize,
    /// Which variant enums are at, counted around.
    pub variant: usize,
    /// Told: the most variants that an enum has.
    pub most_variants: &'a Cell<usize>,
    /// Told: the type asks its bytes what they are.
    pub asks: &'a Cell<bool>,
}

#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    recipe: Recipe<'a>,
    depth: usize,
}

impl<'a> Sample<'a> {
    pub fn of(recipe: Recipe<'a>) -> Self {
        Self { recipe, depth: 0 }
    }

    fn within(self) -> Result<Self, Error> {
        if self.depth == TOO_DEEP {
            return Err(Error::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    /// What is in an option or a collection, if anything is.
    fn contents(self) -> Result<Option<Self>, Error> {
        let Some(full) = self.recipe.full.checked_sub(1) else { return Ok(None) };
        let inner = self.within()?;
        Ok(Some(Self { recipe: Recipe { full, ..inner.recipe }, ..inner }))
    }

    fn parts(self, left: usize) -> Result<Parts<'a>, Error> {
        Ok(Parts { left, sample: self.within()? })
    }
}

macro_rules! primitives {
    ($($method:ident $visit:ident $value:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit($value)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Sample<'_> {
    type Error = Error;

    // One, because there are types that refuse zero.
    primitives! {
        deserialize_bool visit_bool false;
        deserialize_i8 visit_i8 1;
        deserialize_i16 visit_i16 1;
        deserialize_i32 visit_i32 1;
        deserialize_i64 visit_i64 1;
        deserialize_i128 visit_i128 1;
        deserialize_u8 visit_u8 1;
        deserialize_u16 visit_u16 1;
        deserialize_u32 visit_u32 1;
        deserialize_u64 visit_u64 1;
        deserialize_u128 visit_u128 1;
        deserialize_f32 visit_f32 1.0;
        deserialize_f64 visit_f64 1.0;
        deserialize_char visit_char 'a';
        deserialize_str visit_str "";
        deserialize_string visit_string String::new();
        deserialize_bytes visit_bytes &[];
        deserialize_byte_buf visit_byte_buf Vec::new();
    }
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.recipe.asks.set(true);
        Err(Error::custom("it asks its bytes what they are"))
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.contents()? {
            Some(inner) => visitor.visit_some(inner),
            None => visitor.visit_none(),
        }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self.within()?)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let inner = self.contents()?;
        visitor.visit_seq(Parts { left: usize::from(inner.is_some()), sample: inner.unwrap_or(self) })
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.parts(len)?)
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(self.parts(len)?)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let inner = self.contents()?;
        visitor.visit_map(Parts { left: usize::from(inner.is_some()), sample: inner.unwrap_or(self) })
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(self.parts(fields.len())?)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Recipe { variant, most_variants, .. } = self.recipe;
        most_variants.set(most_variants.get().max(variants.len()));
        let index = if self.depth > DEEP { 0 } else { variant % variants.len().max(1) };
        visitor.visit_enum(Chosen { index, sample: self.within()? })
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// So many values one after the other.
struct Parts<'a> {
    left: usize,
    sample: Sample<'a>,
}

impl<'de> de::SeqAccess<'de> for Parts<'_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.sample).map(Some)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_> {
    type Error = Error;
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        de::SeqAccess::next_element_seed(self, seed)
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.sample)
    }
}

struct Chosen<'a> {
    index: usize,
    sample: Sample<'a>,
}

impl<'a, 'de> de::EnumAccess<'de> for Chosen<'a> {
    type Error = Error;
    type Variant = Sample<'a>;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Sample<'a>), Error> {
        let index = u32::try_from(self.index).map_err(Error::custom)?;
        let variant = seed.deserialize(IntoDeserializer::<Error>::into_deserializer(index))?;
        Ok((variant, self.sample))
    }
}

impl<'de> de::VariantAccess<'de> for Sample<'_> {
    type Error = Error;
    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.parts(len)?)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(self.parts(fields.len())?)
    }
}
