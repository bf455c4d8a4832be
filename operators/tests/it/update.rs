//! `reduce`, `fold`, `aggregate`: an update for each record, restored with its key.

use pelton_operators::Stream;
use pelton_operators::aggregate::Count;
use pelton_operators::testing::Harness;

#[test]
fn each_record_updates_its_key_also_after_a_crash() {
    let mut script = Harness::new(|input: Stream<(char, i64)>, taps| {
        let keyed = input.key_by(|(key, _)| *key);
        taps.tap("sum", &keyed.fold("sums", |sum: &mut i64, (_, amount)| *sum += amount));
        taps.tap("max", &keyed.reduce("maxima", |a, b| if b.1 > a.1 { b } else { a }));
        taps.tap("count", &keyed.aggregate("counts", Count::new()));
    });
    script.record(1, ('a', 5)).record(2, ('b', 1)).record(3, ('a', -2)).barrier();
    let mut found = script.output();
    found.sort();
    assert_eq!(
        found,
        [
            "count@1 ('a', 1)",
            "count@2 ('b', 1)",
            "count@3 ('a', 2)",
            "max@1 ('a', 5)",
            "max@2 ('b', 1)",
            "max@3 ('a', 5)",
            "sum@1 ('a', 5)",
            "sum@2 ('b', 1)",
            "sum@3 ('a', 3)",
        ]
    );
    script.record(4, ('a', 100)).crash().record(5, ('a', 10));
    let mut found = script.output();
    found.sort();
    // What came after the barrier was emitted once before the crash, and is forgotten since.
    let after: Vec<_> = found.iter().filter(|line| line.contains("@5")).collect();
    assert_eq!(after, ["count@5 ('a', 3)", "max@5 ('a', 10)", "sum@5 ('a', 13)"]);
}
