//! `process` on keyed streams: state, tables, timers, a side output, dead letters.

use std::collections::BTreeMap;

use pelton::prelude::*;

use super::drive::{Case, Line};
use super::input::{DISORDER_MS, Event, KEYS};

const BY_SIZE: MapTable<u64, u64> = MapTable::new("by_size");
const RECENT: ListTable<u64> = ListTable::new("recent");

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    count: u64,
    last: Option<u64>,
}

/// Keeps a struct, a map and a list of each key, and tells all of them with each event.
struct Diary;

impl KeyedProcess for Diary {
    type Key = u64;
    type In = Event;
    type Out = Line;
    type Side = NoSide;
    type State = Seen;

    fn declare(&self, states: &mut Declare<Seen>) {
        states.map(BY_SIZE);
        states.list(RECENT);
    }

    fn on_record(&self, event: Event, seen: &mut StateMut<'_, Seen>, cx: &mut Context<'_, Self>) -> OpResult {
        seen.count += 1;
        seen.last = Some(event.id);
        let mut by_size = cx.map(BY_SIZE)?;
        let size = event.amount / 20;
        by_size.update(&size, |count| count + 1)?;
        if seen.count.is_multiple_of(7) {
            by_size.remove(&(seen.count % 5))?;
        }
        if seen.count.is_multiple_of(16) {
            by_size.clear();
        }
        let sizes: Vec<_> = by_size.iter()?.collect::<Result<_, _>>()?;
        drop(by_size);
        let mut recent = cx.list(RECENT)?;
        recent.push(event.id)?;
        if recent.len()? > 4 {
            recent.clear();
        }
        let ids: Vec<_> = recent.iter()?.collect::<Result<_, _>>()?;
        drop(recent);
        let key = *cx.key();
        cx.emit((key, format!("{:?} {sizes:?} {ids:?}", **seen)));
        // Nothing is left of some keys now and then.
        if seen.count.is_multiple_of(11) {
            **seen = Seen::default();
        }
        Ok(())
    }
}

pub const STATE_AND_TABLES: Case = Case {
    covers: &[
        "KeyedStream::process",
        "KeyedContext::key",
        "KeyedContext::emit",
        "KeyedContext::map",
        "KeyedContext::list",
        "Declare::map",
        "Declare::list",
    ],
    wire: |job, place| {
        place.keep("diary", &place.events(job).key_by(|event| event.key).process("diary", Diary).out);
    },
    check: |place| {
        type Kept = (Seen, BTreeMap<u64, u64>, Vec<u64>);
        let mut keys: BTreeMap<u64, Kept> = BTreeMap::new();
        let lines = Event::all(place.seed).map(|event| {
            let (seen, by_size, recent) = keys.entry(event.key).or_default();
            seen.count += 1;
            seen.last = Some(event.id);
            *by_size.entry(event.amount / 20).or_default() += 1;
            if seen.count.is_multiple_of(7) {
                by_size.remove(&(seen.count % 5));
            }
            if seen.count.is_multiple_of(16) {
                by_size.clear();
            }
            recent.push(event.id);
            if recent.len() > 4 {
                recent.clear();
            }
            let sizes: Vec<_> = by_size.iter().map(|(size, count)| (*size, *count)).collect();
            let line = (event.key, format!("{seen:?} {sizes:?} {recent:?}"));
            if seen.count.is_multiple_of(11) {
                *seen = Seen::default();
            }
            line
        });
        place.in_order("diary", lines.collect::<Vec<_>>());
    },
};

const SPAN_MS: i64 = 40;
const SPANS: MapTable<i64, u64> = MapTable::new("spans");

/// The end of the span that a time is in.
fn end_of(at: EventTime) -> EventTime {
    EventTime((at.0.div_euclid(SPAN_MS) + 1) * SPAN_MS)
}

/// Counts the events of each span, and tells when the watermark has reached its end: every event sets
/// the timer of its span again. One event in five calls off a timer that nobody has set.
struct Spans;

impl KeyedProcess for Spans {
    type Key = u64;
    type In = Event;
    type Out = Line;
    type Side = NoSide;
    type State = ();

    fn declare(&self, states: &mut Declare<()>) {
        states.map(SPANS);
    }

    fn on_record(&self, event: Event, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        assert!(!cx.is_late(), "{event:?} at {} is late at {}", cx.time(), cx.watermark());
        let end = end_of(event.at);
        cx.map(SPANS)?.update(&end.0, |count| count + 1)?;
        cx.timer_at(end);
        if event.amount.is_multiple_of(5) {
            cx.delete_timer(end + Duration::from_millis(1));
        }
        Ok(())
    }

    fn on_timer(&self, at: EventTime, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        let mut spans = cx.map(SPANS)?;
        let count = spans.get(&at.0)?.unwrap_or_default();
        spans.remove(&at.0)?;
        drop(spans);
        let key = *cx.key();
        cx.emit((key, format!("{count} up to {at}")));
        // What a timer sets for a time that has been reached is called in the same go.
        if at.0 % (3 * SPAN_MS) == 0 {
            cx.timer_at(at + Duration::from_millis(1));
        }
        Ok(())
    }
}

pub const EVENT_TIMERS: Case = Case {
    covers: &[
        "KeyedContext::time",
        "KeyedContext::watermark",
        "KeyedContext::is_late",
        "KeyedContext::timer_at",
    ],
    wire: |job, place| {
        place.keep("spans", &place.events(job).key_by(|event| event.key).process("spans", Spans).out);
    },
    check: |place| {
        let mut spans: BTreeMap<(u64, EventTime), u64> = BTreeMap::new();
        for event in Event::all(place.seed) {
            let end = end_of(event.at);
            *spans.entry((event.key, end)).or_default() += 1;
            if end.0 % (3 * SPAN_MS) == 0 {
                // The timer that the timer sets.
                spans.entry((event.key, end + Duration::from_millis(1))).or_default();
            }
        }
        place.in_order(
            "spans",
            spans.into_iter().map(|((key, at), count)| (key, format!("{count} up to {at}"))),
        );
    },
};

/// Longer than an active key is ever silent, with the disorder.
const GAP_MS: i64 = KEYS as i64 + 2 * DISORDER_MS;

/// A key is active for five events, then silent for five.
fn is_active(event: &Event) -> bool {
    (event.id / KEYS / 5).is_multiple_of(2)
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Session {
    ids: Vec<u64>,
    ends: EventTime,
}

/// Ends a session when its key has been silent for [`GAP_MS`]: each event moves the timer.
struct Sessions;

impl Sessions {
    fn end(session: &mut Session, cx: &mut Context<'_, Self>) {
        let Session { ids, ends } = std::mem::take(session);
        let key = *cx.key();
        cx.emit((key, format!("{ids:?} until {ends}")));
    }
}

impl KeyedProcess for Sessions {
    type Key = u64;
    type In = Event;
    type Out = Line;
    type Side = NoSide;
    type State = Session;

    fn on_record(
        &self,
        event: Event,
        session: &mut StateMut<'_, Session>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if !is_active(&event) {
            return Ok(());
        }
        if !session.ids.is_empty() {
            cx.delete_timer(session.ends);
            if event.at > session.ends {
                // The watermark is behind; the session is over all the same.
                Self::end(session, cx);
            }
        }
        let ends = event.at + Duration::from_millis(GAP_MS.unsigned_abs());
        session.ends = if session.ids.is_empty() { ends } else { session.ends.max(ends) };
        session.ids.push(event.id);
        cx.timer_at(session.ends);
        Ok(())
    }

    fn on_timer(
        &self,
        at: EventTime,
        session: &mut StateMut<'_, Session>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        assert_eq!(at, session.ends, "this timer was called off");
        Self::end(session, cx);
        Ok(())
    }
}

pub const SESSIONS: Case = Case {
    covers: &["KeyedContext::delete_timer"],
    wire: |job, place| {
        place
            .keep("sessions", &place.events(job).key_by(|event| event.key).process("sessions", Sessions).out);
    },
    check: |place| {
        let mut lines = Vec::new();
        for key in 0..KEYS {
            let active: Vec<_> =
                Event::all(place.seed).filter(|event| event.key == key && is_active(event)).collect();
            for session in active.chunk_by(|a, b| b.id - a.id == KEYS) {
                let ids: Vec<u64> = session.iter().map(|event| event.id).collect();
                let last = session.iter().map(|event| event.at.0).max().unwrap();
                lines.push((key, format!("{ids:?} until {}", EventTime(last + GAP_MS))));
            }
        }
        place.in_order("sessions", lines);
    },
};

const WAITING: ListTable<u64> = ListTable::new("waiting");
/// After the last event.
const AT_THE_END: EventTime = EventTime(1_000_000_000);

/// Collects the ids of a key, and tells them when a while of processing time has passed since the first;
/// what is left is told at the end. Timers are called off and set anew now and then.
struct Patience;

impl Patience {
    fn tell(cx: &mut Context<'_, Self>) -> OpResult {
        let mut waiting = cx.list(WAITING)?;
        let ids: Vec<_> = waiting.iter()?.collect::<Result<_, _>>()?;
        waiting.clear();
        drop(waiting);
        let key = *cx.key();
        for id in ids {
            cx.emit((key, id.to_string()));
        }
        Ok(())
    }
}

impl KeyedProcess for Patience {
    type Key = u64;
    type In = Event;
    type Out = Line;
    type Side = Line;
    /// When the timer is due.
    type State = Option<i64>;

    fn declare(&self, states: &mut Declare<Option<i64>>) {
        states.list(WAITING);
    }

    fn on_record(
        &self,
        event: Event,
        due: &mut StateMut<'_, Option<i64>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        cx.list(WAITING)?.push(event.id)?;
        cx.timer_at(AT_THE_END);
        let in_a_while = cx.processing_time_ms() + 1 + (event.amount % 3) as i64;
        match **due {
            None => **due = Some(in_a_while),
            Some(at) if event.amount.is_multiple_of(4) => {
                cx.delete_processing_timer(at);
                **due = Some(in_a_while);
            }
            Some(_) => {}
        }
        if let Some(at) = **due {
            cx.processing_timer_at(at);
        }
        Ok(())
    }

    fn on_processing_timer(
        &self,
        at_ms: i64,
        due: &mut StateMut<'_, Option<i64>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        assert_eq!(**due, Some(at_ms), "a timer that was called off");
        **due = None;
        let key = *cx.key();
        cx.side((key, String::new()));
        Self::tell(cx)
    }

    fn on_timer(
        &self,
        _: EventTime,
        _: &mut StateMut<'_, Option<i64>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        Self::tell(cx)
    }
}

/// When a timer fires depends on the clock; that each id is told once and in order does not.
pub const PROCESSING_TIMERS: Case = Case {
    covers: &[
        "KeyedContext::processing_time_ms",
        "KeyedContext::processing_timer_at",
        "KeyedContext::delete_processing_timer",
        "KeyedContext::side",
    ],
    wire: |job, place| {
        let told = place.events(job).key_by(|event| event.key).process("patience", Patience);
        place.keep("told", &told.out);
        place.keep("rang", &told.side);
    },
    check: |place| {
        place.in_order("told", Event::all(place.seed).map(|event| (event.key, event.id.to_string())));
        assert!(!place.kept("rang").is_empty(), "no timer has fired");
    },
};

/// Counts the events of a key, and fails on some of them after it has counted them.
struct Picky;

impl KeyedProcess for Picky {
    type Key = u64;
    type In = Event;
    type Out = Line;
    type Side = Line;
    type State = u64;

    fn on_record(&self, event: Event, count: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
        **count += 1;
        match event.amount {
            0..20 => return Err(format!("the {count}. is next to nothing", count = **count).into()),
            20..50 => cx.side((event.key, format!("{} {}", event.id, **count))),
            _ => cx.emit((event.key, format!("{} {}", event.id, **count))),
        }
        Ok(())
    }
}

pub const FAILING_RECORDS: Case = Case {
    covers: &["Processed::dead_letters", "KeyedContext::side"],
    wire: |job, place| {
        let picked = place.events(job).key_by(|event| event.key).process("picky", Picky).dead_letters();
        place.keep("out", &picked.out);
        place.keep("side", &picked.side);
        place.keep(
            "rejected",
            &picked.rejected.map(|letter| (0, format!("{} {}", letter.raw, letter.reason))),
        );
    },
    check: |place| {
        let (mut out, mut side, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for event in Event::all(place.seed) {
            let count = event.id / KEYS + 1;
            let line = (event.key, format!("{} {count}", event.id));
            match event.amount {
                0..20 => {
                    let json = serde_json::to_string(&event).unwrap();
                    let key = event.key;
                    rejected.push((
                        0,
                        format!("{json} operator `picky`, key {key}: the {count}. is next to nothing"),
                    ));
                }
                20..50 => side.push(line),
                _ => out.push(line),
            }
        }
        place.in_order("out", out);
        place.in_order("side", side);
        place.in_any_order("rejected", rejected);
    },
};
