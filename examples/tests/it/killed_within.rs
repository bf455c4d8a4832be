//! The example `fraud_core` killed with SIGKILL within the steps that exactly once rests on, not only between
//! them: while a checkpoint is restored, while one is taken, while one is committed.
//!
//! A kill is aimed: the test waits for the file that tells that such a step is under way. Whether it has hit
//! is judged from what the process has left behind, and it goes on until each step has been hit. The job is the one that is
//! quick enough to have alerts in each of its checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use pelton::state::checkpoint::log::{self, Found};
use pelton::state::checkpoint::manifest::{Entry, Manifest};

use pelton_examples::payments::{Scenario, ingest};
use pelton_examples::trial::{Outputs, PAYMENTS, Trial};

use super::exactly_once::{Random, lives_through};

const JOB: &str = env!("CARGO_BIN_EXE_fraud_core");
const LINES: u64 = 400_000;

/// How often the job is killed at least. `PELTON_ROUNDS` sets it.
const KILLS: u32 = 15;
/// How often each step is hit at least.
const HITS: u32 = 2;
/// A job that comes to its end before that is followed by another one.
const MOST_WORLDS: u32 = 20;

/// What to wait for before the kill.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// The entry of the takeover: what follows is the restore.
    Restore,
    /// The first file of a checkpoint.
    Checkpoint,
    /// A manifest: what follows is its commit.
    Commit,
}

/// What the process was at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hit {
    /// It had taken the job over and neither read on nor written anything.
    Restore,
    /// It had put files or prepared transactions that no manifest lists.
    Checkpoint,
    /// Its manifest lists transactions that were not visible.
    Commit,
    /// None of these.
    Between,
}

fn trial(root: &Path, name: &str) -> Trial {
    Trial { root: root.to_owned(), name: name.to_owned(), lines: LINES, flags: Vec::new() }
}

fn start(trial: &Trial, workers: u64) -> Child {
    let mut command = trial.command(Path::new(JOB), workers);
    command.args(["--until-end", "--status", "off", "--checkpoint-interval", "1ms"]);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn outputs(trial: &Trial) -> Outputs {
    let outputs = trial.outputs().unwrap();
    outputs.conserve(LINES).unwrap();
    outputs
}

/// The highest number among the names in `directory`, 0 if there is none.
fn highest(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let names = entries.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).max().unwrap_or(0)
}

/// Waits until `child` is where it shall be killed; whether it lives then.
fn waits_for(aim: Aim, run: &Trial, before: u64, child: &mut Child, random: &mut Random) -> bool {
    let checkpoints = run.place("checkpoints");
    let manifests = || highest(&checkpoints.join("manifest"));
    // A generation's files lie in a directory of its number, which comes with its takeover.
    let generation = highest(&checkpoints.join("data"));
    let is_there = || match aim {
        Aim::Restore => manifests() > before,
        Aim::Checkpoint => highest(&checkpoints.join("data")) > generation,
        Aim::Commit => manifests() > before + 1,
    };
    while !is_there() {
        if !lives_through(child, Duration::from_micros(200)) {
            return false;
        }
    }
    lives_through(child, Duration::from_micros(random.below(1_500)))
}

/// What the process that began behind entry `before` was at when it was killed.
fn hit(run: &Trial, before: u64) -> Hit {
    let store = run.checkpoints().unwrap();
    let found = log::entries(&store).unwrap();
    let manifest = |found: &Found| match &found.entry {
        Ok(Entry::Checkpoint(manifest)) => Some((**manifest).clone()),
        _ => None,
    };
    let manifests: Vec<Manifest> = found.iter().filter_map(manifest).collect();
    let takeover = found.iter().find(|found| found.sequence > before);
    let Some(Ok(Entry::Takeover(takeover))) = takeover.map(|found| &found.entry) else { return Hit::Between };
    let generation = takeover.generation;

    let of = |committable: &pelton::dataflow::sink::Committable| {
        let envelope: serde_json::Value = serde_json::from_slice(&committable.bytes).unwrap();
        envelope["transaction"]["transaction"].as_u64().unwrap()
    };
    let listed: BTreeSet<u64> =
        manifests.iter().flat_map(|manifest| manifest.committables_of("alerts")).map(of).collect();
    let open = run.log().unwrap().open_transactions(&run.alerts()).unwrap_or_default();
    let own: Vec<_> = open.iter().filter(|one| one.generation == generation).collect();
    let named: BTreeSet<String> =
        manifests.iter().flat_map(Manifest::files).map(|file| file.path.clone()).collect();
    let files = store.list(&format!("data/{generation:08}")).unwrap();

    if open.iter().any(|one| listed.contains(&one.transaction)) {
        Hit::Commit
    } else if files.iter().any(|path| !named.contains(path)) || own.iter().any(|one| one.prepared) {
        Hit::Checkpoint
    } else if takeover.base.is_some() && own.is_empty() && files.is_empty() {
        Hit::Restore
    } else {
        Hit::Between
    }
}

/// Starts the job, and kills it; what it was at, unless it came to its end before.
fn kill_once(run: &Trial, random: &mut Random) -> Option<Hit> {
    let aim = [Aim::Restore, Aim::Checkpoint, Aim::Commit][random.below(3) as usize];
    let before = highest(&run.place("checkpoints").join("manifest"));
    let workers = 1 + random.below(3);
    let mut child = start(run, workers);
    if !waits_for(aim, run, before, &mut child, random) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    Some(hit(run, before))
}

fn is_enough(hits: &BTreeMap<Hit, u32>) -> bool {
    [Hit::Restore, Hit::Checkpoint, Hit::Commit].iter().all(|step| hits.get(step).is_some_and(|n| *n >= HITS))
}

#[test]
fn killed_within_restores_checkpoints_and_commits_the_outputs_are_those_of_an_undisturbed_run() {
    let mut random = Random::seeded();
    let kills = std::env::var("PELTON_ROUNDS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    ingest::generate(&Scenario::new(7, LINES), &root.join("log"), PAYMENTS, 4, 2).unwrap();
    let undisturbed = trial(root, "undisturbed");
    undisturbed.finish(Path::new(JOB), 2).unwrap();
    let expected = outputs(&undisturbed);

    let mut hits: BTreeMap<Hit, u32> = BTreeMap::new();
    let mut killed = 0;
    for world in 0..MOST_WORLDS {
        let name = format!("disturbed-{world}");
        let disturbed = trial(root, &name);
        while killed < kills || !is_enough(&hits) {
            let Some(hit) = kill_once(&disturbed, &mut random) else { break };
            killed += 1;
            *hits.entry(hit).or_default() += 1;
        }
        disturbed.finish(Path::new(JOB), 2).unwrap();
        outputs(&disturbed).compare(&expected).unwrap();
        disturbed.agree().unwrap();
        if killed >= kills && is_enough(&hits) {
            println!("{killed} kills have hit {hits:?}");
            return;
        }
    }
    panic!("{killed} kills have hit only {hits:?}");
}
