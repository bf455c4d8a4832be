//! Windows of the general operator against a slow and obvious model: a list of windows that hold their records.

use std::sync::Arc;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::trigger::{AfterWatermark, AtEnd, OnCount, Purging};
use pelton_operators::{
    CountWindows, Keep, Session, Stream, Tumbling, Window, WindowAssigner, WindowUpdate, Windows,
};
use proptest::prelude::*;

use crate::window_sessions::ms;

/// Windows of 20 ms, each 10 ms.
struct Twenties;

impl WindowAssigner<(u8, u64)> for Twenties {
    fn assign(&self, _record: &(u8, u64), time: EventTime, windows: &mut Vec<Window>) -> OpResult {
        let start = time.0 - time.0.rem_euclid(10);
        windows.extend([start - 10, start].map(|start| Window::of_millis(start, start + 20)));
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Tens,
    Twenties,
    Sessions,
}

#[derive(Clone, Copy, Debug)]
enum Fires {
    AtEnd,
    /// Early at every second record, late at every second.
    Twice,
    /// The same, purging.
    Purging,
    /// At the end; only the last two records, which are kept.
    LastTwo,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    cut: Cut,
    fires: Fires,
    lateness: i64,
}

fn rules() -> impl Strategy<Value = Rules> {
    let cuts = prop_oneof![1 => Just(Cut::Tens), 1 => Just(Cut::Twenties), 3 => Just(Cut::Sessions)];
    let fires =
        prop_oneof![Just(Fires::AtEnd), Just(Fires::Twice), Just(Fires::Purging), Just(Fires::LastTwo)];
    (cuts, fires, prop_oneof![Just(0i64), Just(7), Just(25)]).prop_map(|(cut, fires, lateness)| Rules {
        cut,
        fires,
        lateness,
    })
}

fn script(rules: Rules) -> Harness<(u8, u64)> {
    Harness::new(move |input: Stream<(u8, u64)>, taps: &mut Taps| {
        let windows: Windows<(u8, u64)> = match rules.cut {
            Cut::Tens => Tumbling::of(ms(10)).into(),
            Cut::Twenties => Windows::assigned_by(Arc::new(Twenties)),
            Cut::Sessions => Session::gap(ms(10)).into(),
        };
        let windows = input.key_by(|(key, _)| *key).window("windows", windows);
        let windows = windows.allowed_lateness(ms(rules.lateness.unsigned_abs()));
        let twice = AfterWatermark::early(OnCount::of(2)).late(OnCount::of(2));
        let sums = match rules.fires {
            Fires::AtEnd => windows.sum(|(_, amount)| *amount),
            Fires::Twice => windows.trigger(twice).sum(|(_, amount)| *amount),
            Fires::Purging => windows.trigger(Purging::of(twice)).sum(|(_, amount)| *amount),
            Fires::LastTwo => windows.evictor(Keep::last(2)).sum(|(_, amount)| *amount),
        };
        taps.tap("sum", &sums.out.map(shown));
        taps.tap("late", &sums.late);
    })
}

#[expect(clippy::needless_pass_by_value, reason = "a stream hands its records over")]
fn shown(sum: WindowUpdate<u8, u64>) -> (u8, i64, i64, u64, String) {
    (sum.key, sum.start.0, sum.end.0, sum.value, sum.firing.to_string())
}

/// A window with the records that it holds.
#[derive(Clone, Debug)]
struct Open {
    key: u8,
    start: i64,
    end: i64,
    /// In the order of their arrival.
    records: Vec<(usize, u64)>,
    early: usize,
    late: usize,
    given: usize,
    ended: bool,
    was_on_time: bool,
}

#[derive(Clone)]
struct Model {
    rules: Rules,
    open: Vec<Open>,
    arrived: usize,
    watermark: i64,
}

impl Model {
    fn bounds(&self, at: i64) -> Vec<(i64, i64)> {
        let ten = at - at.rem_euclid(10);
        match self.rules.cut {
            Cut::Tens => vec![(ten, ten + 10)],
            Cut::Twenties => vec![(ten - 10, ten + 10), (ten, ten + 20)],
            Cut::Sessions => vec![(at, at + 10)],
        }
    }

    /// The window that takes a record, taken out of those that are open.
    fn window(&mut self, key: u8, (start, end): (i64, i64)) -> Option<Open> {
        let merges = matches!(self.rules.cut, Cut::Sessions);
        let same = |open: &Open| {
            let touches = open.start <= end && start <= open.end;
            open.key == key && if merges { touches } else { (open.start, open.end) == (start, end) }
        };
        let mut found: Vec<Open> = self.open.extract_if(.., |open| same(open)).collect();
        found.sort_by_key(|open| open.start);
        if found.is_empty() {
            if end + self.rules.lateness <= self.watermark {
                return None;
            }
            let ended = end <= self.watermark;
            let (early, late, given, was_on_time) = (0, 0, 0, ended);
            return Some(Open {
                key,
                start,
                end,
                records: Vec::new(),
                early,
                late,
                given,
                ended,
                was_on_time,
            });
        }
        let is_over = found.iter().all(|open| open.ended);
        let was_on_time = found.iter().all(|open| open.was_on_time);
        let mut records: Vec<_> = found.iter().flat_map(|open| open.records.clone()).collect();
        records.sort_unstable();
        let sum = |of: fn(&Open) -> usize| found.iter().map(of).sum();
        let end = found.iter().map(|open| open.end).max().unwrap().max(end);
        let is_future = end > self.watermark;
        Some(Open {
            key,
            start: found[0].start.min(start),
            end,
            records,
            early: sum(|open| open.early),
            late: sum(|open| open.late),
            given: sum(|open| open.given),
            ended: is_over && !is_future,
            was_on_time: was_on_time && !is_future,
        })
    }

    fn record(&mut self, at: i64, key: u8, amount: u64) -> Vec<String> {
        let mut lines = Vec::new();
        let mut is_taken = false;
        for bounds in self.bounds(at) {
            let Some(mut open) = self.window(key, bounds) else { continue };
            is_taken = true;
            open.records.push((self.arrived, amount));
            let fires = match (self.rules.fires, open.ended) {
                (Fires::AtEnd | Fires::LastTwo, ended) => ended,
                (Fires::Twice | Fires::Purging, false) => {
                    open.early += 1;
                    open.early >= 2 && std::mem::take(&mut open.early) > 0
                }
                (Fires::Twice | Fires::Purging, true) => {
                    open.late += 1;
                    open.late >= 2 && std::mem::take(&mut open.late) > 0
                }
            };
            if fires {
                lines.extend(Self::fire(self.rules.fires, &mut open));
            }
            self.open.push(open);
        }
        self.arrived += 1;
        if !is_taken {
            lines.push(format!("late@{at} {:?}", (key, amount)));
        }
        lines
    }

    fn fire(fires: Fires, open: &mut Open) -> Option<String> {
        let timing = match (open.ended, open.was_on_time) {
            (false, _) => "early",
            (true, false) => "on time",
            (true, true) => "late",
        };
        open.was_on_time |= open.ended;
        if open.records.is_empty() {
            return None;
        }
        if let Fires::LastTwo = fires {
            let gone = open.records.len().saturating_sub(2);
            open.records.drain(..gone);
        }
        let sum: u64 = open.records.iter().map(|(_, amount)| amount).sum();
        let firing = format!("{timing} #{}", open.given);
        open.given += 1;
        if let Fires::Purging = fires {
            open.records.clear();
        }
        Some(format!("sum@{} {:?}", open.end - 1, (open.key, open.start, open.end, sum, firing)))
    }

    fn advance(&mut self, watermark: i64) -> Vec<String> {
        self.watermark = self.watermark.max(watermark);
        let mut lines = Vec::new();
        for open in self.open.iter_mut().filter(|open| !open.ended && open.end <= self.watermark) {
            open.ended = true;
            open.early = 0;
            lines.extend(Self::fire(self.rules.fires, open));
        }
        let (watermark, lateness) = (self.watermark, self.rules.lateness);
        self.open.retain(|open| open.end + lateness > watermark);
        lines
    }
}

#[derive(Clone, Debug)]
enum Step {
    Record(i64, u8, u64),
    Watermark(i64),
    Barrier,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0i64..90, 0u8..3, 1u64..9).prop_map(|(at, key, amount)| Step::Record(at, key, amount)),
        3 => (0i64..90).prop_map(Step::Watermark),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn windows_agree_with_the_model(rules in rules(), steps in steps()) {
        let mut script = script(rules);
        let mut model = Model { rules, open: Vec::new(), arrived: 0, watermark: i64::MIN };
        let mut saved = model.clone();
        for step in steps {
            let mut expected = Vec::new();
            match step {
                Step::Record(at, key, amount) => {
                    script.record(at, (key, amount));
                    expected = model.record(at, key, amount);
                }
                Step::Watermark(at) if at > model.watermark => {
                    script.watermark(at);
                    expected = model.advance(at);
                }
                Step::Watermark(_) => {}
                Step::Barrier => {
                    script.barrier();
                    saved = model.clone();
                }
                Step::Crash => {
                    script.crash();
                    model = saved.clone();
                }
            }
            let mut found = script.output();
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
        script.watermark(1_000);
        let (mut found, mut expected) = (script.output(), model.advance(1_000));
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(script.rows(), 0);
    }

    /// By definition: all records of a key in order, cut where two are more than a gap apart.
    #[test]
    fn sessions_are_what_lies_between_gaps(
        records in prop::collection::vec((0i64..400, 0u8..3, 1u64..9, 0u8..12), 1..80),
    ) {
        let mut script = Harness::new(|input: Stream<(u8, u64)>, taps: &mut Taps| {
            let sums = input.key_by(|(key, _)| *key).window("visits", Session::gap(ms(10))).sum(|(_, amount)| *amount);
            taps.tap("sum", &sums.out.map(|sum| (sum.key, sum.start.0, sum.end.0, sum.value)));
        });
        for (at, key, amount, barrier) in &records {
            script.record(*at, (*key, *amount));
            if *barrier == 0 {
                script.barrier().crash();
            }
        }
        let mut sorted = records;
        sorted.sort_unstable_by_key(|(at, key, ..)| (*key, *at));
        let sessions = sorted.chunk_by(|one, next| one.1 == next.1 && next.0 - one.0 <= 10);
        let mut expected: Vec<_> = sessions.map(|session| {
            let (first, last) = (session[0], session[session.len() - 1]);
            let sum: u64 = session.iter().map(|(_, _, amount, _)| amount).sum();
            format!("sum@{} {:?}", last.0 + 9, (first.1, first.0, last.0 + 10, sum))
        }).collect();
        let mut found = script.end().output();
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }

    /// By definition: after each `every` records of a key, its last `size`.
    #[test]
    fn count_windows_are_the_last_records(
        size in 1u64..7,
        every in 1u64..7,
        records in prop::collection::vec((0i64..400, 0u8..2, 1u64..9, 0u8..12), 1..60),
    ) {
        let mut script = Harness::new(move |input: Stream<(u8, u64)>, taps: &mut Taps| {
            let counted = input.key_by(|(key, _)| *key).window("counted", CountWindows::sliding(size, every));
            let sums = counted.sum(|(_, amount)| *amount);
            taps.tap("sum", &sums.out.map(|sum| (sum.key, sum.start.0, sum.end.0, sum.value)));
            let shared = input.key_by(|(key, _)| *key).window("kept", CountWindows::sliding(size, every));
            let kept = shared.process(|fired, records, out| {
                out.emit((*fired.key, records.len(), records.iter().map(|record| record.value.1).sum::<u64>()));
                Ok(())
            });
            taps.tap("kept-sum", &kept.out);
        });
        let (mut taken, mut expected) = ([Vec::new(), Vec::new()], Vec::new());
        for (at, key, amount, barrier) in records {
            script.record(at, (key, amount));
            if barrier == 0 {
                script.barrier().crash();
            }
            let taken = &mut taken[usize::from(key)];
            taken.push((at, amount));
            if (taken.len() as u64).is_multiple_of(every) {
                let last = &taken[taken.len().saturating_sub(size as usize)..];
                let first = last.iter().map(|(at, _)| *at).min().unwrap();
                let end = last.iter().map(|(at, _)| *at).max().unwrap() + 1;
                let sum: u64 = last.iter().map(|(_, amount)| amount).sum();
                expected.push(format!("kept-sum@{} {:?}", end - 1, (key, last.len(), sum)));
                expected.push(format!("sum@{} {:?}", end - 1, (key, first, end, sum)));
            }
        }
        let mut found = script.output();
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}

/// The rules agree with what is named `AtEnd`: both ways of writing the default are one.
#[test]
fn no_trigger_is_at_the_end() {
    let build = |named: bool| {
        Harness::new(move |input: Stream<(u8, u64)>, taps: &mut Taps| {
            let tens =
                input.key_by(|(key, _)| *key).window("tens", Tumbling::of(ms(10))).allowed_lateness(ms(5));
            let counts = if named { tens.trigger(AtEnd).count() } else { tens.count() };
            taps.tap("count", &counts.out.map(shown));
        })
    };
    let run = |named: bool| build(named).record(1, (1, 1)).watermark(10).record(2, (1, 1)).output();
    assert_eq!(run(true), run(false));
    assert_eq!(run(true).len(), 2);
}
