//! The shard log as a sink, beyond what `exactly_once` tries: keys, fencing, large epochs.

use pelton_connectors::{LogAddress, ShardLog};
use pelton_dataflow::record::Record;
use pelton_dataflow::sink::{Committable, Guarantee, Sink, SinkContext, WriterContext};
use pelton_dataflow::time::{Epoch, EventTime};

use crate::support::{Run, messages, read_all, splits};

/// All strings that are visible in a stream.
pub fn records_of(address: &LogAddress) -> Vec<String> {
    let source = ShardLog::json(address).until_end();
    splits(&source).iter().flat_map(|split| read_all(&source, split).values).collect()
}

fn sink_context() -> SinkContext {
    SinkContext { job: "a job".to_owned(), operator: "out".to_owned() }
}

fn context(generation: u64, worker: usize) -> WriterContext {
    WriterContext { sink: sink_context(), generation, worker, workers: 2 }
}

#[test]
fn a_key_has_one_shard_and_keeps_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let address = LogAddress::new(dir.path(), "out");
    let sink = ShardLog::json_sink::<(String, u64)>(&address)
        .create_if_missing(4)
        .partition_by(|(key, _)| key.clone());
    assert_eq!(sink.guarantee(), Guarantee::ExactlyOnce);
    let mut committer = sink.committer(&sink_context()).unwrap().unwrap();
    committer.recover(1, &[]).unwrap();
    let mut writer = sink.writer(&context(1, 0)).unwrap();
    let records = (0..100).map(|i| Record::new(EventTime(i), (format!("key-{}", i % 10), i as u64)));
    writer.write(records.collect()).unwrap();
    let bytes = writer.prepare(Epoch(0)).unwrap().unwrap()().unwrap().unwrap();
    committer.commit(&[Committable { epoch: Epoch(0), worker: 0, bytes }]).unwrap();

    let source = ShardLog::json::<(String, u64)>(&address).until_end();
    let mut shards_of = std::collections::BTreeMap::new();
    for (shard, split) in splits(&source).iter().enumerate() {
        let reading = read_all(&source, split);
        // Event times travel with the records.
        assert!(reading.values.iter().zip(&reading.times).all(|((_, n), time)| *n as i64 == *time));
        for (key, n) in reading.values {
            let (at, last) = shards_of.entry(key).or_insert((shard, n));
            assert!(*at == shard && *last <= n);
            *last = n;
        }
    }
    assert_eq!(shards_of.len(), 10);
    assert!(shards_of.values().any(|(shard, _)| *shard != shards_of["key-0"].0));
}

#[test]
fn without_keys_the_shards_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let address = LogAddress::new(dir.path(), "out");
    let sink = ShardLog::json_sink(&address).create_if_missing(3);
    let mut run = Run::start(&sink, 1);
    for step in "w0:a w0:b w0:c w0:d w0:e w0:f prepare manifest commit".split(' ') {
        run.step(step).unwrap();
    }
    let source = ShardLog::json::<String>(&address).until_end();
    let shards: Vec<_> =
        splits(&source).iter().map(|split| read_all(&source, split).values.concat()).collect();
    assert_eq!(shards, ["ad", "be", "cf"]);
}

#[test]
fn an_epoch_larger_than_the_buffer_is_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let address = LogAddress::new(dir.path(), "out");
    let sink = ShardLog::json_sink(&address).create_if_missing(2);
    let mut run = Run::start(&sink, 1);
    let megabyte = "x".repeat(1 << 20);
    for round in 0..3 {
        for _ in 0..10 {
            run.write(0, &megabyte).unwrap();
        }
        assert_eq!(records_of(&address).len(), 10 * round);
        // What goes to the disk before its epoch ends is known under it, once the epochs are known.
        let log = pelton_streams::ShardLog::open(dir.path(), &pelton_streams::Options::default()).unwrap();
        let open: Vec<_> = log.open_transactions("out").unwrap().iter().map(|open| open.epoch).collect();
        assert_eq!(open, [round as u64]);
        for step in ["prepare", "manifest", "commit"] {
            run.step(step).unwrap();
        }
    }
    run.write(0, &megabyte).unwrap();
    run.write(0, &megabyte.repeat(5)).unwrap();
    run.step("crash").unwrap();
    assert_eq!(records_of(&address).len(), 30);
}

#[test]
fn a_writer_of_an_earlier_generation_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let address = LogAddress::new(dir.path(), "out");
    let sink = ShardLog::json_sink::<String>(&address).create_if_missing(2);
    let mut old_committer = sink.committer(&sink_context()).unwrap().unwrap();
    old_committer.recover(1, &[]).unwrap();
    let mut zombie = sink.writer(&context(1, 0)).unwrap();
    let records = vec![Record::new(EventTime(1), "a".to_owned())];
    zombie.write(records.clone()).unwrap();
    let listed = zombie.prepare(Epoch(0)).unwrap().unwrap()().unwrap().unwrap();
    let listed = Committable { epoch: Epoch(0), worker: 0, bytes: listed };
    zombie.write(records.clone()).unwrap();
    let unlisted = zombie.prepare(Epoch(1)).unwrap().unwrap()().unwrap().unwrap();
    let unlisted = Committable { epoch: Epoch(1), worker: 0, bytes: unlisted };

    let mut committer = sink.committer(&sink_context()).unwrap().unwrap();
    committer.recover(2, std::slice::from_ref(&listed)).unwrap();
    assert_eq!(records_of(&address), ["a"]);
    zombie.write(records).unwrap();
    let message = messages(zombie.prepare(Epoch(2)).unwrap().unwrap()());
    assert!(message.contains("is fenced: generation 2 has taken over"), "{message}");
    assert!(messages(old_committer.commit(std::slice::from_ref(&listed))).contains("is fenced"));
    assert!(messages(committer.commit(&[unlisted])).contains("was aborted and cannot be committed"));
    assert_eq!(records_of(&address), ["a"]);
    // One that comes late is told at once, and what may be the reason.
    let message = messages(sink.writer(&context(1, 1)));
    assert!(
        message
            .contains("last written by generation 2 of sink `out` of job `a job`, and this is generation 1")
    );
    let mut late = sink.committer(&sink_context()).unwrap().unwrap();
    assert!(messages(late.recover(1, &[])).contains("resume from them, or write to another stream"));
    // Not even the same number helps one that begins anew.
    assert!(messages(late.recover(2, &[])).contains("was started without the job's checkpoints"));
}

#[test]
fn a_committer_makes_nothing_before_it_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("log");
    let sink = ShardLog::raw_sink(&LogAddress::new(&place, "out")).create_if_missing(1);
    let mut committer = sink.committer(&sink_context()).unwrap().unwrap();
    assert!(!place.exists());
    committer.recover(1, &[]).unwrap();
    assert!(place.exists());
}

/// What a checkpoint lists is visible in the stream that it was prepared for, or nowhere.
#[test]
fn a_stream_that_does_not_have_what_is_listed_is_refused_before_the_takeover() {
    let dir = tempfile::tempdir().unwrap();
    let address = LogAddress::new(dir.path(), "out");
    let sink = ShardLog::json_sink(&address).create_if_missing(2);
    let mut run = Run::start(&sink, 2);
    for step in "w0:a w1:b prepare manifest".split(' ') {
        run.step(step).unwrap();
    }
    let listed = run.listed.clone();
    drop(run);
    let check = |listed: &[Committable]| sink.committer(&sink_context()).unwrap().unwrap().check(2, listed);
    check(&listed).unwrap();
    let log = pelton_streams::ShardLog::open(dir.path(), &pelton_streams::Options::default()).unwrap();
    log.delete_stream("out").unwrap();
    let said = "the checkpoint lists 2 transactions of sink `out` for the stream";
    let message = messages(check(&listed));
    assert!(message.contains(said) && message.contains("it is not there any more"), "{message}");
    log.create_stream("out", 2).unwrap();
    let message = messages(check(&listed));
    assert!(message.contains(said) && message.contains("an earlier one of the same name"), "{message}");
    assert!(message.contains("--allow-dropped-state"), "{message}");
    // With nothing that could be lost, a new stream is as good as the old one.
    check(&[]).unwrap();
    assert_eq!(records_of(&address), [""; 0]);
}

#[test]
fn a_target_that_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let missing = ShardLog::raw_sink(&LogAddress::new(dir.path().join("missing"), "out"));
    assert!(messages(missing.writer(&context(1, 0))).contains("missing does not exist"));

    let address = LogAddress::new(dir.path(), "out");
    drop(ShardLog::raw_sink(&address).create_if_missing(1).writer(&context(1, 0)).unwrap());
    let other = ShardLog::raw_sink(&LogAddress::new(dir.path(), "other"));
    assert!(messages(other.committer(&sink_context())).contains("there is no stream `other`"));
    let mut committer = ShardLog::raw_sink(&address).committer(&sink_context()).unwrap().unwrap();
    committer.recover(2, &[]).unwrap();
    let wrong = Committable { epoch: Epoch(3), worker: 1, bytes: b"{}".to_vec() };
    let message = messages(committer.commit(&[wrong]));
    assert!(
        message.starts_with("the committable of epoch 3, worker 1 cannot be read: missing field"),
        "{message}"
    );
    let bad_name = ShardLog::raw_sink(&LogAddress::new(dir.path(), "o u t")).create_if_missing(1);
    assert!(messages(bad_name.writer(&context(1, 0))).contains("`o u t` is not a valid stream name"));
}
