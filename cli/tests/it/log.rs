//! `pelton log`: a stream from its creation to its deletion.

use serde_json::{Value, json};

use crate::shell::{Ran, Shell, ended, read};

const PAYMENTS: &str = "\
{\"card\": \"a\", \"at\": 1000}
{\"card\": \"b\", \"at\": 2000}
{\"card\": \"a\", \"at\": 3000}
";

/// A directory with the stream `data/payments` of two shards, which holds [`PAYMENTS`].
fn with_payments() -> Shell {
    let shell = Shell::new();
    shell.pelton("log create data/payments --shards 2").says("created data/payments with 2 shards\n");
    let put = shell.pelton_fed("log put data/payments --key-field card --time-field at", PAYMENTS);
    put.has(&["put 3 records (", ") into 2 shards of data/payments in "]);
    shell
}

fn records(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

#[test]
fn what_is_put_is_got() {
    let shell = with_payments();
    let mut records = records(&shell.pelton("log get data/payments"));
    for record in &mut records {
        assert!(record["arrival_ms"].take().as_u64().unwrap() > 0);
    }
    // MD5("a") begins with 0, MD5("b") with 9: the first and the second half of the ring.
    let record = |shard: &str, sequence: u64, card: &str, at: u64| {
        json!({
            "shard": shard, "sequence": sequence, "arrival_ms": null, "event_time_ms": at,
            "partition_key": card, "data": format!("{{\"card\": \"{card}\", \"at\": {at}}}"),
        })
    };
    let (first, second) = ("shardId-000000000000", "shardId-000000000001");
    assert_eq!(
        records,
        [record(first, 1, "a", 1000), record(first, 2, "a", 3000), record(second, 1, "b", 2000)]
    );
}

#[test]
fn get_reads_from_a_position_as_many_as_asked() {
    let shell = with_payments();
    let got = |flags: &str| shell.pelton(&format!("log get data/payments --data-only {flags}"));
    got("--shard 0").says("{\"card\": \"a\", \"at\": 1000}\n{\"card\": \"a\", \"at\": 3000}\n");
    got("--shard 0 --from 2").says("{\"card\": \"a\", \"at\": 3000}\n");
    got("--shard shardId-000000000001").says("{\"card\": \"b\", \"at\": 2000}\n");
    got("--limit 1").says("{\"card\": \"a\", \"at\": 1000}\n");
    got("--limit 0").says("");
    got("--from latest").says("");
    assert_eq!(got("--since 1h").out.lines().count(), 3);
    assert_eq!(got("--since 2000-01-01T00:00:00Z").out.lines().count(), 3);
    got("--since 2999-01-01T00:00:00Z").says("");
}

#[test]
fn lines_are_spread_unless_they_have_one_key() {
    let shell = Shell::new();
    shell.pelton("log create data/lines --shards 2").says("created data/lines with 2 shards\n");
    shell.write("lines.txt", &(0..100).map(|i| format!("line {i}\r\n")).collect::<String>());
    shell.pelton("log put data/lines --file lines.txt").has(&["put 100 records (", ") into 2 shards"]);
    shell.pelton("log create data/one --shards 2").says("created data/one with 2 shards\n");
    shell
        .pelton("log put data/one --file lines.txt --partition-key k")
        .has(&[") into 1 shard of data/one in"]);

    let mut lines: Vec<String> =
        shell.pelton("log get data/lines --data-only").out.lines().map(str::to_owned).collect();
    lines.sort_by_key(|line| line["line ".len()..].parse::<u32>().unwrap());
    assert_eq!(lines, (0..100).map(|i| format!("line {i}")).collect::<Vec<_>>(), "without line ends");
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let shell = Shell::new();
    shell.pelton("log create data/bytes").says("created data/bytes with 1 shard\n");
    std::fs::write(shell.path("bytes"), [0xff, 0x00, b'\n']).unwrap();
    shell.pelton("log put data/bytes --file bytes").has(&["put 1 record ("]);
    let records = records(&shell.pelton("log get data/bytes"));
    assert_eq!((&records[0]["data_base64"], &records[0]["data"]), (&json!("/wA="), &Value::Null));
}

#[test]
fn a_partition_key_is_one_string_whatever_its_bytes() {
    let shell = Shell::new();
    shell.pelton("log create data/keys").says("created data/keys with 1 shard\n");
    let lines = "{\"key\": \"card\"}\n{\"key\": \"a\\\\b\"}\n{\"key\": \"\\u0001\"}\n";
    shell.pelton_fed("log put data/keys --key-field key", lines).has(&["put 3 records ("]);
    let tail = "log tail data/keys --from oldest --limit 3";
    for command in ["log get data/keys", tail] {
        let keys: Vec<Value> =
            records(&shell.pelton(command)).iter().map(|record| record["partition_key"].clone()).collect();
        assert_eq!(keys, ["card", "a\\\\b", "\\x01"]);
    }
}

#[test]
fn tail_follows_what_another_process_writes() {
    let shell = with_payments();
    let mut tail = shell.start_pelton("log tail data/payments --from oldest --limit 5 --data-only");
    assert_eq!(sorted(read(&mut tail, 3)), sorted(PAYMENTS.lines().map(str::to_owned).collect()));
    shell.pelton_fed("log put data/payments --partition-key a", "four\nfive\n").has(&["put 2 records"]);
    ended(tail).says("four\nfive\n");
}

#[test]
fn shards_are_split_and_merged_and_tail_reads_on_in_the_new_ones() {
    let shell = with_payments();
    shell.pelton("log create data/one").has(&["created"]);
    let mut tail = shell.start_pelton("log tail data/one --from oldest --limit 5 --data-only");
    shell.pelton_fed("log put data/one --partition-key a", "one\n").has(&["put 1 record"]);
    assert_eq!(read(&mut tail, 1), ["one"]);
    shell.pelton("log split data/one 0").says(
        "split shardId-000000000000 into shardId-000000000001 and shardId-000000000002, which begins at hash key 170141183460469231731687303715884105728\n",
    );
    // MD5 of `a` begins with 0, that of `message digest` with f.
    shell.pelton_fed("log put data/one --partition-key a", "two\n").has(&["put 1 record"]);
    shell.pelton_fed("log put data/one --partition-key md5", "three\n").has(&["put 1 record"]);
    assert_eq!(sorted(read(&mut tail, 2)), ["three", "two"]);
    shell
        .pelton("log merge data/one 2 1")
        .says("merged shardId-000000000002 and shardId-000000000001 into shardId-000000000003\n");
    shell.pelton_fed("log put data/one --partition-key a", "four\nfive\n").has(&["put 2 records"]);
    ended(tail).says("four\nfive\n");

    let described = records(&shell.pelton("log describe data/one --json")).remove(0);
    assert_eq!(described["shards"][3]["parent"], "shardId-000000000002");
    assert_eq!(described["shards"][3]["adjacent_parent"], "shardId-000000000001");
    shell.pelton("log split data/one 1").fails_with(
        2,
        &["shardId-000000000001 of the stream `one` is closed; its records go to shardId-000000000003"],
    );
    shell.pelton("log split data/one 3 --at 0").fails_with(2, &["cannot be split at 0"]);
    shell.pelton("log merge data/payments 0 0").fails_with(2, &["are not neighbours"]);
    // What is closed is all there is of one shard.
    shell.pelton("log tail data/one --shard 0 --from oldest --data-only").says("one\n");
}

#[test]
fn describe_shows_shards_as_a_table_and_as_json() {
    let shell = with_payments();
    shell.pelton("log describe data/payments").has(&[
        "stream       data/payments\n",
        "holds        3 records (",
        "keeps        everything, for ever\n",
        "shard                 records  size  oldest  last                           first hash key  parents\n",
        "shardId-000000000000        2  84 B       1     2 ",
        "170141183460469231731687303715884105728\n",
    ]);
    let described = records(&shell.pelton("log describe data/payments --json")).remove(0);
    assert_eq!(described["stream"], "payments");
    assert_eq!(described["retention_ms"], Value::Null);
    let shards = described["shards"].as_array().unwrap();
    assert_eq!([&shards[0]["records"], &shards[1]["records"]], [2, 1]);
    assert_eq!(shards[1]["last_hash_key"], u128::MAX.to_string());

    let created = "log create data/short --retention 7d --retention-size 10GiB";
    shell.pelton(created).says("created data/short with 1 shard\n");
    shell.pelton("log describe data/short").has(&["keeps        records for 7days, up to 10.0 GiB\n"]);
}

#[test]
fn verify_reads_everything_and_finds_damage() {
    let shell = with_payments();
    shell.pelton("log verify data/payments").has(&["data/payments: read 3 records (", "all is well\n"]);

    let segments = shell.path("data/streams/payments/segments");
    let segment = std::fs::read_dir(segments).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"\"card\"").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let damaged = shell.pelton("log verify data/payments");
    damaged.fails_with(4, &["error: 1 problem; restore the files from a copy, or delete the stream"]);
    assert!(damaged.out.contains("data/payments: data/streams/payments/segments/"), "{}", damaged.out);
    assert!(damaged.out.contains("checksum"), "{}", damaged.out);
    shell
        .pelton("log get data/payments")
        .fails_with(4, &["is corrupt at byte", "restore the file from a copy"]);
}

#[test]
fn streams_are_listed_and_deleted() {
    let shell = with_payments();
    shell.pelton("log create data/alerts").says("created data/alerts with 1 shard\n");
    shell.pelton("log create data/alerts").fails_with(2, &["`alerts` exists already", "say --if-missing"]);
    shell.pelton("log create data/alerts --if-missing").says("data/alerts exists already\n");
    shell.pelton("log list data").says("alerts\npayments\n");
    shell.pelton("log delete data/payments").fails(
        2,
        "this would delete the 3 records of data/payments, and nothing brings them back: say --yes to do it",
    );
    shell.pelton("log delete data/payments --yes").says("deleted data/payments\n");
    shell.pelton("log list data").says("alerts\n");
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let shell = Shell::new();
    shell.pelton("log create data/many").says("created data/many with 1 shard\n");
    // More than a pipe holds, so that the writer meets the closed end.
    let many: String = (0..50_000).map(|i| format!("line {i}\n")).collect();
    shell.pelton_fed("log put data/many", &many).has(&["put 50,000 records"]);
    let mut get = shell.start_pelton("log get data/many --data-only");
    assert_eq!(read(&mut get, 1), ["line 0"]);
    drop(get.stdout.take());
    let get = ended(get);
    assert_eq!((get.code, get.err.as_str()), (0, ""));
}

#[test]
fn help_can_be_worked_from() {
    let shell = Shell::new();
    shell.pelton("--help").has(&["log ", "checkpoints", "pelton log create data/payments --shards 4"]);
    shell
        .pelton("log --help")
        .has(&["create", "put", "get", "tail", "describe", "split", "merge", "verify", "list", "delete"]);
    shell.pelton("log put --help").has(&["--key-field <FIELD>", "[default: standard input]", "Examples:"]);
}
