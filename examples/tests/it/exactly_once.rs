//! The fraud example as a process, killed with SIGKILL at random moments and started again, also on
//! another number of workers: at the end its outputs are those of a run that nothing disturbed, and
//! the last checkpoint, the log and the sinks agree about what has been read and written.
//!
//! The moments are random, the verdict is not: whatever they are, it has to hold. The seed is
//! printed; `PELTON_SEED` sets it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pelton::dataflow::sink::Committable;
use pelton::state::checkpoint::log;
use pelton::state::checkpoint::manifest::{Entry, Manifest};
use pelton::state::checkpoint::store::CheckpointStore;
use pelton::streams::{self, Options, ShardDescription, ShardLog};
use pelton_examples::payments::{Alert, Scenario, ingest};

const LINES: u64 = 400_000;
/// How often the job is killed before it is left alone.
const KILLS: u32 = 10;

pub struct Random(u64);

impl Random {
    /// The seed in the environment, or a fresh one.
    pub fn seeded() -> Self {
        let seed = std::env::var("PELTON_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
        println!("PELTON_SEED={seed}");
        Self(seed)
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// One run of the job, with places of its own for all it writes.
pub struct Run<'a> {
    pub root: &'a Path,
    pub name: &'a str,
}

impl Run<'_> {
    pub fn start(&self, workers: u64) -> Child {
        self.start_with(workers, &["--status", "off", "--checkpoint-interval", "50ms"])
    }

    pub fn start_with(&self, workers: u64, flags: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_fraud_detection"))
            .args(["run", "--until-end"])
            .args(flags)
            .args(["--workers", &workers.to_string()])
            .arg("--input")
            .arg(self.root.join("log/payments"))
            .arg("--alerts")
            .arg(self.root.join("log").join(self.alerts()))
            .arg("--out")
            .arg(self.place("out"))
            .arg("--state-dir")
            .arg(self.place("state"))
            .arg("--checkpoint-dir")
            .arg(self.place("checkpoints"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub fn alerts(&self) -> String {
        format!("alerts-{}", self.name)
    }

    pub fn place(&self, what: &str) -> PathBuf {
        self.root.join(format!("{}-{what}", self.name))
    }

    pub fn log(&self) -> ShardLog {
        ShardLog::open(self.root.join("log"), &Options::default()).unwrap()
    }

    fn shards(&self, stream: &str) -> Vec<ShardDescription> {
        self.log().describe_stream(stream).unwrap().shards
    }

    pub fn checkpoints(&self) -> CheckpointStore {
        CheckpointStore::open(&self.place("checkpoints").display().to_string()).unwrap()
    }

    /// The number of the newest checkpoint, also while the job deletes older ones.
    fn newest_checkpoint(&self) -> Option<u64> {
        let found = log::entries(&self.checkpoints()).unwrap().into_iter();
        let numbers = found.filter(|found| matches!(found.entry, Ok(Entry::Checkpoint(_))));
        numbers.map(|found| found.sequence).max()
    }

    /// The newest checkpoint.
    fn manifest(&self) -> Manifest {
        let checkpoint = |found: log::Found| match found.entry.unwrap() {
            Entry::Checkpoint(manifest) => Some(*manifest),
            Entry::Takeover(_) => None,
        };
        log::entries(&self.checkpoints()).unwrap().into_iter().filter_map(checkpoint).next_back().unwrap()
    }

    /// What the job says that it has read and written is what has been read and written.
    pub fn agree(&self) {
        let manifest = self.manifest();
        assert!(manifest.is_final, "the job has ended without its last checkpoint");
        self.positions_agree(&manifest);
        self.alerts_agree(&manifest);
        for output in ["turnover", "late", "rejected"] {
            self.files_agree(output, manifest.committables_of(output));
        }
    }

    /// The positions are behind the last record of each shard, and all records of the log are in
    /// front of them.
    fn positions_agree(&self, manifest: &Manifest) {
        let mut read: BTreeMap<String, u64> = BTreeMap::new();
        for split in &manifest.sources.iter().find(|source| source.source == "payments").unwrap().splits {
            read.insert(split.state.info.id.0.clone(), position(split.state.position.as_deref().unwrap()));
        }
        let shards = self.shards("payments");
        let held = shards.iter().map(|shard| (shard.shard.to_string(), shard.last.next().0)).collect();
        assert_eq!(read, held, "the next record to read, and the one after the last, by shard");
        assert_eq!(shards.iter().map(|shard| shard.records).sum::<u64>(), LINES);
        // Numbers from the first to the last, without gaps: a position says how many were read.
        assert!(
            shards.iter().all(|shard| shard.oldest.0 == 1 && shard.records == shard.last.0),
            "{shards:?}"
        );
    }

    /// No transaction of the alerts is open, and those of the last checkpoint are visible: to commit
    /// them again adds nothing.
    fn alerts_agree(&self, manifest: &Manifest) {
        let (log, stream) = (self.log(), self.alerts());
        assert_eq!(log.open_transactions(&stream).unwrap(), []);
        let records = || self.shards(&stream).iter().map(|shard| shard.records).collect::<Vec<_>>();
        let held = records();
        let writer = log.writer(&stream).unwrap();
        for committable in manifest.committables_of("alerts") {
            let mut envelope: serde_json::Value = serde_json::from_slice(&committable.bytes).unwrap();
            let committable: streams::Committable =
                serde_json::from_value(envelope["transaction"].take()).unwrap();
            // Later than any generation that the job has had.
            let family = writer.transactional(&committable.family, "check", u64::MAX).unwrap();
            family.commit(&committable).unwrap();
        }
        assert_eq!(records(), held, "a transaction of the last checkpoint was not visible");
    }

    /// The last checkpoint's files are there in full, and none waits to be committed.
    fn files_agree(&self, output: &str, committables: &[Committable]) {
        let directory = self.place("out").join(output);
        for committable in committables {
            let file: serde_json::Value = serde_json::from_slice(&committable.bytes).unwrap();
            let path = directory.join(file["file"].as_str().unwrap());
            let length = std::fs::metadata(&path).map(|found| found.len());
            assert_eq!(length.ok(), file["bytes"].as_u64(), "{}", path.display());
        }
        for family in std::fs::read_dir(directory.join(".staging")).unwrap() {
            let left: Vec<_> = std::fs::read_dir(family.unwrap().path()).unwrap().collect();
            assert!(left.is_empty(), "not committed, and not removed: {left:?}");
        }
    }

    /// What it has written: alerts by card, in order, and the lines of each of its other outputs.
    pub fn outputs(&self) -> Outputs {
        let mut alerts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for alert in ingest::read::<Alert>(&self.root.join("log"), &self.alerts()).unwrap() {
            alerts.entry(format!("{:?}", alert.card)).or_default().push(format!("{alert:?}"));
        }
        let lines = |output: &str| {
            let mut lines = Vec::new();
            for entry in std::fs::read_dir(self.place("out").join(output)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "jsonl") {
                    lines.extend(std::fs::read_to_string(path).unwrap().lines().map(str::to_owned));
                }
            }
            lines
        };
        Outputs { alerts, turnover: lines("turnover"), late: lines("late"), rejected: lines("rejected") }
    }
}

/// The least number that the next record of a shard has, from the bytes of a position: a tag, a
/// version and three numbers of which this is the first.
fn position(bytes: &[u8]) -> u64 {
    assert_eq!(bytes[..2], [3, 2], "not a position of version 2 in a shard");
    u64::from_le_bytes(bytes[2..10].try_into().unwrap())
}

pub struct Outputs {
    alerts: BTreeMap<String, Vec<String>>,
    turnover: Vec<String>,
    late: Vec<String>,
    rejected: Vec<String>,
}

impl Outputs {
    /// Every line of the input is counted once: in a window, late for it, or rejected.
    pub fn conserve(&self) {
        let in_windows: u64 = self
            .turnover
            .iter()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["value"]["payments"]
                    .as_u64()
                    .unwrap()
            })
            .sum();
        let (late, rejected) = (self.late.len() as u64, self.rejected.len() as u64);
        assert_eq!(
            in_windows + late + rejected,
            LINES,
            "{in_windows} on time, {late} late, {rejected} rejected"
        );
        let once: HashSet<&String> = self.late.iter().chain(&self.rejected).collect();
        assert_eq!(once.len() as u64, late + rejected, "a late or rejected line came twice");
    }
}

pub fn generate(root: &Path) {
    ingest::generate(&Scenario::new(7, LINES), &root.join("log"), "payments", 4, 2).unwrap();
}

pub fn finish(run: &Run<'_>, workers: u64) {
    let output = run.start(workers).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Lets the job run for a moment; whether it is still running.
pub fn lives_through(child: &mut Child, moment: Duration) -> bool {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    // Waiting on a channel that nobody sends on is a moment's pause.
    let _ = receiver.recv_timeout(moment);
    drop(sender);
    child.try_wait().unwrap().is_none()
}

#[test]
fn killed_at_random_moments_the_outputs_are_those_of_an_undisturbed_run() {
    let mut random = Random::seeded();
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    generate(root);
    let undisturbed = Run { root, name: "undisturbed" };
    finish(&undisturbed, 2);
    let expected = undisturbed.outputs();
    expected.conserve();
    assert!(expected.alerts.len() > 10, "the scenario raises too few alerts to tell anything");

    let disturbed = Run { root, name: "disturbed" };
    let mut kills = 0;
    let mut moment_ms = 400;
    while kills < KILLS {
        let workers = 1 + random.below(3);
        let mut child = disturbed.start(workers);
        let moment = Duration::from_millis(30 + random.below(moment_ms));
        if lives_through(&mut child, moment) {
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            continue;
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if kills < KILLS {
            // It came to its end before it could be killed often enough: what is killed from now
            // on is a job at its end, which has to stay at it, sooner each time.
            moment_ms = (moment_ms / 2).max(20);
        }
    }
    finish(&disturbed, 2);
    compare(&expected, &disturbed.outputs());
    undisturbed.agree();
    disturbed.agree();
}

#[test]
#[cfg(unix)]
fn stopped_and_resumed_on_other_workers_the_outputs_are_the_same() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    generate(root);
    let undisturbed = Run { root, name: "undisturbed" };
    finish(&undisturbed, 1);
    let stopped = Run { root, name: "stopped" };
    for workers in [1, 3, 2] {
        let before = stopped.newest_checkpoint();
        let mut child = stopped.start_with(workers, &["--checkpoint-interval", "50ms"]);
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        // From when it says so, a signal stops it; without that it ends it.
        while !text.contains("Ctrl-C stops it") {
            assert!(said.read_line(&mut text).unwrap() > 0, "{text}");
        }
        let mut lives = true;
        while lives && stopped.newest_checkpoint() == before {
            lives = lives_through(&mut child, Duration::from_millis(1));
        }
        if lives {
            let terminated = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
            assert!(terminated.success());
        }
        said.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
    }
    finish(&stopped, 3);
    compare(&undisturbed.outputs(), &stopped.outputs());
    stopped.agree();
}

pub fn compare(expected: &Outputs, found: &Outputs) {
    found.conserve();
    assert_eq!(expected.alerts.keys().collect::<Vec<_>>(), found.alerts.keys().collect::<Vec<_>>());
    for (card, alerts) in &expected.alerts {
        assert_eq!(alerts, &found.alerts[card], "alerts of {card} differ, or their order does");
    }
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&expected.rejected).len(), sorted(&found.rejected).len());
}
