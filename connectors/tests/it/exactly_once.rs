//! What every transactional sink promises: each record of a completed checkpoint is visible once,
//! no other is visible ever, wherever the job crashes.

use pelton_connectors::{Collect, Files, LogAddress, ShardLog};
use pelton_dataflow::sink::Sink;
use pelton_streams::Options;

use crate::files_out::{lines_in, tree};
use crate::log_out::records_of;
use crate::support::{Run, check_script};

/// Scripts, each with what is visible after it.
type Scripts = &'static [(&'static str, &'static str)];

#[test]
fn nothing_is_visible_before_its_checkpoint_is_complete() {
    check(&[
        ("w0:a w1:b", ""),
        ("w0:a w1:b freeze", ""),
        ("w0:a w1:b prepare", ""),
        ("w0:a w1:b prepare manifest", ""),
        ("w0:a w1:b prepare manifest commit", "a b"),
        ("prepare manifest commit prepare w0:a prepare prepare manifest commit", "a"),
    ]);
}

#[test]
fn a_crash_at_any_step_loses_and_doubles_nothing() {
    check(&[
        ("w0:a w1:b crash", ""),
        ("w0:a w1:b freeze crash", ""),
        ("w0:a w1:b prepare manifest crash", "a b"),
        ("w0:a w1:b prepare manifest commit:1 crash", "a b"),
        ("w0:a w1:b prepare manifest commit crash", "a b"),
        ("w0:a w1:b prepare manifest crash crash commit crash", "a b"),
        ("w0:a prepare manifest commit forget w0:b prepare manifest commit crash", "a b"),
        ("w0:a prepare manifest commit w0:b prepare crash w0:b prepare manifest commit", "a b"),
        ("w0:a prepare manifest commit forget w0:b crash w1:b prepare manifest commit", "a b"),
    ]);
}

#[test]
fn committing_again_changes_nothing() {
    check(&[
        ("w0:a w1:b prepare manifest commit commit:1 commit", "a b"),
        ("w0:a prepare manifest commit w0:b prepare manifest commit commit", "a b"),
    ]);
}

#[test]
fn unlisted_transactions_are_aborted_at_open() {
    check(&[
        ("w0:a w1:b prepare crash", ""),
        ("w0:a prepare manifest w1:b prepare crash", "a"),
        ("w0:a prepare crash w0:b prepare manifest crash", "b"),
    ]);
    // Nothing is left of them that could still be committed.
    let dir = tempfile::tempdir().unwrap();
    let play = |sink: &dyn Sink<Item = String>| {
        let mut run = Run::start(sink, 2);
        "w0:a prepare manifest w1:b prepare w0:c prepare crash"
            .split(' ')
            .for_each(|step| run.step(step).unwrap());
    };
    play(&Files::jsonl(dir.path().join("files")));
    let left = tree(&dir.path().join("files"));
    assert_eq!(left.len(), 1, "what is listed, and nothing that waits: {left:?}");
    let address = LogAddress::new(dir.path().join("log"), "out");
    play(&ShardLog::json_sink(&address).create_if_missing(3));
    let log = pelton_streams::ShardLog::open(dir.path().join("log"), &Options::default()).unwrap();
    assert_eq!(log.open_transactions("out").unwrap(), []);
}

#[test]
fn commit_of_an_older_epoch_survives_a_newer_manifest() {
    check(&[
        ("w0:a prepare manifest w0:b prepare manifest commit", "a b"),
        ("w0:a prepare manifest w0:b prepare manifest crash", "a b"),
        ("w0:a prepare manifest w0:b prepare manifest commit:1 crash", "a b"),
    ]);
}

#[test]
fn abandoned_epoch_committables_ride_along() {
    check(&[
        ("w0:a prepare w0:b prepare manifest commit", "a b"),
        ("w0:a prepare w0:b prepare manifest crash", "a b"),
        ("w0:a prepare prepare w1:b prepare manifest commit:1 crash", "a b"),
    ]);
}

#[test]
fn an_epoch_is_written_while_the_one_before_is_prepared() {
    check(&[
        ("w0:a freeze w0:b w1:c freeze run manifest commit", "a b c"),
        ("w0:a freeze w0:b run manifest commit crash", "a"),
        ("w0:a freeze w0:b freeze crash", ""),
    ]);
}

#[test]
fn any_worker_number_commits_what_another_has_prepared() {
    check(&[
        ("w0:a w1:b prepare manifest crash:1 w0:c prepare manifest commit", "a b c"),
        ("w0:a w1:b prepare manifest commit:1 crash:3 w2:c prepare manifest crash:1", "a b c"),
    ]);
}

/// A sink, and what tells the records that are visible in its target.
pub type Target = (Box<dyn Sink<Item = String>>, Box<dyn Fn() -> Vec<String>>);

/// Runs every script on every sink, each time a new one.
fn check(scripts: Scripts) {
    for new in [memory, files, shard_log] {
        for (script, expected) in scripts {
            let (sink, visible) = new();
            check_script(&*sink, &*visible, script, expected);
        }
    }
}

pub fn memory() -> Target {
    let (sink, handle) = Collect::new();
    (Box::new(sink), Box::new(move || handle.committed()))
}

pub fn files() -> Target {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/out");
    let sink = Files::jsonl(&out);
    let visible = move || {
        let _keep = &dir;
        lines_in(&out)
    };
    (Box::new(sink), Box::new(visible))
}

pub fn shard_log() -> Target {
    let dir = tempfile::tempdir().unwrap();
    let address = LogAddress::new(dir.path().join("log"), "out");
    let sink = ShardLog::json_sink(&address).create_if_missing(3);
    let visible = move || {
        let _keep = &dir;
        records_of(&address)
    };
    (Box::new(sink), Box::new(visible))
}
