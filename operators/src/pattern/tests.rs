//! Patterns against the slow and obvious model: all ways to choose events for stages, of which those are
//! kept that the definition allows.

use std::time::Duration;

use pelton_dataflow::record::Record;
use pelton_dataflow::time::EventTime;
use proptest::prelude::*;

use super::buffer::Buffer;
use super::builder::{Between, Body, Element, Pattern, Relation};
use super::compile::compile;
use super::matches::Ended;
use super::program::Program;
use super::runs::{Active, Decide, Outcome, Scratch};

mod model;
mod random;

use model::Spec;
use random::MOST_EVENTS;

/// An event is its kind.
type Event = u8;

/// What is decided, as text: kinds by stage, with the index of the event.
#[derive(Default)]
struct Decided {
    matches: Vec<Vec<(u16, u64)>>,
    partial: Vec<Ended>,
}

impl Decide<(Event, u64)> for Decided {
    fn decide(&mut self, _at: EventTime, outcome: Outcome, buffer: &Buffer<(Event, u64)>, link: u32) {
        let mut events: Vec<_> =
            buffer.chain(link).map(|(stage, _, record)| (stage, record.value.1)).collect();
        events.reverse();
        match outcome {
            Outcome::Match => self.matches.push(events),
            Outcome::Partial(why) => self.partial.push(why),
        }
    }
}

/// Runs a program over events at given times; `states` sees what is kept after each.
fn run(
    program: &Program<(Event, u64)>,
    events: &[(Event, i64)],
    mut between: impl FnMut(&mut Active<(Event, u64)>),
) -> Decided {
    let mut active = Active::default();
    let mut scratch = Scratch::default();
    let mut decided = Decided::default();
    for (index, (kind, time)) in events.iter().enumerate() {
        let value = (*kind, index as u64);
        let record = Record::new(EventTime(*time), value);
        if program.heeds(&value) {
            active.process(program, record, EventTime(*time), &mut scratch, &mut decided).unwrap();
        }
        between(&mut active);
    }
    active.advance(program, EventTime::END, &mut decided);
    assert!(!active.is_idle() || active.holds_nothing(), "nothing is held once no partial match is left");
    decided
}

fn compiled(spec: &Spec) -> Program<(Event, u64)> {
    match compile(spec.pattern(), std::panic::Location::caller()) {
        Ok(program) => program,
        Err(mistakes) => panic!("{mistakes:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    /// Without skipping, what is found is what the definition allows, each once.
    #[test]
    fn matches_are_those_of_the_definition(spec in random::specs(), events in random::events()) {
        let program = compiled(&spec);
        let mut found = run(&program, &events, |_| ()).matches;
        let mut expected = spec.matches(&events);
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected, "{}", super::describe::shape(&spec.pattern()));
    }

    /// Skipping filters what is found without it.
    #[test]
    fn skipping_is_a_filter(spec in random::specs(), skip in random::skips(), events in random::events()) {
        // A match waits for older partial ones, and all of those have to end.
        let spec = Spec { skip, within: spec.within.or(Some(100)), ..spec };
        let found = run(&compiled(&spec), &events, |_| ()).matches;
        let all = run(&compiled(&Spec { skip: model::Skipping::None, ..spec.clone() }), &events, |_| ()).matches;
        prop_assert_eq!(found, spec.skip(&all), "{} of {:?}", super::describe::shape(&spec.pattern()), all);
    }

    /// What is kept survives being written and read, at any point.
    #[test]
    fn state_survives_being_written(spec in random::specs(), skip in random::skips(), events in random::events()) {
        let program = compiled(&Spec { skip, ..spec });
        let whole = run(&program, &events, |_| ());
        let written = run(&program, &events, |active| {
            let bytes = pelton_state::codec::encode(&*active).unwrap();
            let read: Active<(Event, u64)> = pelton_state::codec::decode(&bytes).unwrap();
            assert!(read == *active);
            *active = read;
        });
        prop_assert_eq!(whole.matches, written.matches);
        prop_assert_eq!(whole.partial, written.partial);
    }
}
