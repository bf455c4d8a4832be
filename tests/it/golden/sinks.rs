//! Every kind of sink: what promises exactly once holds each line once, and each key's in order; what
//! promises at least once holds each line, and none twice if nothing was disturbed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pelton::connectors::{Encode, ForEachBatch};
use pelton::dataflow::record::Record;
use pelton::prelude::*;
use pelton::streams::{Options, ShardLog as Log, StartPosition};

use super::drive::{Case, Line, Place, check_in_any_order, check_in_order};
use super::input::{Event, SPLITS};

/// The lines of all sinks: running counts, which come from the workers that own the keys.
fn lines(job: &mut Job, place: &Place) -> Stream<Line> {
    let counts = place.events(job).key_by(|event| event.key).fold("count", |count: &mut u64, _| *count += 1);
    counts.map(|(key, count)| (key, count.to_string()))
}

fn expected(place: &Place) -> impl Iterator<Item = Line> {
    Event::all(place.seed).map(|event| (event.key, (event.id / super::input::KEYS + 1).to_string()))
}

pub const FILES: Case = Case {
    covers: &["Files::jsonl"],
    wire: |job, place| lines(job, place).sink("files", Files::jsonl(place.path("out"))),
    check: |place| {
        let files = fs::read_dir(place.path("out")).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
        // Names begin with the epoch, and an epoch's lines of a key are in one file.
        files.sort();
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let found: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        check_in_order("the files", &found, expected(place));
    },
};

/// A line as words.
#[derive(Clone, Copy)]
struct Words;

impl Encode<Line> for Words {
    fn encode(&self, (key, line): &Line, bytes: &mut Vec<u8>) -> pelton::connectors::Result<()> {
        bytes.extend_from_slice(format!("{key} {line}").as_bytes());
        Ok(())
    }
}

fn from_words(bytes: &[u8]) -> Line {
    let words = str::from_utf8(bytes).unwrap();
    let (key, line) = words.split_once(' ').unwrap();
    (key.parse().unwrap(), line.to_owned())
}

/// What a stream holds, read by `decode`.
fn logged(place: &Place, stream: &str, decode: fn(&[u8]) -> Line) -> Vec<Line> {
    let log = Log::open(place.path("log"), &Options::default()).unwrap();
    let mut lines = Vec::new();
    for shard in log.describe_stream(stream).unwrap().shards {
        let mut reader = log.reader(stream, shard.shard, StartPosition::Oldest).unwrap();
        loop {
            let batch = reader.poll(1_000, 1 << 20).unwrap();
            if batch.is_empty() {
                break;
            }
            lines.extend(batch.iter().map(|record| decode(record.data)));
        }
    }
    assert!(log.verify(stream).unwrap().problems.is_empty());
    assert_eq!(log.open_transactions(stream).unwrap(), [], "left open in {stream}");
    lines
}

pub const LOGS: Case = Case {
    covers: &[
        "ShardLog::json_sink",
        "ShardLog::bincode_sink",
        "ShardLog::raw_sink",
        "ShardLog::sink_with_format",
        "LogSink::partition_by",
        "LogSink::create_if_missing",
    ],
    wire: |job, place| {
        let lines = lines(job, place);
        let address = |stream: &str| LogAddress::new(place.path("log"), stream);
        let key_of = |(key, _): &Line| key.to_be_bytes();
        let json = ShardLog::json_sink(&address("json")).create_if_missing(SPLITS).partition_by(key_of);
        lines.sink("json", json);
        let bincode =
            ShardLog::bincode_sink(&address("bincode")).create_if_missing(SPLITS).partition_by(key_of);
        lines.sink("bincode", bincode);
        let words = ShardLog::sink_with_format(&address("words"), Words);
        lines.sink("words", words.create_if_missing(SPLITS).partition_by(key_of));
        let bytes = lines.map(|(key, line)| format!("{key} {line}").into_bytes());
        bytes.sink("raw", ShardLog::raw_sink(&address("raw")).create_if_missing(SPLITS));
    },
    check: |place| {
        let json = logged(place, "json", |bytes| serde_json::from_slice(bytes).unwrap());
        check_in_order("json", &json, expected(place));
        // Bincode of a number and a text: eight bytes, the text's length in eight bytes, the text.
        let bincode = |bytes: &[u8]| {
            let key = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            (key, String::from_utf8(bytes[16..].to_vec()).unwrap())
        };
        check_in_order("bincode", &logged(place, "bincode", bincode), expected(place));
        check_in_order("words", &logged(place, "words", from_words), expected(place));
        check_in_any_order("raw", &logged(place, "raw", from_words), expected(place));
    },
};

/// Fails unless each line is there, and once if nothing came in between.
fn check_at_least_once(place: &Place, name: &str, found: &[Line]) {
    if place.is_disturbed {
        let each: BTreeSet<Line> = found.iter().cloned().collect();
        check_in_any_order(name, &each.into_iter().collect::<Vec<_>>(), expected(place));
    } else {
        check_in_order(name, found, expected(place));
    }
}

/// Sinks that put each batch out at once.
pub const FUNCTIONS: Case = Case {
    covers: &["ForEachBatch::new", "ForEachBatch::fallible", "Stdout::to", "Discard::new"],
    wire: |job, place| {
        let lines = lines(job, place);
        let noted = |name: &str| {
            let notes = place.notes(name);
            move |batch: &[Record<Line>]| {
                let lines = batch
                    .iter()
                    .flat_map(|record| serde_json::to_vec(&record.value).unwrap().into_iter().chain(*b"\n"));
                notes.lock().unwrap().extend(lines);
            }
        };
        lines.sink("each", ForEachBatch::new(noted("each")));
        let note = noted("fallible");
        lines.sink(
            "fallible",
            ForEachBatch::fallible(move |batch: &[Record<Line>]| {
                note(batch);
                Ok(())
            }),
        );
        let console: Arc<Mutex<Vec<u8>>> = place.notes("console");
        lines.sink("console", Stdout::to(console));
        lines.sink("nowhere", Discard::new());
    },
    check: |place| {
        for name in ["each", "fallible", "console"] {
            let text = String::from_utf8(place.notes(name).lock().unwrap().clone()).unwrap();
            let found: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            check_at_least_once(place, name, &found);
        }
    },
};
