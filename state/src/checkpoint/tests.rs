//! The manifest's bytes, the log, and retention.

use std::sync::Arc;

use object_store::memory::InMemory;
use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::sink::Committable;
use pelton_dataflow::source::{SplitInfo, SplitState};
use pelton_dataflow::time::{Epoch, EventTime};
use proptest::prelude::*;

use super::log::{self, ManifestLog, StartFrom};
use super::manifest::{Entry, Manifest, OperatorPart, SinkPart, SourcePart, SplitPart, Takeover};
use super::names::Declared;
use super::retention::{Garbage, collect, data_directory};
use super::store::CheckpointStore;
use super::wire;
use crate::error::StateError;
use crate::files::{Backend, KeyedAck, StoredFile};

pub(super) fn memory() -> CheckpointStore {
    CheckpointStore::over(Box::new(InMemory::new()), "memory:").unwrap()
}

pub(super) fn begin(store: &CheckpointStore) -> log::Begun {
    take_over(store, "job", &StartFrom::Newest).unwrap()
}

fn take_over(store: &CheckpointStore, job: &str, from: &StartFrom) -> Result<log::Begun, StateError> {
    ManifestLog::take_over(store, job, from, 0, &mut Default::default(), |_, _| Ok(()))
}

/// A manifest of `generation` at `epoch` with the data files `files`.
pub(super) fn manifest(generation: u64, epoch: u64, files: &[&StoredFile]) -> Manifest {
    let groups = KeyGroups::default();
    let mut manifest = Manifest::empty("job", generation, Epoch(epoch), groups, 1);
    manifest.keyed.push(KeyedAck {
        epoch: Epoch(epoch),
        worker: 0,
        groups: 0..groups.count(),
        backend: Backend::Memory,
        files: files.iter().map(|&file| file.clone()).collect(),
        new_bytes: 0,
        duration_us: 0,
    });
    manifest
}

fn put(store: &CheckpointStore, generation: u64, name: &str) -> StoredFile {
    let path = format!("{}/w0000/{name}", data_directory(generation));
    store.put_bytes(&path, name, name.to_owned().into()).unwrap()
}

/// A manifest with something in every field, for the format.
fn sample() -> Manifest {
    let file =
        StoredFile { path: "data/00000003/w0000/7.sst".into(), name: "7.sst".into(), length: 9, crc32c: 7 };
    let mut manifest = manifest(3, 41, &[&file]);
    manifest.is_final = true;
    (manifest.started_ms, manifest.completed_ms) = (1_700_000_000_000, 1_700_000_000_025);
    let state = Declared {
        operator: "count",
        state: "value",
        kind: "value",
        type_name: "u64",
        fingerprint: "u64",
        version: 2,
    };
    manifest.names.declare([state]).unwrap();
    manifest.operators.push(OperatorPart {
        operator: "count".into(),
        worker: 0,
        groups: 0..128,
        watermark: EventTime(12_345),
        bytes: vec![1, 2, 3],
    });
    let mut split = SplitState::fresh(SplitInfo::root("shard-0"));
    split.position = Some(vec![9, 9]);
    let split = SplitPart { state: split, assigned: true, finished_in: Some(Epoch(40)) };
    manifest.sources.push(SourcePart { source: "payments".into(), complete: true, splits: vec![split] });
    let committable = Committable { epoch: Epoch(41), worker: 0, bytes: vec![4, 5] };
    manifest.committables.push(SinkPart { sink: "alerts".into(), committables: vec![committable] });
    manifest
}

const FIXTURE: &[u8] = include_bytes!("../../fixtures/manifest-1.bin");

#[test]
fn a_manifest_of_version_1_still_reads() {
    assert_eq!(wire::decode("fixture", FIXTURE).unwrap(), Entry::Checkpoint(Box::new(sample())));
    assert_eq!(wire::encode_checkpoint(&sample()).unwrap(), FIXTURE);
}

/// For a new format version: run with `--ignored`, under a new file name.
#[test]
#[ignore = "writes the fixture of the current format version"]
fn write_the_fixture() {
    let path = "fixtures/manifest-1.bin";
    std::fs::write(path, wire::encode_checkpoint(&sample()).unwrap()).unwrap();
}

#[test]
fn every_bit_flip_and_truncation_is_an_error_that_names_the_file() {
    let takeover = Takeover { job: "job".into(), generation: 4, base: Some(7), at_ms: 5 };
    let takeover = wire::encode_takeover(&takeover).unwrap();
    for whole in [FIXTURE, &takeover] {
        for length in 0..whole.len() {
            let message = wire::decode("manifest/7", &whole[..length]).unwrap_err().to_string();
            assert!(message.contains("`manifest/7` is damaged"), "{message}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let message = wire::decode("manifest/7", &flipped).unwrap_err().to_string();
            assert!(message.contains("`manifest/7` is damaged"), "bit {bit}: {message}");
        }
        let longer = [whole, &[0]].concat();
        assert!(wire::decode("manifest/7", &longer).is_err());
    }
}

#[test]
fn a_manifest_of_a_newer_format_says_so() {
    let mut newer = FIXTURE.to_vec();
    newer[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&newer[8..12]), &newer[16..]);
    newer[12..16].copy_from_slice(&crc.to_le_bytes());
    let message = wire::decode("manifest/7", &newer).unwrap_err().to_string();
    assert!(
        message.contains("format version 2") && message.contains("newer version of the program"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn manifests_round_trip(
        epoch: u64, generation: u64, is_final: bool, workers in 1usize..9,
        parts in prop::collection::vec((".{0,12}", any::<i64>(), prop::collection::vec(any::<u8>(), 0..40)), 0..6),
    ) {
        let mut manifest = manifest(generation, epoch, &[]);
        manifest.is_final = is_final;
        manifest.workers = workers;
        for (name, at, bytes) in parts {
            manifest.operators.push(OperatorPart {
                operator: name.clone(), worker: workers - 1, groups: 3..9, watermark: EventTime(at), bytes: bytes.clone(),
            });
            let committable = Committable { epoch: Epoch(epoch), worker: 0, bytes };
            manifest.committables.push(SinkPart { sink: name, committables: vec![committable] });
        }
        let bytes = wire::encode_checkpoint(&manifest).unwrap();
        prop_assert_eq!(wire::decode("file", &bytes).unwrap(), Entry::Checkpoint(Box::new(manifest)));
    }
}

#[test]
fn a_generation_starts_from_the_newest_checkpoint() {
    let store = memory();
    let mut first = begin(&store);
    assert!(first.base.is_none());
    assert_eq!(first.log.append(&manifest(1, 1, &[])).unwrap(), 2);
    assert_eq!(first.log.append(&manifest(1, 2, &[])).unwrap(), 3);

    let second = begin(&store);
    assert_eq!(second.log.generation(), 2);
    assert_eq!(second.base, Some((3, manifest(1, 2, &[]))));
}

#[test]
fn zombie_cannot_append_a_manifest() {
    let store = memory();
    let mut zombie = begin(&store).log;
    zombie.append(&manifest(1, 1, &[])).unwrap();
    let mut successor = begin(&store);
    assert_eq!(successor.base.unwrap().1.epoch, Epoch(1));

    let message = zombie.append(&manifest(1, 2, &[])).unwrap_err().to_string();
    assert!(message.contains("generation 1 of job `job` has ended"), "{message}");
    successor.log.append(&manifest(2, 2, &[])).unwrap();
    for epoch in 3..6 {
        let again = zombie.append(&manifest(1, epoch, &[])).unwrap_err();
        assert!(matches!(again, StateError::Fenced { .. }), "who has lost stops for good: {again}");
    }
    let epochs: Vec<_> = log::entries(&store)
        .unwrap()
        .into_iter()
        .filter_map(|found| match found.entry.unwrap() {
            Entry::Checkpoint(manifest) => Some((manifest.generation, manifest.epoch.0)),
            Entry::Takeover(_) => None,
        })
        .collect();
    assert_eq!(epochs, [(1, 1), (2, 2)]);
}

#[test]
fn one_of_many_that_take_over_at_once_is_the_last() {
    let store = memory();
    let generations: Vec<u64> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..6).map(|_| scope.spawn(|| begin(&store).log.generation())).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut sorted = generations;
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 3, 4, 5, 6], "each has a generation of its own");
}

#[test]
fn the_log_falls_back_past_a_damaged_manifest() {
    let store = memory();
    let mut first = begin(&store).log;
    first.append(&manifest(1, 1, &[])).unwrap();
    first.append(&manifest(1, 2, &[])).unwrap();
    store.put_bytes(&log::path_of(3), "", "torn".into()).unwrap();

    let second = begin(&store);
    assert_eq!(second.base.unwrap().0, 2);
    assert_eq!(second.skipped.len(), 1);
    assert!(second.skipped[0].contains("manifest/00000000000000000003` is damaged"), "{:?}", second.skipped);
    assert_eq!(second.log.generation(), 3, "the damaged entry may have been a takeover by generation 2");
}

#[test]
fn a_branch_that_was_left_stays_left() {
    let store = memory();
    let mut first = begin(&store).log;
    for epoch in 1..=3 {
        first.append(&manifest(1, epoch, &[])).unwrap();
    }
    let from = StartFrom::Checkpoint(2);
    assert_eq!(take_over(&store, "job", &from).unwrap().base.unwrap().1.epoch, Epoch(1));
    assert_eq!(begin(&store).base.unwrap().0, 2, "not 4, the newest, which lies on the branch left");

    let unknown = take_over(&store, "job", &StartFrom::Checkpoint(9)).unwrap_err();
    assert!(unknown.to_string().contains("there is no checkpoint 9"), "{unknown}");
    assert!(unknown.to_string().contains("2, 3, 4"), "{unknown}");
}

#[test]
fn checkpoints_of_another_job_are_refused() {
    let store = memory();
    begin(&store);
    let message = take_over(&store, "other", &StartFrom::Newest).unwrap_err().to_string();
    assert!(message.contains("those of job `job`, this is job `other`"), "{message}");
}

/// Succeeds, fails before it wrote, or fails after it wrote, as told.
#[derive(Debug)]
pub(super) struct Flaky {
    pub(super) inner: InMemory,
    pub(super) outcomes: std::sync::Mutex<Vec<&'static str>>,
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("flaky")
    }
}

mod flaky {
    use super::Flaky;
    use futures::stream::BoxStream;
    use object_store::path::Path;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    };

    fn down() -> object_store::Error {
        object_store::Error::Generic { store: "flaky", source: "connection lost".into() }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Flaky {
        async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
            let outcome = self.outcomes.lock().unwrap().pop().unwrap_or("works");
            if outcome == "not written" {
                return Err(down());
            }
            let result = self.inner.put_opts(path, payload, options).await;
            if outcome == "written" { Err(down()) } else { result }
        }
        async fn put_multipart_opts(
            &self,
            path: &Path,
            options: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(path, options).await
        }
        async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
            self.inner.get_opts(path, options).await
        }
        fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
            self.inner.delete_stream(paths)
        }
        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.inner.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.inner.list_with_delimiter(prefix).await
        }
        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }
}

#[test]
fn an_append_whose_outcome_is_unknown_does_not_lose_the_job() {
    for outcome in ["written", "not written"] {
        let outcomes = std::sync::Mutex::new(vec![outcome, "works"]);
        let store =
            CheckpointStore::over(Box::new(Flaky { inner: InMemory::new(), outcomes }), "flaky:").unwrap();
        let mut log = begin(&store).log;
        let message = log.append(&manifest(1, 1, &[])).unwrap_err().to_string();
        assert!(message.contains("connection lost"), "{message}");
        log.append(&manifest(1, 2, &[])).unwrap();
        assert_eq!(begin(&store).base.unwrap().1.epoch, Epoch(2), "{outcome}");
    }
}

#[test]
fn files_that_no_kept_checkpoint_names_are_deleted() {
    let store = memory();
    let mut log = begin(&store).log;
    let files: Vec<StoredFile> = (0..4).map(|n| put(&store, 1, &format!("{n}.sst"))).collect();
    for epoch in 1..=3 {
        log.append(&manifest(1, epoch, &[&files[0], &files[epoch as usize]])).unwrap();
    }
    let garbage = collect(&store, 1, 2, false).unwrap().unwrap();
    let gone = vec![files[1].path.clone()];
    assert_eq!(garbage, Garbage { entries: vec![1, 2], files: gone, ..Garbage::default() });
    assert_eq!(log::sequences(&store).unwrap(), [3, 4]);
    assert_eq!(store.list("data").unwrap().len(), 3, "files 0, 2 and 3 are named");
}

#[test]
fn acknowledged_files_of_abandoned_epochs_are_not_garbage() {
    let store = memory();
    let mut log = begin(&store).log;
    let [old, abandoned] = ["1.sst", "2.sst"].map(|name| put(&store, 1, name));
    log.append(&manifest(1, 1, &[&old])).unwrap();
    // Epoch 2 put a file and was abandoned: no manifest names it yet.
    log.append(&manifest(1, 3, &[&old])).unwrap();
    collect(&store, 1, 1, true).unwrap().unwrap();
    log.append(&manifest(1, 4, &[&old, &abandoned])).unwrap();
    store.read(&abandoned).unwrap();
}

#[test]
fn strays_of_earlier_generations_are_swept_once_the_current_one_has_a_checkpoint() {
    let store = memory();
    let mut first = begin(&store).log;
    let [named, stray] = ["named", "stray"].map(|name| put(&store, 1, name));
    first.append(&manifest(1, 1, &[&named])).unwrap();

    let mut second = begin(&store).log;
    let own = put(&store, 2, "own");
    let early = collect(&store, 2, 1, true).unwrap().unwrap();
    assert_eq!((early.files, early.swept), (vec![], false), "what the old one is about to name is not known");
    second.append(&manifest(2, 2, &[&named])).unwrap();
    let garbage = collect(&store, 2, 1, true).unwrap().unwrap();
    assert_eq!((garbage.files, garbage.swept), (vec![stray.path], true));
    assert_eq!(store.list("data").unwrap(), [named.path, own.path]);
}

/// A generation that is killed between a checkpoint and its collection leaves one too many.
#[test]
fn a_new_generation_collects_what_others_have_left() {
    let store = memory();
    let files: Vec<StoredFile> = (0..5).map(|n| put(&store, 1, &format!("{n}.sst"))).collect();
    for generation in 1..=5 {
        let file = &files[generation as usize - 1];
        begin(&store).log.append(&manifest(generation, generation, &[file])).unwrap();
    }
    let mut sixth = begin(&store).log;
    let garbage = collect(&store, 6, 2, true).unwrap().unwrap();
    assert_eq!(garbage.entries, (1..=7).collect::<Vec<_>>(), "takeovers and checkpoints, in turn");
    assert_eq!((garbage.files.len(), garbage.swept), (3, false));
    assert_eq!(log::sequences(&store).unwrap(), [8, 9, 10, 11]);
    sixth.append(&manifest(6, 6, &[])).unwrap();
    assert_eq!(begin(&store).base.unwrap().1.epoch, Epoch(6));
    // One that starts from an older checkpoint keeps its base, and what came after it.
    take_over(&store, "job", &StartFrom::Checkpoint(8)).unwrap();
    assert!(collect(&store, 8, 1, true).unwrap().unwrap().entries.is_empty());
    store.read(&files[3]).unwrap();
}

#[test]
fn nothing_is_deleted_while_a_kept_manifest_cannot_be_read() {
    let store = memory();
    let mut log = begin(&store).log;
    for epoch in 1..=4 {
        log.append(&manifest(1, epoch, &[])).unwrap();
    }
    store.put_bytes(&log::path_of(4), "", "torn".into()).unwrap();
    assert_eq!(collect(&store, 1, 2, true).unwrap(), None);
    log.append(&manifest(1, 5, &[])).unwrap();
    assert!(collect(&store, 1, 2, true).unwrap().is_some(), "the damaged one is older than those kept");
}

#[test]
fn savepoints_are_kept() {
    let store = memory();
    let mut log = begin(&store).log;
    let file = put(&store, 1, "1.sst");
    log.append(&Manifest { savepoint: true, ..manifest(1, 1, &[&file]) }).unwrap();
    log.append(&manifest(1, 2, &[])).unwrap();
    log.append(&manifest(1, 3, &[])).unwrap();
    collect(&store, 1, 1, false).unwrap().unwrap();
    assert_eq!(log::sequences(&store).unwrap(), [2, 4]);
    store.read(&file).unwrap();
}

#[test]
fn the_store_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &Arc<T>) {}
    shared(&Arc::new(memory()));
}

/// A store whose reads of one path fail as long as it is told so.
fn flaky_reads(path: &str) -> (CheckpointStore, Arc<std::sync::Mutex<Option<String>>>) {
    let broken = Arc::new(std::sync::Mutex::new(Some(path.to_owned())));
    let store = FlakyReads { inner: InMemory::new(), broken: broken.clone() };
    *broken.lock().unwrap() = None;
    (CheckpointStore::over(Box::new(store), "flaky:").unwrap(), broken)
}

#[derive(Debug)]
struct FlakyReads {
    inner: InMemory,
    broken: Arc<std::sync::Mutex<Option<String>>>,
}

impl std::fmt::Display for FlakyReads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("flaky reads")
    }
}

mod flaky_reads {
    use super::FlakyReads;
    use futures::stream::BoxStream;
    use object_store::path::Path;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    };

    #[async_trait::async_trait]
    impl ObjectStore for FlakyReads {
        async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
            self.inner.put_opts(path, payload, options).await
        }
        async fn put_multipart_opts(
            &self,
            path: &Path,
            options: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(path, options).await
        }
        async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
            if self.broken.lock().unwrap().as_deref() == Some(path.as_ref()) {
                let source = "too many open files".into();
                return Err(object_store::Error::Generic { store: "flaky", source });
            }
            self.inner.get_opts(path, options).await
        }
        fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
            self.inner.delete_stream(paths)
        }
        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.inner.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.inner.list_with_delimiter(prefix).await
        }
        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }
}

#[test]
fn a_read_that_fails_for_now_is_no_damage() {
    let (store, broken) = flaky_reads("");
    let mut first = begin(&store).log;
    first.append(&manifest(1, 1, &[])).unwrap();
    first.append(&manifest(1, 2, &[])).unwrap();
    *broken.lock().unwrap() = Some(log::path_of(3));
    let started = take_over(&store, "job", &StartFrom::Newest);
    *broken.lock().unwrap() = None;
    assert!(started.is_err(), "it starts from {:?}", started.unwrap().base.map(|(sequence, _)| sequence));
}

#[test]
fn a_savepoint_that_cannot_be_read_for_now_is_kept() {
    let (store, broken) = flaky_reads("");
    let mut log = begin(&store).log;
    let file = put(&store, 1, "1.sst");
    log.append(&Manifest { savepoint: true, ..manifest(1, 1, &[&file]) }).unwrap();
    let mut log = begin(&store).log;
    log.append(&manifest(2, 2, &[])).unwrap();
    log.append(&manifest(2, 3, &[])).unwrap();
    *broken.lock().unwrap() = Some(log::path_of(2));
    drop(collect(&store, 2, 1, true));
    *broken.lock().unwrap() = None;
    assert!(log::sequences(&store).unwrap().contains(&2), "{:?}", log::sequences(&store).unwrap());
    store.read(&file).unwrap();
}

#[test]
fn a_base_that_is_gone_is_told() {
    let store = memory();
    let mut log = begin(&store).log;
    for epoch in 1..=3 {
        log.append(&manifest(1, epoch, &[])).unwrap();
    }
    // Generation 2 takes over from 2, which the retention of generation 1 deletes at the same time.
    take_over(&store, "job", &StartFrom::Checkpoint(2)).unwrap();
    store.delete(&log::path_of(2)).unwrap();
    let started = take_over(&store, "job", &StartFrom::Newest);
    assert!(started.is_err(), "it starts from {:?}", started.unwrap().base);
}
