//! Operators without state.

use pelton::prelude::*;

use super::drive::{Case, Line};
use super::input::{EVENTS, Event, SPLITS, watermarks};

fn line(event: &Event) -> Line {
    (event.key, format!("{event:?}"))
}

fn is_large(event: &Event) -> bool {
    event.amount >= 50
}

/// `amount / 25` copies, numbered.
fn copies(event: &Event) -> Vec<Line> {
    (0..event.amount / 25).map(|copy| (event.key, format!("copy {copy} of {}", event.id))).collect()
}

pub const CHAIN: Case = Case {
    covers: &[
        "Stream::map",
        "Stream::filter",
        "Stream::filter_map",
        "Stream::flat_map",
        "Stream::inspect",
        "Stream::sink",
        "KeyedStream::values",
    ],
    wire: |job, place| {
        let events = place.events(job);
        place.keep("mapped", &events.map(|event| line(&event)));
        place.keep("filtered", &events.filter(is_large).map(|event| line(&event)));
        place.keep("picked", &events.filter_map(|event| is_large(event).then(|| line(event))));
        place.keep("flat", &events.flat_map(|event| copies(&event)));
        let keyed = events.key_by(|event| event.key);
        place.keep("values", &keyed.values().map(|event| line(&event)));
        place.keep("seen", &events.inspect(|event| assert!(event.id < EVENTS)).map(|event| line(&event)));
    },
    check: |place| {
        let events = || Event::all(place.seed);
        place.in_order("mapped", events().map(|event| line(&event)));
        place.in_order("filtered", events().filter(is_large).map(|event| line(&event)));
        place.in_order("picked", events().filter(is_large).map(|event| line(&event)));
        place.in_order("flat", events().flat_map(|event| copies(&event)));
        place.in_order("values", events().map(|event| line(&event)));
        place.in_order("seen", events().map(|event| line(&event)));
    },
};

/// Two sources in; parts of them apart, around by other workers, and together again.
pub const BRANCHES: Case = Case {
    covers: &["Stream::split", "Stream::union", "Stream::rebalance"],
    wire: |job, place| {
        let events = place.events(job);
        let seed = place.seed;
        let more = Generator::new(EVENTS, move |index| Event::new(seed + 1, index)).splits(SPLITS);
        let more = job.source("more", place.gated(more)).watermarks(watermarks());
        let parts = events.split(is_large);
        place.keep("large", &parts.matching.map(|event| line(&event)));
        let dealt_out = parts.matching.rebalance();
        let all = dealt_out.union([parts.rest, more]);
        place.keep("all", &all.map(|event| line(&event)));
    },
    check: |place| {
        let events = || Event::all(place.seed);
        place.in_order("large", events().filter(is_large).map(|event| line(&event)));
        place.in_any_order("all", events().chain(Event::all(place.seed + 1)).map(|event| line(&event)));
    },
};

/// Sorts events by their amount: large ones out, small ones aside, and none at all is an error.
struct BySize;

impl Process for BySize {
    type In = Event;
    type Out = Line;
    type Side = Line;

    fn on_record(&self, event: Event, cx: &mut ProcessContext<'_, Self>) -> OpResult {
        match event.amount {
            0..20 => return Err(format!("{} is next to nothing", event.amount).into()),
            20..50 => cx.side(line(&event)),
            _ => cx.emit((event.key, format!("{} at {}", event.id, cx.time()))),
        }
        Ok(())
    }
}

pub const UNKEYED_PROCESS: Case = Case {
    covers: &[
        "Stream::process",
        "Processed::dead_letters",
        "ProcessContext::time",
        "ProcessContext::emit",
        "ProcessContext::side",
    ],
    wire: |job, place| {
        let sorted = place.events(job).process(BySize).dead_letters();
        place.keep("out", &sorted.out);
        place.keep("side", &sorted.side);
        place.keep(
            "rejected",
            &sorted.rejected.map(|letter| (0, format!("{} {}", letter.raw, letter.reason))),
        );
    },
    check: |place| {
        let of = |from: u64, to: u64| {
            Event::all(place.seed).filter(move |event| (from..to).contains(&event.amount))
        };
        place.in_order("out", of(50, 100).map(|event| (event.key, format!("{} at {}", event.id, event.at))));
        place.in_order("side", of(20, 50).map(|event| line(&event)));
        let letter = |event: Event| {
            let json = serde_json::to_string(&event).unwrap();
            (0, format!("{json} operator `process-1`: {} is next to nothing", event.amount))
        };
        place.in_any_order("rejected", of(0, 20).map(letter));
    },
};
