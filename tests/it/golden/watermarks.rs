//! What operators are told of event time.

use std::collections::BTreeMap;

use pelton::prelude::*;

use super::drive::{Case, Line};
use super::input::Event;

/// Tells with each event what its operator's watermark is.
struct Told;

impl KeyedProcess for Told {
    type Key = u64;
    type In = Event;
    type Out = Line;
    type Side = NoSide;
    type State = u64;

    fn on_record(&self, event: Event, count: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        **count += 1;
        cx.emit((event.key, format!("{} {}", **count, cx.watermark().0)));
        Ok(())
    }
}

/// When watermarks arrive differs from run to run; that a key sees none go back does not, whatever happens to
/// the job and whichever worker has the key.
pub const TIME_GOES_ON: Case = Case {
    covers: &[],
    wire: |job, place| {
        let told = place.events(job).key_by(|event| event.key).process("told", Told);
        place.keep("told", &told.out);
    },
    check: |place| {
        let mut last: BTreeMap<u64, (u64, i64)> = BTreeMap::new();
        for (key, line) in place.kept("told") {
            let (count, watermark) = line.split_once(' ').unwrap();
            let (count, watermark) = (count.parse::<u64>().unwrap(), watermark.parse::<i64>().unwrap());
            let (events, reached) = last.entry(key).or_insert((0, i64::MIN));
            assert_eq!(count, *events + 1, "key {key}");
            assert!(watermark >= *reached, "key {key} goes back from {reached} to {watermark}");
            (*events, *reached) = (count, watermark);
        }
        let events: u64 = last.values().map(|(events, _)| events).sum();
        assert_eq!(events, Event::all(place.seed).count() as u64);
    },
};
