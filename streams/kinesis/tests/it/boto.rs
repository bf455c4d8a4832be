//! Scripts that the real boto3 runs: each is written as for Amazon, with another endpoint.

use std::sync::Arc;

use pelton_kinesis::Settings;
use pelton_streams::storage::FileStorage;

use crate::support::{Running, run_script, standing_clock};

fn check(script: &str) {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    run_script(&[script], &server.endpoint());
}

#[test]
fn streams_are_created_written_and_read() {
    check("basics.py");
}

#[test]
fn shards_are_split_merged_and_filtered() {
    check("resharding.py");
}

#[test]
fn subscriptions_bring_records_as_they_come() {
    check("fanout.py");
}

#[test]
fn settings_are_kept_and_are_there_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    let before = run_script(&["settings.py"], &server.endpoint());
    drop(server);
    let server = Running::start(data.path(), Settings::default());
    let after = run_script(&["settings.py", "show"], &server.endpoint());
    assert_eq!(before, after);
}

#[test]
fn a_program_for_amazon_runs_with_another_endpoint() {
    check("amazon.py");
}

#[test]
fn the_cli_has_every_command() {
    check("cli.py");
}

#[test]
fn clients_are_held_to_limits_on_request() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { enforce_limits: true, ..Settings::default() };
    let server = Running::by_clock(data.path(), settings, Arc::new(FileStorage), &standing_clock());
    run_script(&["limits.py"], &server.endpoint());
}
