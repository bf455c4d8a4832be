//! The examples' command lines, as someone types them who has read nothing yet.

use std::path::Path;
use std::process::{Command, Output};

fn run(directory: &Path, program: &str, line: &str) -> Output {
    Command::new(program).args(line.split_whitespace()).current_dir(directory).output().unwrap()
}

fn payments(directory: &Path, line: &str) -> Output {
    run(directory, env!("CARGO_BIN_EXE_payments"), line)
}

fn fraud_detection(directory: &Path, line: &str) -> Output {
    run(directory, env!("CARGO_BIN_EXE_fraud_detection"), line)
}

#[track_caller]
fn fails(output: &Output, code: i32, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    for part in parts {
        assert!(error.contains(part), "`{part}` is missing in:\n{error}");
    }
    assert_eq!(output.status.code(), Some(code), "{error}");
}

#[test]
fn a_score_of_what_is_not_there_says_what_to_run() {
    let root = tempfile::tempdir().unwrap();
    let to_run = ["payments generate", "fraud_detection run --until-end"];
    fails(&payments(root.path(), "score"), 1, &to_run);

    let generated = payments(root.path(), "generate --payments 1000 --shards 1");
    let text = String::from_utf8(generated.stdout).unwrap();
    assert!(text.starts_with("1000 payments in 1 shard, in "), "{text}");
    fails(&payments(root.path(), "score --payments 1000"), 1, &to_run);

    let ran = fraud_detection(root.path(), "run --until-end --status off");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    fails(&payments(root.path(), "score --payments 999"), 1, &["that is 1000 and not 999", "--payments"]);
    let scored = payments(root.path(), "score --payments 1000");
    assert!(scored.status.success(), "{}", String::from_utf8_lossy(&scored.stderr));

    std::fs::remove_file(root.path().join(".pelton/demo/labels.jsonl")).unwrap();
    fails(
        &payments(root.path(), "score --payments 1000"),
        1,
        &["no labels to score by", "payments generate"],
    );
}

#[test]
fn a_job_without_its_input_says_so_without_rust() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("empty")).unwrap();
    std::fs::write(root.path().join("file"), "").unwrap();
    for (input, problem) in [
        (
            "nowhere",
            "the data directory nowhere does not exist; check the path, or begin a log there: pelton log create",
        ),
        (
            "empty",
            "the data directory empty holds no shard log; check the path, or begin a log there: pelton log create",
        ),
        ("file", "file is a file, where a data directory is expected"),
    ] {
        let ran = fraud_detection(root.path(), &format!("run --status off --input {input}/payments"));
        fails(&ran, 2, &["cannot open source `payments`: ", problem]);
        assert!(!String::from_utf8_lossy(&ran.stderr).contains("::"), "no path of the Rust API");
    }
}

#[test]
fn versions_are_told() {
    let root = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let said = |output: Output| String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said(fraud_detection(root.path(), "--version")),
        format!("fraud_detection {version} (Pelton {version})\n")
    );
    assert_eq!(said(payments(root.path(), "--version")), format!("payments {version}\n"));
}
