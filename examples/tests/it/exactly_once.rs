//! The fraud example as a process, killed with SIGKILL at random moments and started again, also on
//! another number of workers: at the end its outputs are those of a run that nothing disturbed, and
//! the last checkpoint, the log and the sinks agree about what has been read and written.
//!
//! The moments are random, the verdict is not: whatever they are, it has to hold. The seed is
//! printed; `PELTON_SEED` sets it.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pelton_examples::trial::{Outputs, Soak, Trial};

use super::alerts::{check, expected_below};
use super::world::{LINES, directory, generate, trial};

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

const JOB: &str = env!("CARGO_BIN_EXE_fraud_detection");

fn start(trial: &Trial, workers: u64, flags: &[&str]) -> Child {
    let mut command = trial.command(Path::new(JOB), workers);
    command.arg("--until-end").args(flags).stderr(Stdio::piped()).spawn().unwrap()
}

pub fn finish(trial: &Trial, workers: u64) {
    trial.finish(Path::new(JOB), workers).unwrap();
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
    let merchants = directory();
    let undisturbed = trial(root, "undisturbed", merchants);
    finish(&undisturbed, 2);
    let expected = undisturbed.outputs().unwrap();
    expected.conserve(LINES).unwrap();
    let naive = expected_below(root);
    check(&undisturbed, &naive);

    let disturbed = trial(root, "disturbed", merchants);
    let mut kills = 0;
    let mut moment_ms = 400;
    while kills < KILLS {
        let workers = 1 + random.below(3);
        let mut child = start(&disturbed, workers, &["--status", "off", "--checkpoint-interval", "50ms"]);
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
    compare(&expected, &disturbed);
    check(&disturbed, &naive);
    undisturbed.agree().unwrap();
    disturbed.agree().unwrap();
}

#[test]
#[cfg(unix)]
fn stopped_and_resumed_on_other_workers_the_outputs_are_the_same() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    generate(root);
    let merchants = directory();
    let undisturbed = trial(root, "undisturbed", merchants);
    finish(&undisturbed, 1);
    let stopped = trial(root, "stopped", merchants);
    for workers in [1, 3, 2] {
        let before = stopped.newest_checkpoint().unwrap();
        let mut child = start(&stopped, workers, &["--checkpoint-interval", "50ms"]);
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        // From when it says so, a signal stops it; without that it ends it.
        while !text.contains("Ctrl-C stops it") {
            assert!(said.read_line(&mut text).unwrap() > 0, "{text}");
        }
        let mut lives = true;
        while lives && stopped.newest_checkpoint().unwrap() == before {
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
    compare(&undisturbed.outputs().unwrap(), &stopped);
    stopped.agree().unwrap();
}

fn compare(expected: &Outputs, trial: &Trial) {
    let found = trial.outputs().unwrap();
    found.conserve(LINES).unwrap();
    found.compare_all(expected).unwrap();
}

/// The soak that `make soak` runs for as long as one likes, for a few rounds.
#[test]
#[cfg(unix)]
fn disturbed_under_load_round_after_round() {
    let root = tempfile::tempdir().unwrap();
    let soak = Soak {
        rounds: 5,
        lines_per_round: 20_000,
        seed: Random::seeded().below(u64::MAX),
        directory: root.path().join("soak"),
        job: JOB.into(),
    };
    println!("{}", soak.run(&mut std::io::stdout()).unwrap());
}
