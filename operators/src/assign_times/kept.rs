//! What of an `assign_times` lies in a checkpoint, and where new instances begin.
//!
//! In [`Frozen::bytes`](pelton_dataflow::operator::Frozen), numbers little endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the version of this layout, 1 |
//! | 8 | the watermark that the instance had come to, `i64` |
//! | rest | its generator's state, by the state's codec |
//!
//! After a restart records that are read again may come to any instance. So all begin where the old one was that was
//! furthest behind: what was late for all stays late, and nothing that was on time becomes so. That
//! one's state alone is taken up, since what two states make together only their generator would know.

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::operator::RestoredPart;
use pelton_dataflow::time::EventTime;
use pelton_state::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::told;

const VERSION: u8 = 1;

/// Where an instance is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept<S> {
    /// May be more than what the generator says: a silent instance follows others.
    pub watermark: EventTime,
    pub generator: S,
}

/// As a checkpoint keeps it.
pub(super) fn to_bytes<S: Serialize>(watermark: EventTime, generator: &S) -> OpResult<Vec<u8>> {
    let mut bytes = vec![VERSION];
    bytes.extend(told::to_bytes(watermark));
    codec::encode_into(generator, &mut bytes)?;
    Ok(bytes)
}

/// Where a new instance begins: as the one of `parts` that was furthest behind.
pub(super) fn restore<S: Default + DeserializeOwned>(parts: &[RestoredPart]) -> OpResult<Kept<S>> {
    let mut furthest_behind: Option<Kept<S>> = None;
    for part in parts {
        let kept = read(&part.bytes)?;
        if furthest_behind.as_ref().is_none_or(|other| kept.watermark < other.watermark) {
            furthest_behind = Some(kept);
        }
    }
    Ok(furthest_behind.unwrap_or_else(beginning))
}

fn beginning<S: Default>() -> Kept<S> {
    Kept { watermark: EventTime::MIN, generator: S::default() }
}

/// An instance of an operator that was something else before has left nothing, and stands at the beginning.
fn read<S: Default + DeserializeOwned>(bytes: &[u8]) -> OpResult<Kept<S>> {
    match bytes {
        [] => Ok(beginning()),
        [VERSION, body @ ..] => {
            let unreadable = || OpError::from(format!("{} bytes are no watermark and generator", bytes.len()));
            let (watermark, generator) = told::split(body).ok_or_else(unreadable)?;
            Ok(Kept { watermark, generator: codec::decode(generator)? })
        }
        [version, ..] => Err(format!(
            "its watermarks are kept in format {version}, this program reads {VERSION}: run it with the version of the program that wrote the checkpoint"
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: Vec<u8>) -> RestoredPart {
        RestoredPart { groups: 0..1, watermark: EventTime(999), bytes }
    }

    fn of(watermark: i64, generator: i64) -> RestoredPart {
        part(to_bytes(EventTime(watermark), &generator).unwrap())
    }

    #[test]
    fn all_begin_as_the_one_that_was_furthest_behind() {
        let kept = |watermark, generator| Kept { watermark: EventTime(watermark), generator };
        assert_eq!(restore::<i64>(&[]).unwrap(), beginning());
        assert_eq!(restore::<i64>(&[of(60, 1), of(40, 2), of(80, 3)]).unwrap(), kept(40, 2));
        assert_eq!(restore::<i64>(&[of(60, 1), part(Vec::new())]).unwrap(), beginning());
    }

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_bytes_are_fixed() {
        let bytes = to_bytes(EventTime(-2), &7u16).unwrap();
        assert_eq!(bytes, b"\x01\xfe\xff\xff\xff\xff\xff\xff\xff\x07\x00");
        let refused = |bytes: &[u8]| read::<u16>(bytes).unwrap_err().to_string();
        assert!(refused(&[2]).starts_with("its watermarks are kept in format 2, this program reads 1"));
        assert_eq!(refused(&[1, 0]), "2 bytes are no watermark and generator");
    }
}
