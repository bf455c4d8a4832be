//! The checkpoint store: what is put there, and what comes back.

use super::store::{CheckpointStore, LEAST_LINKED_BYTES};
use super::tests::memory;

#[test]
fn a_stored_file_is_verified_when_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(directory.path().join("store").to_str().unwrap()).unwrap();
    let local = directory.path().join("local");
    std::fs::write(&local, b"rows").unwrap();

    let file = store.put_file(&local, "data/00000001/w0000/rows", "rows").unwrap();
    assert_eq!((file.length, file.crc32c), (4, crc32c::crc32c(b"rows")));
    let fetched = directory.path().join("fetched");
    store.fetch(&file, &fetched).unwrap();
    assert_eq!(std::fs::read(&fetched).unwrap(), b"rows");
    assert_eq!(&store.read(&file).unwrap()[..], b"rows");
    assert_eq!(store.list("data").unwrap(), ["data/00000001/w0000/rows"]);

    let stored = directory.path().join("store/data/00000001/w0000/rows");
    for (bytes, problem) in [(&b"rowz"[..], "checksum"), (b"row", "3 bytes, its manifest says 4")] {
        std::fs::write(&stored, bytes).unwrap();
        for error in [store.read(&file).unwrap_err(), store.fetch(&file, &fetched).unwrap_err()] {
            let message = error.to_string();
            assert!(message.contains("w0000/rows` is damaged") && message.contains(problem), "{message}");
        }
    }
    store.delete(&file.path).unwrap();
    store.delete(&file.path).unwrap();
    let message = store.read(&file).unwrap_err().to_string();
    assert!(message.contains("cannot read") && message.contains("w0000/rows"), "{message}");
}

#[test]
fn a_file_of_many_parts_arrives_whole() {
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..20_000_003_u32).map(|n| (n % 251) as u8).collect();
    let local = directory.path().join("local");
    std::fs::write(&local, &bytes).unwrap();
    let linking = CheckpointStore::open(directory.path().join("store").to_str().unwrap()).unwrap();
    for store in [linking, memory()] {
        let file = store.put_file(&local, "data/00000001/w0000/big", "big").unwrap();
        assert_eq!((file.length, file.crc32c), (bytes.len() as u64, crc32c::crc32c(&bytes)));
        assert_eq!(store.read(&file).unwrap(), bytes);
    }
}

#[test]
#[cfg(unix)]
fn a_file_on_the_same_disk_is_linked_and_never_written_into() {
    use std::os::unix::fs::MetadataExt;

    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(directory.path().join("store").to_str().unwrap()).unwrap();
    let bytes = vec![7; LEAST_LINKED_BYTES as usize];
    let local = directory.path().join("local");
    std::fs::write(&local, &bytes).unwrap();
    let file = store.put_file(&local, "data/1.sst", "1.sst").unwrap();
    assert_eq!(std::fs::metadata(&local).unwrap().nlink(), 2);

    // Something is there already: it is replaced by a copy.
    let again = store.put_file(&local, "data/1.sst", "1.sst").unwrap();
    assert_eq!((&again, std::fs::metadata(&local).unwrap().nlink()), (&file, 1));

    let other = store.put_file(&local, "data/2.sst", "2.sst").unwrap();
    std::fs::write(directory.path().join("store/data/1.sst"), b"damaged").unwrap();
    store.fetch(&file, &local).unwrap_err();
    assert_eq!(store.read(&other).unwrap(), bytes, "what was fetched went into the file of another name");
    store.fetch(&other, &local).unwrap();
    std::fs::remove_file(&local).unwrap();
    assert_eq!(store.read(&other).unwrap(), bytes);
}

#[test]
fn a_store_of_an_unknown_kind_is_refused() {
    let message = CheckpointStore::open("ftp://host/dir").unwrap_err().to_string();
    assert!(message.contains("`ftp` is not a known kind of store"), "{message}");
}

#[test]
fn a_store_is_used_from_many_threads() {
    let store = memory();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for file in 0..50 {
                    store.put_bytes(&format!("data/{worker}/{file}"), "", "x".into()).unwrap();
                }
            });
        }
    });
    assert_eq!(store.list("data").unwrap().len(), 400);
}
