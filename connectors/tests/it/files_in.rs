//! Files as sources: JSON lines and CSV, resumed anywhere, malformed input kept.

use std::fs;
use std::path::Path;

use pelton_connectors::Files;
use pelton_dataflow::record::Data;
use pelton_dataflow::source::{Fetched, Polled, Rejected, Source, SplitInfo, SplitState, SplitStatus};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::support::{Reading, check_resume, messages, open, read_all, splits};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct City {
    name: String,
    people: u64,
}

fn city(name: &str, people: u64) -> City {
    City { name: name.to_owned(), people }
}

/// A directory with one file, `in`.
fn file(content: impl AsRef<[u8]>) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in");
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn read_lines<T: Data>(content: impl AsRef<[u8]>) -> Reading<T> {
    let (_dir, path) = file(content);
    read_all(&Files::read_jsonl::<T>(&path), &path)
}

fn read_cities(content: &str) -> Reading<City> {
    let (_dir, path) = file(content);
    read_all(&Files::read_csv::<City>(&path), &path)
}

fn rejected<T>(reading: &Reading<T>) -> Vec<(u64, &str)> {
    reading.rejected.iter().map(|(line, reason)| (*line, reason.as_str())).collect()
}

#[test]
fn lines_are_values_and_others_are_rejected() {
    let reading = read_lines::<u64>("\u{feff}1\n\n2\r\nx\n  3 \n-4\n5");
    assert_eq!(reading.values, [1, 2, 3, 5]);
    let expected =
        [(4, "expected value at its byte 1"), (6, "invalid value: integer `-4`, expected u64 at its byte 2")];
    assert_eq!(rejected(&reading), expected);
}

#[test]
fn rejected_lines_keep_their_bytes() {
    let (_dir, path) = file(b"1\n{\"broken\": \xff\r\n");
    let mut fetched = Fetched::default();
    open(&Files::read_jsonl::<u64>(&path), &path, None).unwrap().poll(9, &mut fetched).unwrap();
    assert_eq!(fetched.span, Some((1, 2)));
    assert_eq!(fetched.rejected[0].2, b"{\"broken\": \xff");
}

#[test]
fn a_line_over_the_limit_is_rejected_and_not_loaded() {
    // Both within what is buffered, and far beyond it.
    for length in [101, 3 << 20] {
        let (_dir, path) = file(format!("1\n{}\n2\n", "7".repeat(length)));
        let source = Files::read_jsonl::<u64>(&path).max_row_bytes(100);
        let reading = read_all(&source, &path);
        assert_eq!(reading.values, [1, 2]);
        assert_eq!(
            rejected(&reading),
            [(2, &*format!("the line has {length} bytes, more than the limit of 100"))]
        );
        check_resume(&source);
        let mut fetched = Fetched::default();
        open(&source, &path, None).unwrap().poll(9, &mut fetched).unwrap();
        assert!(fetched.rejected[0].2.len() <= Rejected::MAX_RAW);
    }
    let at_the_limit = format!("\"{}\"\n", "x".repeat(98));
    let (_dir, path) = file(at_the_limit);
    assert_eq!(read_all(&Files::read_jsonl::<String>(&path).max_row_bytes(100), &path).values.len(), 1);
}

#[test]
fn an_endless_line_is_read_in_slices() {
    let (_dir, path) = file("7".repeat(20 << 20));
    let source = Files::read_jsonl::<u64>(&path);
    let mut reader = open(&source, &path, None).unwrap();
    let start = reader.position();
    let mut polls = 0;
    loop {
        let mut fetched = Fetched::default();
        assert_eq!(reader.poll(9, &mut fetched).unwrap(), Polled::Ready);
        polls += 1;
        if !fetched.rejected.is_empty() {
            break;
        }
        // A crash here begins the line again.
        assert_eq!(reader.position(), start);
    }
    assert!(polls > 3, "{polls} polls");
    assert_eq!(reader.poll(9, &mut Fetched::default()).unwrap(), Polled::Finished);
}

#[test]
fn csv_has_fields_by_name_quotes_and_line_breaks() {
    let reading = read_cities("people,name\r\n5,\"Bad \"\"A\"\"\"\r\n\r\n6,\"two\nlines, one city\"\r\n7,c");
    let expected = [city("Bad \"A\"", 5), city("two\nlines, one city", 6), city("c", 7)];
    assert_eq!((reading.values, reading.rejected), (expected.to_vec(), vec![]));
}

#[test]
fn csv_rows_that_do_not_fit_are_rejected() {
    let reading = read_cities("name,people\na,1\nb\nc,many\nd,4,5\n\"e\ne\",x\nf,6\n");
    assert_eq!(reading.values, [city("a", 1), city("f", 6)]);
    let expected = [
        (3, "it has 1 fields, the header has 2"),
        (4, "CSV deserialize error: field 1: invalid digit found in string"),
        (5, "it has 3 fields, the header has 2"),
        (6, "CSV deserialize error: field 1: invalid digit found in string"),
    ];
    assert_eq!(rejected(&reading), expected);
}

#[test]
fn a_quote_that_is_not_closed_costs_one_line() {
    let reading = read_cities("name,people\n\"a,1\nb,2\nc,3\n");
    assert_eq!(reading.values, [city("b", 2), city("c", 3)]);
    assert_eq!(rejected(&reading), [(2, "a quote opened in this line is not closed")]);

    let many = format!("name,people\n\"a,1\n{}", "b,2\n".repeat(1_000));
    let (_dir, path) = file(many);
    let source = Files::read_csv::<City>(&path).max_row_bytes(100);
    let reading = read_all(&source, &path);
    assert_eq!(reading.values.len(), 1_000);
    assert_eq!(rejected(&reading), [(2, "a quote opened in this line is not closed within 100 bytes")]);
}

#[test]
fn csv_settings() {
    let (_dir, path) = file("a;1\n\"b;b\";2\n");
    let source = Files::read_csv::<(String, u64)>(&path).without_header().delimiter(b';');
    assert_eq!(read_all(&source, &path).values, [("a".to_owned(), 1), ("b;b".to_owned(), 2)]);
    check_resume(&source);
}

#[test]
fn csv_headers_that_are_none_are_errors() {
    for (content, reason) in [
        (b"\"name,people\na,1\n".to_vec(), "a quote is not closed"),
        (b"na\xffme,people\n".to_vec(), "it is not UTF-8"),
        ([b"name,".to_vec(), vec![b'x'; 2 << 20]].concat(), "it does not end within 1048576 bytes"),
        (vec![b','; 20_000], "it has more than 16384 fields"),
    ] {
        let (_dir, path) = file(content);
        let message = messages(open(&Files::read_csv::<City>(&path), &path, None));
        assert!(message.contains(&format!("has no usable header: {reason}")), "{message}");
    }
    assert_eq!(read_cities(""), Reading::default());
    assert_eq!(read_cities("\r\n\n"), Reading::default());
    assert_eq!(read_cities("name,people"), Reading::default());
}

#[test]
fn a_directory_has_a_split_per_file() {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("b.jsonl", "2"),
        ("a.jsonl", "1"),
        ("deep/c.jsonl", "3"),
        (".hidden", "4"),
        ("_part", "5"),
        (".d/x", "6"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let source =
        Files::read_jsonl::<u64>(dir.path()).and(dir.path().join("_part")).and(dir.path().join("a.jsonl"));
    let splits = splits(&source);
    let names: Vec<_> =
        splits.iter().map(|split| Path::new(split).strip_prefix(dir.path()).unwrap()).collect();
    assert_eq!(names, ["a.jsonl", "b.jsonl", "deep/c.jsonl", "_part"].map(Path::new));
    let values: Vec<u64> = splits.iter().flat_map(|split| read_all(&source, split).values).collect();
    assert_eq!(values, [1, 2, 3, 5]);
    let enumerator = source.enumerator().unwrap();
    assert!(enumerator.is_complete());
}

#[test]
fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let source = Files::read_jsonl::<u64>(&missing);
    let expected = format!("there is no file or directory {}; check the path", missing.display());
    assert!(messages(source.enumerator()).starts_with(&expected));
    assert!(messages(open(&source, missing.to_str().unwrap(), None)).starts_with(&expected));
    // A directory cannot be a split, nor a file a directory.
    let message = messages(open(&source, dir.path().to_str().unwrap(), None));
    assert!(message.starts_with(&format!("cannot read {}", dir.path().display())), "{message}");
    fs::write(&missing, "").unwrap();
    let below = Files::read_jsonl::<u64>(missing.join("x"));
    assert!(messages(below.enumerator()).contains("Not a directory"));
}

#[test]
fn a_file_that_was_changed_is_not_read_on() {
    let (_dir, path) = file("1\n22\n3\n");
    let source = Files::read_jsonl::<u64>(&path);
    let mut reader = open(&source, &path, None).unwrap();
    reader.poll(2, &mut Fetched::default()).unwrap();
    let position = reader.position();
    let enumerator = source.enumerator().unwrap();
    let split = |status, position: &[u8]| {
        let fresh = SplitState::fresh(SplitInfo::root(&path));
        SplitState { status, position: Some(position.to_vec()), ..fresh }
    };
    // Before a job is taken over to read on, its sources are asked whether they can.
    let check = |status| enumerator.check(&[split(status, &position)]);
    check(SplitStatus::Active).unwrap();
    for (content, what) in [
        ("1\n", "it is shorter now"),
        ("1\n2222\n", "no line begins there now"),
        ("1\n23\n3\n", "what lies before that is not what was read"),
    ] {
        fs::write(&path, content).unwrap();
        for message in [messages(open(&source, &path, Some(&position))), messages(check(SplitStatus::Active))]
        {
            assert!(message.contains("which had read up to byte 5") && message.contains(what), "{message}");
        }
        check(SplitStatus::Finished).expect("nothing more is read of it");
    }
    fs::write(&path, "1\n22\n4\n5\n").unwrap();
    check(SplitStatus::Active).expect("what lies behind it may be new");
    fs::remove_file(&path).unwrap();
    let fresh = SplitState::fresh(SplitInfo::root(&path));
    for gone in [fresh, split(SplitStatus::Idle, &position)] {
        let message = messages(enumerator.check(&[gone]));
        assert!(message.starts_with("there is no file or directory"), "{message}");
    }
    check(SplitStatus::Finished).expect("what has been read may go");
    let message = messages(open(&source, &path, Some(b"\x01\x01\0\0\0\0\0\0\0\0")));
    assert!(message.contains("is no position in a file: it is of kind 1"), "{message}");
}

/// A line of a random file: its text, and what it is.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<i32>().prop_map(|number| number.to_string()),
        1 => "[ x\"{]{0,6}",
        1 => "[0-9]{20,60}",
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the slow and obvious reading: all lines in memory, one after the other.
    #[test]
    fn any_lines_are_read_as_by_the_model(
        lines in prop::collection::vec((any_line(), prop_oneof!["\n", "\r\n"]), 0..20), ends_with_break: bool,
    ) {
        let mut content: String = lines.iter().flat_map(|(line, end)| [&**line, &**end]).collect();
        if !ends_with_break {
            content.truncate(content.trim_end_matches(['\n', '\r']).len());
        }
        let (mut values, mut bad_lines) = (vec![], vec![]);
        for (number, line) in (1..).zip(content.split('\n')) {
            match serde_json::from_str::<i32>(line) {
                Ok(value) => values.push(value),
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(_) => bad_lines.push(number),
            }
        }
        let (_dir, path) = file(&content);
        let source = Files::read_jsonl::<i32>(&path).max_row_bytes(40);
        let reading = read_all(&source, &path);
        prop_assert_eq!(&reading.values, &values);
        prop_assert_eq!(reading.rejected.iter().map(|(line, _)| *line).collect::<Vec<_>>(), bad_lines);
        check_resume(&source);
    }

    /// Whatever the rows hold, they are read as written, and resumed anywhere.
    #[test]
    fn any_csv_comes_back(rows in prop::collection::vec(("[a ,\"\n\r;]{0,8}", any::<u64>()), 0..20), crlf: bool) {
        let mut writer = csv::WriterBuilder::new();
        if crlf {
            writer.terminator(csv::Terminator::CRLF);
        }
        let mut writer = writer.from_writer(vec![]);
        for (name, people) in &rows {
            writer.serialize(city(name, *people)).unwrap();
        }
        let (_dir, path) = file(writer.into_inner().unwrap());
        let source = Files::read_csv::<City>(&path);
        let reading = read_all(&source, &path);
        let expected: Vec<City> = rows.iter().map(|(name, people)| city(name, *people)).collect();
        prop_assert_eq!((reading.values, reading.rejected), (expected, vec![]));
        check_resume(&source);
    }

    /// No bytes make it panic, stop early, or lose its place.
    #[test]
    fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\n'), Just(b','), any::<u8>()], 0..200), limit in 1usize..50) {
        let (_dir, path) = file(&bytes);
        check_resume(&Files::read_csv::<(String, String)>(&path).without_header().max_row_bytes(limit));
        check_resume(&Files::read_jsonl::<u8>(&path).max_row_bytes(limit));
    }
}
