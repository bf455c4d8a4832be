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
         checkpoint_interval = \"off\"\n\
         checkpoint_dir = \"saved\"\n\
         restart = \"none\"\n\
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
        shell.numbers("run --output out --count 1 --config bad.toml")
    };
    let file = "the configuration file bad.toml cannot be used: ";
    run("backend = \"disk\"").fails(
        2,
        "the configuration file bad.toml cannot be used: `backend`: invalid value 'disk' [possible values: rocksdb, memory]",
    );
    run("workers = \"two\"").fails_with(2, &[file, "`workers`: invalid value 'two'"]);
    run("workers = [2]").fails_with(2, &[file, "`workers` is a list: give one value"]);
    run("[workers]\nx = 1").fails_with(2, &[file, "`workers` is a section"]);
    run("workers = 2\nworkers = 3").fails_with(2, &[file, "duplicate key"]);
    run("workers =").fails_with(2, &[file, "line 1"]);
    run("checkpoint_interval = \"soon\"")
        .fails_with(2, &[file, "`checkpoint_interval`: ", "`soon` is no duration"]);
    run("checkpoint_interval = 5").fails_with(2, &[file, "`5` has no unit: write 5s or 5ms, or `off`"]);
    run("status_interval = \"0s\"").fails_with(2, &[file, "`status_interval`: ", "`0s` is no time at all"]);
    run("allow_dropped_state = \"yes\"")
        .fails_with(2, &[file, "`allow_dropped_state` is a string: write true or false"]);
    run("checkpoint_timeout = 600")
        .fails_with(2, &[file, "`checkpoint_timeout`: it is a whole number: write a duration"]);
    run("state_memory = \"1.5GiB\"").fails_with(2, &[file, "`state_memory`: `1.5GiB` is no size"]);
    run("restart = \"sometimes\"").fails_with(2, &[file, "`restart`: ", "`fixed:3:1s`"]);
    run("args = 7").fails_with(2, &[file, "`args` is a whole number, not a section [args]"]);
    run("engine = 7").fails_with(2, &[file, "`engine` is a whole number, not a section [engine]"]);
    run("[args]\nspeed = 7")
        .fails_with(2, &[file, "`args.speed` is no argument of the job; it takes: `output`"]);
    run("[args]\ncount = \"many\"").fails_with(2, &[file, "`args.count`: invalid value 'many'"]);
    run("[args.count]\nx = 1").fails_with(2, &[file, "`args.count` is a section"]);
    assert!(!shell.path("out").exists(), "nothing was run");

    shell
        .numbers("run --output out --config none.toml")
        .fails(2, "cannot read the configuration file none.toml: No such file or directory (os error 2)");
}

#[test]
fn a_name_that_is_no_setting_is_answered_with_the_one_that_was_meant() {
    let shell = Shell::new();
    let run = |text: &str| {
        shell.write("bad.toml", text);
        shell.numbers("run --output out --count 1 --config bad.toml")
    };
    let file = "the configuration file bad.toml cannot be used: ";
    for (name, meant) in [
        ("worker", "workers"),
        ("checkpoint_interval_ms", "checkpoint_interval"),
        ("checkpoint-dir", "checkpoint_dir"),
        ("metrics_address", "metrics"),
        ("state_memory_mib", "state_memory"),
    ] {
        run(&format!("{name} = 2"))
            .fails(2, &format!("{file}`{name}` is no setting; do you mean `{meant}`?"));
    }
    run("parallelism = 2").fails_with(
        2,
        &[
            file,
            "`parallelism` is no setting; there are: `",
            "`workers`",
            "`state_memory`",
            "`engine`",
            "`args`",
        ],
    );
    run("config = \"other.toml\"").fails_with(2, &[file, "`config` is no setting"]);
    run("count = 7").fails_with(
        2,
        &[file, "`count` is no setting; it is an argument of the job, which stands in the section [args]"],
    );
    run("[engine]\nbatch_size = 1").fails_with(
        2,
        &[
            file,
            "`engine.batch_size` is no setting; there are: `engine.batch_records`, `engine.batch_linger`",
        ],
    );
    run("[engine]\nslices = \"1ms\"").fails_with(2, &[file, "do you mean `engine.slice`?"]);
    assert!(!shell.path("out").exists(), "nothing was run");
}

#[test]
fn whatever_has_a_flag_stands_in_the_file_by_its_name() {
    let shell = Shell::new();
    shell.write(
        "pelton.toml",
        "job_id = \"counting\"\nworkers = 2\nstate_dir = \"state\"\ncheckpoint_dir = \"saved\"\n\
         checkpoint_interval = \"1h\"\nbackend = \"memory\"\nmetrics = \"127.0.0.1:0\"\n\
         allow_dropped_state = true\nrestart = \"exponential:100ms:1m\"\nstatus = \"plain\"\n\
         status_interval = \"1h\"\nreport = \"report.json\"\n\
         checkpoint_timeout = \"1m\"\nstate_memory = \"64MiB\"\n[engine]\nslice = \"2ms\"\n",
    );
    let run = "run --config pelton.toml --output out";
    let ran = shell.numbers(&format!("{run} --count 10"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let first = "counting: 2 workers, a checkpoint each 1h in saved, metrics at http://127.0.0.1:0/metrics";
    assert!(ran.err.contains(first), "{}", ran.err);
    assert!(shell.path("state").is_dir() && !shell.path(".pelton").exists());
    assert!(shell.read("report.json").contains("\"job\": \"counting\""));
    shell.numbers(&format!("{run} --count 20 --operator tally")).has(&[]);

    let file = shell.read("pelton.toml");
    shell.write("pelton.toml", &format!("from = 99\n{file}"));
    shell.numbers(&format!("{run} --count 30")).fails_with(2, &["there is no checkpoint 99 in `saved`"]);
    shell.numbers(&format!("{run} --count 30 --from 2 --operator tally --status off")).says("");

    let by_environment = shell.with_env("PELTON_FROM", "98").with_env("PELTON_ALLOW_DROPPED_STATE", "0");
    by_environment
        .numbers(&format!("{run} --count 30"))
        .fails_with(2, &["there is no checkpoint 98 in `saved`"]);
}

#[test]
fn a_wrong_environment_variable_is_told_by_its_name() {
    let shell = Shell::new().with_env("PELTON_WORKERS", "abc").with_env("PELTON_BACKEND", "disk");
    let run = "run --output out --count 1 --status off";
    shell
        .numbers(&format!("{run} --backend memory"))
        .fails(2, "the environment variable PELTON_WORKERS cannot be used: invalid value 'abc': write a number of threads, such as 4");
    shell.numbers(&format!("{run} --workers 1")).fails(
        2,
        "the environment variable PELTON_BACKEND cannot be used: invalid value 'disk' [possible values: rocksdb, memory]",
    );
    let typed = shell.numbers(&format!("{run} --workers abc --backend memory"));
    typed.fails_with(2, &["invalid value 'abc' for '--workers <N>'"]);
    assert!(!typed.err.contains("PELTON_"), "{}", typed.err);
    shell.numbers(&format!("{run} --workers 1 --backend memory")).says("");
}
