//! The failpoints, one test each: a failure names the step. `docs/reliability.md` says of each what
//! it stands for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::attempt::{Step, attempt, attempt_pairs};

macro_rules! steps {
    ($($test:ident: $name:literal, $passes:literal $(, after $after:literal)?;)*) => {
        const STEPS: &[Step] = &[
            $(Step { name: $name, passes: $passes, after: [$(Some($after), )? None][0] }),*
        ];

        $(
            #[test]
            fn $test() {
                let step = STEPS.iter().find(|step| step.name == $name);
                attempt(*step.expect("it is in the table that this is made from"));
            }
        )*
    };
}

// The name, and how often a run passes it at least.
steps! {
    state_freeze: "state::freeze", 8;
    state_write: "state::write", 8;
    state_ingest: "state::ingest", 8;
    state_pin: "state::pin", 8;
    checkpoint_put: "checkpoint::put", 8;
    checkpoint_acknowledge: "checkpoint::acknowledge", 8;
    checkpoint_fetch: "checkpoint::fetch", 2;
    checkpoint_delete: "checkpoint::delete", 2;
    manifest_append: "manifest::append", 4;
    manifest_appended: "manifest::appended", 4;
    manifest_take_over: "manifest::take_over", 2;
    manifest_taken_over: "manifest::taken_over", 2;
    sink_prepare: "sink::prepare", 8;
    sink_prepared: "sink::prepared", 8;
    sink_commit: "sink::commit", 8;
    sink_committed: "sink::committed", 8;
    sink_abort: "sink::abort", 4, after "sink::prepared=1*return";
    sink_recommit: "sink::recommit", 4, after "sink::commit=10*return";
    log_append: "log::append", 8;
    log_write: "log::write", 8;
    log_sync: "log::sync", 8;
    log_publish: "log::publish", 8;
    log_roll: "log::roll", 4;
    log_anchor: "log::anchor", 8;
    log_recover: "log::recover", 3;
    log_roll_back: "log::roll_back", 1, after "log::append=1*return";
    log_retain: "log::retain", 2;
    txn_fence: "txn::fence", 2;
    txn_prepare: "txn::prepare", 4;
    txn_prepared: "txn::prepared", 4;
    txn_commit: "txn::commit", 4;
    txn_remove: "txn::remove", 4;
    txn_abort: "txn::abort", 1, after "sink::prepared=1*return";
    txn_aborted: "txn::aborted", 1, after "sink::prepared=1*return";
}

#[test]
fn two_at_once() {
    attempt_pairs(STEPS, 4);
}

/// A point that stands somewhere in the sources is tried here, and told of in the documents.
#[test]
fn every_failpoint_is_tried() {
    let root = Path::new(".");
    let mut names = BTreeSet::new();
    let mut folders: Vec<PathBuf> = ["dataflow", "state", "operators", "runtime", "streams", "connectors"]
        .map(|one| root.join(one).join("src"))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(path).unwrap();
                let named = ["failpoint::at(\"", ".failpoint(\""]
                    .into_iter()
                    .flat_map(|call| text.split(call).skip(1));
                names.extend(named.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    assert!(
        STEPS.iter().map(|step| step.name.to_owned()).collect::<BTreeSet<_>>() == names,
        "the sources have {names:?}"
    );
    let told = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    for name in names {
        assert!(told.contains(&format!("`{name}`")), "docs/reliability.md does not tell of {name}");
    }
}
