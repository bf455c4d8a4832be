//! One record of each key or group, against groups made anew from all records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{Kept, Stream};
use proptest::prelude::*;

use crate::model::{Model, agree, steps};

/// Records are (key, number).
type Row = (u8, u32);

fn within(keep: Kept, ms: u64) -> impl Fn(Stream<Row>, &mut Taps) {
    move |input, taps| {
        let keyed = input.key_by(|(key, _)| *key);
        let left = keyed.deduplicate("one", keep).within(Duration::from_millis(ms));
        taps.tap("out", &left.out);
        taps.tap("late", &left.late);
    }
}

fn for_ever(keep: Kept) -> impl Fn(Stream<Row>, &mut Taps) {
    move |input, taps| {
        taps.tap("out", &input.key_by(|(key, _)| *key).deduplicate("one", keep).for_ever());
    }
}

#[test]
fn what_has_been_is_known_after_a_crash() {
    let mut script = Harness::new(for_ever(Kept::FirstArrived));
    script.record(5, (1, 0)).barrier().record(6, (2, 1)).crash().record(7, (2, 2)).record(3, (1, 3));
    assert_eq!(script.output(), ["out@5 (1, 0)", "out@6 (2, 1)", "out@7 (2, 2)"]);
}

#[test]
fn the_last_may_be_told_of_again_and_again() {
    let mut script = Harness::new(for_ever(Kept::Last));
    script.record(5, (1, 0)).record(4, (1, 1)).record(5, (1, 2)).record(9, (1, 3));
    assert_eq!(script.output(), ["out@5 (1, 0)", "out@5 (1, 2)", "out@9 (1, 3)"]);
}

#[test]
fn a_group_ends_at_its_time_and_not_after_a_pause() {
    let mut script = Harness::new(within(Kept::FirstArrived, 10));
    for (number, at) in [0, 6, 9, 10, 15, 20].into_iter().enumerate() {
        script.record(at, (1, number as u32));
    }
    assert_eq!(script.output(), ["out@0 (1, 0)", "out@10 (1, 3)", "out@20 (1, 5)"]);
}

#[test]
fn the_last_of_a_group_comes_when_it_is_over_and_is_on_time() {
    let mut script = Harness::new(within(Kept::Last, 10));
    script.record(0, (1, 0)).record(3, (1, 1)).watermark(5).record(7, (1, 2)).watermark(9);
    assert_eq!(script.output(), [""; 0]);
    script.watermark(10).barrier();
    assert_eq!(script.output(), ["out@9 (1, 2)"]);
    script.crash().record(8, (1, 3)).record(11, (1, 4)).end();
    assert_eq!(script.output(), ["late@8 (1, 3)", "out@20 (1, 4)"]);
}

#[test]
fn times_at_the_ends_of_time_do_no_harm() {
    for keep in [Kept::FirstArrived, Kept::First, Kept::Last] {
        for build in [Box::new(for_ever(keep)) as Box<dyn Fn(_, &mut Taps)>, Box::new(within(keep, 10))] {
            let mut script = Harness::new(build);
            for at in [i64::MAX, i64::MIN + 1, i64::MAX - 1, 0, i64::MIN + 2] {
                script.record(at, (1, 0));
            }
            script.end().output();
        }
    }
}

#[test]
fn a_time_that_is_none_is_a_mistake() {
    for (time, problem) in [
        (Duration::ZERO, "give at least 1 ms"),
        (Duration::from_micros(1_500), "is not a whole number of milliseconds"),
        (Duration::MAX, "use `for_ever()`"),
    ] {
        let mistake = std::panic::catch_unwind(|| {
            Harness::new(|input: Stream<Row>, taps| {
                taps.tap("out", &input.key_by(|row| row.0).deduplicate("one", Kept::Last).within(time).out);
            })
        });
        let message = *mistake.err().unwrap().downcast::<String>().unwrap();
        assert!(message.contains("operator `one`") && message.contains(problem), "{message}");
    }
}

/// All records that were not late, in the order of arrival, and the lines that have been given.
#[derive(Clone)]
struct Groups {
    keep: Kept,
    /// `None` for ever.
    within: Option<i64>,
    watermark: i64,
    rows: Vec<(i64, Row)>,
    given: BTreeSet<String>,
}

impl Groups {
    fn new(keep: Kept, within: Option<i64>) -> Self {
        Self { keep, within, watermark: i64::MIN, rows: Vec::new(), given: BTreeSet::new() }
    }

    /// The records that are kept of all, with the time at which they come and whether that is known.
    fn kept(&self) -> Vec<String> {
        let mut rows = self.rows.clone();
        if self.keep != Kept::FirstArrived {
            rows.sort_by_key(|(at, _)| *at);
            rows.retain(|(at, _)| *at < self.watermark);
        }
        // By key: the end of the group and the line of its last record.
        let mut groups: BTreeMap<u8, (i64, String)> = BTreeMap::new();
        let mut lines = Vec::new();
        for (at, row) in rows {
            let until = self.within.map_or(i64::MAX, |within| at + within);
            let last = |until: i64| format!("out@{} {row:?}", until - 1);
            match groups.get_mut(&row.0) {
                Some((until, line)) if at < *until => *line = last(*until),
                _ => {
                    let over = groups.insert(row.0, (until, last(until)));
                    match self.keep {
                        Kept::FirstArrived | Kept::First => lines.push(format!("out@{at} {row:?}")),
                        Kept::Last => lines.extend(over.map(|(_, line)| line)),
                    }
                }
            }
        }
        if self.keep == Kept::Last {
            let over = groups.into_values().filter(|(until, _)| *until <= self.watermark);
            lines.extend(over.map(|(_, line)| line));
        }
        lines
    }

    /// What is known now and was not before. Records have numbers, so lines are not equal by chance.
    fn news(&mut self) -> Vec<String> {
        let lines = self.kept();
        lines.into_iter().filter(|line| self.given.insert(line.clone())).collect()
    }
}

impl Model for Groups {
    type Record = Row;

    fn record(&mut self, at: i64, row: Row) -> Vec<String> {
        if at < self.watermark && self.within.is_some() {
            return vec![format!("late@{at} {row:?}")];
        }
        self.rows.push((at, row));
        self.news()
    }

    fn watermark(&mut self, at: i64) -> Vec<String> {
        self.watermark = at;
        self.news()
    }
}

/// The first record of each key, once the watermark has passed it, for ever.
#[derive(Clone)]
struct First {
    watermark: i64,
    waiting: Vec<(i64, Row)>,
    given: BTreeSet<u8>,
}

impl Model for First {
    type Record = Row;

    fn record(&mut self, at: i64, row: Row) -> Vec<String> {
        self.waiting.push((at, row));
        self.watermark(self.watermark)
    }

    fn watermark(&mut self, at: i64) -> Vec<String> {
        self.watermark = at;
        self.waiting.sort_by_key(|(at, _)| *at);
        let passed = self.waiting.iter().filter(|(time, (key, _))| *time < at && self.given.insert(*key));
        passed.map(|(at, row)| format!("out@{at} {row:?}")).collect()
    }
}

#[derive(Clone, Default)]
struct Last(BTreeMap<u8, i64>);

impl Model for Last {
    type Record = Row;

    fn record(&mut self, at: i64, row: Row) -> Vec<String> {
        let last = self.0.entry(row.0).or_insert(at);
        if at < *last {
            return Vec::new();
        }
        *last = at;
        vec![format!("out@{at} {row:?}")]
    }

    fn watermark(&mut self, _at: i64) -> Vec<String> {
        Vec::new()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_first_to_arrive_agrees(ms in 1u64..20, steps in steps(60, (0u8..3, any::<u32>()))) {
        agree(within(Kept::FirstArrived, ms), Groups::new(Kept::FirstArrived, Some(ms as i64)), steps);
    }

    #[test]
    fn the_first_agrees(ms in 1u64..20, steps in steps(60, (0u8..3, any::<u32>()))) {
        agree(within(Kept::First, ms), Groups::new(Kept::First, Some(ms as i64)), steps);
    }

    #[test]
    fn the_last_agrees(ms in 1u64..20, steps in steps(60, (0u8..3, any::<u32>()))) {
        agree(within(Kept::Last, ms), Groups::new(Kept::Last, Some(ms as i64)), steps);
    }

    #[test]
    fn the_first_to_arrive_for_ever_agrees(steps in steps(60, (0u8..9, any::<u32>()))) {
        agree(for_ever(Kept::FirstArrived), Groups::new(Kept::FirstArrived, None), steps);
    }

    #[test]
    fn the_first_for_ever_agrees(steps in steps(60, (0u8..9, any::<u32>()))) {
        let model = First { watermark: i64::MIN, waiting: Vec::new(), given: BTreeSet::new() };
        agree(for_ever(Kept::First), model, steps);
    }

    #[test]
    fn the_last_for_ever_agrees(steps in steps(60, (0u8..3, any::<u32>()))) {
        agree(for_ever(Kept::Last), Last::default(), steps);
    }
}
