//! Damage: a torn tail is cut and told, damage to what was acknowledged is an error that names file and
//! offset, and no flipped bit or cut anywhere is ever read as something else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pelton_streams::{Committable, Error, ShardLog, StartPosition};

use crate::support::{Bench, put, read, stream};

fn segment(id: u64) -> PathBuf {
    Path::new("/log/streams/s/segments").join(format!("{id:020}.segment"))
}

fn find(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).rposition(|window| window == text).unwrap()
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put(&writer, &["kept"]);
    bench.disk.kill_process();
    drop((log, writer));
    let mut good = 0;
    bench.disk.tamper(&segment(1), |bytes| {
        good = bytes.len();
        bytes.extend_from_slice(b"PFRM and then half of a frame");
    });

    let log = bench.log();
    let writer = log.writer("s").unwrap();
    let torn = writer.recovery().torn_tail.clone().unwrap();
    assert_eq!((torn.file, torn.offset, torn.bytes), (segment(1), good as u64, 29));
    put(&writer, &["new"]);
    assert_eq!(read(&log), ["kept", "new"]);
}

#[test]
fn sequence_numbers_are_not_given_again_after_a_torn_tail() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put(&writer, &["1", "2", "3"]);
    bench.disk.kill_process();
    drop((log, writer));
    // A fourth record may have been written and lost.
    let log = bench.log();
    let writer = log.writer("s").unwrap();
    assert!(!writer.recovery().clean);
    put(&writer, &["after"]);
    let last = log.describe_stream("s").unwrap().shards[0].last;
    assert!(last.0 > 1 << 40, "{last} could have been the lost writer's");
    // The gap is no loss to a reader that goes on after record 3.
    let mut reader = log
        .reader("s", pelton_streams::ShardId(0), StartPosition::At(pelton_streams::SequenceNumber(4)))
        .unwrap();
    writer.roll().unwrap();
    assert_eq!(crate::support::drain(&mut reader), ["after"]);
}

#[test]
fn a_flipped_bit_in_the_middle_is_an_error_that_names_file_and_offset() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put(&writer, &["before"]);
    put(&writer, &["middle"]);
    put(&writer, &["after"]);
    drop((log, writer));
    bench.disk.tamper(&segment(1), |bytes| {
        let at = find(bytes, b"middle");
        bytes[at] ^= 1;
    });

    let log = bench.log();
    let mut reader = log.reader("s", pelton_streams::ShardId(0), StartPosition::Oldest).unwrap();
    // What comes before the damage is given; then the reader stops at it, however often it is asked.
    assert_eq!(reader.poll(10, 1000).unwrap().iter().next().unwrap().data, b"before");
    for _ in 0..2 {
        let error = reader.poll(10, 1000).unwrap_err();
        let Error::Corrupt { file, offset, .. } = &error else { panic!("{error}") };
        assert_eq!((file, *offset > 64), (&segment(1), true), "{error}");
    }
    let problems = log.verify("s").unwrap().problems;
    assert_eq!((problems.len(), &problems[0].file), (1, &segment(1)));
}

#[test]
fn a_broken_frame_below_the_published_end_is_not_a_torn_tail() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    put(&writer, &["a"]);
    put(&writer, &["b"]);
    bench.disk.kill_process();
    drop((log, writer));
    bench.disk.tamper(&segment(1), |bytes| {
        let at = bytes.windows(4).rposition(|window| window == b"PFRM").unwrap();
        bytes.truncate(at + 10);
    });
    let error = bench.log().writer("s").unwrap_err();
    assert!(error.is_corruption() && error.to_string().contains("acknowledged"), "{error}");
}

#[test]
fn damage_beyond_a_stale_end_is_found_by_a_later_witness() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    // As after a power failure: END is that of the time when the writer opened.
    let mut end = Vec::new();
    bench.disk.tamper(Path::new("/log/streams/s/END"), |bytes| end.clone_from(bytes));
    for data in ["a", "b", "c"] {
        put(&writer, &[data]);
    }
    bench.disk.kill_process();
    drop((log, writer));
    bench.disk.tamper(Path::new("/log/streams/s/END"), |bytes| *bytes = end);
    let undamaged = bench.log();
    assert_eq!(read(&undamaged), [""; 0], "what END does not tell is not read without a writer");

    let mut whole = Vec::new();
    bench.disk.tamper(&segment(1), |bytes| {
        whole.clone_from(bytes);
        // The first frame; the third one says that it was durable.
        let at = bytes.windows(4).position(|window| window == b"PFRM").unwrap();
        bytes[at + 70] ^= 1;
    });
    let error = bench.log().writer("s").unwrap_err();
    assert!(error.is_corruption() && error.to_string().contains("acknowledged"), "{error}");

    bench.disk.tamper(&segment(1), |bytes| *bytes = whole);
    bench.disk.kill_process();
    let log = bench.log();
    let _writer = log.writer("s").unwrap();
    assert_eq!(read(&log), ["a", "b", "c"], "a stale end loses nothing");
}

/// A log of several segments with a committed, an aborted and a prepared transaction, at rest.
fn log_at_rest() -> (Bench, Vec<String>, Committable) {
    let bench = Bench::with(|options| options.segment_bytes = 400);
    let (log, writer) = stream(&bench, 1);
    let expected: Vec<String> = (0..6).map(|i| format!("record-{i}")).collect();
    for data in &expected[..5] {
        put(&writer, &[data]);
    }
    let mut sink = writer.transactional("f", "m", 1).unwrap();
    let mut prepare = |epoch, data: &str| {
        sink.begin(epoch).unwrap();
        let mut batch = sink.batch();
        batch.push(b"k", data.as_bytes()).unwrap();
        sink.write(batch).unwrap();
        sink.prepare(epoch).unwrap()
    };
    let [aborted, committed, prepared] =
        [(1, "never"), (2, &*expected[5]), (3, "staged")].map(|(e, d)| prepare(e, d));
    sink.abort_prepared(&aborted).unwrap();
    sink.commit(&committed).unwrap();
    drop((sink, writer, log));
    (bench, expected, prepared)
}

/// Every file with one bit flipped or cut short: one bit of each byte and some cuts, or all of them with
/// `PELTON_EXHAUSTIVE=1`.
#[test]
fn no_flipped_bit_and_no_cut_is_ever_read_as_something_else() {
    let (bench, expected, prepared) = log_at_rest();
    let all = std::env::var_os("PELTON_EXHAUSTIVE").is_some();
    let mut kinds = BTreeSet::new();
    for file in bench.disk.files() {
        kinds.insert(file.extension().unwrap_or(file.file_name().unwrap()).to_owned());
        let mut whole = Vec::new();
        bench.disk.tamper(&file, |bytes| whole.clone_from(bytes));
        let some = |bit: usize| bit % 8 == bit / 8 * 5 % 8 && (bit / 8).is_multiple_of(3);
        let flips = (0..whole.len() * 8).filter(|bit| all || some(*bit));
        let cuts = (0..whole.len()).filter(|len| all || len.is_multiple_of(7));
        for bit in flips {
            bench.disk.tamper(&file, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            check_damaged(&bench, &file, &expected, &prepared, &format!("bit {bit}"));
            bench.disk.tamper(&file, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        }
        for len in cuts {
            bench.disk.tamper(&file, |bytes| bytes.truncate(len));
            check_damaged(&bench, &file, &expected, &prepared, &format!("cut to {len}"));
            bench.disk.tamper(&file, |bytes| bytes.clone_from(&whole));
        }
    }
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.to_str().unwrap()).collect();
    assert_eq!(kinds, ["END", "LOG", "META", "TRANSACTIONS", "segment", "staged"]);
}

fn check_damaged(bench: &Bench, file: &Path, expected: &[String], prepared: &Committable, how: &str) {
    let what = format!("{} {how}", file.display());
    let name = file.file_name().unwrap().to_str().unwrap();
    let named = |error: &Error| {
        assert!(error.is_corruption() && error.to_string().contains(name), "{what}: {error}");
    };
    let read = |log: &ShardLog| {
        let mut reader = log.reader("s", pelton_streams::ShardId(0), StartPosition::Oldest)?;
        let mut got = Vec::new();
        loop {
            let batch = reader.poll(10, 1000)?;
            if batch.is_empty() {
                return Ok::<_, Error>(got);
            }
            got.extend(batch.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()));
        }
    };
    // Without a writer nothing is mended.
    match bench.try_log().and_then(|log| read(&log)) {
        // Damage to END's newest slot leaves an older end: less is seen, nothing wrong.
        Ok(got) if name == "END" => assert!(expected.starts_with(&got), "{what}: {got:?}"),
        Ok(got) => assert_eq!(got, expected, "{what}"),
        Err(error) => named(&error),
    }
    // As the job's next start would: what is prepared is committed, and then read.
    let copy = Bench { disk: bench.disk.copy(), clock: bench.clock.clone(), options: bench.options.clone() };
    let committed = copy.try_log().and_then(|log| {
        let sink = log.writer("s")?.transactional("f", "m", 2)?;
        sink.abort_unlisted(std::slice::from_ref(prepared))?;
        sink.commit(prepared)?;
        sink.commit(prepared)?;
        read(&log)
    });
    match committed {
        Ok(got) => assert_eq!(got, [expected, &["staged".to_owned()]].concat(), "{what}"),
        // A trailer that does not hold is that of a file that was never prepared.
        Err(Error::Aborted { .. }) if name.ends_with(".staged") => {}
        Err(error) => named(&error),
    }
}

#[test]
fn damage_to_a_staged_transaction_is_found_before_anything_of_it_is_committed() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut sink = writer.transactional("f", "m", 1).unwrap();
    sink.begin(1).unwrap();
    let mut batch = sink.batch();
    batch.push(b"k", b"staged-record").unwrap();
    sink.write(batch).unwrap();
    let committable = sink.prepare(1).unwrap();
    let staged =
        bench.disk.files().into_iter().find(|file| file.extension().is_some_and(|e| e == "staged")).unwrap();
    let mut original = Vec::new();
    bench.disk.tamper(&staged, |bytes| original.clone_from(bytes));
    for at in 0..original.len() {
        bench.disk.tamper(&staged, |bytes| bytes[at] ^= 1);
        let outcome = sink.commit(&committable);
        // Padding is covered by no checksum and means nothing.
        let is_padding = original[at] == 0 && outcome.is_ok();
        if is_padding {
            return;
        }
        assert!(outcome.as_ref().is_err_and(Error::is_corruption), "byte {at}: {outcome:?}");
        assert_eq!(read(&log), [""; 0]);
        bench.disk.tamper(&staged, |bytes| bytes.clone_from(&original));
    }
    sink.commit(&committable).unwrap();
    assert_eq!(read(&log), ["staged-record"]);
}

/// As a power failure may have left it that came before it was synced: any part of it is missing.
#[test]
fn a_prepared_file_without_its_head_or_trailer_is_refused_not_taken_for_committed() {
    for from_its_end in [false, true] {
        let bench = Bench::new();
        let (log, writer) = stream(&bench, 1);
        let mut sink = writer.transactional("f", "m", 1).unwrap();
        sink.begin(1).unwrap();
        let mut batch = sink.batch();
        batch.push(b"k", b"x").unwrap();
        sink.write(batch).unwrap();
        let committable = sink.prepare(1).unwrap();
        drop((sink, writer, log));
        let mut files = bench.disk.files().into_iter();
        let staged = files.find(|file| file.extension().is_some_and(|e| e == "staged")).unwrap();
        bench.disk.tamper(&staged, |bytes| {
            let len = bytes.len();
            if from_its_end { bytes[len - 40..].fill(0) } else { bytes[..40].fill(0) }
        });
        let log = bench.log();
        assert_eq!(log.verify("s").unwrap().problems, []);
        let writer = log.writer("s").unwrap();
        assert_eq!(writer.recovery().discarded_transactions, 1);
        let sink = writer.transactional("f", "m", 2).unwrap();
        assert!(matches!(sink.commit(&committable), Err(Error::Aborted { .. })));
    }
}
