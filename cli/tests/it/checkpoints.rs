//! `checkpoints list|show|verify`, of a job and of the `pelton` binary.

use crate::shell::{Shell, ended, signal, wait_for};

/// A directory in which the job has run to its end.
fn after_a_run() -> Shell {
    let shell = Shell::new();
    let ran = shell.numbers("run --output out --count 1000 --workers 2 --checkpoint-dir saved --status off");
    ran.says("");
    shell
}

/// The number of the newest checkpoint, which is the last line of the list.
fn newest(shell: &Shell) -> u64 {
    let list = shell.numbers("checkpoints list --checkpoint-dir saved").out;
    list.lines().last().and_then(|line| line.split_whitespace().next()).unwrap().parse().unwrap()
}

#[test]
fn checkpoints_are_listed() {
    let shell = after_a_run();
    let list = shell.numbers("checkpoints list --checkpoint-dir saved");
    list.has(&[
        "checkpoint  generation  epoch  completed",
        "(no checkpoint: the job began here)\n",
        "final: the input has ended",
    ]);
    assert_eq!(shell.pelton("checkpoints list --checkpoint-dir saved").out, list.out);
    assert_eq!(shell.numbers("checkpoints --checkpoint-dir saved list").out, list.out);
}

#[test]
fn a_checkpoint_is_shown() {
    let shell = after_a_run();
    let shown = shell.numbers("checkpoints show --checkpoint-dir saved");
    let newest = newest(&shell);
    shown.has(&[
        &format!("checkpoint {newest} of job `pelton-test-job`"),
        "generation   1, epoch ",
        "taken by     2 workers, 128 key groups",
        "note         final: the input has ended",
        "source `numbers`: ",
        "no more will be found",
        "finished in epoch",
        "next is index 1000",
        "sink `counts`: ",
        " that this checkpoint commits",
        "made visible right after this checkpoint; if the job was killed before, when it next starts",
        "keyed state of  state",
        "count           value",
    ]);
    assert_eq!(shell.numbers(&format!("checkpoints show {newest} --checkpoint-dir saved")).out, shown.out);
    assert_eq!(shell.numbers("checkpoints show latest --checkpoint-dir saved").out, shown.out);
    shell.numbers("checkpoints show last --checkpoint-dir saved").fails_with(
        2,
        &[
            "invalid value 'last'",
            "write the number of a checkpoint, as `checkpoints list` shows it, or `latest`",
        ],
    );
    shell
        .numbers("checkpoints show 77 --checkpoint-dir saved")
        .fails_with(2, &["there is no checkpoint 77 in `saved`; there are: 2"]);
}

#[test]
fn output_that_a_later_checkpoint_no_longer_lists_is_visible() {
    let shell = Shell::new();
    let run = "run --output out --checkpoint-dir saved --checkpoint-interval off";
    let show = |which: u64| shell.numbers(&format!("checkpoints show {which} --checkpoint-dir saved"));
    let listed =
        "made visible right after this checkpoint; if the job was killed before, when it next starts";
    let stopped = |flags: &str| {
        let mut job = shell.start_numbers(&format!("{run} {flags}"));
        wait_for(&mut job, "numbers flow");
        signal(&job, "TERM");
        assert_eq!(ended(job).code, 0);
        newest(&shell)
    };
    let first = stopped("");
    show(first).has(&["  epoch  worker  state\n", listed]);

    let second = stopped("");
    let visible = format!("visible: checkpoint {second} no longer lists it");
    show(first).has(&[&visible]);
    assert!(!show(first).out.contains(listed));
    show(second).has(&[listed]);

    stopped(&format!("--from {first}"));
    show(second).has(&[&format!("left behind: the job went back to checkpoint {first}; visible only if")]);
    show(first).has(&[&visible]);
}

#[test]
fn checkpoints_are_verified_to_the_last_byte() {
    let shell = after_a_run();
    let verify = || shell.numbers("checkpoints verify --checkpoint-dir saved");
    verify().has(&["read ", " with ", ": all is well\n"]);

    let data = largest_file_below(&shell.path("saved/data"));
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&data, &bytes).unwrap();
    let damaged = verify();
    assert_eq!(damaged.code, 4, "{}", damaged.out);
    assert!(damaged.out.contains("is damaged: its bytes have the checksum"), "{}", damaged.out);
    assert!(damaged.out.contains(" problem"), "{}", damaged.out);

    let manifest = format!("saved/manifest/{:020}", newest(&shell));
    shell.write(&manifest, "PELTON");
    let damaged = verify();
    assert_eq!(damaged.code, 4, "{}", damaged.out);
    assert!(damaged.out.contains("shorter than the header of a manifest"), "{}", damaged.out);
    shell
        .numbers("checkpoints list --checkpoint-dir saved")
        .has(&[&format!("damaged: `{manifest}` is damaged")]);
}

fn largest_file_below(directory: &std::path::Path) -> std::path::PathBuf {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files.into_iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap()
}

#[test]
fn a_directory_without_checkpoints_is_told_and_not_made() {
    let shell = Shell::new();
    shell.numbers("checkpoints list").fails(
        2,
        "the checkpoint directory .pelton/pelton-test-job/checkpoints does not exist; check the path (--checkpoint-dir), or run the job first",
    );
    assert!(!shell.path(".pelton").exists());
    shell.pelton("checkpoints list").fails(
        2,
        "no checkpoint directory is given: name it by --checkpoint-dir, such as .pelton/JOB/checkpoints",
    );
}

/// The same mistake is answered alike by each command.
#[test]
fn a_wrong_checkpoint_directory_is_told_by_each_command_alike() {
    let shell = Shell::new();
    std::fs::create_dir(shell.path("empty")).unwrap();
    shell.write("file", "");
    for command in ["list", "show", "verify", "verify latest"] {
        let told = |directory: &str, error: &str| {
            shell.pelton(&format!("checkpoints {command} --checkpoint-dir {directory}")).fails(2, error);
            shell.numbers(&format!("checkpoints {command} --checkpoint-dir {directory}")).fails(2, error);
        };
        told(
            "nowhere",
            "the checkpoint directory nowhere does not exist; check the path (--checkpoint-dir), or run the job first",
        );
        for path in ["file", "file/below"] {
            told(
                path,
                "file is a file, where a checkpoint directory is expected; check the path (--checkpoint-dir)",
            );
        }
        told(
            "empty",
            "the checkpoint directory empty holds no checkpoints; check the path (--checkpoint-dir), or run the job first",
        );
    }
    assert!(!shell.path("nowhere").exists());
}
