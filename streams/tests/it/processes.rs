//! Real processes on a real disk: this test binary starts itself as the other process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pelton_streams::{Error, Options, ShardId, ShardLog, StartPosition};

use crate::support::put;

const DIR: &str = "PELTON_TEST_LOG";
const LONG: Duration = Duration::from_secs(60);

/// The other process: appends a record for each line that it is told, and answers once it is durable.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let log = ShardLog::open(dir, &Options::default()).unwrap();
    let writer = log.writer("s").unwrap();
    println!("\nready");
    for line in std::io::stdin().lines() {
        put(&writer, &[&line.unwrap()]);
        println!("\nacknowledged");
    }
}

struct Writer {
    child: Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writer {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--nocapture"])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut writer = Self { child, answers };
        writer.expect("ready");
        writer
    }

    fn expect(&mut self, answer: &str) {
        assert!(self.answers.by_ref().any(|line| line.unwrap() == answer), "the other process said {answer}");
    }

    fn append(&mut self, data: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{data}").unwrap();
        self.expect("acknowledged");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_reader_follows_a_writer_in_another_process_and_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = ShardLog::open(dir.path(), &Options::create()).unwrap();
    log.create_stream("s", 1).unwrap();
    let mut reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    let (wake, woken) = std::sync::mpsc::channel();
    let _subscription = reader.subscribe(move || wake.send(()).unwrap_or_default()).unwrap();
    let mut next = |expected: &str| loop {
        let batch = reader.poll(1, 1000).unwrap();
        if let Some(record) = batch.iter().next() {
            return assert_eq!(record.data, expected.as_bytes());
        }
        assert!(reader.wait(LONG).unwrap());
    };

    let mut other = Writer::start(dir.path());
    for i in 0..20 {
        other.append(&i.to_string());
        // Acknowledged there, durable and visible here.
        next(&i.to_string());
    }
    woken.recv_timeout(LONG).unwrap();
    let error = log.writer("s").unwrap_err();
    assert!(matches!(&error, Error::Locked { stream, .. } if stream == "s"), "{error}");
    // A sleeping reader is woken by the other process.
    std::thread::scope(|threads| {
        let sleeper = threads.spawn(|| next("wake"));
        other.append("wake");
        sleeper.join().unwrap();
    });
    other.kill();

    // The lock went with its process; what was acknowledged is there, and numbers go on above it.
    let writer = log.writer("s").unwrap();
    assert!(!writer.recovery().clean);
    put(&writer, &["mine"]);
    next("mine");
    let shard = &log.describe_stream("s").unwrap().shards[0];
    assert_eq!(shard.records, 22);
    assert!(shard.last.0 > 1 << 40);
    drop(writer);
    let mut other = Writer::start(dir.path());
    other.append("again");
    next("again");
    other.kill();
}

#[test]
fn killed_at_any_moment_every_acknowledged_record_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = ShardLog::open(dir.path(), &Options::create()).unwrap();
    log.create_stream("s", 2).unwrap();
    let mut acknowledged = 0;
    for round in 0..10 {
        let mut other = Writer::start(dir.path());
        for i in 0..round {
            other.append(&format!("{round}-{i}"));
            acknowledged += 1;
        }
        // One more is under way when it is killed.
        writeln!(other.child.stdin.as_ref().unwrap(), "{round}-last").unwrap();
        other.kill();
    }
    // Opening for writing brings back what was written but not published.
    drop(log.writer("s").unwrap());
    let mut all = Vec::new();
    for shard in log.shards("s").unwrap() {
        all.extend(crate::support::drain(&mut log.reader("s", shard, StartPosition::Oldest).unwrap()));
    }
    all.sort_unstable();
    let before = all.len();
    all.dedup();
    assert_eq!(all.len(), before, "nothing is there twice");
    let sure = all.iter().filter(|data| !data.ends_with("last")).count();
    assert_eq!(sure, acknowledged);
    assert_eq!(log.verify("s").unwrap().problems, []);
}
