//! Broadcast rules against keyed records: when rules take effect, what is late, and crashes in between.

use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_operators::testing::{Harness, Taps};
use pelton_operators::{BroadcastContext, BroadcastProcess, Stream, TakesEffect};
use pelton_state::StateMut;
use proptest::prelude::*;

/// Tells of each record the limit that it is judged by, and how many of its key there were; and 5 ms later the limit
/// of that time. A rule `r` sets the limit to ten times the old one and `r`: the order tells.
struct Limits(TakesEffect);

impl BroadcastProcess for Limits {
    type Key = char;
    type In = (char, u64);
    type Rule = u64;
    type Rules = u64;
    type State = u64;
    type Out = String;
    type Side = String;

    fn takes_effect(&self) -> TakesEffect {
        self.0
    }

    fn on_rule(&self, rule: u64, limit: &mut u64, _: EventTime) -> OpResult {
        if rule == 9 {
            return Err("nine is no limit".into());
        }
        *limit = (*limit * 10 + rule) % 1_000_000;
        Ok(())
    }

    fn on_record(
        &self,
        (key, n): (char, u64),
        limit: &u64,
        count: &mut StateMut<'_, u64>,
        cx: &mut BroadcastContext<'_, Self>,
    ) -> OpResult {
        **count += 1;
        cx.emit(format!("{key}{n} by {limit}, {}", **count));
        cx.timer_at(cx.time() + Duration::from_millis(5));
        Ok(())
    }

    fn on_timer(
        &self,
        _: EventTime,
        limit: &u64,
        _: &mut StateMut<'_, u64>,
        cx: &mut BroadcastContext<'_, Self>,
    ) -> OpResult {
        cx.side(format!("{} by {limit}", cx.key()));
        Ok(())
    }
}

/// Records of the key `R` are rules.
fn judged(effect: TakesEffect) -> Harness<(char, u64)> {
    Harness::new(move |input: Stream<(char, u64)>, taps: &mut Taps| {
        let rules = input.filter(|(key, _)| *key == 'R').map(|(_, rule)| rule).broadcast("rules");
        let records = input.filter(|(key, _)| *key != 'R').key_by(|(key, _)| *key);
        let judged = records.connect_broadcast("limits", &rules, Limits(effect));
        taps.tap("out", &judged.out);
        taps.tap("timer", &judged.side);
        taps.tap("late", &judged.late);
    })
}

/// What has arrived, in an order that does not depend on which tap comes first.
fn sorted(script: &mut Harness<(char, u64)>) -> Vec<String> {
    let mut output = script.output();
    output.sort_by_key(|line| line.split('@').next().unwrap().to_owned());
    output
}

fn in_event_time() -> Harness<(char, u64)> {
    judged(TakesEffect::InEventTime)
}

#[test]
fn a_record_is_judged_by_the_rules_of_its_time_whatever_came_when() {
    let mut script = in_event_time();
    script.record(20, ('a', 1)).record(30, ('R', 3)).record(10, ('R', 1)).record(20, ('R', 2));
    script.record(9, ('a', 2)).record(29, ('a', 3)).watermark(29);
    assert_eq!(
        sorted(&mut script),
        [r#"out@9 "a2 by 0, 1""#, r#"out@20 "a1 by 12, 2""#, r#"timer@14 "a by 1""#, r#"timer@25 "a by 12""#]
    );
    script.watermark(31);
    assert_eq!(sorted(&mut script), [r#"out@29 "a3 by 12, 3""#]);
}

/// At one instant: timers, then rules by their bytes, then records as they came.
#[test]
fn what_is_of_one_time_has_an_order() {
    let mut script = in_event_time();
    script.record(0, ('a', 0)).record(5, ('a', 8)).record(5, ('a', 7));
    script.record(5, ('R', 2)).record(5, ('R', 1)).watermark(6);
    let output = sorted(&mut script);
    assert_eq!(
        output,
        [r#"out@0 "a0 by 0, 1""#, r#"out@5 "a8 by 12, 2""#, r#"out@5 "a7 by 12, 3""#, r#"timer@5 "a by 0""#]
    );
}

#[test]
fn what_comes_late_is_told_and_a_late_rule_takes_effect_at_the_watermark() {
    let mut script = in_event_time();
    script.watermark(10).record(9, ('a', 1)).record(3, ('R', 4)).record(10, ('a', 2)).watermark(20);
    assert_eq!(sorted(&mut script), [r#"late@9 ('a', 1)"#, r#"out@10 "a2 by 4, 1""#, r#"timer@15 "a by 4""#]);
    // A late rule does not change what was before it.
    script.record(20, ('a', 3)).record(20, ('R', 5)).record(1, ('R', 6)).end();
    assert_eq!(sorted(&mut script), [r#"out@20 "a3 by 456, 2""#, r#"timer@25 "a by 456""#]);
}

#[test]
fn records_that_do_not_wait_are_judged_by_what_is_known() {
    let mut script = judged(TakesEffect::OnceKnown);
    script.record(5, ('a', 1)).record(1, ('R', 3)).record(4, ('a', 2));
    assert_eq!(sorted(&mut script), [r#"out@5 "a1 by 0, 1""#, r#"out@4 "a2 by 0, 2""#]);
    script.watermark(2).record(1, ('b', 3));
    assert_eq!(sorted(&mut script), [r#"out@1 "b3 by 3, 1""#]);
    script.barrier().crash().record(3, ('b', 4)).end();
    let timers =
        [r#"timer@6 "b by 3""#, r#"timer@8 "b by 3""#, r#"timer@9 "a by 3""#, r#"timer@10 "a by 3""#];
    let output = sorted(&mut script);
    assert_eq!((output[0].as_str(), &output[1..]), (r#"out@3 "b4 by 3, 2""#, &timers.map(str::to_owned)[..]));
}

#[test]
fn rules_and_records_that_wait_survive_a_crash() {
    let mut script = in_event_time();
    script
        .record(1, ('R', 1))
        .record(7, ('R', 2))
        .record(3, ('a', 1))
        .record(8, ('a', 2))
        .watermark(4)
        .barrier();
    assert_eq!(sorted(&mut script), [r#"out@3 "a1 by 1, 1""#]);
    script.record(5, ('R', 8)).crash().record(5, ('R', 3)).record(2, ('a', 5)).barrier().crash().watermark(9);
    assert_eq!(
        sorted(&mut script),
        [r#"late@2 ('a', 5)"#, r#"out@8 "a2 by 132, 2""#, r#"timer@8 "a by 132""#]
    );
}

/// Those before a barrier wait in rows, those after it in memory.
#[test]
fn records_of_one_time_stay_in_order_on_both_sides_of_a_barrier() {
    let mut script = in_event_time();
    script
        .record(5, ('a', 3))
        .record(6, ('b', 1))
        .barrier()
        .record(5, ('a', 1))
        .record(5, ('b', 2))
        .barrier();
    script.record(5, ('a', 2)).watermark(6).barrier().crash().end();
    let output = sorted(&mut script);
    let of = |key: char| output.iter().filter(|line| line.contains(&format!("\"{key}"))).collect::<Vec<_>>();
    assert_eq!(
        of('a'),
        [r#"out@5 "a3 by 0, 1""#, r#"out@5 "a1 by 0, 2""#, r#"out@5 "a2 by 0, 3""#, r#"timer@10 "a by 0""#]
    );
    assert_eq!(
        of('b'),
        [r#"out@5 "b2 by 0, 1""#, r#"out@6 "b1 by 0, 2""#, r#"timer@10 "b by 0""#, r#"timer@11 "b by 0""#]
    );
}

/// More records than are held in memory wait for one watermark.
#[test]
fn records_that_are_too_many_for_memory_wait_all_the_same() {
    let most = 70_000u64;
    let mut script = Harness::new(move |input: Stream<(char, u64)>, taps: &mut Taps| {
        let rules = input.filter(|(key, _)| *key == 'R').map(|(_, rule)| rule).broadcast("rules");
        let records =
            input.filter(|(key, _)| *key != 'R').flat_map(|(key, count)| (0..count).map(move |n| (key, n)));
        let records = records.key_by(|(key, _)| *key);
        let judged = records.connect_broadcast("limits", &rules, Limits(TakesEffect::InEventTime));
        // Each one is the next of its key.
        let wrong = judged.out.filter(|line| {
            let (n, count) = (line[1..].split(' ').next().unwrap(), line.split(' ').next_back().unwrap());
            n.parse::<u64>().unwrap() + 1 != count.parse::<u64>().unwrap()
        });
        taps.tap("wrong", &wrong);
        taps.tap("last", &judged.out.filter(move |line| line.ends_with(&most.to_string())));
    });
    script.record(5, ('a', most)).record(5, ('b', 2)).record(6, ('R', 1)).watermark(6);
    assert_eq!(script.output(), [format!("last@5 \"a{} by 0, {most}\"", most - 1)]);
}

/// A watermark sets off more than fits into one go: wherever a barrier falls, nothing is lost or comes twice.
#[test]
fn a_barrier_may_fall_between_what_a_watermark_sets_off() {
    let mut script = in_event_time();
    for n in 0..700 {
        script
            .record(n, ('R', n.unsigned_abs() % 7))
            .record(n, (char::from(b'a' + (n % 20) as u8), n.unsigned_abs()));
    }
    script.watermark_cut_by_barrier_and_crash(1_000).end();
    let found = script.output();
    let mut limit = 0;
    let limits: Vec<u64> = (0..700)
        .map(|n| {
            limit = (limit * 10 + n % 7) % 1_000_000;
            limit
        })
        .collect();
    for (what, expected) in [("out", 700), ("timer", 700), ("late", 0)] {
        assert_eq!(found.iter().filter(|line| line.starts_with(what)).count(), expected, "{what}");
    }
    for (n, limit) in limits.iter().enumerate() {
        let key = char::from(b'a' + (n % 20) as u8);
        let line = format!("out@{n} \"{key}{n} by {limit}, {}\"", n / 20 + 1);
        assert!(found.contains(&line), "{line}");
    }
}

#[test]
#[should_panic(expected = "operator `limits` failed on worker 0: nine is no limit")]
fn a_rule_that_fails_fails_the_job() {
    in_event_time().record(1, ('R', 9)).watermark(5);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Input(i64, char, u64),
    Watermark(i64),
    Barrier,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0i64..40, prop::sample::select(vec!['a', 'b', 'R']), 0u64..9)
            .prop_map(|(at, key, n)| Step::Input(at, key, n)),
        2 => (0i64..45).prop_map(Step::Watermark),
        1 => Just(Step::Barrier),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..50)
}

/// All that waits, in a heap that is searched anew for each step.
#[derive(Clone, Default)]
struct Model {
    watermark: i64,
    /// Time; 0 for a timer, 1 for a rule, 2 for a record; what decides between those; key.
    waiting: Vec<(i64, u8, u64, char, u64)>,
    arrived: u64,
    limit: u64,
    counts: [u64; 2],
}

impl Model {
    fn input(&mut self, at: i64, key: char, n: u64) -> Option<String> {
        self.arrived += 1;
        match key {
            'R' => self.waiting.push((at.max(self.watermark), 1, n, key, n)),
            _ if at < self.watermark => return Some(format!("late@{at} ({key:?}, {n})")),
            _ => self.waiting.push((at, 2, self.arrived, key, n)),
        }
        None
    }

    fn advance(&mut self, watermark: i64) -> Vec<String> {
        self.watermark = watermark;
        let mut lines = Vec::new();
        let is_due =
            |(at, kind, ..): &(i64, u8, u64, char, u64)| *at < watermark || (*at == watermark && *kind == 0);
        while let Some(next) = self.waiting.iter().filter(|next| is_due(next)).min().copied() {
            // Of rules that are the same one at a time goes.
            let place = self.waiting.iter().position(|other| *other == next).unwrap();
            self.waiting.remove(place);
            let (at, kind, _, key, n) = next;
            match kind {
                0 => lines.push(format!("timer@{at} \"{key} by {}\"", self.limit)),
                1 => self.limit = (self.limit * 10 + n) % 1_000_000,
                _ => {
                    let count = &mut self.counts[usize::from(key == 'b')];
                    *count += 1;
                    lines.push(format!("out@{at} \"{key}{n} by {}, {count}\"", self.limit));
                    let timer = (at + 5, 0, 0, key, 0);
                    if !self.waiting.contains(&timer) {
                        self.waiting.push(timer);
                    }
                }
            }
        }
        lines
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn judgements_agree_with_the_model(steps in steps()) {
        let mut script = in_event_time();
        let mut model = Model { watermark: i64::MIN, ..Model::default() };
        let mut saved = model.clone();
        for step in steps.into_iter().chain([Step::Watermark(1_000)]) {
            let mut expected = Vec::new();
            match step {
                Step::Input(at, key, n) => {
                    script.record(at, (key, n));
                    expected.extend(model.input(at, key, n));
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
    }
}
