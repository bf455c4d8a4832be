//! Files in partitions: what becomes visible where, and what is left after crashes.

use std::fs;
use std::path::Path;

use pelton_connectors::Files;
use pelton_connectors::files::PartitionedFiles;
use pelton_dataflow::sink::Sink;

use crate::files_out::tree;
use crate::support::{Run, check_script, messages};

/// Values are in the partition of their first letter.
fn by_letter(dir: &Path) -> PartitionedFiles<String, String> {
    Files::jsonl(dir).partitioned_by(|value: &String| format!("letter={}/all", &value[..1]))
}

/// All values in visible files, with their partition.
fn visible(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in tree(dir).into_iter().filter(|path| !path.contains(".staging")) {
        let partition = path.rsplit_once('/').unwrap().0.to_owned();
        let content = fs::read_to_string(dir.join(&path)).unwrap();
        let values = content.lines().map(|line| serde_json::from_str::<String>(line).unwrap());
        found.extend(values.map(|value| format!("{partition}/{value}")));
    }
    found
}

#[test]
fn records_become_visible_once_in_their_partition() {
    for (script, expected) in [
        ("w0:a1 w0:b1 w0:a2 prepare manifest", ""),
        ("w0:a1 w0:b1 w0:a2 prepare manifest commit", "letter=a/all/a1 letter=a/all/a2 letter=b/all/b1"),
        ("w0:a1 w1:a2 prepare manifest crash", "letter=a/all/a1 letter=a/all/a2"),
        ("w0:a1 prepare manifest w0:a2 w0:c1 prepare crash", "letter=a/all/a1"),
        (
            "w0:a1 prepare manifest commit crash:1 w0:a2 prepare manifest commit commit",
            "letter=a/all/a1 letter=a/all/a2",
        ),
        (
            "w0:a1 freeze w0:a2 w0:b1 freeze run manifest commit",
            "letter=a/all/a1 letter=a/all/a2 letter=b/all/b1",
        ),
        ("prepare manifest commit", ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let sink = by_letter(dir.path());
        check_script(&sink, &|| visible(dir.path()), script, expected);
    }
}

#[test]
fn what_no_checkpoint_lists_is_removed_from_every_partition() {
    let dir = tempfile::tempdir().unwrap();
    let sink = by_letter(dir.path());
    let mut run = Run::start(&sink, 2);
    for step in ["w0:a1", "prepare", "manifest", "w0:b1", "w1:c1", "prepare"] {
        run.step(step).unwrap();
    }
    assert_eq!(tree(dir.path()).len(), 3);
    run.step("crash").unwrap();
    assert_eq!(tree(dir.path()), ["letter=a/all/job.out.e0000000000.w0000.g000001.jsonl"]);
}

#[test]
fn a_partition_lies_below_the_sink() {
    for partition in ["../a", "/a", "a/../../b", ".hidden", "a/.staging"] {
        let dir = tempfile::tempdir().unwrap();
        let sink =
            Files::jsonl(dir.path().join("out")).partitioned_by(move |_: &String| partition.to_owned());
        let mut run = Run::start(&sink, 1);
        let message = messages(run.step("w0:x"));
        assert!(message.contains(&format!("a record is in partition `{partition}`")), "{message}");
    }
}

#[test]
fn output_of_another_run_is_not_mixed_in() {
    let dir = tempfile::tempdir().unwrap();
    let sink = by_letter(dir.path());
    let mut run = Run::start(&sink, 1);
    ["w0:a", "prepare", "manifest", "commit"].into_iter().for_each(|step| run.step(step).unwrap());
    let message = messages(sink.committer(&run.context()).unwrap().unwrap().recover(1, &[]));
    assert!(message.contains("is there already and is not of this run"), "{message}");
}
