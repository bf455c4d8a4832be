//! Event order: what a key's operators are shown does not depend on how records arrived.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Collect, Harness, Taps, Values};
use pelton_operators::trigger::{
    AfterWatermark, AnyOf, Decision, EveryProcessingTime, OnCount, Purging, Trigger, TriggerContext,
};
use pelton_operators::{
    Context, Job, Kept, KeyedProcess, KeyedStream, NoSide, Pattern, Session, Stream, Tumbling, Watermarks,
};
use pelton_state::StateMut;
use proptest::prelude::*;

/// A key and what it is told.
type Word = (char, u64);

/// Tells of each record and timer, with what came before it. Each record sets a timer for 4 later, and one
/// that is due at once.
struct Story;

impl KeyedProcess for Story {
    type Key = char;
    type In = Word;
    type Out = (char, String);
    type Side = NoSide;
    type State = u64;

    fn on_record(
        &self,
        (key, n): Word,
        hash: &mut StateMut<'_, u64>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        **hash = told(**hash, n);
        cx.emit((key, format!("{n} {}", **hash)));
        cx.timer_at(cx.time() + Duration::from_millis(4));
        cx.timer_at(EventTime(cx.time().0 - 1));
        Ok(())
    }

    fn on_timer(&self, at: EventTime, hash: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        **hash = told(**hash, 1_000 + at.0.unsigned_abs());
        let key = *cx.key();
        cx.emit((key, format!("timer {}", **hash)));
        Ok(())
    }
}

fn told(hash: u64, n: u64) -> u64 {
    (hash * 31 + n) % 1_000_003
}

fn story(words: &Stream<Word>, taps: &mut Taps) {
    let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
    taps.tap("told", &ordered.out.process("story", Story).out);
    taps.tap("late", &ordered.late);
}

#[test]
fn records_come_by_time_then_split_then_position() {
    let mut script = Harness::new(|words: Stream<Word>, taps| {
        let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
        taps.tap("all", &ordered.out.fold("so-far", |all: &mut Vec<u64>, (_, n)| all.push(n)));
    });
    script.record_of("b", 5, ('k', 4)).record_of("a", 7, ('k', 7)).record_of("a", 5, ('k', 2));
    script.record_of("b", 5, ('k', 5)).record_of("a", 5, ('k', 3)).record_of("c", 1, ('k', 1));
    script.record_of("c", 6, ('k', 6));
    assert_eq!(script.output(), Vec::<String>::new());
    script.watermark(6);
    let all = |numbers: std::ops::RangeInclusive<u64>| format!("{:?}", ('k', numbers.collect::<Vec<_>>()));
    let lines: Vec<_> =
        (1..=5).map(|n| format!("all@{} {}", if n == 1 { 1 } else { 5 }, all(1..=n))).collect();
    assert_eq!(script.output(), lines);
    script.end();
    assert_eq!(script.output(), [format!("all@6 {}", all(1..=6)), format!("all@7 {}", all(1..=7))]);
}

#[test]
fn a_record_that_comes_after_the_watermark_is_late_also_after_a_crash() {
    let mut script = Harness::new(|words, taps| story(&words, taps));
    script.record(9, ('k', 1)).watermark(5).record(4, ('k', 2)).barrier();
    assert_eq!(script.output(), ["late@4 ('k', 2)"]);
    script.crash().record(4, ('k', 3)).record(5, ('k', 4)).watermark(6);
    assert_eq!(script.output().first().unwrap(), "late@4 ('k', 3)");
    script.end();
    assert_eq!(script.output().len(), 4, "the last timer of one, the other that waited, and its timers");
}

/// Is told when something is due, which may have been long ago.
struct Due;

impl KeyedProcess for Due {
    type Key = char;
    type In = Word;
    type Out = Word;
    type Side = NoSide;
    type State = ();

    fn on_record(&self, (_, at): Word, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        cx.timer_at(EventTime(at as i64));
        Ok(())
    }

    fn on_timer(&self, at: EventTime, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        // Now and then one is followed by another that is due already.
        if at.0 % 2 == 0 && at.0 > 30 {
            cx.timer_at(EventTime(at.0 - 11));
        }
        let key = *cx.key();
        cx.emit((key, at.0.unsigned_abs()));
        Ok(())
    }
}

#[test]
fn what_timers_of_the_past_give_is_neither_lost_nor_late_in_another_order() {
    let run = |steps: i64| {
        let mut script = Harness::new(|words: Stream<Word>, taps: &mut Taps| {
            let due = words.key_by(|(key, _)| *key).in_event_order("by-time").out.process("due", Due).out;
            let again = due.key_by(|_| 'x').in_event_order("again");
            taps.tap("told", &again.out.process("story", Story).out.map(|(_, told)| told));
            taps.tap("late", &again.late);
        });
        script.record(3, ('k', 1)).record(10, ('k', 1)).record(10, ('k', 2)).record(10, ('k', 1));
        script.record(10, ('l', 1)).record(20, ('k', 30)).record(25, ('k', 34)).record(35, ('k', 25));
        (0..steps).for_each(|at| {
            script.watermark(at);
        });
        script.end();
        script.output()
    };
    let jumped = run(0);
    let told = jumped.iter().filter(|line| !line.contains("timer")).count();
    assert_eq!(told, 9, "each of the eight timers and the one that followed: {jumped:?}");
    assert_eq!(jumped, run(60));
}

#[test]
fn timers_have_their_place_between_the_records_however_far_the_watermark_jumps() {
    let records = |script: &mut Harness<Word>| {
        script.record(10, ('k', 3)).record(2, ('k', 1)).record(6, ('k', 2)).record(3, ('l', 9));
    };
    let mut jumps = Harness::new(|words, taps| story(&words, taps));
    records(&mut jumps);
    jumps.end();
    let mut steps = Harness::new(|words, taps| story(&words, taps));
    records(&mut steps);
    (0..20).for_each(|at| {
        steps.watermark(at);
    });
    steps.end();
    let of = |key: char, lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| line.contains(&format!("'{key}'"))).collect()
    };
    let (jumped, stepped) = (jumps.output(), steps.output());
    let times = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| line.split(['@', ' ']).nth(1).unwrap().to_owned()).collect()
    };
    // Each record, the timer that was due at once, and the one of the record before.
    assert_eq!(times(&of('k', jumped.clone())), ["2", "2", "6", "6", "6", "10", "10", "10", "14"]);
    for key in ['k', 'l'] {
        assert_eq!(of(key, jumped.clone()), of(key, stepped.clone()));
    }
}

#[test]
fn windows_fire_between_the_records() {
    let mut script = Harness::new(|words: Stream<Word>, taps| {
        let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
        let counts = ordered.out.window("tens", Tumbling::of(Duration::from_millis(10))).count();
        taps.tap("count", &counts.out.map(|window| window.value));
        taps.tap("late", &counts.late);
    });
    script.record(25, ('k', 3)).record(11, ('k', 2)).record(3, ('k', 1)).record(12, ('k', 1)).end();
    assert_eq!(script.output(), ["count@9 1", "count@19 2", "count@29 1"]);
}

/// Event time never runs ahead of the records that are given out, so that what is built on them has no late
/// records, though it tells them by its watermark.
#[test]
fn nothing_is_late_behind_it() {
    let mut script = Harness::new(|words: Stream<Word>, taps| {
        let ms = Duration::from_millis;
        let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time").out;
        taps.tap("late-tens", &ordered.window("tens", Tumbling::of(ms(10))).count().late);
        taps.tap("late-visits", &ordered.window("visits", Session::gap(ms(2))).count().late);
        taps.tap("late-first", &ordered.deduplicate("first", Kept::First).within(ms(3)).late);
        let sorted = ordered.sorted("sorted");
        taps.tap("late-sorted", &sorted.late);
        taps.tap("out", &sorted.out.map(|(_, n)| n));
    });
    let give = |script: &mut Harness<Word>, numbers: std::ops::Range<u64>| {
        numbers.rev().for_each(|n| {
            script.record(n as i64, ('k', n));
        });
    };
    give(&mut script, 1..60);
    script.watermark_cut_by_barrier_and_crash(40);
    give(&mut script, 60..90);
    script.watermark(55).barrier().crash().watermark(75).end();
    let found = script.output();
    assert_eq!(found, (1..90).map(|n| format!("out@{n} {n}")).collect::<Vec<_>>());
}

#[test]
fn what_is_made_of_a_record_is_ordered_by_how_it_was_made() {
    let mut script = Harness::new(|words: Stream<Word>, taps| {
        // Two ways to the same key, and copies on one of them.
        let halves = words.split(|(_, n)| n % 2 == 0);
        let copies = words.flat_map(|(key, n)| [(key, n * 10), (key, n * 10 + 1)]);
        let both = copies.union([halves.matching.map(|(key, n)| (key, n * 100)), halves.rest]);
        let ordered = both.filter(|(_, n)| *n != 31).key_by(|(key, _)| *key).in_event_order("by-time");
        taps.tap("all", &ordered.out.reduce("so-far", |_, word| word).map(|(_, n)| n));
    });
    script.record_of("b", 1, ('k', 2)).record_of("a", 1, ('k', 3)).record_of("a", 1, ('k', 4)).end();
    let found = script.output();
    // By the splits and their records, then number by number of how they were made: copies by their index,
    // what came another way by its input of the union.
    assert_eq!(found.len(), 8);
    let numbers: Vec<u64> = found.iter().map(|line| line[6..].parse().unwrap()).collect();
    assert_eq!(numbers, [30, 3, 40, 400, 41, 20, 200, 21]);
}

#[test]
fn order_goes_on_behind_an_operator_with_state() {
    let mut script = Harness::new(|words: Stream<Word>, taps| {
        let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
        let told = ordered.out.process("story", Story).out;
        let lengths = told.key_by(|(_, told)| told.len()).in_event_order("by-time-again");
        let all = lengths.out.fold("so-far", |all: &mut String, (key, _)| all.push(key));
        taps.tap("all", &all);
        taps.tap("late", &lengths.late);
    });
    script.record(8, ('b', 1)).record(2, ('a', 1)).record(2, ('b', 1)).record(8, ('a', 1)).end();
    let first = script.output();
    let mut again = Harness::new(|words: Stream<Word>, taps| {
        let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
        let told = ordered.out.process("story", Story).out;
        let lengths = told.key_by(|(_, told)| told.len()).in_event_order("by-time-again");
        taps.tap("all", &lengths.out.fold("so-far", |all: &mut String, (key, _)| all.push(key)));
        taps.tap("late", &lengths.late);
    });
    again.record(8, ('b', 1)).record(2, ('a', 1)).watermark(1).record(2, ('b', 1)).watermark(5).barrier();
    again.record(8, ('a', 1)).watermark(7).end();
    assert_eq!(again.output(), first);
}

/// Sets a timer by the clock.
struct ByClock;

impl KeyedProcess for ByClock {
    type Key = char;
    type In = Word;
    type Out = Word;
    type Side = NoSide;
    type State = u64;

    fn on_record(&self, _: Word, _: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        cx.processing_timer_at(5);
        Ok(())
    }
}

#[test]
#[should_panic(
    expected = "sets a processing-time timer, which fires at another place in that order in each run"
)]
fn a_timer_by_the_clock_fails() {
    let mut script = Harness::new(|words: Stream<Word>, taps| {
        let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
        taps.tap("none", &ordered.out.process("by-clock", ByClock).out);
    });
    script.record(1, ('k', 1)).end();
}

#[test]
#[should_panic(expected = "a record without event time has no place in event order")]
fn a_record_without_time_fails() {
    let mut script = Harness::new(|words, taps| story(&words, taps));
    script.record(i64::MIN, ('k', 1)).end();
}

/// Asks for times of the clock, and does not say that it does.
struct Secretly;

impl Trigger<Word> for Secretly {
    type State = ();

    fn on_record(&self, _: &Word, (): &mut (), cx: &mut TriggerContext<'_>) -> Decision {
        cx.processing_timer_at(5);
        Decision::Continue
    }
}

#[test]
#[should_panic(expected = "it is shown its records in event order, and waits for the clock")]
fn what_waits_for_the_clock_unsaid_fails() {
    let mut script = Harness::new(|words: Stream<Word>, taps| {
        let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
        let tens = ordered.out.window("tens", Tumbling::of(Duration::from_millis(10))).trigger(Secretly);
        taps.tap("count", &tens.count().out.map(|window| window.value));
    });
    script.record(1, ('k', 1)).end();
}

/// Sessions by the clock, and windows of event time whose triggers ask for it however deep down.
#[test]
fn windows_that_go_by_the_clock_cannot_stand_behind_it() {
    let windows = |wire: &dyn Fn(&KeyedStream<char, Word>) -> Stream<u64>| {
        mistakes(|words| {
            let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
            wire(&ordered.out).sink("counts", Collect::new().0);
        })
    };
    let ms = Duration::from_millis;
    let by_clock = |ordered: &KeyedStream<char, Word>| {
        let sessions = ordered.window("w", Session::gap(ms(5)).by_processing_time());
        sessions.count().out.map(|window| window.value)
    };
    let triggered = |ordered: &KeyedStream<char, Word>| {
        let every = AnyOf::new(OnCount::of(2), Purging::of(EveryProcessingTime::of(ms(5))));
        let trigger = AfterWatermark::early(every);
        let tens = ordered.window("w", Tumbling::of(ms(10))).trigger(trigger);
        tens.count().out.map(|window| window.value)
    };
    let pattern = |ordered: &KeyedStream<char, Word>| {
        let pattern = Pattern::begin("a", |_: &Word| true).next("b", |_: &Word| true);
        ordered.pattern("w", pattern.within(ms(5)).in_arrival_order()).select(|_| 1u64)
    };
    for refused in [windows(&by_clock), windows(&triggered), windows(&pattern)] {
        assert!(refused.contains("operator `w`") && refused.contains("it goes by the clock"), "{refused}");
    }
}

#[test]
fn what_goes_by_the_clock_or_takes_two_inputs_cannot_stand_behind_it() {
    let refused = mistakes(|words| {
        let ordered = words.key_by(|(key, _)| *key).in_event_order("by-time");
        let tens = Tumbling::of(Duration::from_millis(10)).by_processing_time();
        ordered.out.window("tens", tens).count().late.sink("late", Collect::new().0);
    });
    assert!(refused.contains("operator `tens`") && refused.contains("it goes by the clock"), "{refused}");
    let refused = mistakes(|words| {
        let keyed = words.key_by(|(key, _)| *key);
        let ordered = keyed.in_event_order("by-time");
        let pairs = ordered.out.join("pairs", &keyed).inner(|_, word| *word);
        pairs.out.sink("pairs-out", Collect::new().0);
    });
    assert!(refused.contains("operator `pairs`") && refused.contains("has no place in it"), "{refused}");
}

fn mistakes(wire: impl FnOnce(Stream<Word>)) -> String {
    let mut job = Job::new();
    let words = Values::of([('k', 1u64)]);
    let time_of = |(_, n): &Word| EventTime(*n as i64);
    wire(job.source("words", words).watermarks(Watermarks::monotonous(time_of)));
    job.finish().map(drop).unwrap_err().to_string()
}

#[test]
fn what_has_no_order_cannot_stand_before_it() {
    let refused = mistakes(|words| {
        let counts = words.key_by(|(key, _)| *key).process("story", Story).out;
        let ordered = counts.key_by(|(key, _)| *key).in_event_order("by-time");
        ordered.late.sink("late", Collect::new().0);
    });
    assert!(refused.contains("operator `by-time`"), "{refused}");
    assert!(
        refused.contains("`story` (process)") && refused.contains("is not shown event order itself"),
        "{refused}"
    );
    let refused = mistakes(|words| {
        let windows = words.key_by(|(key, _)| *key).window("tens", Tumbling::of(Duration::from_millis(10)));
        let ordered = windows.count().out.key_by(|window| window.key).in_event_order("by-time");
        ordered.late.sink("late", Collect::new().0);
    });
    assert!(refused.contains("`tens` (window)") && refused.contains("cannot stand before it"), "{refused}");

    let mut job = Job::new();
    let words = job.source("words", Values::of([('k', 1u64)])).watermarks(Watermarks::none());
    words.key_by(|(key, _)| *key).in_event_order("by-time").late.sink("late", Collect::new().0);
    let refused = job.finish().map(drop).unwrap_err().to_string();
    assert!(refused.contains("`words` (source)") && refused.contains("no event time"), "{refused}");
}

// ---- Against a model, with shuffled arrival, barriers and crashes.

const SPLITS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    /// The next record of a split arrives.
    Arrive(usize),
    /// The watermark goes to what the splits promise, less this.
    Watermark(i64),
    /// The same, and a barrier falls while it is at work; then all after it is lost.
    Cut,
    Barrier,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..SPLITS.len()).prop_map(Step::Arrive),
        4 => (0i64..4).prop_map(Step::Watermark),
        1 => Just(Step::Cut),
        2 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a split has: each record's time goes on from the one before by -1 to 2.
fn split() -> impl Strategy<Value = Vec<(i64, Word)>> {
    let record = (-1i64..3, prop_oneof![Just('k'), Just('l')], 0u64..100);
    prop::collection::vec(record, 0..15).prop_map(|records| {
        let mut at = 10;
        let made = records.into_iter().map(|(step, key, n)| {
            at += step;
            (at, (key, n))
        });
        made.collect()
    })
}

/// What Story says, of a key's records in order: one event after the other.
fn model(splits: &[Vec<(i64, Word)>]) -> BTreeMap<char, Vec<String>> {
    let mut keys: BTreeMap<char, Vec<(i64, u64)>> = BTreeMap::new();
    let mut all: Vec<(i64, usize, usize)> = Vec::new();
    for (split, records) in splits.iter().enumerate() {
        all.extend(records.iter().enumerate().map(|(position, (at, _))| (*at, split, position)));
    }
    all.sort_unstable();
    for (at, split, position) in all {
        let (key, n) = splits[split][position].1;
        keys.entry(key).or_default().push((at, n));
    }
    let mut stories = BTreeMap::new();
    for (key, records) in keys {
        let (mut hash, mut timers, mut lines) = (0, std::collections::BTreeSet::new(), Vec::new());
        let mut last = i64::MIN;
        let fire = |up_to: i64,
                    since: i64,
                    timers: &mut std::collections::BTreeSet<i64>,
                    hash: &mut u64,
                    lines: &mut Vec<String>| {
            while let Some(at) = timers.first().copied().filter(|at| *at <= up_to) {
                timers.remove(&at);
                *hash = told(*hash, 1_000 + at.unsigned_abs());
                lines.push(format!("told@{} {:?}", at.max(since), (key, format!("timer {hash}"))));
            }
        };
        for (at, n) in records {
            if at > last {
                fire(at, i64::MIN, &mut timers, &mut hash, &mut lines);
            }
            last = at;
            hash = told(hash, n);
            lines.push(format!("told@{at} {:?}", (key, format!("{n} {hash}"))));
            timers.extend([at + 4, at - 1]);
            fire(at, at, &mut timers, &mut hash, &mut lines);
        }
        fire(i64::MAX, i64::MIN, &mut timers, &mut hash, &mut lines);
        stories.insert(key, lines);
    }
    stories
}

/// How far the script is, to come back to.
#[derive(Clone, Default)]
struct At {
    read: [usize; SPLITS.len()],
    watermark: i64,
    lines: usize,
}

struct Play {
    script: Harness<Word>,
    splits: Vec<Vec<(i64, Word)>>,
    now: At,
    saved: At,
    lines: Vec<String>,
}

impl Play {
    /// No record that is left is earlier: a split goes back by 1 at most, from each of its records on.
    fn promise(&self) -> i64 {
        let least = |(split, records): (usize, &Vec<(i64, Word)>)| {
            records[self.now.read[split]..].iter().map(|(at, _)| *at).min()
        };
        self.splits.iter().enumerate().filter_map(least).min().unwrap_or(1_000)
    }

    fn take(&mut self) {
        self.lines.extend(self.script.output());
        self.now.lines = self.lines.len();
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Arrive(split) => {
                if let Some((at, word)) = self.splits[*split].get(self.now.read[*split]) {
                    self.now.read[*split] += 1;
                    self.script.record_of(SPLITS[*split], *at, *word);
                }
            }
            Step::Watermark(less) => {
                self.now.watermark = self.now.watermark.max(self.promise() - less);
                self.script.watermark(self.now.watermark);
            }
            Step::Cut => {
                self.take();
                self.now.watermark = self.now.watermark.max(self.promise());
                self.script.watermark_cut_by_barrier_and_crash(self.now.watermark);
                self.take();
                self.saved = self.now.clone();
            }
            Step::Barrier => {
                self.script.barrier();
                self.take();
                self.saved = self.now.clone();
            }
            Step::Crash => {
                self.script.crash();
                self.script.output();
                self.lines.truncate(self.saved.lines);
                self.now = self.saved.clone();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_story_of_a_key_does_not_depend_on_arrival(
        splits in prop::collection::vec(split(), SPLITS.len()),
        steps in steps(),
    ) {
        let script = Harness::new(|words, taps| story(&words, taps));
        let start = At { watermark: i64::MIN, ..At::default() };
        let mut play = Play { script, splits, now: start.clone(), saved: start, lines: Vec::new() };
        steps.iter().for_each(|step| play.play(step));
        for split in 0..SPLITS.len() {
            while play.now.read[split] < play.splits[split].len() {
                play.play(&Step::Arrive(split));
            }
        }
        play.script.end();
        play.take();
        let mut found: BTreeMap<char, Vec<String>> = BTreeMap::new();
        for line in play.lines {
            let key = line.split('\'').nth(1).and_then(|key| key.chars().next()).unwrap();
            found.entry(key).or_default().push(line);
        }
        prop_assert_eq!(found, model(&play.splits));
    }
}
