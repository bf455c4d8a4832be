//! Doors for fuzzing: what reads the bytes of another process.

use timely::dataflow::channels::ContainerBytes;

use crate::lower::parcel::Parcel;
use crate::record::{Record, read_records};

/// Reads `bytes` as a parcel, and the records in it as those of several types.
///
/// # Panics
/// If a parcel that can be read is not written as it was.
pub fn parcel(bytes: &[u8]) {
    let Ok(parcel) = Parcel::read(bytes) else { return };
    let mut written = Vec::new();
    parcel.into_bytes(&mut written);
    let again = Parcel::read(&written).expect("what was written can be read");
    assert_eq!((again.from, again.to), (parcel.from, parcel.to));
    let (Some(batch), Some(again)) = (parcel.batch, again.batch) else { panic!("a parcel has a batch") };
    assert_eq!((again.len(), &again.origin), (batch.len(), &batch.origin));
    assert!(!batch.origin.narrowed(0, batch.len()).to_string().is_empty());
    let mut records = Vec::new();
    batch.encode(&mut records);
    let _ = read_records::<u64>(&records, batch.len());
    let _ = read_records::<(String, Option<Vec<i32>>)>(&records, batch.len());
    let _ = read_records::<Vec<Record<(bool, char, f64)>>>(&records, batch.len());
}
