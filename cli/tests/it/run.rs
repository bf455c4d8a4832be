//! `run`: a job as a process, from its start to its exit code.

use serde_json::Value;

use crate::shell::{Shell, committed_lines, ended, signal, wait_for};

/// The counts that the job gives of the numbers below `count`.
fn counts(count: u64) -> Vec<String> {
    let mut lines: Vec<String> =
        (0..count).map(|number| format!("[{},{}]", number % 7, number / 7 + 1)).collect();
    lines.sort_unstable();
    lines
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

#[test]
fn a_job_runs_to_the_end_of_its_input() {
    let shell = Shell::new();
    let ran = shell.numbers("run --output out --count 1000 --workers 2 --report -");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(sorted(committed_lines(&shell.path("out"))), counts(1_000));

    for part in [
        "pelton-test-job: 2 workers, a checkpoint each 10s in .pelton/pelton-test-job/checkpoints; Ctrl-C",
        "job `pelton-test-job` has processed all its input, in ",
        "  numbers    1,000",
        "  counts    1,000",
        "  read to sink ",
        "  read to commit ",
        " completed; the last, ",
        "restarts     0",
    ] {
        assert!(ran.err.contains(part), "`{part}` is missing in:\n{}", ran.err);
    }
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["end"], &report["status"]["restarts"]), (&Value::from("completed"), &Value::from(0)));
}

#[test]
fn run_is_what_a_job_does_without_a_command() {
    let shell = Shell::new();
    let ran = shell.numbers("--output out --count 100 --status off --report report.json");
    ran.says("");
    assert_eq!(sorted(committed_lines(&shell.path("out"))), counts(100));
    assert!(shell.read("report.json").contains("\"end\": \"completed\""));

    let again = shell.numbers("--output out --count 100");
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.err.contains("had processed all its input before"), "{}", again.err);
    assert!(!again.err.contains("a second"), "no table of nothing:\n{}", again.err);
}

#[test]
fn sigterm_and_sigint_stop_a_job_with_a_last_checkpoint() {
    let shell = Shell::new();
    for (name, generation) in [("TERM", 1), ("INT", 2)] {
        let mut job = shell.start_numbers("run --output out --checkpoint-interval off");
        wait_for(&mut job, "numbers flow");
        signal(&job, name);
        let ran = ended(job);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains("was stopped, with a last checkpoint"), "{}", ran.err);
        let report = shell.numbers("checkpoints show");
        report.has(&["checkpoint ", &format!("generation   {generation}, epoch ")]);
    }
}

#[test]
fn a_running_job_says_how_it_is_line_by_line() {
    let shell = Shell::new();
    let mut job = shell
        .start_numbers("run --output out --checkpoint-interval 20ms --status plain --status-interval 20ms");
    // Other lines may come before the first checkpoint.
    let line = wait_for(&mut job, "| checkpoint ");
    assert!(line.starts_with("pelton-test-job: ") && line.contains(" in | counts "), "{line}");
    assert!(line.contains(" | watermark 1970-01-01 00:0") && line.contains(" ago, took "), "{line}");
    signal(&job, "TERM");
    assert_eq!(ended(job).code, 0);
}

#[test]
fn a_job_goes_on_when_nobody_reads_its_log() {
    let shell = Shell::new();
    let mut job = shell.start_numbers("run --output out --checkpoint-interval 20ms --status-interval 20ms");
    wait_for(&mut job, "| checkpoint ");
    drop(job.stderr.take());
    // It tells of the signal, and of its end, into the closed pipe.
    signal(&job, "TERM");
    assert_eq!(ended(job).code, 0);
    shell.numbers("checkpoints show").has(&["checkpoint "]);
}

#[test]
fn a_stopped_job_goes_on_where_it_was() {
    let shell = Shell::new();
    let mut job = shell.start_numbers("run --output out");
    wait_for(&mut job, "numbers flow");
    signal(&job, "TERM");
    assert_eq!(ended(job).code, 0);
    let before = committed_lines(&shell.path("out")).len() as u64;
    shell.numbers(&format!("run --output out --count {}", before + 500)).has(&[]);
    let after = sorted(committed_lines(&shell.path("out")));
    assert_eq!(after, counts(before + 500), "each number is counted once, over both runs");
}

#[test]
fn state_that_no_operator_claims_is_dropped_only_if_allowed() {
    let shell = Shell::new();
    shell.numbers("run --output out --count 10 --status off").says("");
    let renamed = "run --output out --count 20 --operator tally --status off";
    shell
        .numbers(renamed)
        .fails_with(3, &["count / value: missing", "tally / value: new", "--allow-dropped-state"]);
    shell.numbers(&format!("{renamed} --allow-dropped-state")).says("");

    let by_environment = Shell::new().with_env("PELTON_ALLOW_DROPPED_STATE", "1");
    by_environment.numbers("run --output out --count 10 --status off").says("");
    by_environment.numbers(renamed).says("");
}

/// As of a source: the setting is right, and what the checkpoint goes on from is not there.
#[test]
fn a_sink_that_a_checkpoint_does_not_fit_is_state_that_does_not_fit() {
    let shell = Shell::new();
    shell.numbers("run --output out --count 10 --status off").says("");
    std::fs::remove_dir_all(shell.path("out")).unwrap();
    shell.numbers("run --output out --count 20").fails_with(
        3,
        &["cannot restore checkpoint 2: sink `counts`: ", "was prepared and is gone, but never committed"],
    );
    // Without a checkpoint it is the setting that is wrong.
    let other = Shell::new();
    other.numbers("run --output out --count 10 --status off").says("");
    other
        .numbers("run --output out --count 20 --checkpoint-dir fresh")
        .fails_with(2, &["cannot open sink `counts`: ", "is there already and is not of this run"]);
}

#[test]
fn a_job_starts_from_the_checkpoint_that_is_asked_for() {
    let shell = Shell::new();
    shell.numbers("run --output out --count 10 --status off").says("");
    shell.numbers("run --output out --count 20 --status off").says("");
    shell.numbers("run --output out --count 30 --from 2 --status off").says("");
    shell
        .numbers("checkpoints list")
        .has(&["(no checkpoint: a start took the job over, from checkpoint 2)\n"]);
}

#[test]
fn a_panic_of_the_job_is_told_with_its_place() {
    let shell = Shell::new();
    let ran = shell.numbers("run --output out --count 1000 --panic-at 500 --restart fixed:1:1ms");
    ran.fails_with(
        1,
        &["error: the job failed", ": operator `inspect", "panicked on worker", "500 is unlucky"],
    );
}

#[test]
fn flags_that_cannot_work_are_told() {
    let shell = Shell::new();
    let run = |flags: &str| shell.numbers(&format!("run --output out --count 1 {flags}"));
    run("--speed 3").fails_with(2, &["unexpected argument '--speed'"]);
    run("--workers 0 --checkpoint-interval 0s").fails(
        2,
        "the settings of the job cannot work:\n  - `workers` is 0: a job needs at least one\n  - `checkpoint_interval` is 0: give the time between checkpoints, such as 10s, or `off`",
    );
    run("--checkpoint-interval soon")
        .fails_with(2, &["`soon` is no duration, such as 500ms or 10s, or `off`"]);
    for flag in ["--checkpoint-interval", "--status-interval"] {
        run(&format!("{flag} 5")).fails_with(2, &["`5` has no unit: write 5s or 5ms"]);
    }
    run("--restart fixed:3:5").fails_with(2, &["`5` has no unit: write 5s or 5ms"]);
    run("--status-interval 0s").fails_with(2, &["`0s` is no time at all: write 500ms or 10s"]);
    run("--from newest").fails_with(2, &["write the number of a checkpoint, as `checkpoints list` shows it"]);
    run("--state-dir d --checkpoint-dir d/").fails(
        2,
        "the settings of the job cannot work:\n  - `state_dir` and `checkpoint_dir` are the same directory, d: state is cleared when a job starts, checkpoints must last; give each a directory of its own",
    );
    run("--checkpoint-dir .pelton").fails_with(
        2,
        &["`state_dir` (.pelton/pelton-test-job/state) lies inside `checkpoint_dir` (.pelton)"],
    );
    run("--report nowhere/report.json").fails(
        2,
        "cannot write the report to nowhere/report.json: there is no directory nowhere; make it, or name another file",
    );
    run("--report .").fails(2, "cannot write the report to .: it is a directory; name a file");
    shell.write("file", "");
    run("--checkpoint-dir file").fails_with(2, &["`checkpoint_dir`: ", "/file is a file, where a directory"]);
    run("--state-dir file/below").fails_with(2, &["`state_dir`: ", "/file is a file, where a directory"]);
    run("--metrics 9464").fails_with(2, &["write it as ADDRESS:PORT, such as 127.0.0.1:9464"]);
    run("--restart often").fails_with(2, &["it is no restart strategy; write `none`, `fixed:3:1s`"]);
    run("--backend disk").fails_with(2, &["invalid value 'disk'", "rocksdb, memory"]);
    run("--from 99").fails_with(2, &["there is no checkpoint 99 in `.pelton/pelton-test-job/checkpoints`"]);
    shell.numbers("run").fails_with(2, &["required arguments were not provided", "--output <DIR>"]);
    assert!(!shell.path("out").exists());
}

#[test]
fn two_jobs_do_not_share_a_state_directory() {
    let shell = Shell::new();
    let mut first = shell.start_numbers("run --output out");
    wait_for(&mut first, "Ctrl-C stops it");
    shell.numbers("run --output other").fails(
        1,
        "the state directory `.pelton/pelton-test-job/state` is in use by another process: if that one runs this job, leave it or stop it first; another job needs a state directory of its own",
    );
    signal(&first, "TERM");
    assert_eq!(ended(first).code, 0);
    shell
        .numbers("run --output other --job-id other --checkpoint-dir .pelton/pelton-test-job/checkpoints")
        .fails_with(3, &["are those of job `pelton-test-job`, this is job `other`"]);
}

#[test]
fn metrics_are_served_where_asked() {
    let shell = Shell::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    shell
        .numbers(&format!("run --output out --metrics {address}"))
        .fails_with(2, &[&format!("cannot serve metrics at {address}"), "choose another address"]);
}

#[test]
fn help_shows_the_arguments_of_the_job_and_of_all_jobs() {
    let shell = Shell::new();
    shell.numbers("--help").has(&[
        "Counts numbers by their remainder",
        "Usage: pelton-test-job [OPTIONS] --output <DIR>",
        "run  ",
        "explain",
        "checkpoints",
        "Arguments of the job:",
        "--output <DIR>",
        "Options of every job:",
        "--checkpoint-interval <TIME>",
        "PELTON_WORKERS",
        "Exit codes:",
    ]);
    // Each setting that only the file has, with its default.
    shell.numbers("run --help").has(&[
        "checkpoint_interval = \"5s\"",
        "checkpoint_timeout = \"10m\"",
        "tolerated_checkpoint_failures = 3",
        "retained_checkpoints = 3",
        "state_memory = \"1024MiB\"",
        "key_groups = 128",
        "discovery_interval = \"1s\"",
        "stuck_after = \"10s\"",
        "[engine]",
        "batch_records = 1024",
        "batch_linger = \"1ms\"",
        "channel_batches = 8",
        "watermark_interval = \"5ms\"",
        "slice = \"1ms\"",
        "poll_interval = \"100us\"",
    ]);
    shell.numbers("-h").has(&["More of the file: --help", "Exit codes:"]);
    shell.numbers("--version").says(concat!("pelton-test-job (Pelton ", env!("CARGO_PKG_VERSION"), ")\n"));
    shell.numbers("explain --help").has(&["--dot", "--output <DIR>"]);
}

/// What a job begins with is said once it has begun.
#[test]
fn a_start_that_is_refused_does_not_say_that_it_begins() {
    let shell = Shell::new();
    let refused = shell.numbers("run --output out --count 10 --from 77 --status plain");
    refused.fails_with(2, &["there is no checkpoint 77"]);
    assert!(!refused.err.contains("Ctrl-C stops it"), "{}", refused.err);
}

#[test]
fn settings_that_have_no_effect_are_told() {
    let shell = Shell::new().with_env("PELTON_WORKER", "2").with_env("PELTON_PARALLELISM", "2");
    shell.write("job.toml", "key_groups = 2\n");
    let ran = shell.numbers("run --output out --count 10 --workers 3 --config job.toml");
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in [
        "the environment variable PELTON_WORKER is no setting of a job and is passed over; did you mean PELTON_WORKERS?",
        "the environment variable PELTON_PARALLELISM is no setting of a job and is passed over\n",
        "1 of the 3 workers have nothing to do for keyed operators, whose keys lie in 2 key groups",
    ] {
        assert!(ran.err.contains(part), "`{part}` is missing in:\n{}", ran.err);
    }
    shell.numbers("explain --output out").has(&["count"]);
}
