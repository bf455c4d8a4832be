//! Retention: whole segments, oldest first, never the active one; a reader is told what it lost.

use pelton_streams::{Error, Retention, SequenceNumber, ShardId, StartPosition};

use crate::support::{Bench, START_MS, drain, put, read, read_from, stream};

#[test]
fn by_age_whole_segments_go_oldest_first() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    for (i, data) in ["a", "b", "c"].iter().enumerate() {
        bench.clock.set(START_MS + 1000 * i as u64);
        put(&writer, &[data]);
        writer.roll().unwrap();
    }
    put(&writer, &["active"]);
    writer.set_retention(Retention { age_ms: Some(1500), bytes: None }).unwrap();
    assert_eq!(writer.apply_retention().unwrap(), 1);
    assert_eq!(read(&log), ["b", "c", "active"]);
    bench.clock.set(START_MS + 1_000_000);
    assert_eq!(writer.apply_retention().unwrap(), 2);
    assert_eq!(read(&log), ["active"], "the active segment stays, however old");
    let shard = &log.describe_stream("s").unwrap().shards[0];
    assert_eq!((shard.oldest, shard.records), (SequenceNumber(4), 1));
}

#[test]
fn what_nobody_writes_to_any_more_goes_to_the_last_record() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    writer.set_retention(Retention { age_ms: Some(1500), bytes: None }).unwrap();
    put(&writer, &["a"]);
    writer.roll().unwrap();
    bench.clock.set(START_MS + 1000);
    put(&writer, &["b"]);
    drop(writer);
    let segments = || {
        bench.disk.files().iter().filter(|file| file.extension().is_some_and(|end| end == "segment")).count()
    };
    for (at_ms, removed, left, files) in [
        (1000, 0, vec!["a", "b"], 2),
        (1500, 0, vec!["a", "b"], 2),
        (1501, 1, vec!["b"], 1),
        (2500, 0, vec!["b"], 1),
        (2501, 1, vec![], 1),
        (9999, 0, vec![], 1),
    ] {
        bench.clock.set(START_MS + at_ms);
        assert_eq!(log.apply_retention("s").unwrap(), removed, "at {at_ms}");
        assert_eq!(
            (read(&log), segments()),
            (left.iter().map(ToString::to_string).collect(), files),
            "at {at_ms}"
        );
    }
    // Numbers go on where they were, and so do readers.
    put(&log.writer("s").unwrap(), &["c"]);
    assert_eq!(read_from(&log, StartPosition::After(SequenceNumber(2))), ["c"]);
    assert_eq!(log.verify("s").unwrap().problems, []);
}

#[test]
fn an_idle_writer_lets_go_of_all_that_is_too_old() {
    let bench = Bench::with(|options| options.retention_check_ms = 1);
    let (log, writer) = stream(&bench, 1);
    writer.set_retention(Retention { age_ms: Some(1500), bytes: None }).unwrap();
    put(&writer, &["a"]);
    let mut reader = log.reader("s", ShardId(0), StartPosition::Latest).unwrap();
    bench.clock.advance(1501);
    while log.describe_stream("s").unwrap().shards[0].records > 0 {
        assert!(reader.poll(1, 1).unwrap().is_empty());
        let _ = reader.wait(std::time::Duration::from_secs(1)).unwrap();
    }
    put(&writer, &["b"]);
    assert_eq!(read(&log), ["b"]);
}

#[test]
fn by_size_the_oldest_segments_go() {
    let bench = Bench::with(|options| options.segment_bytes = 5000);
    let (log, writer) = stream(&bench, 1);
    writer.set_retention(Retention { age_ms: None, bytes: Some(20_000) }).unwrap();
    for i in 0..100 {
        put(&writer, &[&format!("{i:01000}")]);
    }
    let description = log.describe_stream("s").unwrap();
    assert!((2..=5).contains(&description.segments), "{description:?}");
    let left = read(&log);
    assert_eq!(left.last().unwrap(), &format!("{:01000}", 99));
    assert_eq!(left.len() as u64, description.shards[0].records);
    // It outlives the process.
    drop(writer);
    assert_eq!(bench.log().describe_stream("s").unwrap().retention.bytes, Some(20_000));
    assert_eq!(log.verify("s").unwrap().problems, []);
}

#[test]
fn a_reader_that_retention_overtakes_is_told() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put(&writer, &["a", "b"]);
    let mut behind = log.reader("s", ShardId(0), StartPosition::At(SequenceNumber(2))).unwrap();
    let mut oldest = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    let mut done = log.reader("s", ShardId(0), StartPosition::After(SequenceNumber(2))).unwrap();
    writer.roll().unwrap();
    put(&writer, &["c"]);
    writer.set_retention(Retention { age_ms: Some(0), bytes: None }).unwrap();
    bench.clock.advance(10);
    assert_eq!(writer.apply_retention().unwrap(), 1);

    let error = behind.poll(10, 1000).unwrap_err();
    let Error::Trimmed { requested, oldest: left, .. } = &error else { panic!("{error}") };
    assert_eq!((requested.0, left.0), (2, 3));
    behind.seek(StartPosition::Oldest).unwrap();
    assert_eq!(drain(&mut behind), ["c"]);
    // One that asked for whatever is oldest, and one that had read it all, miss nothing.
    assert_eq!(drain(&mut oldest), ["c"]);
    assert_eq!(drain(&mut done), ["c"]);
}

#[test]
fn a_reader_inside_a_segment_that_is_removed_is_told_or_reads_on() {
    let bench = Bench::with(|options| options.segment_bytes = 3000);
    let (log, writer) = stream(&bench, 1);
    let mut reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    for i in 0..20 {
        put(&writer, &[&format!("{i:0500}")]);
    }
    assert_eq!(reader.poll(1, 1000).unwrap().len(), 1);
    writer.set_retention(Retention { age_ms: None, bytes: Some(1) }).unwrap();
    assert!(writer.apply_retention().unwrap() > 1);
    // It may finish the block and the file that it holds; then it must hear of the gap, not skip it.
    let mut next = 1;
    loop {
        match reader.poll(1, 1000) {
            Ok(batch) => {
                assert_eq!(batch.iter().next().unwrap().sequence.0, next + 1);
                next += 1;
            }
            Err(error) => break assert!(matches!(error, Error::Trimmed { .. }), "{error}"),
        }
    }
}

/// It has looked and found nothing, and so has the segment open that all of it came into.
#[test]
fn a_reader_that_waits_at_the_oldest_record_may_read_on_in_what_it_has_open() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    assert!(reader.poll(1, 1000).unwrap().is_empty());
    put(&writer, &["a", "b"]);
    writer.roll().unwrap();
    put(&writer, &["c"]);
    writer.set_retention(Retention { age_ms: None, bytes: Some(1) }).unwrap();
    assert_eq!(writer.apply_retention().unwrap(), 1);
    assert_eq!(read(&log), ["c"]);
    assert_eq!(drain(&mut reader), ["a", "b", "c"]);
}

#[test]
fn a_writer_that_is_opened_again_has_the_retention_that_another_process_has_set() {
    let bench = Bench::with(|options| options.segment_bytes = 5000);
    let (here, writer) = stream(&bench, 1);
    drop(writer);
    // Another process.
    let there = bench.log();
    there.writer("s").unwrap().set_retention(Retention { age_ms: None, bytes: Some(20_000) }).unwrap();
    let writer = here.writer("s").unwrap();
    for i in 0..100 {
        put(&writer, &[&format!("{i:01000}")]);
    }
    let description = here.describe_stream("s").unwrap();
    assert_eq!(description.retention.bytes, Some(20_000));
    assert!((2..=5).contains(&description.segments), "{description:?}");
    // A third process hears of it too, and the number of the metadata has not gone back.
    drop(writer);
    there.writer("s").unwrap().set_retention(Retention { age_ms: Some(7), bytes: None }).unwrap();
    assert_eq!(here.describe_stream("s").unwrap().retention.age_ms, Some(7));
}

#[test]
fn a_writer_of_a_stream_that_was_created_anew_is_the_new_ones() {
    let bench = Bench::new();
    let (here, writer) = stream(&bench, 1);
    put(&writer, &["old"]);
    drop(writer);
    let there = bench.log();
    there.delete_stream("s").unwrap();
    there.create_stream("s", 2).unwrap();
    put(&here.writer("s").unwrap(), &["new"]);
    let description = there.describe_stream("s").unwrap();
    assert_eq!(description.shards.iter().map(|shard| shard.records).sum::<u64>(), 1);
}
