//! Checkpoints on a disk that lies: random histories of checkpoints, takeovers, retention and restores, with
//! the power failing, the process killed, or one operation going wrong at each operation of each history.
//!
//! Whatever happens, a restore finds the newest checkpoint that was acknowledged, or one that was being
//! appended after it, with all its files as they were put; generations only grow; savepoints stay.
//! `PELTON_SEED` names a history, `PELTON_ROUNDS` how many are played.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::time::Epoch;
use pelton_state::checkpoint::log::{self, Begun, ManifestLog, Own, StartFrom};
use pelton_state::checkpoint::manifest::{Entry, Manifest};
use pelton_state::checkpoint::retention::{collect, data_directory};
use pelton_state::checkpoint::store::{CheckpointStore, Files};
use pelton_state::{Backend, KeyedAck, StateError, StoredFile};

use crate::disk::{Apart, Disk, Fault, Process, next_random};
use crate::local_store::LocalStore;

const ROOT: &str = "/var/lib/job/checkpoints";
const USUAL_ROUNDS: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Puts this many files and names them with those before, less as many of the oldest.
    Checkpoint { files: usize, savepoint: bool },
    /// Collects garbage, keeping this many checkpoints.
    Collect { keep: usize, sweep: bool },
    /// Another process takes the job over; the old one tries to go on.
    TakeOver,
    /// The job is started from the oldest checkpoint that is there with all its files.
    StartFromOldest,
}

fn history(mut seed: u64) -> Vec<Step> {
    let mut random = |below: u64| next_random(&mut seed) % below;
    (0..6 + random(6))
        .map(|_| match random(10) {
            0..6 => Step::Checkpoint { files: random(3) as usize, savepoint: random(6) == 0 },
            6 | 7 => Step::Collect { keep: 1 + random(2) as usize, sweep: random(2) == 0 },
            8 => Step::TakeOver,
            _ => Step::StartFromOldest,
        })
        .collect()
}

/// What is known of the job, and must hold.
#[derive(Debug, Default)]
struct Truth {
    /// The place of the newest checkpoint that was acknowledged or started from, on the branch at hand.
    acknowledged: Option<u64>,
    /// The place of the takeover that began the branch.
    branch: u64,
    /// What takeovers would have started from that were tried since then and not answered.
    unanswered: Vec<Option<u64>>,
    /// Every manifest that was to be appended.
    attempted: Vec<Manifest>,
    savepoints: BTreeMap<u64, Manifest>,
    bytes: HashMap<String, Vec<u8>>,
    /// The greatest generation that began.
    generation: u64,
    epoch: u64,
}

/// A process that runs the job.
struct Job {
    store: CheckpointStore,
    log: ManifestLog,
    files: Vec<StoredFile>,
}

fn open(process: Process) -> Result<CheckpointStore, StateError> {
    open_with(process.clone(), Box::new(process))
}

fn open_with(process: Process, directories: Box<dyn Files>) -> Result<CheckpointStore, StateError> {
    CheckpointStore::over_directory(Box::new(LocalStore::new(process, ROOT)), directories, ROOT)
}

impl Truth {
    fn begin(&mut self, disk: &Disk, from: &StartFrom, own: &mut Own) -> Result<Job, StateError> {
        let store = open(disk.process())?;
        let place = log::sequences(&store)?.last().map_or(1, |last| last + 1);
        let base = std::cell::Cell::new(None);
        let begun = ManifestLog::take_over(&store, "job", from, 0, own, |_, found| {
            base.set(found.map(|(sequence, _)| sequence));
            Ok::<_, StateError>(())
        });
        self.unanswered.push(base.get());
        let Begun { log, base, skipped } = begun?;
        assert_eq!(skipped, [""; 0], "a crash damages nothing that was there");
        assert!(log.generation() > self.generation, "generation {} begins twice", log.generation());
        self.generation = log.generation();
        if *from == StartFrom::Newest {
            self.check_base(base.as_ref().map(|(sequence, _)| *sequence));
        }
        (self.acknowledged, self.branch) = (base.as_ref().map(|(sequence, _)| *sequence), place);
        self.unanswered.clear();
        let files = match &base {
            Some((_, manifest)) => self.restore(&store, manifest)?,
            None => Vec::new(),
        };
        Ok(Job { store, log, files })
    }

    /// The newest that was acknowledged; or one that was being appended, or started from, and was not
    /// answered.
    fn check_base(&self, base: Option<u64>) {
        let newer = base > self.acknowledged && base > Some(self.branch);
        let right = base == self.acknowledged || newer || self.unanswered.contains(&base);
        assert!(right, "it starts from {base:?}: {self:?}");
    }

    /// Reads all files of `manifest` as a restore does.
    fn restore(&self, store: &CheckpointStore, manifest: &Manifest) -> Result<Vec<StoredFile>, StateError> {
        assert!(self.attempted.contains(manifest), "nobody has appended {manifest:?}");
        for file in manifest.files() {
            let bytes = store.read(file).inspect_err(|error| {
                let is_missing =
                    matches!(error, StateError::Store { source: object_store::Error::NotFound { .. }, .. });
                assert!(!is_missing && !matches!(error, StateError::Damaged { .. }), "{error}");
            })?;
            assert_eq!(&bytes[..], self.bytes[&file.path], "{}", file.path);
        }
        Ok(manifest.files().cloned().collect())
    }

    fn checkpoint(&mut self, job: &mut Job, files: usize, savepoint: bool) -> Result<(), StateError> {
        self.epoch += 1;
        let (generation, epoch) = (job.log.generation(), self.epoch);
        let mut named = job.files.clone();
        for index in 0..files {
            let name = format!("{epoch}-{index}.sst");
            let path = format!("{}/w{index:04}/{name}", data_directory(generation));
            let bytes = path.repeat(1 + index).into_bytes();
            self.bytes.insert(path.clone(), bytes.clone());
            named.push(job.store.put_bytes(&path, &name, bytes.into())?);
        }
        named.drain(..files.min(named.len() / 2));
        let mut manifest = Manifest::empty("job", generation, Epoch(epoch), KeyGroups::default(), 1);
        manifest.savepoint = savepoint;
        manifest.keyed.push(KeyedAck {
            epoch: Epoch(epoch),
            worker: 0,
            groups: 0..KeyGroups::default().count(),
            backend: Backend::Memory,
            files: named.clone(),
            new_bytes: 0,
            duration_us: 0,
        });
        self.attempted.push(manifest.clone());
        // Whether it is appended or not: a file that has left a worker's state never comes back.
        job.files = named;
        let sequence = job.log.append(&manifest)?;
        self.acknowledged = Some(sequence);
        self.unanswered.clear();
        if savepoint {
            self.savepoints.insert(sequence, manifest);
        }
        Ok(())
    }

    fn run(&mut self, disk: &Disk, job: &mut Job, step: &Step) -> Result<(), StateError> {
        match step {
            Step::Checkpoint { files, savepoint } => self.checkpoint(job, *files, *savepoint),
            Step::Collect { keep, sweep } => {
                collect(&job.store, job.log.generation(), *keep, *sweep).map(drop)
            }
            Step::TakeOver => {
                let successor = self.begin(disk, &StartFrom::Newest, &mut Own::default())?;
                let mut zombie = std::mem::replace(job, successor);
                let mut manifest = self
                    .attempted
                    .last()
                    .cloned()
                    .unwrap_or_else(|| Manifest::empty("job", 1, Epoch(0), KeyGroups::default(), 1));
                manifest.generation = zombie.log.generation();
                match zombie.log.append(&manifest) {
                    Err(StateError::Fenced { .. }) => {
                        collect(&zombie.store, manifest.generation, 1, true).map(drop)
                    }
                    Err(other) => Err(other),
                    Ok(sequence) => panic!("a zombie has appended {sequence}"),
                }
            }
            Step::StartFromOldest => {
                let is_whole = |found: &log::Found| match &found.entry {
                    Ok(Entry::Checkpoint(manifest)) => {
                        manifest.files().all(|file| job.store.read(file).is_ok())
                    }
                    _ => false,
                };
                let oldest = log::entries(&job.store)?.into_iter().find(is_whole);
                let Some(oldest) = oldest.map(|found| found.sequence) else { return Ok(()) };
                *job = self.begin(disk, &StartFrom::Checkpoint(oldest), &mut Own::default())?;
                Ok(())
            }
        }
    }

    /// What a process that was just started finds.
    fn check(&mut self, disk: &Disk) {
        let mut job = self.begin(disk, &StartFrom::Newest, &mut Own::default()).unwrap();
        for (sequence, savepoint) in &self.savepoints {
            let found = log::read(&job.store, *sequence).unwrap();
            assert_eq!(found, Entry::Checkpoint(Box::new(savepoint.clone())));
            self.restore(&job.store, savepoint).unwrap();
        }
        self.checkpoint(&mut job, 1, false).unwrap();
        let unfinished = || job.store.list_unfinished("data").unwrap();
        collect(&job.store, job.log.generation(), 1, true).unwrap();
        assert_eq!(unfinished(), [""; 0], "uploads of those who were killed");
        let base = self.acknowledged;
        drop(job);
        self.begin(disk, &StartFrom::Newest, &mut Own::default()).unwrap();
        assert_eq!(self.acknowledged, base);
    }
}

/// Plays `steps`. With the machine running on after a fault, so does the process: it takes over again
/// if it could not begin, and leaves out the step that failed.
fn play(disk: &Disk, truth: &mut Truth, steps: &[Step], goes_on: bool) {
    let mut own = Own::default();
    let mut begun = truth.begin(disk, &StartFrom::Newest, &mut own);
    if begun.is_err() && goes_on {
        begun = truth.begin(disk, &StartFrom::Newest, &mut own);
    }
    let mut job = match begun {
        Ok(job) => job,
        Err(error) => return assert!(disk.came() && !goes_on, "{error}"),
    };
    for step in steps {
        if let Err(error) = truth.run(disk, &mut job, step) {
            assert!(disk.came(), "nothing went wrong but {error}");
            let lost = matches!(error, StateError::Fenced { .. });
            assert!(!lost || matches!(step, Step::TakeOver), "nobody else is there: {error}");
            if !goes_on {
                return;
            }
            if matches!(step, Step::TakeOver | Step::StartFromOldest) {
                // Whether the other one has begun is not known; who is fenced is started again.
                job = truth.begin(disk, &StartFrom::Newest, &mut Own::default()).unwrap();
            }
        }
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("PELTON_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    (first..=u64::MAX).take(number("PELTON_ROUNDS").unwrap_or(USUAL_ROUNDS) as usize)
}

/// Plays each history until `fault` comes at an operation behind its last.
#[expect(clippy::print_stdout, reason = "the seed repeats a run that failed")]
fn at_every_operation(fault: Fault, then: impl Fn(&Disk, &mut Truth, &[Step], u64)) {
    for seed in seeds() {
        println!("PELTON_SEED={seed}");
        let steps = history(seed);
        for at_operation in 0.. {
            let (disk, mut truth) = (Disk::default(), Truth::default());
            disk.plan(at_operation, fault);
            play(&disk, &mut truth, &steps, fault != Fault::Stops);
            let came = disk.came();
            then(&disk, &mut truth, &steps, seed.wrapping_mul(31).wrapping_add(at_operation));
            truth.check(&disk);
            if !came {
                break;
            }
        }
    }
}

#[test]
fn the_power_fails_at_every_operation() {
    at_every_operation(Fault::Stops, |disk, _, _, seed| disk.power_fails(seed));
}

/// What the one who was killed had not synced is there for his successor, who must not build on it.
#[test]
fn the_process_is_killed_at_every_operation_and_the_power_fails_later() {
    at_every_operation(Fault::Stops, |disk, truth, steps, seed| {
        disk.kill();
        play(disk, truth, &steps[..2], false);
        disk.power_fails(seed);
    });
}

#[test]
fn every_operation_fails_once() {
    for fault in [Fault::Fails, Fault::LosesItsAnswer] {
        at_every_operation(fault, |disk, _, _, seed| disk.power_fails(seed));
    }
}

/// A large file is linked, and copied in several parts from another disk.
#[test]
fn a_large_file_is_there_once_it_was_answered() {
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), vec![7; 9 << 20]).unwrap();
    let shared = |process: Process| -> Box<dyn Files> { Box::new(process) };
    let apart = |process: Process| -> Box<dyn Files> { Box::new(Apart(process)) };
    for fault in [Fault::Stops, Fault::Fails, Fault::LosesItsAnswer] {
        for directories in [shared, apart] {
            for at_operation in 0.. {
                let disk = Disk::default();
                disk.plan(at_operation, fault);
                let path = "data/00000001/w0000/1.sst";
                let store = open_with(disk.process(), directories(disk.process()));
                let put = store.and_then(|store| store.put_file(local.path(), path, "1.sst"));
                let came = disk.came();
                disk.power_fails(at_operation);
                if let Ok(file) = put {
                    open(disk.process()).unwrap().read(&file).unwrap();
                }
                if !came {
                    break;
                }
            }
        }
    }
}

/// The same on the machine's own disk: of the current generation an upload may be under way.
#[test]
fn uploads_that_earlier_generations_did_not_finish_are_swept() {
    let home = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(home.path().to_str().unwrap()).unwrap();
    let begin = || {
        let newest = StartFrom::Newest;
        ManifestLog::take_over(&store, "job", &newest, 0, &mut Own::default(), |_, _| Ok::<_, StateError>(()))
    };
    drop(begin().unwrap().log);
    let mut log = begin().unwrap().log;
    assert_eq!(log.generation(), 2);
    let gone = ["data/00000001/1.run#2", "data/00000001/w0000/1.sst#1", "data/00000001/w0001/deep/2.sst#10"];
    let stays = [
        "data/00000001/w0000/1.sst#",
        "data/00000001/w0000/1.sst#new",
        "data/00000002/w0000/1.sst#1",
        "data/elsewhere/1.sst#1",
        "manifest/00000000000000000009#1",
    ];
    for path in gone.iter().chain(&stays) {
        let file = home.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "half of it").unwrap();
    }
    let is_there = |path: &&str| home.path().join(path).exists();
    collect(&store, 2, 1, true).unwrap();
    assert!(gone.iter().all(is_there), "without a checkpoint of its own it sweeps nothing");
    log.append(&Manifest::empty("job", 2, Epoch(1), KeyGroups::default(), 1)).unwrap();
    let garbage = collect(&store, 2, 1, true).unwrap().unwrap();
    assert_eq!(garbage.unfinished, gone);
    assert!(!gone.iter().any(is_there));
    // The first two of these are files like others, which no manifest names.
    assert_eq!(garbage.files, stays[..2]);
    assert!(stays[2..].iter().all(is_there));
}
