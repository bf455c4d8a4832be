//! Stored checkpoints that decay: each bit flipped and each cut, in every kind of file. A start from one
//! is refused by an error that names the file, or falls back past a manifest and says so; never is state
//! restored that was not saved.
//!
//! Some bits and cuts of each file are tried, all with `PELTON_EXHAUSTIVE=1`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pelton_dataflow::key::{KeyGroups, hash_of};
use pelton_dataflow::time::Epoch;
use pelton_state::checkpoint::log::{ManifestLog, Own, StartFrom};
use pelton_state::checkpoint::manifest::Manifest;
use pelton_state::{Backend, KeyedAck, StateError};

use crate::harness::{Job, Worker, acks, backends, freeze, key};

/// About so many bits and cuts of a file are tried.
const SAMPLES: usize = 12;

/// The bytes of `file` with one bit flipped, and cut short, each with what was done.
fn damages(whole: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let all = std::env::var_os("PELTON_EXHAUSTIVE").is_some();
    let bits = whole.len() * 8;
    // A step that is odd comes by each bit of a byte.
    let step = if all { 1 } else { (bits / SAMPLES) | 1 };
    let flips = (0..bits).step_by(step).map(|bit| {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit} flipped"), bytes)
    });
    let step = if all { 1 } else { whole.len() / SAMPLES + 1 };
    let cuts =
        (0..whole.len()).step_by(step).map(|length| (format!("cut to {length}"), whole[..length].to_vec()));
    flips.chain(cuts)
}

/// A checkpoint of one worker, of several files.
fn saved(job: &mut Job) -> Vec<KeyedAck> {
    let mut workers = job.start(1, &[]);
    for epoch in 1..4 {
        // Ever fewer, so that the memory backend keeps its runs apart.
        for card in (0..120 >> (2 * epoch)).map(|card| card as u8) {
            let key = key(card);
            workers[0].cards.values().state(hash_of(&key), &key).unwrap().payments += epoch;
        }
        freeze(&mut workers, epoch);
        acks(&mut workers, epoch);
    }
    acks(&mut workers, 3)
}

#[test]
fn a_damaged_file_of_state_is_never_restored() {
    for backend in backends() {
        let mut job = Job::new(backend);
        let saved = saved(&mut job);
        let mut kinds = BTreeSet::new();
        for file in &saved[0].files {
            let extension = Path::new(&file.name).extension().and_then(|extension| extension.to_str());
            kinds.insert(extension.unwrap_or(file.name.split('-').next().unwrap()));
            let path = job.dir.path().join("checkpoints").join(&file.path);
            let whole = fs::read(&path).unwrap();
            for (index, (what, bytes)) in damages(&whole).enumerate() {
                fs::write(&path, bytes).unwrap();
                // A worker alone takes files as they are, one of two reads them through.
                let workers = if index.is_multiple_of(8) { 2 } else { 1 };
                let error = Worker::open(&job, 0, workers, &saved).err();
                let error = error.unwrap_or_else(|| panic!("{} with {what} is restored", file.path));
                let named = matches!(&error, StateError::Damaged { file: damaged, .. } if damaged.ends_with(&file.path));
                assert!(named, "{} with {what}: {error}", file.path);
            }
            fs::remove_file(&path).unwrap();
            let error = Worker::open(&job, 0, 1, &saved).err().expect("a file is gone").to_string();
            assert!(error.contains(&file.path), "{error}");
            fs::write(&path, whole).unwrap();
        }
        let expected: &[&str] = match backend {
            Backend::Memory => &["run"],
            Backend::RocksDb => &["CURRENT", "MANIFEST", "sst"],
        };
        assert_eq!(kinds.iter().copied().collect::<Vec<_>>(), expected);
        Worker::open(&job, 0, 1, &saved).unwrap();
    }
}

/// What the next start would start from, and what it passes over; it is not begun.
fn would_start_from(job: &Job) -> Result<Option<(u64, Manifest)>, StateError> {
    let base = std::cell::RefCell::new(None);
    let begun = ManifestLog::take_over(
        &job.checkpoints(),
        "job",
        &StartFrom::Newest,
        0,
        &mut Own::default(),
        |_, found| {
            *base.borrow_mut() = found.map(|(sequence, manifest)| (sequence, manifest.clone()));
            Err(StateError::WriterStopped { reason: "far enough".to_owned() })
        },
    );
    match begun {
        Err(StateError::WriterStopped { .. }) => Ok(base.into_inner()),
        Err(error) => Err(error),
        Ok(_) => panic!("it was to be stopped"),
    }
}

#[test]
fn a_start_falls_back_past_a_damaged_manifest() {
    let job = Job::new(Backend::Memory);
    let begun = ManifestLog::take_over(
        &job.checkpoints(),
        "job",
        &StartFrom::Newest,
        0,
        &mut Own::default(),
        |_, _| Ok::<_, StateError>(()),
    );
    let mut log = begun.unwrap().log;
    let manifest = |epoch| Manifest::empty("job", 1, Epoch(epoch), KeyGroups::default(), 1);
    let places = [1, 2].map(|epoch| log.append(&manifest(epoch)).unwrap());
    let path = |place: u64| job.dir.path().join(format!("checkpoints/manifest/{place:020}"));
    let newest = path(places[1]);
    let whole = fs::read(&newest).unwrap();
    for (what, bytes) in damages(&whole) {
        fs::write(&newest, bytes).unwrap();
        assert_eq!(would_start_from(&job).unwrap(), Some((places[0], manifest(1))), "{what}");
        // Asked for, it is not what is started from.
        let asked = StartFrom::Checkpoint(places[1]);
        let error =
            ManifestLog::take_over(&job.checkpoints(), "job", &asked, 0, &mut Own::default(), |_, _| {
                Ok::<_, StateError>(())
            });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(file_name(&newest)) && error.contains("is damaged"), "{what}: {error}");
    }
    fs::write(&newest, &whole).unwrap();
    // The entry that began the generation: nothing is started from it, and nothing is lost with it.
    let takeover = path(1);
    let whole = fs::read(&takeover).unwrap();
    for (what, bytes) in damages(&whole) {
        fs::write(&takeover, bytes).unwrap();
        assert_eq!(would_start_from(&job).unwrap(), Some((places[1], manifest(2))), "{what}");
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}
