//! What every transactional sink promises: each record of a completed checkpoint is visible once,
//! no other is visible ever, wherever the job crashes.

use pelton_connectors::{Collect, Files, LogAddress, ShardLog};
use pelton_dataflow::sink::Sink;

use crate::files_out::lines_in;
use crate::log_out::records_of;
use crate::support::check_script;

/// Script, and what is visible after it.
const SCRIPTS: &[(&str, &str)] = &[
    // Nothing is visible before its checkpoint is complete.
    ("w0:a w1:b", ""),
    ("w0:a w1:b prepare", ""),
    ("w0:a w1:b prepare manifest", ""),
    ("w0:a w1:b prepare manifest commit", "a b"),
    // A crash at each of these places.
    ("w0:a w1:b crash", ""),
    ("w0:a w1:b freeze crash", ""),
    ("w0:a w1:b prepare crash", ""),
    ("w0:a w1:b prepare manifest crash", "a b"),
    ("w0:a w1:b prepare manifest commit:1 crash", "a b"),
    ("w0:a w1:b prepare manifest commit crash", "a b"),
    // Committing again changes nothing.
    ("w0:a w1:b prepare manifest commit commit:1 commit", "a b"),
    ("w0:a w1:b prepare manifest crash crash commit crash", "a b"),
    ("w0:a prepare manifest commit forget w0:b prepare manifest commit crash", "a b"),
    // What was lost is written again.
    ("w0:a prepare manifest commit w0:b prepare crash w0:b prepare manifest commit", "a b"),
    ("w0:a prepare manifest commit forget w0:b crash w1:b prepare manifest commit", "a b"),
    // Committables of an abandoned epoch ride in the next manifest.
    ("w0:a prepare w0:b prepare manifest commit", "a b"),
    ("w0:a prepare w0:b prepare manifest crash", "a b"),
    // An epoch is written while the one before is still being prepared.
    ("w0:a freeze w0:b w1:c freeze run manifest commit", "a b c"),
    ("w0:a freeze w0:b run manifest commit crash", "a"),
    ("w0:a freeze w0:b freeze crash", ""),
    // Other numbers of workers.
    ("w0:a w1:b prepare manifest crash:1 w0:c prepare manifest commit", "a b c"),
    ("w0:a w1:b prepare manifest commit:1 crash:3 w2:c prepare manifest crash:1", "a b c"),
    // Epochs without records.
    ("prepare manifest commit prepare w0:a prepare prepare manifest commit", "a"),
];

/// A sink, and what tells the records that are visible in its target.
type Target = (Box<dyn Sink<Item = String>>, Box<dyn Fn() -> Vec<String>>);

/// Runs every script on a sink of its own.
fn check_all(new: &dyn Fn() -> Target) {
    for (script, expected) in SCRIPTS {
        let (sink, visible) = new();
        check_script(&*sink, &*visible, script, expected);
    }
}

#[test]
fn memory() {
    check_all(&|| {
        let (sink, handle) = Collect::new();
        (Box::new(sink), Box::new(move || handle.committed()))
    });
}

#[test]
fn files() {
    check_all(&|| {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/out");
        let sink = Files::jsonl(&out);
        (
            Box::new(sink),
            Box::new(move || {
                let _keep = &dir;
                lines_in(&out)
            }),
        )
    });
}

#[test]
fn shard_log() {
    check_all(&|| {
        let dir = tempfile::tempdir().unwrap();
        let address = LogAddress::new(dir.path().join("log"), "out");
        let sink = ShardLog::json_sink(&address).create_if_missing(3);
        (
            Box::new(sink),
            Box::new(move || {
                let _keep = &dir;
                records_of(&address)
            }),
        )
    });
}
