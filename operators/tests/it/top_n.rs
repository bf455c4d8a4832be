//! The best of each key, against sorting all records anew for each.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{Aggregate, Stream, TopN, Tumbling, Update};
use proptest::prelude::*;

use crate::model::{Model, agree_in_order, steps};

/// Records are (key, rank, number).
type Row = (u8, u8, u32);

fn best(n: usize) -> impl Fn(Stream<Row>, &mut Taps) {
    move |input, taps| taps.tap("best", &input.key_by(|row| row.0).top_n("best-n", n, |row| row.1))
}

#[test]
fn who_came_first_stays_ahead_of_equals() {
    let mut script = Harness::new(best(2));
    script
        .record(1, (1, 5, 0))
        .record(2, (1, 5, 1))
        .record(3, (1, 5, 2))
        .record(4, (2, 1, 3))
        .record(5, (1, 6, 4));
    assert_eq!(
        script.output(),
        [
            "best@1 Insert((1, 5, 0))",
            "best@2 Insert((1, 5, 1))",
            "best@4 Insert((2, 1, 3))",
            "best@5 Delete((1, 5, 1))",
            "best@5 Insert((1, 6, 4))",
        ]
    );
}

#[test]
fn the_best_of_none_are_a_mistake() {
    let mistake = std::panic::catch_unwind(|| Harness::new(best(0)));
    let message = *mistake.err().unwrap().downcast::<String>().unwrap();
    assert!(message.contains("operator `best-n`") && message.contains("ask for at least 1"), "{message}");
}

#[test]
fn windows_give_their_best_once() {
    let mut script = Harness::new(|input: Stream<Row>, taps: &mut Taps| {
        let windows = input.key_by(|row| row.0).window("best-n", Tumbling::of(Duration::from_millis(10)));
        let best = windows.aggregate(TopN::new(2, |row: &Row| row.1)).out;
        taps.tap("best", &best.map(|window| (window.start.0, window.value)));
    });
    script
        .record(1, (1, 5, 0))
        .record(2, (1, 7, 1))
        .barrier()
        .crash()
        .record(3, (1, 6, 2))
        .record(11, (1, 1, 3))
        .end();
    assert_eq!(script.output(), ["best@9 (0, [(1, 7, 1), (1, 6, 2)])", "best@19 (10, [(1, 1, 3)])"]);
}

/// All records of each key in the order of arrival.
#[derive(Clone)]
struct All {
    n: usize,
    rows: BTreeMap<u8, Vec<Row>>,
}

impl All {
    fn best(&self, key: u8) -> Vec<Row> {
        let mut rows = self.rows.get(&key).cloned().unwrap_or_default();
        rows.sort_by_key(|row| std::cmp::Reverse(row.1));
        rows.truncate(self.n);
        rows
    }
}

impl Model for All {
    type Record = Row;

    fn record(&mut self, at: i64, row: Row) -> Vec<String> {
        let before = self.best(row.0);
        self.rows.entry(row.0).or_default().push(row);
        let after = self.best(row.0);
        let gone = before.iter().filter(|row| !after.contains(row)).map(|row| Update::Delete(*row));
        let new = after.iter().filter(|row| !before.contains(row)).map(|row| Update::Insert(*row));
        gone.chain(new).map(|update| format!("best@{at} {update:?}")).collect()
    }

    fn watermark(&mut self, _at: i64) -> Vec<String> {
        Vec::new()
    }
}

fn places(n: usize) -> impl Fn(Stream<Row>, &mut Taps) {
    move |input, taps| {
        let best = input.key_by(|row| row.0).top_n_ranked("best-n", n, |row| row.1);
        taps.tap("place", &best.map(|best| (best.place, best.record)));
    }
}

#[test]
fn the_places_of_none_are_a_mistake() {
    let mistake = std::panic::catch_unwind(|| Harness::new(places(0)));
    assert!(mistake.err().unwrap().downcast::<String>().unwrap().contains("ask for at least 1"));
}

/// As [`All`], with a line for each place in which there is another record than before.
#[derive(Clone)]
struct Ranks(All);

impl Model for Ranks {
    type Record = Row;

    fn record(&mut self, at: i64, row: Row) -> Vec<String> {
        let before = self.0.best(row.0);
        self.0.rows.entry(row.0).or_default().push(row);
        let after = self.0.best(row.0);
        let first = before.iter().zip(&after).take_while(|(before, after)| before == after).count();
        let changed = after.iter().enumerate().skip(first);
        changed.map(|(index, row)| format!("place@{at} {:?}", (index + 1, row))).collect()
    }

    fn watermark(&mut self, _at: i64) -> Vec<String> {
        Vec::new()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn places_agree_with_sorting_anew(n in 1usize..5, steps in steps(60, (0u8..2, 0u8..6, any::<u32>()))) {
        agree_in_order(places(n), Ranks(All { n, rows: BTreeMap::new() }), steps, Some("place"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn changes_agree_with_sorting_anew(n in 1usize..5, steps in steps(60, (0u8..2, 0u8..6, any::<u32>()))) {
        agree_in_order(best(n), All { n, rows: BTreeMap::new() }, steps, Some("best"));
    }
}

proptest! {
    #[test]
    fn merged_is_as_added(n in 0usize..5, left in prop::collection::vec(0u8..9, 0..12), right in prop::collection::vec(0u8..9, 0..12)) {
        let top = TopN::new(n, |rank: &u8| *rank);
        let of = |ranks: &[u8]| {
            let mut best = Default::default();
            ranks.iter().for_each(|rank| top.add_ref(&mut best, rank));
            best
        };
        let mut merged = of(&left);
        top.merge(&mut merged, of(&right));
        let mut all = [left, right].concat();
        prop_assert_eq!(top.result(&merged), top.result(&of(&all)));
        all.sort_by_key(|rank| std::cmp::Reverse(*rank));
        all.truncate(n);
        prop_assert_eq!(top.result(&merged), all);
    }
}
