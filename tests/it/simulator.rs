//! The coordinator, recovery, the manifest log with its retention, enumerators and an exactly-once sink, in
//! simulated worlds: virtual time, messages delayed, reordered and lost, answers lost, processes killed,
//! paused and overtaken by others, which go on as zombies; checkpoints that fail or come too late, slow
//! commits, shards that are split and merged. What must hold is checked after every step.
//!
//! Real are: the coordinator, the recovery and all that the driver's threads do
//! (`pelton_runtime::blocking`), the manifest log and retention on a store in memory, the sink and a source
//! on the shard log, whose disk is in memory too. Made up are the dataflow between source and sink, and
//! the driver's threads: `process` and `worker` do their work a step at a time.
//!
//! In reading order: `world` decides who does what; `process` runs generations, `worker` the workers'
//! part; `source`, `sink` and `store` are what they work on, `faults` what goes wrong there; `ledger` is
//! what must hold. A seed that fails is printed, and `PELTON_SEED` replays it; `PELTON_ROUNDS` runs
//! so many fresh seeds.

mod faults;
mod ledger;
mod process;
mod random;
mod sink;
mod source;
mod store;
mod worker;
mod world;

use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::{Seen, World};

const FIXED_SEEDS: u64 = 150;
const FRESH_SEEDS: u64 = 50;

fn run(seed: u64) -> (Seen, u64) {
    let run = catch_unwind(AssertUnwindSafe(|| World::new(seed).run()));
    run.unwrap_or_else(|panic| {
        println!("replay with PELTON_SEED={seed}");
        resume_unwind(panic)
    })
}

/// A number in the environment.
fn given(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

#[test]
fn whatever_happens_each_record_is_visible_once_and_in_order() {
    let mut seen = Seen::default();
    for seed in 0..FIXED_SEEDS {
        seen.add(&run(seed).0);
    }
    println!("{seen:?}");
    // What the runs are worth: each thing that can go wrong has gone wrong often.
    for (what, count) in seen.counts() {
        assert!(count >= 20, "{what} only {count} times: {seen:?}");
    }
}

#[test]
fn no_child_is_left_waiting_by_an_acknowledgement_that_got_lost() {
    let mut seen = Seen::default();
    for seed in 0..FIXED_SEEDS {
        println!("seed {seed}");
        seen.add(&World::that_only_loses(seed).run().0);
    }
    println!("{seen:?}");
    assert!(seen.lost_messages >= 20 && seen.children >= 20, "{seen:?}");
}

#[test]
fn the_same_holds_for_fresh_seeds() {
    if let Some(seed) = given("PELTON_SEED") {
        println!("{:?}", run(seed));
        return;
    }
    let first = std::hash::RandomState::new().hash_one(0);
    let mut seen = Seen::default();
    for number in 0..given("PELTON_ROUNDS").unwrap_or(FRESH_SEEDS) {
        seen.add(&run(first.wrapping_add(number)).0);
    }
    println!("{seen:?}");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
