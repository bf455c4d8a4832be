//! Every decoder of bytes from outside, on the seeds of `fuzz/seeds` and on many changes of each: what is
//! wrong is an error, never a panic, never more memory than there are bytes. `make fuzz` does the same for as
//! long as one likes, guided by coverage.
//!
//! The seed is printed; `PELTON_SEED` sets it, `PELTON_ROUNDS` says how many changes are tried.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use pelton_connectors::fuzzing as connectors;
use pelton_state::fuzzing as state;
use pelton_streams::fuzzing as streams;

/// Changes that are tried of each target's seeds.
const USUAL_ROUNDS: u64 = 2_000;
/// Those of targets that take a millisecond each.
const SLOW: [&str; 2] = ["config", "log"];
const SLOW_ROUNDS: u64 = 300;

/// A target by name.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 17] = [
    ("log", streams::log),
    ("log_layouts", streams::layouts),
    ("manifest", state::manifest),
    ("run_file", state::run_file),
    ("keys", state::keys),
    ("values", state::values),
    ("positions", connectors::positions),
    ("committables", connectors::committables),
    ("records", connectors::records),
    ("rows", connectors::rows),
    ("parcel", pelton_dataflow::fuzzing::parcel),
    ("config", |bytes| text(bytes, pelton_cli::fuzzing::config)),
    ("bodies", pelton_kinesis::wire::fuzzing::bodies),
    ("frames", pelton_kinesis::fuzzing::frames),
    ("tokens", pelton_kinesis::fuzzing::tokens),
    ("signatures", pelton_kinesis::fuzzing::signatures),
    ("words", |bytes| text(bytes, pelton_cli::fuzzing::words)),
];

fn text(bytes: &[u8], read: impl Fn(&str)) {
    read(&String::from_utf8_lossy(bytes));
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }

    /// `bytes` with some of them changed, taken out, put in, or taken from `other`.
    fn changed(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = bytes.len().min(at + 1 + self.below(8));
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, (0..=self.below(8)).map(|n| n as u8).collect::<Vec<_>>())),
                3 => {
                    let from = self.below(other.len() + 1);
                    let taken = &other[from..other.len().min(from + 1 + self.below(16))];
                    drop(bytes.splice(at..end, taken.iter().copied()));
                }
                4 => bytes[at..end].fill([0, 1, 0x7f, 0x80, 0xff][self.below(5)]),
                _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => bytes.push(self.below(256) as u8),
            }
        }
        bytes
    }
}

fn seeds_of(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn run(target: &str, decode: fn(&[u8]), bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| decode(bytes))) {
        eprintln!("the target `{target}` panicked at {:?}", bytes.escape_ascii().to_string());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("PELTON_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    println!("PELTON_SEED={seed}");
    for (target, decode) in TARGETS {
        let seeds = seeds_of(target);
        seeds.iter().for_each(|bytes| run(target, decode, bytes));
        let usual = if SLOW.contains(&target) { SLOW_ROUNDS } else { USUAL_ROUNDS };
        let mut random = Random(seed);
        for _ in 0..number("PELTON_ROUNDS").unwrap_or(usual) {
            let [one, other] = [0; 2].map(|_| &seeds[random.below(seeds.len())]);
            run(target, decode, &random.changed(one, other));
        }
    }
}

#[test]
fn every_target_is_tried_here_too() {
    let targets = Path::new("fuzz/fuzz_targets");
    let names = fs::read_dir(targets).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    let mut here: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    here.sort();
    assert_eq!(names, here);
}
