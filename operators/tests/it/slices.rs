//! What amplifies is emitted in slices, and nothing of it is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pelton_dataflow::settings::Settings;
use pelton_operators::testing::{Harness, run_stateless};
use pelton_operators::{Stream, Tumbling};

#[test]
fn one_record_may_give_a_million() {
    let count = run_stateless([1_000_000u64, 3], |n| n.flat_map(|n| 0..n).filter(|n| n % 1_000 == 0)).len();
    assert_eq!(count, 1_001);
}

#[test]
fn a_window_of_many_keys_fires_whole() {
    let mut script = Harness::new(|input: Stream<u64>, taps| {
        let windows = input
            .flat_map(|n| 0..n)
            .key_by(|n| *n)
            .window("keys", Tumbling::of(Duration::from_millis(10)))
            .count();
        let counts = windows.out.map(|window| window.value).filter(|count| *count == 1);
        taps.tap("one", &counts);
    });
    script.record(1, 20_000).barrier().end();
    assert_eq!(script.output().len(), 20_000);
}

#[test]
fn union_split_and_rebalance_lose_nothing() {
    let mut found = run_stateless(0..3_000u64, |n| {
        let parts = n.split(|n| n % 3 == 0);
        parts.matching.rebalance().union([parts.rest.map(|n| n)])
    });
    found.sort_unstable();
    assert_eq!(found, (0..3_000).collect::<Vec<_>>());
}

#[test]
fn of_a_million_few_are_held_at_a_time() {
    let (given, most_held) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (giving, held, taken) = (given.clone(), most_held.clone(), AtomicU64::new(0));
    let left = run_stateless([1_000_000u64], |n| {
        let many = n.flat_map(move |n| {
            let giving = giving.clone();
            (0..n).inspect(move |_| {
                giving.fetch_add(1, Ordering::Relaxed);
            })
        });
        many.filter(move |_| {
            let taken = taken.fetch_add(1, Ordering::Relaxed);
            held.fetch_max(given.load(Ordering::Relaxed) - taken, Ordering::Relaxed);
            false
        })
    });
    assert!(left.is_empty());
    let (most_held, batch) = (most_held.load(Ordering::Relaxed), Settings::default().batch_records as u64);
    assert!(most_held <= 2 * batch, "{most_held} were held at a time, in batches of {batch}");
}
