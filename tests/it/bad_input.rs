//! Whole jobs that are given what is wrong: each says what is wrong with it and where, and loses nothing
//! else.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use pelton::connectors::ForEachBatch;
use pelton::dataflow::record::Record;
use pelton::prelude::*;
use pelton::runtime::{CheckpointInterval, JobError, JobReport, JobSettings, JobSpec, RestartStrategy};
use pelton::state::files::Backend;
use pelton::streams::{self, Options, StartPosition};
use pelton::testing::Collect;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// A place for a job and its log.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A path that no directory can be made at, whoever tries.
    fn below_a_file(&self) -> PathBuf {
        fs::write(self.path("file"), "").unwrap();
        self.path("file").join("directory")
    }

    fn stream(&self, name: &str) -> LogAddress {
        LogAddress::new(self.path("log"), name)
    }

    fn log(&self) -> streams::ShardLog {
        streams::ShardLog::open(self.path("log"), &Options::create()).unwrap()
    }

    /// A stream of one shard with `records`, each with its partition key.
    fn write<'a>(&self, stream: &str, records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> LogAddress {
        let log = self.log();
        log.create_stream(stream, 1).unwrap();
        let writer = log.writer(stream).unwrap();
        let mut batch = writer.batch();
        for (key, data) in records {
            batch.push(key, data).unwrap();
        }
        writer.append(batch).unwrap();
        self.stream(stream)
    }

    /// The committed records of a stream of one shard.
    fn read(&self, stream: &str) -> Vec<Vec<u8>> {
        let log = self.log();
        let shard = log.shards(stream).unwrap()[0];
        let mut reader = log.reader(stream, shard, StartPosition::Oldest).unwrap();
        let mut records = Vec::new();
        loop {
            let batch = reader.poll(100, 1 << 20).unwrap();
            if batch.is_empty() {
                return records;
            }
            records.extend(batch.iter().map(|record| record.data.to_vec()));
        }
    }

    fn settings(&self) -> JobSettings {
        JobSettings {
            workers: 2,
            state_dir: self.path("state"),
            checkpoint_dir: self.path("checkpoints").display().to_string(),
            checkpoint_interval: CheckpointInterval::EveryMs(5),
            backend: Backend::Memory,
            restart: RestartStrategy::None,
            ..JobSettings::default()
        }
    }

    fn run(&self, build: impl FnOnce(&mut Job)) -> Result<JobReport, JobError> {
        self.run_with(self.settings(), build)
    }

    fn run_with(&self, settings: JobSettings, build: impl FnOnce(&mut Job)) -> Result<JobReport, JobError> {
        let mut job = Job::new();
        build(&mut job);
        pelton::runtime::run(JobSpec::new("job", job.finish().unwrap(), settings))
    }

    /// Why a job with one sink and these settings does not run.
    fn refusal(&self, settings: JobSettings) -> String {
        let result = self.run_with(settings, |job| {
            let numbers = job.source("numbers", Values::new([1, 2])).watermarks(Watermarks::none());
            numbers.key_by(|n| *n).fold("sums", |sum: &mut u64, n| *sum += n).sink("out", Discard::new());
        });
        result.unwrap_err().to_string()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Reading {
    sensor: String,
    value: i32,
    at: i64,
}

fn reading(sensor: &str, at: i64) -> String {
    format!(r#"{{"sensor":"{sensor}","value":1,"at":{at}}}"#)
}

fn at(reading: &Reading) -> EventTime {
    EventTime(reading.at)
}

#[test]
fn malformed_and_wrongly_typed_json_goes_to_the_dead_letters_with_split_and_position() {
    let home = Home::new();
    let lines = [
        r#"{"sensor":"a","value":1,"at":5}"#,
        r#"{"sensor":"a","value":"#,
        r#"{"sensor":"a","value":"1","at":5}"#,
        r#"{"sensor":"a","value":3000000000,"at":5}"#,
        r#"{"sensor":"a","value":null,"at":5}"#,
        r#"{"sensor":"a","at":5}"#,
        "",
        "\u{0}",
        r#"{"sensor":"b","value":2,"at":6,"unknown":[{}]}"#,
    ];
    let input = home.write("in", lines.iter().map(|line| (&b"key"[..], line.as_bytes())));
    let ((good, taken), (bad, letters)) = (Collect::new(), Collect::new());
    home.run(|job| {
        let source = job.source("in", ShardLog::json::<Reading>(&input).until_end()).dead_letters();
        let readings = source.watermarks(Watermarks::none());
        readings.out.sink("good", good);
        readings.rejected.sink("bad", bad);
    })
    .unwrap();
    let readings: Vec<_> = taken.committed().into_iter().map(|it| (it.sensor, it.value)).collect();
    assert_eq!(readings, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let letters = letters.committed();
    let expected = [
        (2, "EOF while parsing a value at its byte "),
        (3, "invalid type: string \"1\", expected i32 at its byte "),
        (4, "invalid value: integer `3000000000`, expected i32 at its byte "),
        (5, "invalid type: null, expected i32 at its byte "),
        (6, "missing field `value` at its byte "),
        (7, "EOF while parsing a value"),
        (8, "expected value at its byte 1"),
    ];
    assert_eq!(letters.len(), expected.len());
    for (letter, (position, reason)) in letters.iter().zip(expected) {
        assert_eq!((letter.split.as_str(), letter.position), ("in/shardId-000000000000", position));
        assert!(letter.reason.starts_with(reason), "{letter:?}");
        assert_eq!(letter.raw, lines[position as usize - 1]);
    }
}

#[test]
fn a_malformed_record_without_dead_letters_fails_the_job_with_its_place() {
    let home = Home::new();
    let input = home.write("in", [(&b"k"[..], &b"1"[..]), (b"k", b"x")]);
    let result = home.run(|job| {
        let source = job.source("in", ShardLog::json::<u64>(&input).until_end());
        source.watermarks(Watermarks::none()).sink("out", Discard::new());
    });
    let message = result.unwrap_err().to_string();
    assert!(message.contains("operator `in` failed on worker"), "{message}");
    assert!(
        message.contains("malformed record in in/shardId-000000000000 at sequence number 2: "),
        "{message}"
    );
    assert!(message.contains("`.dead_letters()`"), "{message}");
}

/// Whatever the restart strategy: the bytes stay what they are.
#[test]
fn a_record_that_is_malformed_twice_ends_the_job() {
    let home = Home::new();
    let input = home.write("in", [(&b"k"[..], &b"1"[..]), (b"k", b"x")]);
    let restart = RestartStrategy::Exponential { initial_ms: 1, max_ms: 1 };
    let result = home.run_with(JobSettings { restart, workers: 1, ..home.settings() }, |job| {
        let source = job.source("in", ShardLog::json::<u64>(&input).until_end());
        source.watermarks(Watermarks::none()).sink("out", Discard::new());
    });
    let message = result.unwrap_err().to_string();
    assert!(message.starts_with("the job failed after 1 restart: operator `in` failed"), "{message}");
    assert!(
        message.contains("malformed record in in/shardId-000000000000 at sequence number 2: "),
        "{message}"
    );
    assert!(message.contains("`.dead_letters()`; it was read again"), "{message}");
}

/// A service that is away looks the same as a record that cannot be handled.
#[test]
fn what_user_code_fails_of_is_tried_as_often_as_the_strategy_says() {
    let home = Home::new();
    let input = home.write("in", [(&b"k"[..], &b"1"[..]), (b"k", b"2")]);
    let restart = RestartStrategy::FixedDelay { attempts: 4, delay_ms: 1 };
    // A checkpoint would make the failures before it forgotten.
    let checkpoint_interval = CheckpointInterval::Off;
    let settings = JobSettings { restart, checkpoint_interval, workers: 1, ..home.settings() };
    let tries = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let run = |tries_needed: u64| {
        let (input, tries) = (&input, tries.clone());
        home.run_with(settings.clone(), move |job| {
            let source = job.source("in", ShardLog::json::<u64>(input).until_end());
            let numbers = source.watermarks(Watermarks::none());
            let mapped = numbers.map(move |n| {
                let tried = tries.fetch_add(u64::from(n == 2), std::sync::atomic::Ordering::Relaxed);
                assert!(n != 2 || tried >= tries_needed, "the service is away");
                n
            });
            mapped.sink("out", Discard::new());
        })
    };
    assert_eq!(run(4).unwrap().status.restarts, 4);
    tries.store(0, std::sync::atomic::Ordering::Relaxed);
    fs::remove_dir_all(home.path("checkpoints")).unwrap();
    let message = run(5).unwrap_err().to_string();
    assert!(message.starts_with("the job failed after 4 restarts: operator `map-1` panicked"), "{message}");
    assert!(message.contains("the same at the same records 5 times in a row"), "{message}");
}

/// The largest record that the log takes.
const LARGEST: usize = 10 * 1024 * 1024;

/// A JSON string of `bytes` bytes with its quotes.
fn json(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[test]
fn a_record_of_ten_megabytes_goes_through_whole() {
    let home = Home::new();
    let records = [json(3), json(LARGEST), json(4)];
    let input = home.write("in", records.iter().map(|record| (&b"k"[..], record.as_bytes())));
    let output = home.stream("out");
    home.run(|job| {
        let texts =
            job.source("in", ShardLog::json::<String>(&input).until_end()).watermarks(Watermarks::none());
        let longest = texts.key_by(|_| 0).reduce("longest", |a, b| if b.len() > a.len() { b } else { a });
        longest.sink("out", ShardLog::json_sink(&output).create_if_missing(1));
    })
    .unwrap();
    let lengths: Vec<usize> = home.read("out").iter().map(Vec::len).collect();
    assert_eq!(lengths, [3, LARGEST, LARGEST]);
    assert!(home.read("out")[2] == records[1].as_bytes(), "it is another one");
}

#[test]
fn a_record_that_is_too_large_for_the_log_fails_the_job_and_says_so() {
    let home = Home::new();
    let record = json(LARGEST);
    let input = home.write("in", [(&b"k"[..], record.as_bytes())]);
    let output = home.stream("out");
    let result = home.run(|job| {
        let texts =
            job.source("in", ShardLog::json::<String>(&input).until_end()).watermarks(Watermarks::none());
        texts.map(|text| text + "x").sink("out", ShardLog::json_sink(&output).create_if_missing(1));
    });
    let message = result.unwrap_err().to_string();
    assert!(message.contains("operator `out` failed on worker"), "{message}");
    assert!(message.contains("in/shardId-000000000000 at 1"), "{message}");
    assert!(message.contains("10485761 bytes") && message.contains("limit of 10485760"), "{message}");
    assert_eq!(home.read("out").len(), 0);
}

#[test]
fn an_empty_key_is_a_key_like_others() {
    let home = Home::new();
    let input = home.write("in", [(&b""[..], &b"\"\""[..]), (b"", b"\"a\""), (b"a", b"\"\"")]);
    let output = home.stream("out");
    home.run(|job| {
        let texts =
            job.source("in", ShardLog::json::<String>(&input).until_end()).watermarks(Watermarks::none());
        let counts = texts.key_by(Clone::clone).fold("counts", |count: &mut u64, _| *count += 1);
        let log = ShardLog::json_sink(&output).create_if_missing(1);
        counts.sink("out", log.partition_by(|(text, _): &(String, u64)| text.clone()));
    })
    .unwrap();
    let mut counts = home.read("out");
    counts.sort();
    assert_eq!(counts, [&br#"["",1]"#[..], br#"["",2]"#, br#"["a",1]"#]);
}

/// What windows of an hour count in `lines`, how many came late, and how many were rejected.
fn count_by_hour(lines: &[String], watermarks: Watermarks<fn(&Reading) -> EventTime>) -> (u64, usize, usize) {
    let home = Home::new();
    let input = home.write("in", lines.iter().map(|line| (&b"k"[..], line.as_bytes())));
    let ((counts, counted), (late, late_ones), (bad, letters)) =
        (Collect::new(), Collect::new(), Collect::new());
    home.run(|job| {
        let source = job.source("in", ShardLog::json::<Reading>(&input).until_end()).dead_letters();
        let readings = source.watermarks(watermarks);
        let hours = readings
            .out
            .key_by(|it| it.sensor.clone())
            .window("hours", Tumbling::of(Duration::from_hours(1)));
        let hours = hours.count();
        hours.out.map(|hour| hour.value).sink("counts", counts);
        hours.late.sink("late", late);
        readings.rejected.sink("bad", bad);
    })
    .unwrap();
    (counted.committed().iter().sum(), late_ones.committed().len(), letters.committed().len())
}

#[test]
fn a_wrong_clock_loses_no_record() {
    const NOW: i64 = 1_767_571_200_000;
    const YEAR_9999: i64 = 253_402_300_799_000;
    let in_order =
        || Watermarks::<fn(&Reading) -> EventTime>::bounded(Duration::ZERO, at as fn(&Reading) -> EventTime);
    // Two that are dates, if not of this record, and two that are none.
    let wrong = [YEAR_9999, -30_000_000_000_000, i64::MAX, i64::MIN + 1];
    let mut lines: Vec<String> = (0..5_000).map(|n| reading("a", NOW + n)).collect();
    lines.extend(wrong.iter().map(|at| reading("b", *at)));
    lines.extend((5_000..10_000).map(|n| reading("a", NOW + n)));

    let (on_time, late, rejected) = count_by_hour(&lines, in_order());
    assert_eq!((on_time + late as u64, rejected), (10_002, 2));
    let (on_time, late, rejected) =
        count_by_hour(&lines, in_order().reject_ahead(Duration::from_hours(24 * 365 * 100)));
    assert_eq!((on_time + late as u64, rejected), (10_001, 3));
    assert!(late <= 1, "{late} are late, and only one may be that is a thousand years old");
}

#[test]
fn a_source_that_ends_at_once_ends_the_job() {
    let home = Home::new();
    let (sink, sums) = Collect::new();
    let report = home.run(|job| {
        let none =
            job.source("none", Values::new(Vec::<u64>::new()).splits(3)).watermarks(Watermarks::none());
        none.key_by(|n| *n).fold("sums", |sum: &mut u64, n| *sum += n).sink("out", sink);
    });
    assert_eq!(report.unwrap().end, pelton::runtime::End::Completed);
    assert_eq!(sums.written(), []);
}

#[test]
fn a_stream_that_is_not_there_is_told_with_those_that_are() {
    let home = Home::new();
    home.write("payments", []);
    let message = |input: &LogAddress| {
        let result = home.run(|job| {
            let source = job.source("in", ShardLog::json::<u64>(input).until_end());
            source.watermarks(Watermarks::none()).sink("out", Discard::new());
        });
        result.unwrap_err().to_string()
    };
    let unknown = message(&home.stream("payment"));
    assert!(unknown.contains("source `in`") && unknown.contains("there is no stream `payment`"), "{unknown}");
    assert!(unknown.contains("`payments`") || unknown.contains(": payments"), "{unknown}");
    let nowhere = LogAddress::new(home.path("nowhere"), "payments");
    let missing = message(&nowhere);
    assert!(missing.contains("nowhere does not exist"), "{missing}");
    for output in [&nowhere, &home.stream("payment")] {
        let result = home.run(|job| {
            let numbers = job.source("numbers", Values::new([1u64])).watermarks(Watermarks::none());
            numbers.sink("out", ShardLog::json_sink(output));
        });
        let message = result.unwrap_err().to_string();
        assert!(
            message.contains("sink `out`") && message.contains("`.create_if_missing(shards)`"),
            "{message}"
        );
    }
}

#[test]
fn a_stream_that_was_created_anew_between_two_runs_is_refused_before_the_takeover() {
    let records = || (0..20).map(|n| (&b"k"[..], if n % 2 == 0 { &b"1"[..] } else { b"2" }));
    for replaced in ["in", "out"] {
        let home = Home::new();
        let (input, output) = (home.write("in", records()), home.stream("out"));
        let settings = JobSettings { checkpoint_interval: CheckpointInterval::Off, ..home.settings() };
        let build = |is_bounded: bool| {
            let endless = ShardLog::json::<u64>(&input);
            let source = if is_bounded { endless.until_end() } else { endless };
            let mut job = Job::new();
            let sink = ShardLog::json_sink(&output).create_if_missing(1);
            job.source("in", source).watermarks(Watermarks::none()).sink("out", sink);
            JobSpec::new("job", job.finish().unwrap(), settings.clone())
        };
        // Stopped, it takes one checkpoint, which lists all output.
        let running = pelton::runtime::Job::start(build(false)).unwrap();
        while running.status().operators.iter().all(|it| !it.is_sink || it.records_in < 20) {
            std::thread::yield_now();
        }
        running.stop();
        running.wait().unwrap();
        assert_eq!(home.read("out").len(), 20);
        let entries = || fs::read_dir(home.path("checkpoints/manifest")).unwrap().count();
        let before = entries();
        home.log().delete_stream(replaced).unwrap();
        if replaced == "in" {
            home.write("in", records());
        }
        let again = pelton::runtime::run(build(true));
        let message = again.unwrap_err().to_string();
        let said = match replaced {
            "in" => "cannot restore checkpoint 2: source `in`: the stream",
            _ => "cannot restore checkpoint 2: sink `out`: the checkpoint lists",
        };
        assert!(message.contains(said), "{message}");
        assert_eq!(entries(), before, "the job was not taken over");
    }
}

/// A job that waits for more of a stream that is no more would wait for ever, and nothing of the one that has
/// taken its name would be read.
#[test]
fn a_stream_that_is_created_anew_under_a_running_job_fails_it() {
    let home = Home::new();
    let input = home.write("in", (0..20).map(|_| (&b"k"[..], &b"1"[..])));
    let settings = JobSettings { discovery_interval_ms: 5, ..home.settings() };
    let mut job = Job::new();
    let numbers = job.source("in", ShardLog::json::<u64>(&input)).watermarks(Watermarks::none());
    numbers.sink("out", Discard::new());
    let running = pelton::runtime::Job::start(JobSpec::new("job", job.finish().unwrap(), settings)).unwrap();
    while running.status().operators.iter().all(|it| !it.is_sink || it.records_in < 20) {
        std::thread::yield_now();
    }
    home.log().delete_stream("in").unwrap();
    home.write("in", [(&b"k"[..], &b"2"[..])]);
    let message = running.wait().unwrap_err().to_string();
    // It may have looked before the new one was there.
    let parts = ["source `in` cannot go on: the stream ", "/in was deleted ", "while it was being read: "];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn one_place_by_two_names_is_one_place() {
    let home = Home::new();
    fs::create_dir(home.path("there")).unwrap();
    std::os::unix::fs::symlink(home.path("there"), home.path("link")).unwrap();
    fs::write(home.path("there/in.jsonl"), "1\n").unwrap();
    let message = |settings: JobSettings, output: &str| {
        let result = home.run_with(settings, |job| {
            let numbers = job.source("in", Files::read_jsonl::<u64>(home.path("there")));
            numbers.watermarks(Watermarks::none()).sink("out", Files::jsonl(home.path(output)));
        });
        result.unwrap_err().to_string()
    };
    let own = message(home.settings(), "link/out");
    assert!(own.contains("source `in` reads what sink `out` writes to"), "{own}");
    let checkpoint_dir = format!("file://{}", home.path("out").display());
    let shared = message(JobSettings { checkpoint_dir, ..home.settings() }, "out");
    assert!(shared.contains("`checkpoint_dir` is what sink `out` writes to"), "{shared}");
}

#[test]
fn a_start_that_is_refused_leaves_no_directories() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics_address = Some(taken.local_addr().unwrap());
    let deep = || JobSettings {
        state_dir: home.path("pelton/state"),
        checkpoint_dir: home.path("pelton/checkpoints").display().to_string(),
        ..home.settings()
    };
    home.refusal(JobSettings { metrics_address, ..deep() });
    assert!(!home.path("pelton").exists(), "the port was taken");
    let no_such = |settings| {
        let result = home.run_with(settings, |job| {
            let source = job.source("in", ShardLog::json::<u64>(&home.stream("none")).until_end());
            source.watermarks(Watermarks::none()).sink("out", Discard::new());
        });
        result.unwrap_err();
    };
    no_such(deep());
    assert!(!home.path("pelton").exists(), "the input was missing");
    // What was there before stays, if it is empty.
    fs::create_dir_all(home.path("pelton/state")).unwrap();
    no_such(deep());
    assert!(home.path("pelton/state/LOCK").exists() && !home.path("pelton/checkpoints").exists());
}

#[test]
fn directories_that_cannot_be_used_are_named() {
    let home = Home::new();
    let path = home.below_a_file();
    let named = |message: &str, what: &str| {
        assert!(message.contains(&home.path("file").display().to_string()), "{message}");
        assert!(message.contains(what) && message.contains("; check "), "{message}");
        assert!(message.contains("name another one"), "{message}");
    };
    named(&home.refusal(JobSettings { state_dir: path.clone(), ..home.settings() }), "`state_dir`");
    let checkpoint_dir = path.display().to_string();
    named(&home.refusal(JobSettings { checkpoint_dir, ..home.settings() }), "`checkpoint_dir`");
    let output = home.run(|job| {
        let numbers = job.source("numbers", Values::new([1, 2])).watermarks(Watermarks::none());
        numbers.sink("out", Files::jsonl(&path));
    });
    named(&output.unwrap_err().to_string(), "sink `out`: the output directory");
}

#[test]
fn a_metrics_port_that_is_taken_is_refused_and_leaves_the_directories_free() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let message = home.refusal(JobSettings { metrics_address: Some(address), ..home.settings() });
    assert!(message.starts_with(&format!("cannot serve metrics at {address}")), "{message}");
    assert!(message.contains("free port"), "{message}");
    home.run(|job| {
        let numbers = job.source("numbers", Values::new([1, 2])).watermarks(Watermarks::none());
        numbers.sink("out", Discard::new());
    })
    .unwrap();
}

#[test]
fn settings_that_make_no_sense_are_refused_together() {
    let home = Home::new();
    let settings =
        JobSettings { workers: 0, checkpoint_interval: CheckpointInterval::EveryMs(0), ..home.settings() };
    let message = home.refusal(settings);
    assert!(message.contains("`workers` is 0: a job needs at least one"), "{message}");
    assert!(message.contains("is 0: give the time between checkpoints"), "{message}");
    assert!(!Path::new(&home.settings().state_dir).exists(), "nothing is made for it");
}

#[test]
fn one_record_that_becomes_a_million_comes_out_whole() {
    const MANY: u64 = 1_000_000;
    struct Amplify;
    impl KeyedProcess for Amplify {
        type Key = u64;
        type In = u64;
        type Out = u64;
        type Side = NoSide;
        type State = u64;
        fn on_record(&self, n: u64, _: &mut StateMut<'_, u64>, cx: &mut Context<'_, Self>) -> OpResult {
            (0..n).for_each(|i| cx.emit(i));
            Ok(())
        }
    }
    let home = Home::new();
    let sum = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let total = sum.clone();
    home.run(|job| {
        let numbers = job.source("numbers", Values::new([MANY, 3])).watermarks(Watermarks::none());
        let amplified = numbers.key_by(|n| *n).process("amplify", Amplify).out;
        amplified.rebalance().sink(
            "out",
            ForEachBatch::new(move |batch: &[Record<u64>]| {
                let sum = batch.iter().map(|record| record.value + 1).sum();
                total.fetch_add(sum, std::sync::atomic::Ordering::Relaxed);
            }),
        );
    })
    .unwrap();
    assert_eq!(sum.load(std::sync::atomic::Ordering::Relaxed), MANY * (MANY + 1) / 2 + 6);
}
