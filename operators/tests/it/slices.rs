//! What amplifies is emitted in slices, and nothing of it is lost.

use std::time::Duration;

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
