//! Whether what a type writes can be read again, in a format that does not say what its bytes are.
//!
//! `serde` has attributes that are fine for JSON and not here. A field that `skip_serializing_if` leaves out is looked for all
//! the same when the value is read, so that what follows is taken for it; an `untagged` enum asks the bytes what they
//! are. Both would show when state is read for the first time, which may be after a crash, and then it is lost. So
//! each type is tried when the graph is built, with made-up values: small ones, in which things are left out,
//! and larger ones, at each variant.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sample::{Recipe, Sample};
use crate::error::StateError;
use crate::{codec, ordered};

/// Options and collections within each other of which each may be empty or not.
const MOST_FULL: usize = 3;

/// Variants that are tried; an enum of more has them for a table.
const MOST_VARIANTS: usize = 256;

/// Whether values of `T` that the [`codec`] has written can be read again, as far as made-up ones show.
///
/// # Errors
/// They cannot: what is wrong with the type, and what to do.
pub fn reads_back<T: Serialize + DeserializeOwned>() -> Result<(), StateError> {
    check::<T, _>(|value| {
        let bytes = codec::encode(value).map_err(|error| error.to_string())?;
        let again: T = codec::decode(&bytes).map_err(|error| error.to_string())?;
        Ok(codec::encode(&again).is_ok_and(|again| again == bytes))
    })
}

/// As [`reads_back`], for what names keys and rows.
///
/// # Errors
/// As there.
pub fn key_reads_back<K: Serialize + DeserializeOwned>() -> Result<(), StateError> {
    check::<K, _>(|value| {
        let bytes = |value: &K| {
            let mut bytes = Vec::new();
            ordered::encode_into(value, &mut bytes).map(|()| bytes)
        };
        let written = bytes(value).map_err(|error| error.to_string())?;
        let again: K = ordered::decode(&written).map_err(|error| error.to_string())?;
        Ok(bytes(&again).is_ok_and(|again| again == written))
    })
}

fn check<T, F>(is_same: F) -> Result<(), StateError>
where
    T: Serialize + DeserializeOwned,
    F: Fn(&T) -> Result<bool, String>,
{
    let (most_variants, asks) = (Cell::new(1), Cell::new(false));
    let not_read = |reason: String| StateError::NotReadBack { type_name: std::any::type_name::<T>(), reason };
    let mut variant = 0;
    while variant < most_variants.get().min(MOST_VARIANTS) {
        for full in 0..=MOST_FULL {
            let recipe = Recipe { full, variant, most_variants: &most_variants, asks: &asks };
            let made = T::deserialize(Sample::of(recipe));
            if asks.get() {
                return Err(not_read("it asks its bytes what they are".to_owned()));
            }
            // What a type does not take it does not write.
            let Ok(value) = made else { continue };
            match is_same(&value) {
                Ok(true) => {}
                Ok(false) => return Err(not_read("another value is read than was written".to_owned())),
                Err(reason) => return Err(not_read(reason)),
            }
        }
        variant += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::time::Duration;

    use pelton_dataflow::time::EventTime;
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Note {
        id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        amount: u64,
    }

    #[derive(Serialize, Deserialize)]
    struct Tags {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Paid { amount: u64 },
        Sent,
    }

    #[derive(Serialize, Deserialize)]
    struct Flat {
        id: u64,
        #[serde(flatten)]
        rest: HashMap<String, u64>,
    }

    #[derive(Serialize, Deserialize)]
    enum Deep {
        None,
        Some(u8),
        Far { notes: Vec<Option<Note>> },
    }

    #[derive(Serialize, Deserialize)]
    enum Tree {
        Node(Box<Tree>, Option<Box<Tree>>),
        Leaf(u32),
    }

    #[derive(Serialize, Deserialize)]
    struct Fine {
        id: u64,
        #[serde(rename = "type", default)]
        kind: Option<String>,
        #[serde(skip)]
        _cache: Option<u64>,
        parts: BTreeMap<String, Vec<(i128, f32)>>,
        at: (EventTime, Duration, [u8; 4], char, std::net::IpAddr),
    }

    fn refused<T: Serialize + DeserializeOwned>() -> String {
        reads_back::<T>().unwrap_err().to_string()
    }

    #[test]
    fn what_would_be_read_as_something_else_is_refused() {
        for message in [refused::<Note>(), refused::<Tags>(), refused::<Deep>(), refused::<Option<Note>>()] {
            assert!(message.contains("skip_serializing_if"), "{message}");
        }
        for message in [refused::<Either>(), refused::<Tagged>(), refused::<Flat>(), refused::<Vec<Either>>()]
        {
            assert!(message.contains("it asks its bytes what they are"), "{message}");
        }
        assert!(key_reads_back::<Note>().is_err() && key_reads_back::<Either>().is_err());
    }

    #[test]
    fn what_is_plain_is_not() {
        reads_back::<Fine>().unwrap();
        reads_back::<Tree>().unwrap();
        reads_back::<()>().unwrap();
        reads_back::<(Option<Option<u8>>, Vec<Vec<String>>, HashMap<u8, Option<f64>>)>().unwrap();
        key_reads_back::<(String, Option<u64>, [i32; 2])>().unwrap();
        key_reads_back::<()>().unwrap();
    }
}
