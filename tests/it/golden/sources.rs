//! Every kind of source: what it gives comes once and in order into a running value per key.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use pelton::connectors::{Bincode, DecodeWith, Encode, Json, Raw};
use pelton::dataflow::record::Data;
use pelton::dataflow::source::Source;
use pelton::prelude::*;
use pelton::streams::{Options, ShardLog as Log};

use super::drive::{Case, Line, Place};
use super::input::{EVENTS, Event, KEYS, SPLITS, watermarks};

/// Keeps the ids of each key so far.
fn keep_history(place: &Place, events: &Stream<Event>) {
    let histories = events
        .key_by(|event| event.key)
        .fold("history", |ids: &mut Vec<u64>, event| ids.push(event.id + 1_000 * event.amount));
    place.keep("histories", &histories.map(|(key, ids)| (key, format!("{ids:?}"))));
}

fn check_history(place: &Place) {
    let mut histories: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let lines = Event::all(place.seed).map(|event| {
        let ids = histories.entry(event.key).or_default();
        ids.push(event.id + 1_000 * event.amount);
        (event.key, format!("{ids:?}"))
    });
    place.in_order("histories", lines.collect::<Vec<_>>());
}

fn read<S: Source<Item = Event>>(job: &mut Job, place: &Place, source: S) {
    let events = job.source("source", place.gated(source)).watermarks(watermarks());
    keep_history(place, &events);
}

pub const VALUES: Case = Case {
    covers: &[
        "Job::source",
        "SourceBuilder::watermarks",
        "Watermarks::bounded",
        "Values::new",
        "Values::splits",
    ],
    wire: |job, place| read(job, place, Values::new(Event::all(place.seed)).splits(SPLITS)),
    check: check_history,
};

/// Tells the event time that a record has come with.
struct Times;

impl Process for Times {
    type In = Event;
    type Out = Line;
    type Side = NoSide;

    fn on_record(&self, event: Event, cx: &mut ProcessContext<'_, Self>) -> OpResult {
        cx.emit((event.key, format!("{} at {}", event.id, cx.time())));
        Ok(())
    }
}

/// Times that stand beside the values, and no times at all.
pub const TIMED_VALUES: Case = Case {
    covers: &["Values::timed", "Watermarks::by_arrival", "Watermarks::none"],
    wire: |job, place| {
        let timed = || Values::timed(Event::all(place.seed).map(|event| (event.at.0, event))).splits(SPLITS);
        let known = job.source("known", place.gated(timed())).watermarks(Watermarks::by_arrival());
        place.keep("known", &known.process(Times).out);
        let none = job.source("none", place.gated(timed())).watermarks(Watermarks::none());
        place.keep("none", &none.process(Times).out);
    },
    check: |place| {
        let events = || Event::all(place.seed);
        place.in_order("known", events().map(|event| (event.key, format!("{} at {}", event.id, event.at))));
        let never = EventTime::MIN;
        place.in_order("none", events().map(|event| (event.key, format!("{} at {never}", event.id))));
    },
};

/// So many in a second that it takes no time to speak of.
const RATE: u64 = 1_000_000;

pub const GENERATOR_AT_A_RATE: Case = Case {
    covers: &["Generator::new", "Generator::splits", "Generator::rate", "Generator::scheduled"],
    wire: |job, place| {
        let seed = place.seed;
        let scheduled = Generator::scheduled(EVENTS, RATE, move |index, due_us| {
            assert!(due_us > 0, "event {index} is due at {due_us}");
            Event::new(seed, index)
        });
        read(job, place, scheduled.splits(SPLITS));
        let rated =
            Generator::new(EVENTS, |index| (index % KEYS, index.to_string())).splits(SPLITS).rate(RATE);
        place.keep("rated", &job.source("rated", place.gated(rated)).watermarks(Watermarks::none()));
    },
    check: |place| {
        check_history(place);
        place.in_order("rated", (0..EVENTS).map(|index| (index % KEYS, index.to_string())));
    },
};

/// A line that is no event.
fn is_torn(id: u64) -> bool {
    id % 50 == 7
}

/// A file for each split, with lines between that are no events.
pub const JSON_LINES: Case = Case {
    covers: &[
        "SourceBuilder::dead_letters",
        "DeadLetterSource::watermarks",
        "Files::read_jsonl",
        "FileSource::and",
    ],
    wire: |job, place| {
        fs::create_dir(place.path("in")).unwrap();
        let file = |split: u32| place.path("in").join(format!("{split}.jsonl"));
        for split in 0..SPLITS {
            let mut text = String::new();
            for event in
                Event::all(place.seed).filter(|event| event.id % u64::from(SPLITS) == u64::from(split))
            {
                writeln!(text, "{}", serde_json::to_string(&event).unwrap()).unwrap();
                if is_torn(event.id) {
                    writeln!(text, "{{\"id\":{}", event.id).unwrap();
                }
            }
            let path = if split == 0 { place.path("0.jsonl") } else { file(split) };
            fs::write(path, text).unwrap();
        }
        let files = Files::read_jsonl::<Event>(place.path("in")).and(place.path("0.jsonl"));
        let events = job.source("source", place.gated(files)).dead_letters().watermarks(watermarks());
        keep_history(place, &events.out);
        place.keep("torn", &events.rejected.map(|letter| (0, letter.raw)));
    },
    check: |place| {
        check_history(place);
        place.in_any_order(
            "torn",
            (0..EVENTS).filter(|id| is_torn(*id)).map(|id| (0, format!("{{\"id\":{id}"))),
        );
    },
};

pub const CSV: Case = Case {
    covers: &["Files::read_csv", "FileSource::delimiter", "FileSource::without_header"],
    wire: |job, place| {
        fs::create_dir(place.path("in")).unwrap();
        for split in 0..u64::from(SPLITS) {
            let mut text = String::new();
            for Event { id, key, at, amount } in Event::all(place.seed) {
                if id % u64::from(SPLITS) == split {
                    writeln!(text, "{id};{key};{};{amount}", at.0).unwrap();
                }
            }
            fs::write(place.path("in").join(format!("{split}.csv")), text).unwrap();
        }
        read(job, place, Files::read_csv::<Event>(place.path("in")).delimiter(b';').without_header());
    },
    check: check_history,
};

/// Writes the events into a stream of a new log: those of a key are in one shard, in order.
fn fill(place: &Place, encode: impl Fn(&Event) -> Vec<u8>) -> LogAddress {
    let directory = place.path("log");
    let options = Options { segment_bytes: 4_096, ..Options::create() };
    let log = Log::open(&directory, &options).unwrap();
    log.create_stream("events", SPLITS).unwrap();
    let writer = log.writer("events").unwrap();
    for events in Event::all(place.seed).collect::<Vec<_>>().chunks(40) {
        let mut batch = writer.batch();
        events.iter().for_each(|event| batch.push(&event.key.to_be_bytes(), &encode(event)).unwrap());
        writer.append(batch).unwrap();
    }
    LogAddress::new(directory, "events")
}

/// `event` as a connector's own format writes it.
fn encoded<T: Data>(format: &impl Encode<T>, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    format.encode(value, &mut bytes).unwrap();
    bytes
}

pub const LOG_OF_JSON: Case = Case {
    covers: &["ShardLog::json", "LogSource::until_end"],
    wire: |job, place| {
        let address = fill(place, |event| encoded(&Json, event));
        read(job, place, ShardLog::json(&address).until_end());
    },
    check: check_history,
};

pub const LOG_OF_BINCODE: Case = Case {
    covers: &["ShardLog::bincode"],
    wire: |job, place| {
        let address = fill(place, |event| encoded(&Bincode, event));
        read(job, place, ShardLog::bincode(&address).until_end());
    },
    check: check_history,
};

pub const LOG_OF_BYTES: Case = Case {
    covers: &["ShardLog::raw"],
    wire: |job, place| {
        let address = fill(place, |event| encoded(&Raw, &encoded(&Json, event)));
        let bytes = job.source("source", place.gated(ShardLog::raw(&address).until_end()));
        let events =
            bytes.watermarks(Watermarks::none()).map(|bytes| serde_json::from_slice(&bytes).unwrap());
        keep_history(place, &events);
    },
    check: check_history,
};

fn in_words(event: &Event) -> String {
    format!("{} {} {} {}", event.id, event.key, event.at.0, event.amount)
}

fn from_words(words: &[u8]) -> Result<Event, String> {
    let words = str::from_utf8(words).map_err(|error| error.to_string())?;
    let numbers: Result<Vec<i64>, _> = words.split(' ').map(str::parse).collect();
    match numbers.map_err(|error| error.to_string())?[..] {
        [id, key, at, amount] => {
            Ok(Event { id: id as u64, key: key as u64, at: EventTime(at), amount: amount as u64 })
        }
        _ => Err("an event is four numbers".to_owned()),
    }
}

pub const LOG_OF_OWN_FORMAT: Case = Case {
    covers: &["ShardLog::with_format"],
    wire: |job, place| {
        let address = fill(place, |event| in_words(event).into_bytes());
        read(job, place, ShardLog::with_format(&address, DecodeWith::new(from_words)).until_end());
    },
    check: check_history,
};
