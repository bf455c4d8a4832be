//! Where settings come from, which of them is stronger, and what a bad file is answered.

use crate::shell::{Ran, Shell, committed_lines};

/// How many workers the job says it has.
fn workers(ran: &Ran) -> &str {
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.err.lines().find_map(|line| line.strip_prefix("pelton-test-job: ")?.split(", ").next()).unwrap()
}

#[test]
fn flags_are_stronger_than_the_environment_and_that_than_the_file() {
    let run = "run --output out --count 10";
    let file = "workers = 2\nbackend = \"memory\"\n";

    let shell = Shell::new();
    shell.write("pelton.toml", file);
    assert_eq!(workers(&shell.numbers(&format!("{run} --config pelton.toml"))), "2 workers");

    let shell = Shell::new().with_env("PELTON_WORKERS", "3").with_env("PELTON_CONFIG", "pelton.toml");
    shell.write("pelton.toml", file);
    assert_eq!(workers(&shell.numbers(run)), "3 workers");

    let shell = Shell::new().with_env("PELTON_WORKERS", "3").with_env("PELTON_CONFIG", "pelton.toml");
    shell.write("pelton.toml", file);
    assert_eq!(workers(&shell.numbers(&format!("{run} --workers 1"))), "1 worker");
}

#[test]
fn the_file_gives_the_arguments_of_the_job_too() {
    let shell = Shell::new();
    shell.write(
        "pelton.toml",
        "job_id = \"counting\"\n\
         checkpoint_interval_ms = \"off\"\n\
         checkpoint_dir = \"saved\"\n\
         restart = { strategy = \"none\" }\n\
         [args]\n\
         output = \"out\"\n\
         count = 14\n\
         [engine]\n\
         batch_records = 16\n",
    );
    let ran = shell.numbers("run --config pelton.toml");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("a checkpoint at the end in saved; Ctrl-C"), "{}", ran.err);
    assert!(ran.err.contains("job `counting` has processed"), "{}", ran.err);
    assert_eq!(committed_lines(&shell.path("out")).len(), 14);
    shell.numbers("checkpoints list --config pelton.toml").has(&["final: the input has ended"]);

    shell.numbers("run --config pelton.toml --output other --count 3 --checkpoint-dir two").has(&[]);
    assert_eq!(committed_lines(&shell.path("other")).len(), 3, "flags are stronger");
    shell.numbers("explain --config pelton.toml").has(&["sink `counts`"]);
}

#[test]
fn a_bad_file_is_told_with_its_name_and_the_field() {
    let shell = Shell::new();
    let run = |text: &str| {
        shell.write("bad.toml", text);
        shell.numbers("run --output out --config bad.toml")
    };
    let file = "the configuration file bad.toml cannot be used: ";
    run("backend = \"disk\"")
        .fails_with(2, &[file, "unknown variant `disk`, expected `memory` or `rocksdb`"]);
    run("worker = 2").fails_with(2, &[file, "unknown field `worker`", "`workers`"]);
    run("workers = \"two\"").fails_with(2, &[file, "invalid type: string \"two\"", "workers"]);
    run("workers = 2\nworkers = 3").fails_with(2, &[file, "duplicate key"]);
    run("workers =").fails_with(2, &[file, "line 1"]);
    run("checkpoint_interval_ms = \"soon\"").fails_with(2, &[file, "`soon` is no interval"]);
    run("[engine]\nbatch = 1").fails_with(2, &[file, "unknown field `batch`", "batch_records"]);
    run("[restart]\nstrategy = \"sometimes\"").fails_with(2, &[file, "sometimes", "fixed-delay"]);
    run("job_id = 7").fails_with(2, &[file, "`job_id` is integer, not a string"]);
    run("args = 7").fails_with(2, &[file, "`args` is integer, not a section [args]"]);
    run("[args]\nspeed = 7")
        .fails_with(2, &[file, "`args.speed` is no argument of the job; it takes: `output`"]);
    run("[args]\ncount = \"many\"").fails_with(2, &[file, "`args.count`: invalid value 'many'"]);
    run("[args.count]\nx = 1").fails_with(2, &[file, "`args.count` is a section"]);
    assert!(!shell.path("out").exists(), "nothing was run");

    shell
        .numbers("run --output out --config none.toml")
        .fails(2, "cannot read the configuration file none.toml: No such file or directory (os error 2)");
}
