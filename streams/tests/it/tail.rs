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
