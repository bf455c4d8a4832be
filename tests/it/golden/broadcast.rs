//! Rules that every worker has a copy of, against events by key.

use pelton::operators::{BroadcastContext, BroadcastProcess};
use pelton::prelude::*;

use super::drive::{Case, Line};
use super::input::{DISORDER_MS, EVENTS, Event, SPLITS, watermarks};

/// Tells of each event the rules that are in effect for it, and the sum of its key so far.
struct Judge;

/// Where the order tells: of rules as of sums.
fn appended(so_far: u64, next: u64) -> u64 {
    so_far.wrapping_mul(101).wrapping_add(next) % 1_000_003
}

fn judged(event: &Event, rules: u64, sum: u64) -> Line {
    (event.key, format!("{} at {} by {rules}: {sum}", event.id, event.at))
}

/// When a timer looks at the rules again.
const LATER: Duration = Duration::from_millis(7);

impl BroadcastProcess for Judge {
    type Key = u64;
    type In = Event;
    type Rule = u64;
    type Rules = u64;
    type State = u64;
    type Out = Line;
    type Side = Line;

    fn on_rule(&self, rule: u64, rules: &mut u64, at: EventTime) -> OpResult {
        *rules = appended(appended(*rules, rule), at.0.unsigned_abs());
        Ok(())
    }

    fn on_record(
        &self,
        event: Event,
        rules: &u64,
        sum: &mut StateMut<'_, u64>,
        cx: &mut BroadcastContext<'_, Self>,
    ) -> OpResult {
        **sum = appended(**sum, event.amount);
        cx.emit(judged(&event, *rules, **sum));
        cx.timer_at(cx.time() + LATER);
        Ok(())
    }

    fn on_timer(
        &self,
        at: EventTime,
        rules: &u64,
        sum: &mut StateMut<'_, u64>,
        cx: &mut BroadcastContext<'_, Self>,
    ) -> OpResult {
        let key = *cx.key();
        cx.side((key, format!("{at} by {rules}: {}", **sum)));
        Ok(())
    }
}

/// Rules come of a source of their own, whose splits are dealt out to the workers as those of the events are.
fn rule_of(event: &Event) -> Option<u64> {
    (event.key < 5).then_some(event.amount)
}

pub const RULES: Case = Case {
    covers: &["Stream::broadcast", "KeyedStream::connect_broadcast"],
    wire: |job, place| {
        let seed = place.seed + 1;
        let rules = Generator::new(EVENTS, move |index| Event::new(seed, index)).splits(SPLITS);
        let rules = job.source("rules", place.gated(rules)).watermarks(watermarks());
        let rules = rules
            .filter(|event| rule_of(event).is_some())
            .map(|event| event.amount)
            .broadcast("rule-amounts");
        let keyed = place.events(job).key_by(|event| event.key);
        let judged = keyed.connect_broadcast("judge", &rules, Judge);
        place.keep("judged", &judged.out);
        place.keep("later", &judged.side);
        place.keep("late", &judged.late.map(|event| (event.key, event.id.to_string())));
    },
    check: |place| {
        // Time; timers, rules, records; what decides between them; key. Of a key and a time, records are as they came.
        let mut due: std::collections::BTreeMap<(i64, u8, u64, u64), Option<Event>> = Default::default();
        for event in Event::all(place.seed + 1).filter(|event| rule_of(event).is_some()) {
            // Two equal rules of one time stay two.
            let mut place = event.amount << 32;
            while due.contains_key(&(event.at.0, 1, place, 0)) {
                place += 1;
            }
            due.insert((event.at.0, 1, place, 0), None);
        }
        for event in Event::all(place.seed) {
            due.insert((event.at.0, 2, event.id, event.key), Some(event));
        }
        let (mut rules, mut sums) = (0, [0; super::input::KEYS as usize]);
        let (mut out, mut later) = (Vec::new(), Vec::new());
        while let Some(((at, what, number, key), event)) = due.pop_first() {
            let sum = &mut sums[key as usize];
            match (what, event) {
                (0, _) => later.push((key, format!("{at}ms by {rules}: {sum}"))),
                (1, _) => rules = appended(appended(rules, number >> 32), at.unsigned_abs()),
                (_, Some(event)) => {
                    *sum = appended(*sum, event.amount);
                    out.push(judged(&event, rules, *sum));
                    due.insert((at + LATER.as_millis() as i64, 0, 0, key), None);
                }
                (_, None) => unreachable!("records are events"),
            }
        }
        assert!(DISORDER_MS > LATER.as_millis() as i64, "timers fall between events");
        place.in_order("judged", out);
        place.in_order("later", later);
        place.in_order("late", []);
    },
};
