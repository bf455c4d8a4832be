//! Append and read, against a model: every record once, in order, at the number that was acknowledged.

use std::collections::BTreeMap;

use pelton_streams::{HashKey, SequenceNumber, ShardId, StartPosition};
use proptest::prelude::*;

use crate::support::{Bench, START_MS, put, read, read_from, stream};

#[test]
fn what_is_acknowledged_is_read_with_key_time_and_number() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut batch = writer.batch();
    batch.push(b"card-7", b"first").unwrap();
    batch.push_at(b"", b"", -5).unwrap();
    let appended = writer.append(batch).unwrap();
    assert_eq!(
        appended.records().collect::<Vec<_>>(),
        [(ShardId(0), SequenceNumber(1)), (ShardId(0), SequenceNumber(2))]
    );

    let mut reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    let batch = reader.poll(10, 1000).unwrap();
    let got: Vec<_> = batch
        .iter()
        .map(|r| (r.sequence.0, r.partition_key, r.data, r.event_time_ms, r.arrival_ms))
        .collect();
    assert_eq!(got, [(1, &b"card-7"[..], &b"first"[..], None, START_MS), (2, b"", b"", Some(-5), START_MS)]);
    assert_eq!((batch.next_sequence(), reader.position()), (SequenceNumber(3), SequenceNumber(3)));
    let kept = batch.keep(batch.iter().next().unwrap().data);
    drop((batch, reader));
    assert_eq!(&kept[..], b"first");
}

#[test]
fn positions_start_where_they_say() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut before = log.reader("s", ShardId(0), StartPosition::Latest).unwrap();
    for (i, data) in ["a", "b", "c", "d"].iter().enumerate() {
        bench.clock.set(START_MS + 100 * i as u64);
        put(&writer, &[data]);
        if i == 1 {
            writer.roll().unwrap();
        }
    }
    let from = |start| read_from(&log, start).concat();
    assert_eq!(from(StartPosition::Oldest), "abcd");
    assert_eq!(from(StartPosition::Latest), "");
    assert_eq!(crate::support::drain(&mut before).concat(), "abcd");
    assert_eq!(from(StartPosition::At(SequenceNumber(2))), "bcd");
    assert_eq!(from(StartPosition::After(SequenceNumber(2))), "cd");
    assert_eq!(from(StartPosition::After(SequenceNumber::ZERO)), "abcd");
    assert_eq!(from(StartPosition::At(SequenceNumber(99))), "");
    for (time_ms, expected) in
        [(0, "abcd"), (0, "abcd"), (100, "bcd"), (101, "cd"), (200, "cd"), (300, "d"), (301, "")]
    {
        assert_eq!(from(StartPosition::AtTime(START_MS + time_ms)), expected, "at {time_ms}");
    }
}

#[test]
fn arrival_times_never_go_back() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put(&writer, &["a"]);
    bench.clock.set(5);
    put(&writer, &["b"]);
    drop(writer);
    let writer = log.writer("s").unwrap();
    put(&writer, &["c"]);
    let mut reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    let times: Vec<_> = reader.poll(10, 1000).unwrap().iter().map(|record| record.arrival_ms).collect();
    assert_eq!(times, [START_MS; 3]);
}

#[test]
fn an_explicit_hash_key_overrides_the_partition_key() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 4);
    let description = log.describe_stream("s").unwrap();
    let mut batch = writer.batch();
    for shard in &description.shards {
        batch.push_hashed(*shard.hash_keys.end(), b"same", b"x", None).unwrap();
    }
    // MD5("a") begins with 0x0c: the first quarter.
    batch.push(b"a", b"x").unwrap();
    let shards: Vec<u32> = writer.append(batch).unwrap().records().map(|(shard, _)| shard.0).collect();
    assert_eq!(shards, [0, 1, 2, 3, 0]);
    assert_eq!(*description.shards[3].hash_keys.end(), HashKey(u128::MAX));
}

#[test]
fn numbers_go_on_after_a_clean_end() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put(&writer, &["a", "b"]);
    drop(writer);
    let writer = log.writer("s").unwrap();
    assert!(writer.recovery().clean);
    put(&writer, &["c"]);
    let shard = &log.describe_stream("s").unwrap().shards[0];
    assert_eq!((shard.oldest, shard.last, shard.records), (SequenceNumber(1), SequenceNumber(3), 3));
    assert_eq!(read(&log).concat(), "abc");
}

#[test]
fn appends_of_many_threads_are_each_acknowledged_once_they_are_read() {
    let bench = Bench::with(|options| options.queue_bytes = 1000);
    let (log, writer) = stream(&bench, 3);
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let writer = writer.clone();
            threads.spawn(move || {
                for i in 0..50 {
                    put(&writer, &[&format!("{thread}-{i}")]);
                }
            });
        }
    });
    let all: Vec<_> = (0..3)
        .flat_map(|shard| {
            crate::support::drain(&mut log.reader("s", ShardId(shard), StartPosition::Oldest).unwrap())
        })
        .collect();
    assert_eq!(all.len(), 400);
    for thread in 0..8 {
        let mut of_thread: Vec<_> =
            all.iter().filter(|data| data.starts_with(&format!("{thread}-"))).collect();
        of_thread.sort_unstable();
        of_thread.dedup();
        assert_eq!(of_thread.len(), 50);
    }
}

#[test]
fn ten_thousand_shards_are_one_open_file() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 10_000);
    let mut batch = writer.batch();
    for i in 0..30_000_u32 {
        batch.push(&i.to_le_bytes(), b"x").unwrap();
    }
    let appended = writer.append(batch).unwrap();
    assert_eq!(appended.records().count(), 30_000);
    assert!(appended.placements().len() > 9_000);
    writer.roll().unwrap();
    let records: u64 = log.describe_stream("s").unwrap().shards.iter().map(|shard| shard.records).sum();
    assert_eq!(records, 30_000);
    assert_eq!(
        bench.disk.files().iter().filter(|file| file.extension().is_some_and(|e| e == "segment")).count(),
        2
    );
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u8, u16, Option<i64>)>),
    Roll,
    Reopen,
    Time(i16),
}

fn step() -> impl Strategy<Value = Step> {
    let record = (any::<u8>(), 0..2000_u16, any::<Option<i64>>());
    prop_oneof![
        6 => proptest::collection::vec(record, 0..40).prop_map(Step::Append),
        1 => Just(Step::Roll),
        1 => Just(Step::Reopen),
        1 => any::<i16>().prop_map(Step::Time),
    ]
}

type Model = BTreeMap<ShardId, Vec<(u64, Vec<u8>, Vec<u8>, Option<i64>)>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn reads_equal_the_model(
        steps in proptest::collection::vec(step(), 1..30),
        shards in 1..6_u32, frame_bytes in 1..4000_usize, segment_bytes in 1000..50_000_u64,
        max_records in 1..50_usize, max_bytes in 0..5000_usize, start in any::<prop::sample::Index>(),
    ) {
        let bench = Bench::with(|options| (options.frame_bytes, options.segment_bytes) = (frame_bytes, segment_bytes));
        let (log, mut writer) = stream(&bench, shards);
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Append(records) => {
                    let mut batch = writer.batch();
                    let mut sent = Vec::new();
                    for (key, len, time) in records {
                        let record = (vec![key], vec![key ^ 0x55; len.into()], time);
                        match time {
                            Some(time) => batch.push_at(&record.0, &record.1, time).unwrap(),
                            None => batch.push(&record.0, &record.1).unwrap(),
                        }
                        sent.push(record);
                    }
                    let appended = writer.append(batch).unwrap();
                    for ((shard, sequence), (key, data, time)) in appended.records().zip(sent) {
                        model.entry(shard).or_default().push((sequence.0, key, data, time));
                    }
                }
                Step::Roll => writer.roll().unwrap(),
                Step::Reopen => {
                    drop(writer);
                    writer = log.writer("s").unwrap();
                }
                Step::Time(by) => bench.clock.set(START_MS.saturating_add_signed(by.into())),
            }
        }
        for shard in 0..shards {
            let expected = model.remove(&ShardId(shard)).unwrap_or_default();
            prop_assert!(expected.windows(2).all(|w| w[0].0 < w[1].0));
            let skip = start.index(expected.len() + 1);
            let at = expected.get(skip).map_or(StartPosition::Latest, |r| StartPosition::At(SequenceNumber(r.0)));
            let mut reader = log.reader("s", ShardId(shard), at).unwrap();
            let mut got = Vec::new();
            loop {
                let batch = reader.poll(max_records, max_bytes).unwrap();
                prop_assert!(batch.len() <= max_records && (batch.bytes() <= max_bytes || batch.len() == 1));
                if batch.is_empty() {
                    break;
                }
                for r in &batch {
                    got.push((r.sequence.0, r.partition_key.to_vec(), r.data.to_vec(), r.event_time_ms));
                }
                prop_assert_eq!(batch.next_sequence().0, got.last().unwrap().0 + 1);
            }
            prop_assert_eq!(&got, &expected[skip..]);
            prop_assert_eq!(log.describe_stream("s").unwrap().shards[shard as usize].records, expected.len() as u64);
        }
        prop_assert_eq!(log.verify("s").unwrap().problems, []);
    }
}

#[test]
fn a_reader_tells_what_comes_next_without_taking_it() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    assert_eq!(reader.peek().unwrap(), None);
    put(&writer, &["first", "second"]);
    let next = reader.peek().unwrap().unwrap();
    assert_eq!((reader.peek().unwrap(), next.arrival_ms), (Some(next), START_MS));
    let batch = reader.poll(1, 1 << 20).unwrap();
    assert_eq!((batch.len(), batch.bytes()), (1, next.bytes));
    assert!(reader.settle() > 0, "the second is still to be given");
    assert_eq!(reader.another(ShardId(0), StartPosition::Latest).unwrap().peek().unwrap(), None);
    assert_eq!(reader.poll(9, 1 << 20).unwrap().len(), 1);
    drop(batch);
    assert_eq!((reader.settle(), reader.peek().unwrap()), (0, None));

    // The end of a closed shard shows by looking, too.
    assert!(!reader.is_ended());
    writer.split_shard(ShardId(0), HashKey(1 << 127)).unwrap();
    assert_eq!((reader.peek().unwrap(), reader.is_ended()), (None, true));
}
