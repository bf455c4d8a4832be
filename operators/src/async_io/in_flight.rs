//! What of an `async_io` lies in a checkpoint: the records that were taken and had not come out.
//!
//! In [`Frozen::bytes`](pelton_dataflow::operator::Frozen), numbers little endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the version of this layout, 1 |
//! | 8 | the watermark that the instance was told last, `i64` |
//! | 8 | of each record: its event time, `i64` |
//! | 8 | what it holds the watermark at, `i64`: a record that was late is late after a restart too |
//! | 4 + n | its length, `u32`, and it, by the state's codec |
//!
//! They are in the order in which they were taken. After a restart each falls to one worker.

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::operator::RestoredPart;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::codec;

use crate::told;

const VERSION: u8 = 1;

/// A record on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InFlight<T> {
    pub time: EventTime,
    /// The watermark does not pass this before it is out.
    pub held: EventTime,
    pub record: T,
}

/// As a checkpoint keeps them.
pub(super) fn to_bytes<'a, T: Data>(
    watermark: EventTime,
    records: impl Iterator<Item = &'a InFlight<T>>,
) -> OpResult<Vec<u8>> {
    let mut bytes = vec![VERSION];
    bytes.extend(told::to_bytes(watermark));
    for InFlight { time, held, record } in records {
        bytes.extend_from_slice(&time.0.to_le_bytes());
        bytes.extend_from_slice(&held.0.to_le_bytes());
        let at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        codec::encode_into(record, &mut bytes)?;
        let length = u32::try_from(bytes.len() - at - 4).map_err(|_| "a record has more than 4 GiB")?;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    Ok(bytes)
}

/// The watermark that all of `parts` were told, and the records of theirs that fall to `worker`. With `keeps_order` those of a part stay together, so that
/// they stay in order; else they are dealt out one by one.
pub(super) fn restore<T: Data>(
    parts: &[RestoredPart],
    keeps_order: bool,
    worker: usize,
    workers: usize,
) -> OpResult<(EventTime, Vec<InFlight<T>>)> {
    let (mut watermarks, mut own) = (Vec::new(), Vec::new());
    let mut number = 0;
    for (index, part) in parts.iter().enumerate() {
        let (watermark, mut rest) = body(&part.bytes)?;
        watermarks.push(watermark);
        while !rest.is_empty() {
            let ([time, held], bytes, after) = split_record(rest)?;
            if worker == if keeps_order { index } else { number } % workers {
                own.push(InFlight { time, held, record: codec::decode(bytes)? });
            }
            (rest, number) = (after, number + 1);
        }
    }
    Ok((told::least(watermarks.into_iter()), own))
}

/// A part of an operator that left nothing, because it stood for something else before, is empty.
fn body(bytes: &[u8]) -> OpResult<(EventTime, &[u8])> {
    match bytes {
        [] => Ok((EventTime::MIN, &[])),
        [VERSION, body @ ..] => told::split(body)
            .ok_or_else(|| format!("{} bytes are no watermark and records in flight", bytes.len()).into()),
        [version, ..] => Err(format!(
            "its records in flight are of version {version}, this program knows version {VERSION}: run it with the version of the program that wrote the checkpoint"
        )
        .into()),
    }
}

fn split_record(bytes: &[u8]) -> OpResult<([EventTime; 2], &[u8], &[u8])> {
    let damaged = || OpError::from(format!("{} bytes are no records in flight", bytes.len()));
    let (time, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    let (held, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
    Ok(([*time, *held].map(|ms| EventTime(i64::from_le_bytes(ms))), record, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOLD: EventTime = EventTime(9);

    /// One that left nothing has been told nothing, whatever its stage reported.
    #[test]
    fn the_least_that_was_told_counts() {
        let told = |at| part(to_bytes::<String>(EventTime(at), std::iter::empty()).unwrap());
        let least = |parts: &[RestoredPart]| restore::<String>(parts, false, 0, 1).unwrap().0;
        assert_eq!(least(&[told(7), told(3)]), EventTime(3));
        assert_eq!(
            least(&[told(7), RestoredPart { watermark: EventTime(5), ..part(Vec::new()) }]),
            EventTime::MIN
        );
    }

    fn part(bytes: Vec<u8>) -> RestoredPart {
        RestoredPart { groups: 0..1, watermark: EventTime::MIN, bytes }
    }

    fn in_flight((time, held, record): (i64, i64, String)) -> InFlight<String> {
        InFlight { time: EventTime(time), held: EventTime(held), record }
    }

    proptest! {
        /// On any number of workers each record falls to one, and those of a part stay in order if they have to.
        #[test]
        fn each_record_falls_to_one_worker(
            parts in prop::collection::vec(prop::collection::vec(any::<(i64, i64, String)>(), 0..6), 0..4),
            workers in 1usize..5,
            keeps_order in any::<bool>(),
        ) {
            let parts: Vec<Vec<_>> =
                parts.into_iter().map(|records| records.into_iter().map(in_flight).collect()).collect();
            let restored: Vec<_> =
                parts.iter().map(|records| part(to_bytes(TOLD, records.iter()).unwrap())).collect();
            let mut found = Vec::new();
            for worker in 0..workers {
                let (told, own): (_, Vec<InFlight<String>>) =
                    restore(&restored, keeps_order, worker, workers).unwrap();
                prop_assert_eq!(told, if parts.is_empty() { EventTime::MIN } else { TOLD });
                if keeps_order {
                    let whole = parts.iter().skip(worker).step_by(workers).flatten().cloned();
                    prop_assert_eq!(&own, &whole.collect::<Vec<_>>());
                }
                found.extend(own);
            }
            let mut expected: Vec<_> = parts.into_iter().flatten().collect();
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }

    const BYTES: &[u8] =
        b"\x01\x09\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff\x07\0\0\0\0\0\0\0\x0a\0\0\0\x02\0\0\0\0\0\0\0ab";

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_bytes_are_fixed() {
        let record = in_flight((-2, 7, "ab".to_owned()));
        assert_eq!(to_bytes(TOLD, [&record].into_iter()).unwrap(), BYTES);
        let found = restore::<String>(&[part(BYTES.to_vec())], true, 0, 1).unwrap();
        assert_eq!(found, (TOLD, vec![record]));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let restored = |bytes: &[u8]| {
            let found = restore::<String>(&[part(bytes.to_vec())], true, 0, 1);
            found.map(|(_, records)| records.len()).map_err(|error| error.to_string())
        };
        assert_eq!(restored(b""), Ok(0));
        assert!(restored(b"\x02").unwrap_err().contains("of version 2"));
        for cut in (1..BYTES.len()).filter(|cut| *cut != 9) {
            assert!(restored(&BYTES[..cut]).is_err(), "{cut}");
        }
    }
}
