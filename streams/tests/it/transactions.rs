//! Transactions: whole or absent, exactly once, and never in anybody's way.

use pelton_streams::{Committable, Error, ShardId, StartPosition, StreamWriter, TransactionalWriter};

use crate::support::{Bench, drain, put, read, stream};

fn write(sink: &mut TransactionalWriter, data: &[&str]) {
    let mut batch = sink.batch();
    for data in data {
        batch.push(b"key", data.as_bytes()).unwrap();
    }
    sink.write(batch).unwrap();
}

fn prepare(sink: &mut TransactionalWriter, epoch: u64, data: &[&str]) -> Committable {
    sink.begin(epoch).unwrap();
    write(sink, data);
    sink.prepare(epoch).unwrap()
}

fn sink(writer: &StreamWriter, generation: u64) -> TransactionalWriter {
    writer.transactional("job/sink", "w0", generation).unwrap()
}

#[test]
fn records_are_visible_whole_in_commit_order_and_only_when_committed() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut sink = sink(&writer, 1);
    let first = prepare(&mut sink, 1, &["1a", "1b"]);
    let second = prepare(&mut sink, 2, &["2a"]);
    put(&writer, &["plain"]);
    assert_eq!(read(&log), ["plain"]);
    sink.commit(&second).unwrap();
    sink.commit(&first).unwrap();
    assert_eq!(read(&log), ["plain", "2a", "1a", "1b"]);
    assert_eq!(log.verify("s").unwrap().problems, []);
}

#[test]
fn committing_again_changes_nothing_even_long_after() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut sink1 = sink(&writer, 1);
    let committable = prepare(&mut sink1, 1, &["once"]);
    // As a manifest would carry it.
    let text = serde_json::to_string(&committable).unwrap();
    let committable: Committable = serde_json::from_str(&text).unwrap();
    for _ in 0..3 {
        sink1.commit(&committable).unwrap();
    }
    let twice = [sink1.commit_later(&committable).unwrap(), sink1.commit_later(&committable).unwrap()];
    twice.into_iter().for_each(|ticket| ticket.wait().unwrap());
    drop((sink1, writer, log));
    let log = bench.log();
    let writer = log.writer("s").unwrap();
    for generation in 2..5 {
        writer.roll().unwrap();
        sink(&writer, generation).commit(&committable).unwrap();
    }
    assert_eq!(read(&log), ["once"]);
}

#[test]
fn readers_are_not_blocked_by_a_dead_transaction() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut sink1 = sink(&writer, 1);
    let _prepared = prepare(&mut sink1, 1, &["dead"]);
    sink1.begin(2).unwrap();
    write(&mut sink1, &["deader"]);
    // The writer neither commits nor aborts; others go on, and everything of theirs is seen at once.
    let mut reader = log.reader("s", ShardId(0), StartPosition::Oldest).unwrap();
    let mut other = writer.transactional("other/sink", "w0", 1).unwrap();
    for epoch in 0..3 {
        let committable = prepare(&mut other, epoch, &["alive"]);
        other.commit(&committable).unwrap();
        put(&writer, &["plain"]);
        assert_eq!(drain(&mut reader), ["alive", "plain"]);
    }
    let open: Vec<_> = log.open_transactions("s").unwrap().iter().map(|t| (t.epoch, t.prepared)).collect();
    assert_eq!(open, [(1, true)], "what is not flushed yet is not on disk");
    assert_eq!(
        sink1.list_open().unwrap().iter().map(|t| (t.epoch, t.prepared)).collect::<Vec<_>>(),
        [(1, true), (2, false)]
    );
}

#[test]
fn unlisted_transactions_are_aborted_at_open() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut old = sink(&writer, 1);
    let listed = prepare(&mut old, 1, &["listed"]);
    let unlisted = prepare(&mut old, 2, &["unlisted"]);
    let mut member = writer.transactional("job/sink", "w1", 1).unwrap();
    let of_another_member = prepare(&mut member, 2, &["unlisted too"]);
    let mut stranger = writer.transactional("job/other-sink", "w0", 1).unwrap();
    let foreign = prepare(&mut stranger, 1, &["stranger"]);

    // Another process takes over, with half as many workers.
    drop((old, member, stranger, writer, log));
    let log = bench.log();
    let writer = log.writer("s").unwrap();
    assert_eq!(writer.recovery().open_transactions, 4);
    let mut new = sink(&writer, 2);
    let of_its_own = prepare(&mut new, 3, &["new"]);
    let aborted = new.abort_unlisted(std::slice::from_ref(&listed)).unwrap();
    let aborted: Vec<_> = aborted.iter().map(|t| (t.member.as_str(), t.generation, t.epoch)).collect();
    assert_eq!(aborted, [("w0", 1, 2), ("w1", 1, 2)]);
    new.commit(&listed).unwrap();
    for committable in [&unlisted, &of_another_member] {
        assert!(matches!(new.commit(committable), Err(Error::Aborted { .. })));
    }
    new.commit(&of_its_own).unwrap();
    assert_eq!(read(&log), ["listed", "new"]);
    // Another family is not touched.
    writer.transactional("job/other-sink", "w9", 2).unwrap().commit(&foreign).unwrap();
    assert_eq!(read(&log), ["listed", "new", "stranger"]);
}

#[test]
fn an_older_generation_is_fenced_in_everything_it_does() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut old = sink(&writer, 1);
    let prepared = prepare(&mut old, 1, &["prepared"]);
    old.begin(2).unwrap();
    write(&mut old, &["zombie"]);
    let new = sink(&writer, 2);

    let mut batch = old.batch();
    batch.push(b"k", b"more").unwrap();
    let refusals = [
        old.write(batch).unwrap_err(),
        old.prepare(2).unwrap_err(),
        old.commit(&prepared).unwrap_err(),
        old.abort_prepared(&prepared).unwrap_err(),
        old.abort_unlisted(&[]).unwrap_err(),
        writer.transactional("job/sink", "w7", 1).unwrap_err(),
    ];
    for error in refusals {
        assert!(matches!(error, Error::Fenced { generation: 1, current: 2, .. }), "{error}");
    }
    // Also by another process later on.
    drop((old, writer, log));
    drop(new);
    let log = bench.log();
    let writer = log.writer("s").unwrap();
    assert!(matches!(writer.transactional("job/sink", "w0", 1), Err(Error::Fenced { .. })));
    sink(&writer, 2).commit(&prepared).unwrap();
    assert_eq!(read(&log), ["prepared"]);
}

#[test]
fn a_prepare_that_meets_a_fence_leaves_nothing() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut old = sink(&writer, 1);
    old.begin(1).unwrap();
    write(&mut old, &["zombie"]);
    let new = sink(&writer, 2);
    assert!(matches!(old.prepare(1), Err(Error::Fenced { .. })));
    assert_eq!(new.list_open().unwrap(), []);
    assert_eq!(log.open_transactions("s").unwrap(), []);
}

#[test]
fn members_of_one_generation_live_side_by_side() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut members: Vec<_> =
        (0..4).map(|i| writer.transactional("job/sink", &format!("w{i}"), 1).unwrap()).collect();
    let committables: Vec<_> = members.iter_mut().map(|member| prepare(member, 1, &["x"])).collect();
    // One of them commits for all; the commits share a sync.
    let tickets: Vec<_> = committables.iter().map(|c| members[0].commit_later(c).unwrap()).collect();
    tickets.into_iter().for_each(|ticket| ticket.wait().unwrap());
    assert_eq!(read(&log), ["x"; 4]);
}

#[test]
fn calls_out_of_order_are_refused() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut sink1 = sink(&writer, 1);
    let batch = sink1.batch();
    assert!(sink1.write(batch).unwrap_err().to_string().contains("call `begin` first"));
    assert!(sink1.prepare(1).unwrap_err().to_string().contains("none is open"));
    sink1.begin(1).unwrap();
    assert!(sink1.begin(2).unwrap_err().to_string().contains("epoch 1 is still open"));
    assert!(sink1.prepare(2).unwrap_err().to_string().contains("epoch 1 is open"));
    write(&mut sink1, &["thrown away"]);
    sink1.abort().unwrap();
    let committable = prepare(&mut sink1, 2, &["kept"]);
    let mut other = writer.transactional("other", "w0", 1).unwrap();
    assert!(matches!(other.commit(&committable), Err(Error::ForeignCommittable { .. })));
    let never = Committable { transaction: committable.transaction + 100, ..committable.clone() };
    assert!(matches!(sink1.commit(&never), Err(Error::ForeignCommittable { .. })));
    sink1.commit(&committable).unwrap();
    assert!(matches!(sink1.abort_prepared(&committable), Err(Error::AlreadyCommitted { .. })));
    let empty = {
        other.begin(1).unwrap();
        other.prepare(1).unwrap()
    };
    other.commit(&empty).unwrap();
    assert_eq!(read(&log), ["kept"]);
}

#[test]
fn a_transaction_over_its_limit_is_refused_by_name() {
    let bench = Bench::with(|options| options.transaction_bytes = 1000);
    let (_log, writer) = stream(&bench, 1);
    let mut sink = sink(&writer, 1);
    sink.begin(1).unwrap();
    let mut batch = sink.batch();
    batch.push(b"k", &[0; 1000]).unwrap();
    assert!(sink.write(batch).unwrap_err().to_string().contains("transaction_bytes"));
}

#[test]
fn a_commit_on_a_full_disk_can_be_tried_again() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut sink = sink(&writer, 1);
    let big = "x".repeat(50_000);
    let committable = prepare(&mut sink, 1, &[&big]);
    bench.disk.set_capacity(Some(80_000));
    assert!(matches!(sink.commit(&committable), Err(Error::NotWritten { .. })));
    assert_eq!(read(&log), [""; 0]);
    bench.disk.set_capacity(None);
    sink.commit(&committable).unwrap();
    sink.commit(&committable).unwrap();
    assert_eq!(read(&log), [big]);
}

/// An abort that fails anywhere has aborted or it has not; said again it does; and what the writer then
/// says of a transaction is what the next one finds.
#[test]
fn an_abort_that_fails_midway_can_be_repeated_and_commits_nothing() {
    let mut failures = 0;
    for at_operation in 0.. {
        let bench = Bench::new();
        let (log, writer) = stream(&bench, 1);
        let mut old = sink(&writer, 1);
        let listed = prepare(&mut old, 1, &["listed"]);
        let unlisted: Vec<_> =
            (2..5).map(|epoch| prepare(&mut old, epoch, &[&format!("unlisted {epoch}")])).collect();
        let new = sink(&writer, 2);
        bench.disk.refuse(at_operation);
        let before = bench.disk.operations();
        let first = new.abort_unlisted(std::slice::from_ref(&listed));
        if bench.disk.operations() - before <= at_operation {
            break;
        }
        failures += u64::from(first.is_err());

        // What the abort has left of it, commits do not bring back.
        let committed = new.commit(&unlisted[1]);
        if first.is_ok() {
            assert!(matches!(committed, Err(Error::Aborted { .. })), "{committed:?} after {at_operation}");
        }
        let again = new.abort_unlisted(std::slice::from_ref(&listed)).unwrap();
        assert!(first.is_err() || again.is_empty(), "{again:?} after {at_operation}");
        new.commit(&listed).unwrap();
        writer.roll().unwrap();
        drop((old, new, writer, log));

        let log = bench.log();
        let writer = log.writer("s").unwrap();
        assert_eq!(log.open_transactions("s").unwrap(), [], "after {at_operation}");
        let next = sink(&writer, 3);
        assert_eq!(next.commit(&unlisted[1]).is_ok(), committed.is_ok(), "after {at_operation}");
        assert!(matches!(next.commit(&unlisted[2]), Err(Error::Aborted { .. })));
        let expected: &[&str] = if committed.is_ok() { &["unlisted 3", "listed"] } else { &["listed"] };
        assert_eq!(read(&log), expected, "after {at_operation}");
    }
    assert!(failures > 2, "only {failures} of the operations could fail");
}

/// A ledger whose replacement fails may be on disk all the same: what is decided after that is what the next
/// writer finds.
#[test]
fn a_commit_after_an_abort_that_failed_is_not_found_aborted() {
    let mut after_failures = 0;
    for at_operation in 0.. {
        let bench = Bench::new();
        let (log, writer) = stream(&bench, 1);
        let mut sink1 = sink(&writer, 1);
        let committable = prepare(&mut sink1, 1, &["once"]);
        bench.disk.refuse(at_operation);
        let before = bench.disk.operations();
        let aborted = sink1.abort_prepared(&committable);
        if bench.disk.operations() - before <= at_operation {
            break;
        }
        let committed = sink1.commit(&committable).is_ok();
        assert_ne!(aborted.is_ok(), committed, "after {at_operation}");
        after_failures += u64::from(committed);
        drop((sink1, writer, log));

        let log = bench.log();
        let writer = log.writer("s").unwrap();
        assert_eq!(sink(&writer, 2).commit(&committable).is_ok(), committed, "after {at_operation}");
        assert_eq!(read(&log).len(), usize::from(committed), "after {at_operation}");
    }
    assert!(after_failures > 2, "only {after_failures} of the operations could fail");
}

#[test]
fn a_commit_is_looked_at_without_being_made() {
    let bench = Bench::new();
    let (log, writer) = stream(&bench, 1);
    let mut old = sink(&writer, 1);
    let [prepared, aborted] = [1, 2].map(|epoch| prepare(&mut old, epoch, &["x"]));
    old.abort_prepared(&aborted).unwrap();
    writer.check_commit(&prepared).unwrap();
    assert_eq!(read(&log), [""; 0]);
    old.commit(&prepared).unwrap();
    writer.check_commit(&prepared).unwrap();
    assert!(matches!(writer.check_commit(&aborted), Err(Error::Aborted { .. })));
    let foreign = Committable { stream_id: prepared.stream_id + 1, ..prepared };
    assert!(matches!(writer.check_commit(&foreign), Err(Error::ForeignCommittable { .. })));
}
