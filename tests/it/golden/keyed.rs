//! A value per key, updated by each record and emitted at each update.

use std::collections::BTreeMap;

use pelton::operators::Aggregate;

use super::drive::{Case, Line};
use super::input::Event;

/// The later of two events, with what it knows of the earlier: the order tells.
fn chained(earlier: &Event, later: &Event) -> Event {
    let amount = earlier.amount.wrapping_mul(31).wrapping_add(later.amount) % 1_000_003;
    Event { amount, ..later.clone() }
}

/// The digits of all amounts, as far as a number holds them: the order tells.
fn appended(so_far: &mut u64, event: &Event) {
    *so_far = so_far.wrapping_mul(101).wrapping_add(event.amount);
}

/// The mean amount, from sum and count.
struct Mean;

impl Aggregate for Mean {
    type In = Event;
    type Accumulator = (u64, u64);
    type Out = u64;

    fn add(&self, (sum, count): &mut (u64, u64), event: Event) {
        *sum += event.amount;
        *count += 1;
    }

    fn result(&self, (sum, count): &(u64, u64)) -> u64 {
        1_000 * sum / count
    }
}

pub const RUNNING_VALUES: Case = Case {
    covers: &["Stream::key_by", "KeyedStream::reduce", "KeyedStream::fold", "KeyedStream::aggregate"],
    wire: |job, place| {
        let keyed = place.events(job).key_by(|event| event.key);
        let reduced = keyed.reduce("reduce", |earlier, later| chained(&earlier, &later));
        place.keep("reduced", &reduced.map(|event| (event.key, format!("{event:?}"))));
        let folded = keyed.fold("fold", |so_far: &mut u64, event| appended(so_far, &event));
        place.keep("folded", &folded.map(|(key, value)| (key, value.to_string())));
        let means = keyed.aggregate("aggregate", Mean);
        place.keep("means", &means.map(|(key, mean)| (key, mean.to_string())));
    },
    check: |place| {
        let mut reduced: BTreeMap<u64, Event> = BTreeMap::new();
        let mut folded: BTreeMap<u64, u64> = BTreeMap::new();
        let mut means: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut lines: [Vec<Line>; 3] = Default::default();
        for event in Event::all(place.seed) {
            let key = event.key;
            let so_far = folded.entry(key).or_default();
            appended(so_far, &event);
            lines[1].push((key, so_far.to_string()));
            let (sum, count) = means.entry(key).or_default();
            (*sum, *count) = (*sum + event.amount, *count + 1);
            lines[2].push((key, (1_000 * *sum / *count).to_string()));
            let next = match reduced.remove(&key) {
                Some(earlier) => chained(&earlier, &event),
                None => event,
            };
            lines[0].push((key, format!("{next:?}")));
            reduced.insert(key, next);
        }
        let [reduced, folded, means] = lines;
        place.in_order("reduced", reduced);
        place.in_order("folded", folded);
        place.in_order("means", means);
    },
};
