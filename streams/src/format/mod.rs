//! The bytes on disk: one file per layout, each with its table in `FORMAT.md`, a round-trip property
//! test and a checked-in fixture. Pure: nothing here touches a disk.

pub(crate) mod codec;
pub(crate) mod end;
pub(crate) mod frame;
pub(crate) mod marker;
pub(crate) mod meta;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod staged;
pub(crate) mod transactions;

/// The newest version of every layout that this crate writes and reads.
pub(crate) const VERSION: u32 = 1;

/// Frames start at multiples of this.
pub(crate) const ALIGN: u64 = 8;

/// Compares what is encoded now with the checked-in bytes of a version, which must still read.
#[cfg(test)]
pub(crate) fn check_fixture(name: &str, encoded: &[u8]) -> Vec<u8> {
    let path = std::path::Path::new("fixtures/v1").join(name);
    if std::env::var_os("PELTON_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, encoded).unwrap();
    }
    let fixture = std::fs::read(&path).unwrap();
    assert_eq!(encoded, fixture, "{} is no longer what is written", path.display());
    fixture
}
