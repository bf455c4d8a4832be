//! Tailing without looking at the disk again and again: readers sleep and are woken.

use std::sync::mpsc;
use std::time::Duration;

use pelton_streams::{Options, ShardId, ShardLog, StartPosition};

use crate::support::{Bench, drain, put, stream};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_waiting_reader_is_woken_by_an_append() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut reader = log.reader("s", ShardId(0), StartPosition::Latest).unwrap();
    assert!(reader.poll(1, 1).unwrap().is_empty());
    assert!(!reader.wait(Duration::from_millis(1)).unwrap());
    std::thread::scope(|threads| {
        threads.spawn(|| put(&writer, &["a"]));
        assert!(reader.wait(LONG).unwrap());
    });
    assert_eq!(drain(&mut reader), ["a"]);
}

#[test]
fn what_came_between_poll_and_wait_is_not_slept_over() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    assert!(reader.poll(1, 1).unwrap().is_empty());
    put(&writer, &["a"]);
    assert!(reader.wait(LONG).unwrap());
    assert_eq!((drain(&mut reader), reader.behind_ms()), (vec!["a".to_owned()], 0));
}

#[test]
fn subscribers_are_called_until_they_unsubscribe() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    let (wake, woken) = mpsc::channel();
    let subscription = reader.subscribe(move || wake.send(()).unwrap()).unwrap();
    put(&writer, &["a"]);
    woken.recv_timeout(LONG).unwrap();
    drop(subscription);
    assert!(matches!(woken.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected)));
    put(&writer, &["b"]);
}

#[test]
fn a_ticket_can_be_awaited() {
    let bench = Bench::new();
    let (_log, writer) = stream(&bench, 1);
    let mut batch = writer.batch();
    batch.push(b"k", b"x").unwrap();
    let mut ticket = writer.submit(batch).unwrap();
    let (wake, woken) = mpsc::channel();
    struct Wake(mpsc::Sender<()>);
    impl std::task::Wake for Wake {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }
    let waker = std::sync::Arc::new(Wake(wake)).into();
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let std::task::Poll::Ready(appended) = std::pin::Pin::new(&mut ticket).poll(&mut context) {
            assert_eq!(appended.unwrap().placements().len(), 1);
            return;
        }
        woken.recv_timeout(LONG).unwrap();
    }
}

#[test]
fn opening_a_directory_twice_gives_the_same_log() {
    let dir = tempfile::tempdir().unwrap();
    let first = ShardLog::open(dir.path(), &Options::create()).unwrap();
    first.create_stream("s", 1).unwrap();
    let second = ShardLog::open(dir.path().join("."), &Options::default()).unwrap();
    let mut reader = second.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    let writers = (first.writer("s").unwrap(), second.writer("s").unwrap());
    put(&writers.0, &["a"]);
    put(&writers.1, &["b"]);
    assert_eq!(drain(&mut reader), ["a", "b"]);
}

#[test]
fn a_panic_in_a_callback_leaves_nobody_waiting() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    let subscription = reader.subscribe(|| panic!("a bad callback")).unwrap();
    let mut batch = writer.batch();
    batch.push(b"k", b"x").unwrap();
    assert!(writer.append(batch).is_err());
    drop(subscription);
    let mut batch = writer.batch();
    batch.push(b"k", b"y").unwrap();
    assert!(writer.append(batch).is_err(), "the writer is gone");
    drop(writer);
    // The next one finds what was durable although nobody was told.
    put(&log.writer("s").unwrap(), &["z"]);
    assert_eq!(crate::support::read(&log), ["x", "z"]);
}

#[test]
fn readers_keep_up_with_many_producers_over_many_small_segments() {
    const PRODUCERS: u64 = 4;
    const RECORDS: u64 = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { segment_bytes: 10_000, frame_bytes: 500, group_bytes: 2_000, ..Options::create() };
    let log = ShardLog::open(dir.path(), &options).unwrap();
    log.create_stream("s", 2).unwrap();
    let writer = log.writer("s").unwrap();
    let total = std::sync::atomic::AtomicU64::new(0);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|threads| {
        for producer in 0..PRODUCERS {
            let writer = writer.clone();
            threads.spawn(move || {
                let mut under_way = Vec::new();
                for i in (0..RECORDS).step_by(20) {
                    let mut batch = writer.batch();
                    for i in i..i + 20 {
                        batch
                            .push(&i.to_le_bytes(), &[producer.to_le_bytes(), i.to_le_bytes()].concat())
                            .unwrap();
                    }
                    under_way.push(writer.submit(batch).unwrap());
                }
                under_way.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
            });
        }
        for shard in [0, 1].map(ShardId) {
            let (log, total) = (&log, &total);
            threads.spawn(move || {
                let mut reader = log.reader("s", shard, StartPosition::Oldest).unwrap();
                let mut last = [None; PRODUCERS as usize];
                while total.load(order) < PRODUCERS * RECORDS {
                    let batch = reader.poll(64, 10_000).unwrap();
                    for record in &batch {
                        let (producer, i) = record.data.split_at(8);
                        let i = u64::from_le_bytes(i.try_into().unwrap());
                        let before = last[producer[0] as usize].replace(i);
                        assert!(before < Some(i), "in order, once: {before:?} then {i}");
                    }
                    total.fetch_add(batch.len() as u64, order);
                    if batch.is_empty() {
                        reader.wait(Duration::from_millis(50)).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(total.into_inner(), PRODUCERS * RECORDS);
    assert!(log.describe_stream("s").unwrap().segments > 10);
}
