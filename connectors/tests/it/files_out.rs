//! Files as a sink, beyond what `exactly_once` tries: names, leftovers, damage, strangers.

use std::fs;
use std::path::{Path, PathBuf};

use pelton_connectors::Files;
use pelton_dataflow::sink::{Guarantee, Sink, SinkContext, WriterContext};

use crate::support::{Run, messages};

/// The files in `dir` and below, as paths relative to it.
pub fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// All strings in the files that are visible in `dir`.
pub fn lines_in(dir: &Path) -> Vec<String> {
    let visible = tree(dir).into_iter().filter(|path| !path.contains('/'));
    let content: String = visible.map(|path| fs::read_to_string(dir.join(path)).unwrap()).collect();
    content.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn run<'a>(sink: &'a dyn Sink<Item = String>, script: &str) -> Run<'a> {
    let mut run = Run::start(sink, 2);
    for step in script.split(' ') {
        run.step(step).unwrap();
    }
    run
}

#[test]
fn names_tell_epoch_worker_and_generation() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    assert_eq!(sink.guarantee(), Guarantee::ExactlyOnce);
    run(&sink, "prepare w1:a prepare manifest crash w0:b prepare w0:c");
    let expected = [
        ".staging/job.out/job.out.e0000000002.w0000.g000002.jsonl",
        ".staging/job.out/open.n000001.w0000.g000002.jsonl",
        "job.out.e0000000001.w0001.g000001.jsonl",
    ];
    // What is being written is in memory until there is enough of it.
    assert_eq!(tree(dir.path()), [expected[0], expected[2]]);
    let big = Files::jsonl(dir.path().join("big"));
    run(&big, "prepare").write(0, &"x".repeat(300_000)).unwrap();
    assert!(
        tree(dir.path()).iter().any(|path| path == "big/.staging/job.out/open.n000000.w0000.g000001.jsonl")
    );
}

#[test]
fn what_no_checkpoint_lists_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    let mut run = run(&sink, "w0:a prepare manifest w0:b w1:c prepare");
    run.write(1, &"x".repeat(300_000)).unwrap();
    assert_eq!(tree(dir.path()).len(), 4);
    run.step("crash").unwrap();
    assert_eq!(tree(dir.path()), ["job.out.e0000000000.w0000.g000001.jsonl"]);
}

#[test]
fn other_sinks_and_jobs_in_the_directory_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    let mut first = run(&sink, "w0:a prepare");
    for (job, operator) in [("job", "out.2"), ("job.out", "x"), ("jo", "b")] {
        let cx = SinkContext { job: job.to_owned(), operator: operator.to_owned() };
        sink.committer(&cx).unwrap().unwrap().recover(9, &[]).unwrap();
    }
    first.step("manifest").unwrap();
    first.step("commit").unwrap();
    assert_eq!(lines_in(dir.path()), ["a"]);
}

#[test]
fn consumed_files_are_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    let mut run = run(&sink, "w0:a prepare manifest commit");
    fs::remove_file(dir.path().join("job.out.e0000000000.w0000.g000001.jsonl")).unwrap();
    run.step("commit").unwrap();
    run.step("crash").unwrap();
    assert!(lines_in(dir.path()).is_empty());
}

/// What is plain to see is told before the job is taken over.
#[test]
fn prepared_files_that_are_gone_are_missed_before_the_takeover() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let sink = Files::jsonl(&out);
    let run = run(&sink, "w0:a w0:b prepare manifest");
    let check = || sink.committer(&run.context()).unwrap().unwrap().check(2, &run.listed);
    check().unwrap();
    let staged = out.join(".staging/job.out/job.out.e0000000000.w0000.g000001.jsonl");
    let whole = fs::read(&staged).unwrap();
    fs::write(&staged, "x").unwrap();
    assert!(messages(check()).contains("it has 1 bytes instead of 8"));
    fs::write(&staged, whole).unwrap();
    check().unwrap();
    fs::remove_dir_all(&out).unwrap();
    assert!(messages(check()).contains("was prepared and is gone, but never committed"));
    assert!(!out.exists(), "nothing is made by it");
}

/// A prepared and listed file, after something was done to it.
fn recovered_after(harm: impl Fn(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    let mut run = run(&sink, "w0:a w0:b prepare manifest");
    let staged: PathBuf = dir.path().join(".staging/job.out/job.out.e0000000000.w0000.g000001.jsonl");
    harm(&staged);
    messages(run.restart(2))
}

#[test]
fn damage_to_prepared_files_is_found() {
    let whole = b"\"a\"\n\"b\"\n";
    let named = |message: &str| message.contains(".staging/job.out/job.out.e0000000000.w0000.g000001.jsonl");
    for bit in 0..whole.len() * 8 {
        let message = recovered_after(|path| {
            let mut bytes = fs::read(path).unwrap();
            assert_eq!(bytes, whole);
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(path, bytes).unwrap();
        });
        let expected = "does not hold what was prepared there: its checksum is";
        assert!(message.contains(expected) && named(&message), "bit {bit}: {message}");
    }
    for length in 0..whole.len() {
        let message = recovered_after(|path| fs::write(path, &whole[..length]).unwrap());
        let expected = format!("it has {length} bytes instead of 8");
        assert!(message.contains(&expected) && named(&message), "{message}");
    }
    let gone = |path: &Path| fs::remove_dir_all(path.parent().unwrap().parent().unwrap()).unwrap();
    assert!(recovered_after(gone).contains("was prepared and is gone, but never committed"));
}

#[test]
fn a_rename_seen_from_both_sides_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    let mut run = run(&sink, "w0:a prepare manifest");
    let name = "job.out.e0000000000.w0000.g000001.jsonl";
    fs::copy(dir.path().join(".staging/job.out").join(name), dir.path().join(name)).unwrap();
    run.step("commit").unwrap();
    assert_eq!(tree(dir.path()), [name]);
}

#[test]
fn output_of_another_run_is_not_mixed_in() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    run(&sink, "w0:a prepare manifest commit");
    // A job that begins anew does not know of that checkpoint.
    let cx = SinkContext { job: "job".to_owned(), operator: "out".to_owned() };
    let message = messages(sink.committer(&cx).unwrap().unwrap().recover(1, &[]));
    assert!(
        message.contains("job.out.e0000000000.w0000.g000001.jsonl is there already and is not of this run"),
        "{message}"
    );

    // Nor does one that was there first take the place of a stranger's file.
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    let mut run = run(&sink, "w0:a freeze");
    fs::write(dir.path().join("job.out.e0000000000.w0000.g000001.jsonl"), "mine").unwrap();
    assert!(messages(run.run_tasks()).contains("is there already and is not of this run"));
}

#[test]
fn a_directory_that_takes_no_files_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = dir.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let sink = Files::jsonl::<String>(&in_the_way);
    let cx = SinkContext { job: "job".to_owned(), operator: "out".to_owned() };
    let writer = |cx: &SinkContext| {
        messages(sink.writer(&WriterContext { sink: cx.clone(), generation: 1, worker: 0, workers: 1 }))
    };
    let message = writer(&cx);
    let expected =
        format!("the output directory {} cannot be written to; check its owner", in_the_way.display());
    assert!(message.starts_with(&expected), "{message}");
    assert!(messages(sink.committer(&cx).unwrap().unwrap().recover(1, &[])).starts_with(&expected));

    let cx = SinkContext { job: "j".repeat(300), ..cx };
    assert!(writer(&cx).contains("are too long to name files by"));
}

/// A file that takes nothing stands where the sink writes: `/dev/full` refuses as a full disk does.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_with_what_to_do_and_what_was_committed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Files::jsonl(dir.path());
    let mut run = run(&sink, "w0:a prepare manifest commit");
    let open = dir.path().join(".staging/job.out/open.n000001.w0000.g000001.jsonl");
    std::os::unix::fs::symlink("/dev/full", &open).unwrap();
    let message = messages(run.write(0, &"x".repeat(300_000)));
    let expected = format!("cannot write to {}: the disk is full; make room: ", open.display());
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(lines_in(dir.path()), ["a"]);
}
