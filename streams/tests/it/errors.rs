//! What a user gets for doing it wrong: what, where, and what to do.

use std::sync::Arc;

use pelton_streams::clock::ManualClock;
use pelton_streams::storage::MemoryStorage;
use pelton_streams::{Error, Options, ShardId, ShardLog, StartPosition};

use crate::support::{Bench, put, read, stream};

fn message<T: std::fmt::Debug>(result: pelton_streams::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_missing_directory_is_an_error_unless_it_is_to_be_created() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("typo");
    let text = message(ShardLog::open(&missing, &Options::default()));
    assert!(text.contains("typo does not exist") && text.contains("pelton log create"), "{text}");
    let text = message(ShardLog::open(dir.path(), &Options::default()));
    assert!(text.contains("holds no shard log"), "{text}");
    ShardLog::open(&missing, &Options::create()).unwrap();
    ShardLog::open(&missing, &Options::default()).unwrap();
}

#[test]
fn a_file_is_no_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for options in [Options::default(), Options::create()] {
        for path in [file.clone(), file.join("below")] {
            let text = message(ShardLog::open(path, &options));
            assert!(text.starts_with(&format!("{} is a file, where a data", file.display())), "{text}");
        }
    }
}

#[test]
fn a_log_does_not_begin_inside_another() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = ShardLog::open(&data, &Options::create()).unwrap();
    log.create_stream("payments", 1).unwrap();
    for inside in ["payments", "streams", "streams/payments", "a/../b"] {
        let text = message(ShardLog::open(data.join(inside), &Options::create()));
        assert!(text.contains(&format!("inside the shard log {},", data.display())), "{inside}: {text}");
    }
    assert!(!data.join("payments").exists(), "nothing is made");
    ShardLog::open(data.join("../beside"), &Options::create()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    // Not even root can create directories here.
    let text = message(ShardLog::open("/proc/pelton", &Options::create()));
    assert!(text.contains("/proc/pelton cannot be created") && text.contains("permissions"), "{text}");
}

#[test]
fn an_unknown_stream_lists_the_known_ones() {
    let bench = Bench::new();
    let log = bench.log();
    assert!(message(log.writer("s")).contains("it holds no streams yet"));
    log.create_stream("payments", 1).unwrap();
    log.create_stream("alerts", 1).unwrap();
    let text = message(log.reader("payment", ShardId(0), StartPosition::Oldest));
    assert_eq!(text, "there is no stream `payment` in /log; it holds: alerts, payments");
    let text = message(log.reader("alerts", ShardId(4), StartPosition::Oldest));
    assert!(text.contains("no shard shardId-000000000004; its only shard is shardId-000000000000"), "{text}");
}

#[test]
fn names_counts_and_sizes_are_checked() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    assert!(matches!(log.create_stream("a/b", 1), Err(Error::InvalidName { .. })));
    assert!(message(log.create_stream("t", 0)).contains("1 to 10000"));
    assert!(matches!(log.create_stream("s", 1), Err(Error::StreamExists { .. })));
    let mut batch = writer.batch();
    assert!(message(batch.push(&[b'k'; 1025], b"")).contains("1025 bytes"));
    assert!(message(batch.push(b"k", &vec![0; (10 << 20) + 1])).contains("limit of 10485760"));
    batch.push(b"k", &vec![0; 10 << 20]).unwrap();
    writer.append(batch).unwrap();
    assert_eq!(log.describe_stream("s").unwrap().shards[0].records, 1);
}

#[test]
fn a_full_disk_undoes_the_append_and_can_be_tried_again() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put(&writer, &["before"]);
    bench.disk.set_capacity(Some(8000));
    let mut batch = writer.batch();
    batch.push(b"k", &[0; 100_000]).unwrap();
    let text = message(writer.append(batch));
    assert!(text.contains("can be tried again") && text.contains("nothing of it is in the log"), "{text}");
    put(&writer, &["small"]);
    bench.disk.set_capacity(None);
    put(&writer, &["after"]);
    assert_eq!(read(&log), ["before", "small", "after"]);
    assert_eq!(log.verify("s").unwrap().problems, []);
}

#[test]
fn a_stream_has_one_writing_process() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    log.create_stream("other", 1).unwrap();
    let second = bench.log();
    let text = message(second.writer("s"));
    assert!(text.contains("`s` is being written by another process") && text.contains("LOCK"), "{text}");
    second.writer("other").unwrap();
    // Reading takes no lock, and the same process shares its writer.
    put(&writer, &["a"]);
    assert_eq!(read(&second), ["a"]);
    let again = log.writer("s").unwrap();
    put(&again, &["b"]);
    assert!(matches!(log.delete_stream("s"), Err(Error::Locked { .. })));
    drop((writer, again));
    put(&second.writer("s").unwrap(), &["c"]);
    assert_eq!(read(&log), ["a", "b", "c"]);
}

#[test]
fn a_deleted_stream_is_gone_and_its_name_is_free() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 2);
    put(&writer, &["a"]);
    drop(writer);
    log.delete_stream("s").unwrap();
    assert_eq!(log.list_streams().unwrap(), [""; 0]);
    assert!(matches!(log.writer("s"), Err(Error::UnknownStream { .. })));
    log.create_stream("s", 1).unwrap();
    assert_eq!(read(&log), [""; 0]);
    put(&log.writer("s").unwrap(), &["b"]);
    assert_eq!(read(&log), ["b"]);
}

#[test]
fn after_a_power_failure_nothing_more_is_taken() {
    let disk = MemoryStorage::new();
    let clock = Arc::new(ManualClock::at(1));
    let log = ShardLog::open_with("/log", &Options::create(), Arc::new(disk.clone()), clock).unwrap();
    log.create_stream("s", 1).unwrap();
    let writer = log.writer("s").unwrap();
    disk.plan(pelton_streams::storage::CrashPlan { at_operation: 1 });
    let mut batch = writer.batch();
    batch.push(b"k", b"x").unwrap();
    assert!(writer.append(batch).is_err());
    let mut batch = writer.batch();
    batch.push(b"k", b"x").unwrap();
    let text = message(writer.append(batch));
    assert!(text.contains("has failed and takes no more records"), "{text}");
}

#[test]
fn a_writer_that_has_failed_is_not_given_out_again() {
    let mut failed = 0;
    for at_operation in 0..8 {
        let bench = Bench::new();
        let (log, writer) = stream(&bench, 1);
        let mut batch = writer.batch();
        batch.push(b"key", b"data").unwrap();
        bench.disk.refuse(at_operation);
        if !matches!(writer.append(batch), Err(Error::WriterFailed { .. })) {
            continue;
        }
        failed += 1;
        // Asked for once the failure was told of, so that it is known everywhere.
        writer.roll().unwrap_err();
        let again = writer.clone();
        // Whoever opened one by the other would keep it alive, and so would the next, for ever.
        let open = || log.writer("s").map(|_| ());
        assert!(matches!(open(), Err(Error::WriterFailed { .. })), "{:?}", open());
        drop(writer);
        assert!(matches!(open(), Err(Error::WriterFailed { .. })), "{:?}", open());
        drop(again);
        put(&log.writer("s").unwrap(), &["after"]);
        assert_eq!(read(&log).last().unwrap(), "after");
    }
    assert!(failed > 0, "no operation made it fail");
}

#[test]
fn a_stream_that_cannot_be_looked_at_is_not_taken_for_gone() {
    let bench = Bench::new();
    let log = bench.log();
    for name in ["a", "b"] {
        log.create_stream(name, 1).unwrap();
    }
    for at_operation in 0..3 {
        bench.disk.refuse(at_operation);
        let error = log.list_streams().unwrap_err();
        assert!(matches!(error, Error::DirectoryUnusable { .. }), "{error}");
        assert_eq!(log.list_streams().unwrap(), ["a", "b"]);
    }
}
