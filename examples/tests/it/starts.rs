//! Starts of the fraud example that cannot succeed: they say why, leave nothing behind, and leave a
//! run that is under way alone.

use std::path::Path;
use std::process::{Command, Output};

use pelton_examples::payments::{Alert, Scenario, ingest};

/// The job with its files below `root`, its output in stream `alerts`.
fn job(root: &Path, alerts: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fraud_detection"));
    command.args(["run", "--status", "plain", "--workers", "1"]);
    command.arg("--input").arg(root.join("log/payments"));
    command.arg("--alerts").arg(root.join("log").join(alerts));
    command.arg("--out").arg(root.join("out"));
    command.arg("--state-dir").arg(root.join("state"));
    command.arg("--checkpoint-dir").arg(root.join("checkpoints"));
    command
}

fn generate(root: &Path) {
    let scenario = Scenario::new(42, 2_000);
    ingest::generate(&scenario, &root.join("log"), "payments", 2, 1).unwrap();
}

/// The exit code of a run that fails, and what it says.
fn refused(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_missing_input_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let (code, message) = refused(&mut job(root.path(), "alerts"));
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("cannot open source `payments`"), "{message}");
    assert!(std::fs::read_dir(root.path()).unwrap().next().is_none(), "nothing is made for it");

    generate(root.path());
    assert!(job(root.path(), "alerts").arg("--until-end").status().unwrap().success());
}

#[test]
fn a_job_that_would_read_its_own_output_is_refused() {
    let root = tempfile::tempdir().unwrap();
    generate(root.path());
    let (code, message) = refused(&mut job(root.path(), "payments"));
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("source `payments` reads what sink `alerts` writes to"), "{message}");
}

#[test]
fn a_job_without_its_checkpoints_is_refused_however_often_it_is_started() {
    let root = tempfile::tempdir().unwrap();
    generate(root.path());
    let bounded = || {
        let mut job = job(root.path(), "alerts");
        job.arg("--until-end");
        job
    };
    assert!(bounded().status().unwrap().success());
    let alerts = || ingest::read::<Alert>(&root.path().join("log"), "alerts").unwrap().len();
    let before = alerts();
    std::fs::remove_dir_all(root.path().join("checkpoints")).unwrap();
    for _ in 0..3 {
        let (code, message) = refused(&mut bounded());
        assert_eq!(code, 2, "{message}");
        assert!(message.contains("was started without the job's checkpoints"), "{message}");
    }
    assert!(before > 0 && alerts() == before);
}

#[test]
fn a_job_whose_input_has_ended_does_not_go_on_in_silence() {
    let root = tempfile::tempdir().unwrap();
    generate(root.path());
    let bounded = || job(root.path(), "alerts").arg("--until-end").output().unwrap();
    assert!(bounded().status.success());
    let again = bounded();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.success() && said.contains("had processed all its input before"), "{said}");
    let (code, message) = refused(&mut job(root.path(), "alerts"));
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("it holds the end of all input"), "{message}");
}
