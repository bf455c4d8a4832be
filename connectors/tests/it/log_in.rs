//! The shard log as a source.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pelton_connectors::{LogAddress, ShardLog};
use pelton_dataflow::error::InputGone;
use pelton_dataflow::operator::Waker;
use pelton_dataflow::source::{Fetched, Polled, ReaderContext, Source, SplitInfo, SplitState};
use pelton_streams::{Options, StartPosition};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{Reading, check_resume, drain, messages, open, read_all, splits};

/// A log with a stream `in`.
struct Log {
    log: pelton_streams::ShardLog,
    address: LogAddress,
    _dir: TempDir,
}

impl Log {
    fn new(shards: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = pelton_streams::ShardLog::open(dir.path(), &Options::create()).unwrap();
        log.create_stream("in", shards).unwrap();
        Self { log, address: LogAddress::new(dir.path(), "in"), _dir: dir }
    }

    fn append(&self, records: &[(&str, &[u8], Option<i64>)]) {
        let writer = self.log.writer("in").unwrap();
        let mut batch = writer.batch();
        for (key, data, time_ms) in records {
            match time_ms {
                Some(time_ms) => batch.push_at(key.as_bytes(), data, *time_ms).unwrap(),
                None => batch.push(key.as_bytes(), data).unwrap(),
            }
        }
        writer.append(batch).unwrap();
    }

    fn append_numbers(&self, numbers: std::ops::Range<u64>) {
        let text: Vec<String> = numbers.map(|number| number.to_string()).collect();
        self.append(&text.iter().map(|text| (&**text, text.as_bytes(), None)).collect::<Vec<_>>());
    }
}

const SHARD: &str = "shardId-000000000000";

#[test]
fn a_stream_is_read_to_its_end_and_resumed_anywhere() {
    let log = Log::new(3);
    log.append_numbers(0..50);
    log.append_numbers(50..100);
    let source = ShardLog::json::<u64>(&log.address).until_end();
    let splits = splits(&source);
    assert_eq!(splits, [SHARD, "shardId-000000000001", "shardId-000000000002"]);
    let mut all: Vec<u64> = splits.iter().flat_map(|split| read_all(&source, split).values).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100));
    assert!(source.enumerator().unwrap().is_complete());
    check_resume(&source);
}

#[test]
fn times_are_the_producers_or_those_of_arrival() {
    let log = Log::new(1);
    log.append(&[("k", b"1", Some(-5)), ("k", b"2", None)]);
    let reading = read_all(&ShardLog::json::<u64>(&log.address).until_end(), SHARD);
    let mut reader = log.log.reader("in", pelton_streams::ShardId(0), StartPosition::Oldest).unwrap();
    let arrival_ms = reader.poll(9, 1 << 20).unwrap().last_arrival_ms().unwrap();
    let arrival_ms = i64::try_from(arrival_ms).unwrap();
    assert_eq!(reading.times, [-5, arrival_ms]);
    // A record comes into being, as far as latencies go, when it arrives.
    let mut fetched = Fetched::default();
    let source = ShardLog::raw(&log.address);
    open(&source, SHARD, None).unwrap().poll(9, &mut fetched).unwrap();
    assert_eq!(fetched.created_us, Some(arrival_ms * 1_000));
}

#[test]
fn malformed_records_are_rejected_with_their_number_and_bytes() {
    let log = Log::new(1);
    let long = [b"[".to_vec(), vec![b'x'; 100_000]].concat();
    log.append(&[
        ("k", b"1", None),
        ("k", b"{\"a\":", None),
        ("k", b"", None),
        ("k", &long, None),
        ("k", b"2", None),
    ]);
    let source = ShardLog::json::<u64>(&log.address).until_end();
    let mut fetched = Fetched::default();
    open(&source, SHARD, None).unwrap().poll(9, &mut fetched).unwrap();
    assert_eq!((fetched.values, fetched.times.len(), fetched.span), (vec![1, 2], 2, Some((1, 5))));
    let positions: Vec<u64> = fetched.rejected.iter().map(|(at, ..)| *at).collect();
    assert_eq!(positions, [2, 3, 4]);
    assert_eq!(fetched.rejected[0].1, "invalid type: map, expected u64");
    assert_eq!(fetched.rejected[0].2, b"{\"a\":");
    assert_eq!(fetched.rejected[2].2.len(), 64 * 1024);
    check_resume(&source);
}

#[test]
fn formats() {
    let log = Log::new(1);
    let seven = 7u64.to_le_bytes();
    log.append(&[("k", &seven, None), ("k", b"abc", None)]);
    let reading = read_all(&ShardLog::bincode::<u64>(&log.address).until_end(), SHARD);
    assert_eq!((reading.values, reading.rejected.len()), (vec![7], 1));
    let raw = read_all(&ShardLog::raw(&log.address).until_end(), SHARD);
    assert_eq!(raw.values, [seven.to_vec(), b"abc".to_vec()]);
}

#[test]
fn the_end_is_that_of_the_start() {
    let log = Log::new(1);
    log.append_numbers(0..10);
    let source = ShardLog::json::<u64>(&log.address).until_end();
    let mut reader = open(&source, SHARD, None).unwrap();
    let mut before = Fetched::default();
    reader.poll(4, &mut before).unwrap();
    log.append_numbers(10..20);
    // Neither this reader nor one that goes on after a crash sees what came after the start.
    let mut resumed = open(&source, SHARD, Some(&reader.position())).unwrap();
    for reader in [&mut reader, &mut resumed] {
        let (rest, polled) = drain(&mut **reader, 1_024);
        assert_eq!((rest.values, polled), ((4..10).collect(), Polled::Finished));
    }
    assert_eq!(read_all(&source, SHARD).values.len(), 20);
    assert_eq!(read_all(&ShardLog::raw(&Log::new(1).address).until_end(), SHARD), Reading::default());
}

#[test]
fn a_tail_is_woken_by_what_is_appended() {
    let log = Log::new(1);
    log.append_numbers(0..2);
    let source = ShardLog::json::<u64>(&log.address);
    assert!(!source.enumerator().unwrap().is_complete());
    let woken = Arc::new(AtomicUsize::new(0));
    let count = woken.clone();
    let waker = Waker::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let cx = ReaderContext { waker, worker: 0 };
    let mut reader = source.open(&SplitInfo::root(SHARD), None, &cx).unwrap();
    let (reading, polled) = drain(&mut *reader, 1_024);
    assert_eq!((reading.values, polled), (vec![0, 1], Polled::Pending));
    let before = woken.load(Ordering::SeqCst);
    log.append_numbers(2..4);
    // An append returns after the listeners of its process were called.
    assert!(woken.load(Ordering::SeqCst) > before);
    assert_eq!(drain(&mut *reader, 1_024).0.values, [2, 3]);
}

#[test]
fn reading_begins_where_it_is_told() {
    let log = Log::new(1);
    log.append_numbers(0..5);
    let source = ShardLog::json::<u64>(&log.address).starting_at(StartPosition::Latest);
    let mut reader = open(&source, SHARD, None).unwrap();
    assert_eq!(drain(&mut *reader, 9).0, Reading::default());
    log.append_numbers(5..7);
    assert_eq!(drain(&mut *reader, 9).0.values, [5, 6]);
    // A checkpoint's position counts, wherever a fresh start would be.
    let at = open(&ShardLog::json::<u64>(&log.address), SHARD, None).unwrap().position();
    let mut resumed = open(&source, SHARD, Some(&at)).unwrap();
    assert_eq!(drain(&mut *resumed, 9).0.values.len(), 7);
}

#[test]
fn what_is_not_there_is_said() {
    let log = Log::new(2);
    let dir = log.address.directory();
    let other = ShardLog::raw(&LogAddress::new(dir, "other"));
    let message = messages(other.enumerator());
    assert!(message.contains("there is no stream `other`") && message.contains("it holds: in"), "{message}");
    let missing = ShardLog::raw(&LogAddress::new(dir.join("missing"), "in"));
    assert!(messages(missing.enumerator()).contains("missing does not exist"));

    let source = ShardLog::raw(&log.address);
    assert!(messages(open(&source, "part-1", None)).contains("is none of shard log"));
    assert!(
        messages(open(&source, "shardId-000000000002", None)).contains("has no shard shardId-000000000002")
    );
    let wrong = messages(open(&source, SHARD, Some(b"\x03\x01\0")));
    assert!(
        wrong.contains("is no position in a shard: it has format version 1, this version reads 2"),
        "{wrong}"
    );
}

/// Numbers begin at 1 again in a stream that is created anew: a position of the old one would skip
/// what comes first.
#[test]
fn a_stream_that_was_created_anew_is_not_read_on() {
    let log = Log::new(1);
    log.append_numbers(0..5);
    let source = ShardLog::json::<u64>(&log.address).until_end();
    let mut reader = open(&source, SHARD, None).unwrap();
    let mut running = source.enumerator().unwrap();
    drain(&mut *reader, 3);
    let state = SplitState { position: Some(reader.position()), ..SplitState::fresh(SplitInfo::root(SHARD)) };
    running.check(std::slice::from_ref(&state)).unwrap();

    log.log.delete_stream("in").unwrap();
    log.log.create_stream("in", 1).unwrap();
    log.append_numbers(5..15);
    let said = "in was deleted and created anew since the checkpoint, which had read that one up to number 6";
    let message = messages(source.enumerator().unwrap().check(std::slice::from_ref(&state)));
    assert!(message.contains(said) && message.contains("as another job (--job-id"), "{message}");
    assert!(messages(open(&source, SHARD, state.position.as_deref())).contains(said));
    // A job that was reading it meanwhile is told at its next look for shards.
    let error = running.discover().unwrap_err();
    assert!(error.is::<InputGone>());
    let message = error.to_string();
    let said = "in was deleted and created anew while it was being read: nothing of this one has been read";
    assert!(message.contains(said) && message.contains("as another job (--job-id"), "{message}");
    assert_eq!(read_all(&source, SHARD).values.len(), 10);
}

#[test]
fn a_stream_that_was_deleted_under_a_job_is_told() {
    let log = Log::new(1);
    let mut running = ShardLog::json::<u64>(&log.address).enumerator().unwrap();
    running.discover().unwrap();
    log.log.delete_stream("in").unwrap();
    let error = running.discover().unwrap_err();
    assert!(error.is::<InputGone>());
    let message = error.to_string();
    assert!(message.contains("in was deleted while it was being read: what had not been read"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_stream_resumes_anywhere(
        appends in prop::collection::vec(prop::collection::vec("[0-9]{1,4}|[a-z]{0,3}", 1..12), 0..5), shards in 1u32..4,
    ) {
        let log = Log::new(shards);
        for records in &appends {
            log.append(&records.iter().map(|text| (&**text, text.as_bytes(), None)).collect::<Vec<_>>());
        }
        check_resume(&ShardLog::json::<u64>(&log.address).until_end());
        check_resume(&ShardLog::raw(&log.address));
    }
}
