//! Arms one failpoint for its n-th pass, runs the world under it to its end, and checks the outcome.

use std::hash::{BuildHasher, RandomState};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use fail::FailScenario;
use pelton::state::Backend;

use crate::world::{Setting, World};

/// Where the other process finds its world, and how it runs it.
const CHILD: &str = "PELTON_TEST_WORLD";
/// A process that was aborted ends by this signal.
const SIGABRT: i32 = 6;

/// A failpoint, and when it is to act.
#[derive(Clone, Copy)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// A run passes it at least so often, whatever happens.
    pub passes: u64,
    /// What is armed besides, so that there is something for the step to do.
    pub after: Option<&'static str>,
}

/// splitmix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn setting(&mut self, steps: &[Step]) -> Setting {
        let backend = if self.below(2) == 0 { Backend::Memory } else { Backend::RocksDb };
        let tolerated_failures = if self.below(2) == 0 { 0 } else { 3 };
        let with_retention = steps.iter().any(|step| step.name == "log::retain");
        Setting { backend, tolerated_failures, with_retention }
    }

    /// What makes `step` do `task` at some pass, and at which.
    fn armed(&mut self, step: Step, task: &str) -> (String, u64) {
        let pass = 1 + self.below(step.passes);
        let first = if pass == 1 { String::new() } else { format!("{}*off->", pass - 1) };
        (format!("{}={first}1*{task}", step.name), pass)
    }
}

/// What is armed is armed for the process: its tests run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Tries everything at `step`: with an error on both backends, with the rest on one of them.
pub fn attempt(step: Step) {
    rounds(|random| {
        for backend in [Backend::Memory, Backend::RocksDb] {
            let setting = Setting { backend, ..random.setting(&[step]) };
            in_process(step, "return", random, setting);
        }
        for task in ["panic", "sleep(30)"] {
            let setting = random.setting(&[step]);
            in_process(step, task, random, setting);
        }
        let setting = random.setting(&[step]);
        killed(step, random, setting);
    });
}

/// Tries some pairs of `steps`: what one leaves behind, the other comes upon.
pub fn attempt_pairs(steps: &[Step], pairs: u64) {
    rounds(|random| {
        for _ in 0..pairs {
            let mut any = || steps[random.below(steps.len() as u64) as usize];
            let pair = [any(), any()];
            let setting = random.setting(&pair);
            let tasks = pair.map(|step| (step, ["return", "panic"][random.below(2) as usize]));
            let armed = tasks.map(|(step, task)| random.armed(step, task).0);
            run_armed(&armed, setting, || {});
            // In a process a panic ends it.
            let armed = pair.map(|step| random.armed(step, "panic").0);
            let erring = random.armed(pair[0], "return").0;
            run_in_processes(&[armed.join(";"), format!("{erring};{}", armed[1])], setting, |_, _| {});
        }
    });
}

fn rounds(mut once: impl FnMut(&mut Random)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let rounds = number("PELTON_ROUNDS").unwrap_or(1);
    let seed = number("PELTON_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    for seed in (0..rounds).map(|round| seed.wrapping_add(round)) {
        println!("PELTON_SEED={seed}");
        once(&mut Random(seed));
    }
}

fn in_process(step: Step, task: &str, random: &mut Random, setting: Setting) {
    let (armed, pass) = random.armed(step, task);
    let armed: Vec<String> = step.after.map(str::to_owned).into_iter().chain([armed]).collect();
    let before = passed(step.name);
    run_armed(&armed, setting, || {
        let passes = passed(step.name) - before;
        assert!(passes >= pass, "{} was passed {passes} times only: nothing has been tried", step.name);
    });
}

fn run_armed(armed: &[String], setting: Setting, has_acted: impl Fn()) {
    println!("{} {setting:?}", armed.join(";"));
    let root = tempfile::tempdir().unwrap();
    let mut world = World::open(root.path(), setting);
    let scenario = FailScenario::setup();
    for (name, task) in armed.iter().filter_map(|armed| armed.split_once('=')) {
        fail::cfg(name, task).unwrap();
    }
    world.run();
    println!("  failures: {:#?}", world.failures);
    has_acted();
    // What is looked at with is not to fail.
    drop(scenario);
    world.check();
}

fn passed(name: &str) -> u64 {
    pelton::dataflow::failpoint::passed(name) + pelton::streams::failpoint::passed(name)
}

/// The process is aborted at the step, and so is the next, when it first comes to it.
fn killed(step: Step, random: &mut Random, setting: Setting) {
    let after = step.after.map_or_else(String::new, |after| format!("{after};"));
    let first = format!("{after}{}", random.armed(step, "panic").0);
    let second = format!("{}=1*panic", step.name);
    run_in_processes(&[first, second], setting, |number, output| {
        // The second may have nothing left to do at it.
        assert!(number > 0 || was_killed(output, step), "{} did not end it: {output:?}", step.name);
    });
}

/// Runs a world in one process after the other, each with other points armed, and at last undisturbed.
fn run_in_processes(armed: &[String], setting: Setting, see: impl Fn(usize, &Output)) {
    println!("{} in processes {setting:?}", armed.join(", then "));
    let root = tempfile::tempdir().unwrap();
    drop(World::open(root.path(), setting));
    for (number, armed) in armed.iter().enumerate() {
        let output = run_child(root.path(), setting, armed);
        let aborted = output.status.signal() == Some(SIGABRT) && said(&output).contains("failpoint ");
        assert!(aborted || output.status.success(), "{}", said(&output));
        see(number, &output);
    }
    let mut world = World::open(root.path(), setting);
    world.run();
    assert!(world.failures.is_empty(), "{:?}", world.failures);
    world.check();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn was_killed(output: &Output, step: Step) -> bool {
    let words = format!("failpoint {} panic", step.name);
    output.status.signal() == Some(SIGABRT) && said(output).contains(&words)
}

fn run_child(root: &Path, setting: Setting, failpoints: &str) -> Output {
    let Setting { backend, tolerated_failures, with_retention } = setting;
    let how = format!("{backend:?} {tolerated_failures} {with_retention} {}", root.display());
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attempt::child", "--nocapture"])
        .env(CHILD, how)
        .env("FAILPOINTS", failpoints)
        .output()
        .unwrap()
}

/// The other process: runs its world, and is gone at once when anything panics.
#[test]
fn child() {
    let Ok(how) = std::env::var(CHILD) else { return };
    let [backend, tolerated_failures, with_retention, root] =
        how.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
    let setting = Setting {
        backend: if backend == "Memory" { Backend::Memory } else { Backend::RocksDb },
        tolerated_failures: tolerated_failures.parse().unwrap(),
        with_retention: with_retention.parse().unwrap(),
    };
    let _scenario = FailScenario::setup();
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::abort();
    }));
    World::open(Path::new(root), setting).run();
}
