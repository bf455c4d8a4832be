//! Splits and merges: where records go before and after, the ends of closed shards, and what was begun
//! before a change and comes after it. Random ones are in `model` and `crash`.

use pelton_streams::storage::CrashPlan;
use pelton_streams::{Error, HashKey, ShardId, ShardLog, StartPosition, StreamWriter};

use crate::support::{Bench, drain, put, stream};

const HALF: HashKey = HashKey(1 << 127);

/// What a shard holds, and whether that is all that it ever will.
fn shard(log: &ShardLog, shard: u32) -> (Vec<String>, bool) {
    let mut reader = log.reader("s", ShardId(shard), StartPosition::Oldest).unwrap();
    (drain(&mut reader), reader.is_ended())
}

/// Puts each record where its own hash key says, and says where each is in the log.
fn put_at(writer: &StreamWriter, records: &[(u128, &str)]) -> Vec<(ShardId, u64)> {
    let mut batch = writer.batch();
    for (hash, data) in records {
        batch.push_hashed(HashKey(*hash), b"k", data.as_bytes(), None).unwrap();
    }
    writer.append(batch).unwrap().records().map(|(shard, number)| (shard, number.0)).collect()
}

#[test]
fn a_split_sends_what_comes_to_the_children_and_ends_the_parent() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put_at(&writer, &[(1, "low"), (u128::MAX, "high")]);
    let mut parent = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    assert_eq!((drain(&mut parent), parent.is_ended()), (vec!["low".to_owned(), "high".to_owned()], false));

    assert_eq!(writer.split_shard(ShardId(0), HALF).unwrap(), [ShardId(1), ShardId(2)]);
    put_at(
        &writer,
        &[
            (1, "lower"),
            (u128::MAX, "higher"),
            (HALF.0, "first of the second"),
            (HALF.0 - 1, "last of the first"),
        ],
    );
    assert_eq!((drain(&mut parent), parent.is_ended()), (vec![], true));
    assert_eq!(shard(&log, 1), (vec!["lower".to_owned(), "last of the first".to_owned()], false));
    assert_eq!(shard(&log, 2), (vec!["higher".to_owned(), "first of the second".to_owned()], false));
    assert_eq!(log.verify("s").unwrap().problems, []);

    // For a successor, too, and for one who has not seen how it came to be.
    drop((log, writer));
    let log = bench.log();
    let shards = log.describe_stream("s").unwrap().shards;
    assert_eq!(
        shards.iter().map(|shard| shard.parent).collect::<Vec<_>>(),
        [None, Some(ShardId(0)), Some(ShardId(0))]
    );
    assert!(shards[0].closed_ms.is_some() && shards[1].closed_ms.is_none());
    assert_eq!(shard(&log, 0), (vec!["low".to_owned(), "high".to_owned()], true));
    put_at(&log.writer("s").unwrap(), &[(1, "lowest")]);
    assert_eq!(shard(&log, 1).0.len(), 3);
}

#[test]
fn a_batch_made_before_a_change_goes_to_the_open_shards_and_says_where() {
    let bench = Bench::with(|options| options.frame_bytes = 40);
    let (log, writer) = stream(&bench, 3);
    let mut batch = writer.batch();
    let data: Vec<String> = (0..60).map(|i| format!("record-{i}")).collect();
    for (i, data) in data.iter().enumerate() {
        // Half of them where their key does not hash to.
        match i % 2 {
            0 => batch.push(data.as_bytes(), data.as_bytes()).unwrap(),
            _ => batch
                .push_hashed(HashKey(u128::MAX / 60 * i as u128), b"k", data.as_bytes(), Some(7))
                .unwrap(),
        }
    }
    // Shard 0 is split, 1 and 2 are merged and their child is split: nothing of the batch's shards is left.
    writer.split_shard(ShardId(0), HashKey(99)).unwrap();
    let merged = writer.merge_shards(ShardId(1), ShardId(2)).unwrap();
    writer.split_shard(merged, HALF).unwrap();
    let appended = writer.append(batch).unwrap();
    assert_eq!(appended.placements().iter().map(|placed| placed.records).sum::<u64>(), 60);
    for ((place, number), data) in appended.records().zip(&data) {
        assert!(place.0 >= 3, "{place} is open");
        let mut reader = log.reader("s", place, StartPosition::At(number)).unwrap();
        let batch = reader.poll(1, 1_000).unwrap();
        let record = batch.iter().next().unwrap();
        assert_eq!((record.sequence, record.data), (number, data.as_bytes()));
    }
    // A later batch of the same keys finds the same shards.
    let mut again = writer.batch();
    data.iter().step_by(2).for_each(|data| again.push(data.as_bytes(), b"").unwrap());
    let shards_of =
        |appended: pelton_streams::Appended| appended.records().map(|(shard, _)| shard).collect::<Vec<_>>();
    let before: Vec<_> = shards_of(appended).into_iter().step_by(2).collect();
    assert_eq!(shards_of(writer.append(again).unwrap()), before);
    assert_eq!(log.verify("s").unwrap().problems, []);
}

#[test]
fn a_transaction_prepared_before_a_change_is_committed_to_the_open_shards() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 2);
    let mut sink = writer.transactional("job/sink", "w0", 1).unwrap();
    sink.begin(1).unwrap();
    for (hash, data) in [(1, "a"), (HALF.0 - 1, "b"), (u128::MAX, "c")] {
        let mut batch = sink.batch();
        batch.push_hashed(HashKey(hash), b"k", data.as_bytes(), None).unwrap();
        sink.write(batch).unwrap();
    }
    let prepared = sink.prepare(1).unwrap();
    writer.split_shard(ShardId(0), HashKey(5)).unwrap();
    // A successor commits it.
    drop((log, writer, sink));
    let log = bench.log();
    let writer = log.writer("s").unwrap();
    let sink = writer.transactional("job/sink", "w0", 2).unwrap();
    sink.commit(&prepared).unwrap();
    sink.commit(&prepared).unwrap();
    let contents: Vec<_> = (0..4).map(|number| shard(&log, number)).collect();
    let of = |data: &[&str]| data.iter().map(|data| (*data).to_owned()).collect::<Vec<_>>();
    assert_eq!(contents, [(of(&[]), true), (of(&["c"]), false), (of(&["a"]), false), (of(&["b"]), false)]);
    assert_eq!(log.verify("s").unwrap().problems, []);
    drop((writer, sink));
    assert!(bench.log().writer("s").unwrap().recovery().torn_tail.is_none());
}

#[test]
fn a_reader_that_waits_hears_that_its_shard_has_ended() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 2);
    put(&writer, &["x"]);
    let mut readers: Vec<_> =
        [0, 1].iter().map(|n| log.reader("s", ShardId(*n), StartPosition::Latest).unwrap()).collect();
    assert!(readers.iter_mut().all(|reader| reader.poll(1, 1).unwrap().is_empty() && !reader.is_ended()));
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| {
            for reader in &mut readers {
                while !reader.is_ended() {
                    reader.wait(std::time::Duration::from_secs(60)).unwrap();
                    assert!(reader.poll(1, 1).unwrap().is_empty());
                }
            }
        });
        writer.merge_shards(ShardId(1), ShardId(0)).unwrap();
        waiting.join().unwrap();
    });
}

/// Without a writer in its process a reader hears of a change from END alone.
#[test]
fn a_reader_elsewhere_finds_the_end_at_its_next_poll() {
    let bench = Bench::new();
    let (_log, writer) = stream(&bench, 1);
    let other = bench.log();
    let mut reader = other.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    assert!(reader.poll(1, 1).unwrap().is_empty() && !reader.is_ended());
    put(&writer, &["last"]);
    writer.split_shard(ShardId(0), HALF).unwrap();
    assert_eq!(drain(&mut reader), ["last"]);
    assert!(reader.is_ended());
    // One that has read everything before learns of it by the same poll that finds nothing.
    let mut late = bench.log().reader("s", ShardId(1), StartPosition::Oldest).unwrap();
    assert!(late.poll(1, 1).unwrap().is_empty() && !late.is_ended());
    writer.split_shard(ShardId(1), HashKey(9)).unwrap();
    assert!(late.poll(1, 1).unwrap().is_empty() && late.is_ended());
}

/// One operation of the disk fails, or it is the last one before the power does.
#[test]
fn a_change_whose_outcome_is_unknown_stops_the_writer() {
    for at_operation in 0.. {
        let mut refused = false;
        for power_fails in [false, true] {
            let bench = Bench::new();
            let (log, writer) = stream(&bench, 1);
            put(&writer, &["first"]);
            if power_fails {
                bench.disk.plan(CrashPlan { at_operation });
            } else {
                bench.disk.refuse(at_operation);
            }
            let changed = writer.split_shard(ShardId(0), HALF);
            refused |= changed.is_err();
            if changed.is_err() {
                let mut batch = writer.batch();
                batch.push(b"k", b"lost").unwrap();
                let answer = writer.append(batch);
                assert!(matches!(answer, Err(Error::WriterFailed { .. })), "{answer:?}");
            }
            drop((log, writer));
            bench.disk.restart(at_operation);
            let log = bench.log();
            let writer = log.writer("s").unwrap();
            put(&writer, &["second"]);
            let shards = log.shards("s").unwrap().len();
            assert!(shards == 3 || (shards == 1 && changed.is_err()), "{shards} after {changed:?}");
            let all: Vec<_> = (0..shards as u32).flat_map(|number| shard(&log, number).0).collect();
            assert_eq!(all, ["first", "second"], "stopped at {at_operation}");
            assert_eq!(log.verify("s").unwrap().problems, []);
        }
        if !refused {
            return assert!(at_operation > 3, "the change was never disturbed");
        }
    }
}
