//! Damage: a torn tail is cut and told, damage to what was acknowledged is an error that names file and
//! offset, and no flipped bit or cut anywhere is ever read as something else.

use std::path::{Path, PathBuf};

use pelton_streams::{Error, StartPosition};

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

#[test]
fn no_flipped_bit_and_no_cut_is_ever_read_as_something_else() {
    let bench = Bench::with(|options| options.segment_bytes = 400);
    let (log, writer) = stream(&bench, 1);
    let expected: Vec<String> = (0..6).map(|i| format!("record-{i}")).collect();
    for data in &expected {
        put(&writer, &[data]);
    }
    let mut sink = writer.transactional("f", "m", 1).unwrap();
    sink.begin(1).unwrap();
    let mut batch = sink.batch();
    batch.push(b"k", b"staged").unwrap();
    sink.write(batch).unwrap();
    let committable = sink.prepare(1).unwrap();
    drop((sink, writer, log));

    for file in bench.disk.files() {
        let mut original = Vec::new();
        bench.disk.tamper(&file, |bytes| original.clone_from(bytes));
        let damages = (0..original.len()).flat_map(|at| [(at, false), (at, true)]);
        for (at, cut) in damages.filter(|(at, _)| at % 5 == 0) {
            bench.disk.tamper(&file, |bytes| if cut { bytes.truncate(at) } else { bytes[at] ^= 4 });
            check_damaged(&bench, &expected, &committable, &format!("{} at {at}, cut {cut}", file.display()));
            bench.disk.tamper(&file, |bytes| bytes.clone_from(&original));
        }
    }
}

/// Reads without a writer, so that nothing is mended: all is as it was, or there is an error.
fn check_damaged(bench: &Bench, expected: &[String], _committable: &pelton_streams::Committable, what: &str) {
    let result = (|| {
        let log = bench.try_log()?;
        let mut reader = log.reader("s", pelton_streams::ShardId(0), StartPosition::Oldest)?;
        let mut got = Vec::new();
        loop {
            let batch = reader.poll(10, 1000)?;
            if batch.is_empty() {
                return Ok::<_, Error>(got);
            }
            got.extend(batch.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()));
        }
    })();
    match result {
        // Damage to END's newest slot leaves an older end: less is seen, nothing wrong.
        Ok(got) if what.contains("/END") => assert!(expected.starts_with(&got), "{what}: {got:?}"),
        Ok(got) => assert_eq!(got, expected, "{what}"),
        Err(error) => {
            assert!(error.is_corruption() || matches!(error, Error::UnknownStream { .. }), "{what}: {error}");
        }
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

#[test]
fn an_older_prepared_file_with_a_damaged_trailer_is_refused_not_taken_for_committed() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut sink = writer.transactional("f", "m", 1).unwrap();
    sink.begin(1).unwrap();
    let mut batch = sink.batch();
    batch.push(b"k", b"x").unwrap();
    sink.write(batch).unwrap();
    let committable = sink.prepare(1).unwrap();
    drop((sink, writer, log));
    let staged =
        bench.disk.files().into_iter().find(|file| file.extension().is_some_and(|e| e == "staged")).unwrap();
    bench.disk.tamper(&staged, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let log = bench.log();
    let writer = log.writer("s").unwrap();
    let sink = writer.transactional("f", "m", 2).unwrap();
    assert!(matches!(sink.commit(&committable), Err(Error::Aborted { .. })));
}
