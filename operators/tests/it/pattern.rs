//! Patterns. What Flink's own tests of its CEP library expect is written down case by case; the rest is our
//! own: time, order, crashes, mistakes.

use pelton_operators::testing::Harness;
use pelton_operators::{Pattern, Stream};
use serde::{Deserialize, Serialize};

mod crashes;
mod given;
mod greedy;
mod groups;
mod mistakes;
mod nots;
mod quantifiers;
mod sequences;

mod skips;
mod time;

/// An event of a script: its kind, and its number, by which results name it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    kind: char,
    number: u32,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.kind, self.number)
    }
}

impl Event {
    fn read(word: &str) -> Self {
        let mut chars = word.chars();
        Self { kind: chars.next().unwrap(), number: chars.as_str().parse().unwrap_or(0) }
    }
}

/// A condition: the event is of this kind.
fn is(kind: char) -> impl Fn(&Event) -> bool + Send + Sync + 'static {
    move |event| event.kind == kind
}

/// A match as `a1 b2`.
fn show(events: &[impl std::fmt::Debug]) -> String {
    events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>().join(" ")
}

/// A script of one key, with a tap on matches, on partial matches and on late records.
fn script(pattern: Pattern<Event>) -> Harness<Event> {
    Harness::new(|input: Stream<Event>, taps| {
        let found = input.key_by(|_| ()).pattern("pattern", pattern);
        let line = |events: &[(_, pelton_dataflow::record::Record<Event>)]| {
            show(&events.iter().map(|(_, record)| record.value).collect::<Vec<_>>())
        };
        taps.tap("match", &found.select(move |found| line(&found.events)));
        taps.tap("partial", &found.timed_out.map(move |partial| (partial.why, line(&partial.so_far.events))));
        taps.tap("late", &found.late);
    })
}

/// What `pattern` makes of events at 1, 2, 3 ..., or at `a1@7`: the matches, sorted.
fn matches(pattern: Pattern<Event>, events: &str) -> Vec<String> {
    let mut script = script(pattern);
    for (at, word) in (1..).zip(events.split_whitespace()) {
        let (event, at) = match word.split_once('@') {
            Some((event, at)) => (event, at.parse().unwrap()),
            None => (word, at),
        };
        script.record(at, Event::read(event));
    }
    let lines = script.end().output();
    let mut found: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("match@"))
        .map(|line| line.split_once(' ').unwrap().1.trim_matches('"').to_owned())
        .collect();
    found.sort();
    found
}

/// Checks the matches of `pattern` in `events` against `expected`, one match each.
#[track_caller]
fn check(pattern: Pattern<Event>, events: &str, expected: &[&str]) {
    let mut expected: Vec<_> = expected.iter().map(|line| (*line).to_owned()).collect();
    expected.sort();
    assert_eq!(matches(pattern, events), expected);
}
