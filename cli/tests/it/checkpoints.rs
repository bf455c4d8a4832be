//! `checkpoints list|show|verify`, of a job and of the `pelton` binary.

use crate::shell::Shell;

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
        "(no checkpoint: the job began here, from nothing)",
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
        "keyed state of  state",
        "count           value",
    ]);
    assert_eq!(shell.numbers(&format!("checkpoints show {newest} --checkpoint-dir saved")).out, shown.out);
    shell
        .numbers("checkpoints show 77 --checkpoint-dir saved")
        .fails_with(2, &["there is no checkpoint 77 in `saved`; there are: 2"]);
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
        "there is no checkpoint directory .pelton/pelton-test-job/checkpoints: check the path, or run the job first (it is given by --checkpoint-dir)",
    );
    assert!(!shell.path(".pelton").exists());
    shell.pelton("checkpoints list").fails(
        2,
        "no checkpoint directory is given: name it by --checkpoint-dir, such as .pelton/JOB/checkpoints",
    );
    std::fs::create_dir(shell.path("empty")).unwrap();
    shell.pelton("checkpoints list --checkpoint-dir empty").says("there are no checkpoints in empty\n");
    shell.pelton("checkpoints show --checkpoint-dir empty").fails(2, "there are no checkpoints in empty");
}
