//! Every error of `pelton log` as the user sees it: what, where, what to do.

use crate::shell::{Shell, ended, signal};

fn with_stream() -> Shell {
    let shell = Shell::new();
    shell.pelton("log create data/payments --shards 2").says("created data/payments with 2 shards\n");
    shell
}

/// The same mistake is answered alike by each command.
#[test]
fn a_directory_that_is_no_log() {
    let shell = Shell::new();
    shell.write("file", "");
    std::fs::create_dir(shell.path("empty")).unwrap();
    for command in ["put", "get", "tail", "describe", "verify", "delete --yes", "list"] {
        let told = |directory: &str, error: &str| {
            let stream = if command == "list" { "" } else { "/payments" };
            shell.pelton(&format!("log {command} {directory}{stream}")).fails(2, error);
        };
        told(
            "data",
            "the data directory data does not exist; check the path, or begin a log there: pelton log create data/STREAM",
        );
        told(
            "empty",
            "the data directory empty holds no shard log; check the path, or begin a log there: pelton log create empty/STREAM",
        );
        for path in ["file", "file/below"] {
            told(
                path,
                "file is a file, where a data directory is expected; check the path, or name another directory",
            );
        }
    }
    shell.pelton("log create file/payments").fails(
        2,
        "file is a file, where a data directory is expected; check the path, or name another directory",
    );
}

#[test]
fn a_log_inside_another() {
    let shell = with_stream();
    for address in ["data/payments/x", "data/streams/x", "data/streams/payments/x"] {
        shell.pelton(&format!("log create {address}")).fails_with(
            2,
            &[
                "would lie inside the shard log data, whose files are its own",
                "or a stream of that log: data/STREAM",
            ],
        );
    }
    shell.pelton("log list data").says("payments\n");
    assert!(!shell.path("data/payments").exists());
}

#[test]
fn a_stream_that_is_there_with_other_shards() {
    let shell = with_stream();
    let create = |flags: &str| shell.pelton(&format!("log create data/payments --if-missing {flags}"));
    create("").says("data/payments exists already\n");
    create("--shards 2").says("data/payments exists already\n");
    create("--shards 4").fails(
        2,
        "data/payments exists already and is another: it has 2 shards, not 4; ask for what is there, or give the new stream another name",
    );
    create("--shards 1 --retention 7d --retention-size 1GiB").fails_with(
        2,
        &[
            "has 2 shards, not 1",
            "keeps records for ever, not for 7days",
            "keeps any number of bytes, not 1.0 GiB",
        ],
    );
}

#[test]
fn a_stream_or_shard_that_is_not_there() {
    let shell = with_stream();
    shell
        .pelton("log tail data/payment")
        .fails(2, "there is no stream `payment` in data; it holds: payments");
    shell.pelton("log get data/payments --shard 7").fails(
        2,
        "the stream `payments` has no shard shardId-000000000007; it has 2 shards, from shardId-000000000000 on",
    );
    shell
        .pelton("log get data/payments --from 5")
        .fails(2, "sequence numbers are those of one shard: say which by --shard");
}

#[test]
fn a_stream_that_cannot_be_created() {
    let shell = with_stream();
    shell.pelton("log create data/payments").fails(2, "the stream `payments` exists already in data; give the new one another name, or delete that one first; to take it as it is, say --if-missing");
    shell
        .pelton("log create data/x --shards 0")
        .fails(2, "the stream `x` cannot have 0 shards: 1 to 10000 are possible");
    shell.pelton("log create data/a:b").fails_with(2, &["`a:b` is not a valid stream name", "only letters"]);
}

#[test]
fn arguments_that_say_nothing() {
    let shell = with_stream();
    shell.pelton("log get payments").fails_with(2, &["it names no directory", "such as ./data/payments"]);
    shell.pelton("log get data/payments --from first").fails_with(2, &["neither `oldest` nor `latest`"]);
    shell.pelton("log get data/payments --shard x").fails_with(2, &["write 3 or shardId-000000000003"]);
    shell.pelton("log get data/payments --since then").fails_with(2, &["`then` is no time: write 2026-"]);
    shell.pelton("log create data/x --retention soon").fails_with(2, &["`soon` is no duration, such as"]);
    shell.pelton("log create data/x --retention 7").fails_with(2, &["`7` has no unit: write 7s or 7ms"]);
    shell.pelton("log create data/x --retention 0s").fails_with(2, &["`0s` is no time at all"]);
    shell.pelton("log create data/x --retention-size big").fails_with(2, &["`big` is no size"]);
    shell.pelton("log get data/payments --fast").fails_with(2, &["unexpected argument '--fast'"]);
    shell.pelton("log").fails_with(2, &["Usage: pelton log <COMMAND>"]);
}

#[test]
fn a_line_without_its_key() {
    let shell = with_stream();
    let put = |input: &str| shell.pelton_fed("log put data/payments --key-field card", input);
    put("{\"card\": 1}\n{\"id\": 1}\n{\"card\": 2}\n").fails(
        2,
        "line 2 of standard input: it has no field `card`; the 1 line before it is in the log, nothing after",
    );
    put("payment\n")
        .fails_with(2, &["line 1 of standard input: it is no JSON object", "; nothing is in the log"]);
    put("{\"card\": null}\n")
        .fails_with(2, &["the field `card` is null: a partition key is a string or a number"]);
    assert_eq!(shell.pelton("log get data/payments").out.lines().count(), 1, "what was told is there");
}

#[test]
fn a_record_that_is_too_large() {
    let shell = with_stream();
    let line = "x".repeat(10 * 1024 * 1024 + 1);
    let put = shell.pelton_fed("log put data/payments", &line);
    put.fails_with(2, &["line 1 of standard input: ", "10485760"]);
}

#[test]
fn a_file_that_cannot_be_read() {
    let shell = with_stream();
    shell
        .pelton("log put data/payments --file lines.txt")
        .fails(2, "cannot read lines.txt: No such file or directory (os error 2)");
}

#[test]
fn a_stream_that_another_process_writes() {
    let shell = with_stream();
    // It holds the stream while its input is open; that it has begun is seen by its first record.
    let mut writer = shell.start_pelton("log put data/payments");
    std::io::Write::write_all(writer.stdin.as_mut().unwrap(), b"first\n").unwrap();
    let seen = ended(shell.start_pelton("log tail data/payments --from oldest --limit 1 --data-only"));
    assert_eq!(seen.out, "first\n");
    shell
        .pelton("log put data/payments")
        .fails_with(1, &["the stream `payments` is being written by another process", "stop that process"]);
    signal(&writer, "KILL");
    writer.wait().unwrap();
    shell.pelton_fed("log put data/payments", "second\n").has(&["put 1 record"]);
}
