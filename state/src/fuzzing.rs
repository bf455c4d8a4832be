//! Doors for fuzzing: what reads the files of a checkpoint, and the rows in them.

use std::fmt::Debug;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::run::{Merge, Run, RunBuilder};
use crate::checkpoint::manifest::Entry;
use crate::checkpoint::wire;
use crate::rows::Kind;
use crate::{codec, ordered, rows};

/// Reads `bytes` as an entry of the manifest log: as they are, and as the payload of one.
///
/// # Panics
/// If an entry that can be read is not written as it was.
pub fn manifest(bytes: &[u8]) {
    let _ = wire::decode("manifest/7", bytes);
    for kind in 0..4 {
        let Ok(entry) = wire::decode("manifest/7", &wire::enveloped(kind, bytes)) else { continue };
        let again = match &entry {
            Entry::Checkpoint(manifest) => {
                assert!(
                    manifest.files().count() < bytes.len()
                        && manifest.names.operators().count() < bytes.len()
                );
                wire::encode_checkpoint(manifest)
            }
            Entry::Takeover(takeover) => wire::encode_takeover(takeover),
        };
        let again = again.expect("what was read can be written");
        assert_eq!(wire::decode("manifest/7", &again).expect("what was written can be read"), entry);
    }
}

/// Reads `bytes` as a file of sorted rows: as they are, and as the rows of one.
///
/// # Panics
/// If rows are found that are not there, or the other way round.
pub fn run_file(bytes: &[u8]) {
    let _ = Run::parse(&Bytes::copy_from_slice(bytes), "1.run");
    let mut file = RunBuilder::default().finish()[..8].to_vec();
    file.extend_from_slice(bytes);
    for rows in 0..4_u64 {
        let mut file = file.clone();
        file.extend_from_slice(&rows.to_le_bytes());
        file.extend_from_slice(&crc32c::crc32c(&file).to_le_bytes());
        if let Ok(run) = Run::parse(&file.clone().into(), "1.run") {
            check_run(&run, &file, rows);
        }
    }
}

fn check_run(run: &Run, file: &[u8], rows: u64) {
    let all: Vec<_> = run.cursor(&[]).collect();
    assert_eq!(all.len() as u64, rows);
    let mut built = RunBuilder::default();
    for row in &all {
        built.add(*row);
        let found = run.find(row.key).map(|row| (row.kind, row.value));
        assert!(row.kind == Kind::Clear || found == Some((row.kind, row.value)));
        let _ = (run.cleared_to(row.key), rows::split_time(row.key));
    }
    assert_eq!(built.finish(), file);
    let merged = Merge::new([run, run].into_iter(), &[], None).count();
    assert!(merged <= all.len());
}

#[derive(Debug, Serialize, Deserialize)]
enum Shape {
    Dot,
    Line(i32, Option<String>),
    Area { sides: Vec<u8>, closed: bool, name: char },
}

/// Reads `bytes` as keys of several types. The bytes of a key are the only ones that stand for it.
///
/// # Panics
/// If a key that can be read is written otherwise.
pub fn keys(bytes: &[u8]) {
    key::<(u8, String)>(bytes);
    key::<Vec<(i64, Option<u16>)>>(bytes);
    key::<(bool, char, u128, i128)>(bytes);
    key::<(Shape, [u32; 2], ())>(bytes);
}

fn key<K: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let _ = ordered::decode::<K>(bytes);
    let Ok((key, rest)) = ordered::decode_prefix::<K>(bytes) else { return };
    let mut again = Vec::new();
    ordered::encode_into(&key, &mut again).expect("what was read can be written");
    assert_eq!(again, &bytes[..bytes.len() - rest.len()], "{key:?}");
}

/// Reads `bytes` as values of several types. The bytes of a value are the only ones that stand for it.
///
/// # Panics
/// If a value that can be read is written otherwise.
pub fn values(bytes: &[u8]) {
    value::<(u64, Option<String>, Vec<u16>)>(bytes);
    value::<Vec<Shape>>(bytes);
    value::<(i8, bool, char, [u8; 3], f64)>(bytes);
    value::<Vec<Vec<Vec<u8>>>>(bytes);
}

fn value<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let Ok(value) = codec::decode::<T>(bytes) else { return };
    assert_eq!(codec::encode(&value).expect("what was read can be written"), bytes, "{value:?}");
}
