//! Scripts that the real boto3 runs: each is written as for Amazon, with another endpoint.

use pelton_kinesis::Settings;

use crate::support::{Running, run_script};

fn check(script: &str) {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    run_script(script, &server.endpoint());
}

#[test]
fn streams_are_created_written_and_read() {
    check("basics.py");
}
