//! A disk that forgets what was not synced and tears what was being written, switched off at any
//! operation of a random history: what was acknowledged is there, once, at its number; what was not is
//! there whole or not at all, never twice; numbers are not given again; what retention has not removed
//! stays.

use std::collections::{BTreeMap, BTreeSet};

use pelton_streams::storage::CrashPlan;
use pelton_streams::{
    Committable, Error, HashKey, Retention, ShardId, ShardLog, StartPosition, StreamWriter, Ticket,
    TransactionalWriter,
};
use proptest::prelude::*;

use crate::support::{Bench, with_seeds};

const SHARDS: u32 = 3;
const FAMILY: &str = "job/sink";

#[derive(Debug, Clone)]
enum Step {
    /// Appends this many records; waits for them, or goes on.
    Append {
        records: u8,
        wait: bool,
    },
    /// Stages this many records and prepares them.
    Prepare {
        records: u8,
    },
    /// Commits one of the prepared transactions, or again one that is committed.
    Commit {
        which: prop::sample::Index,
        wait: bool,
    },
    AbortPrepared {
        which: prop::sample::Index,
    },
    /// Stages this many records and throws them away.
    AbortOpen {
        records: u8,
    },
    /// A newer generation opens; the old one can do nothing any more.
    Fence,
    /// Lets retention take the oldest segments beyond so many bytes.
    Retain {
        bytes: u64,
    },
    /// Splits or merges an open shard.
    Reshard {
        which: prop::sample::Index,
        splits: bool,
    },
    Read,
    Roll,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..20_u8, any::<bool>()).prop_map(|(records, wait)| Step::Append { records, wait }),
        3 => (0..10_u8).prop_map(|records| Step::Prepare { records }),
        4 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, wait)| Step::Commit { which, wait }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::AbortPrepared { which }),
        1 => (1..10_u8).prop_map(|records| Step::AbortOpen { records }),
        1 => Just(Step::Fence),
        1 => (0..4000_u64).prop_map(|bytes| Step::Retain { bytes }),
        1 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, splits)| Step::Reshard { which, splits }),
        2 => Just(Step::Read),
        1 => Just(Step::Roll),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Clone)]
struct Transaction {
    committable: Committable,
    ids: BTreeSet<u64>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Prepared,
    /// A commit was asked for and not answered.
    CommitTried,
    Committed,
    AbortTried,
    Aborted,
}

/// What must hold, whatever happens.
#[derive(Default)]
struct Model {
    next_id: u64,
    epoch: u64,
    generation: u64,
    /// What was acknowledged or read: it stays for ever.
    seen: BTreeMap<(ShardId, u64), u64>,
    /// Plain records that were sent.
    sent: BTreeSet<u64>,
    /// Records of transactions of which there is no committable.
    never: BTreeSet<u64>,
    transactions: Vec<Transaction>,
    /// Retention is on, as far as is known: it may take segments whenever a new one begins.
    retains: bool,
    /// What may have been in a segment that retention has taken.
    removable: BTreeSet<u64>,
    /// Shards that were closed, as was acknowledged or seen: they stay so.
    closed: BTreeSet<ShardId>,
}

type Pending = (Ticket<pelton_streams::Appended>, Vec<u64>);

struct Session {
    writer: StreamWriter,
    sink: TransactionalWriter,
    pending: Vec<Pending>,
    commits: Vec<(Ticket<()>, usize)>,
}

impl Model {
    fn ids(&mut self, count: u8) -> Vec<u64> {
        let first = self.next_id;
        self.next_id += u64::from(count);
        (first..self.next_id).collect()
    }

    /// Notes that a record was seen at a number: always the same one.
    fn see(&mut self, shard: ShardId, sequence: u64, id: u64) {
        let before = self.seen.insert((shard, sequence), id);
        assert!(
            before.is_none_or(|before| before == id),
            "{shard} gave number {sequence} to {before:?} and {id}"
        );
    }

    fn acknowledged(&mut self, (ticket, ids): Pending) -> pelton_streams::Result<()> {
        let appended = ticket.wait()?;
        for ((shard, sequence), id) in appended.records().zip(ids) {
            self.see(shard, sequence.0, id);
        }
        Ok(())
    }

    /// Reads everything, notes it, and checks it against what may and must be there.
    fn check(&mut self, log: &ShardLog) -> pelton_streams::Result<()> {
        let mut places = BTreeMap::new();
        let shards = log.describe_stream("s")?.shards;
        let closed = shards.iter().filter(|shard| shard.closed_ms.is_some()).map(|shard| shard.shard);
        let closed: BTreeSet<_> = closed.collect();
        assert!(self.closed.is_subset(&closed), "{:?} were closed, now {closed:?} are", self.closed);
        self.closed = closed;
        let mut plain: BTreeMap<ShardId, (u64, u64)> = BTreeMap::new();
        for shard in shards.iter().map(|shard| shard.shard) {
            let mut reader = log.reader("s", shard, StartPosition::Oldest)?;
            let mut last = 0;
            let mut last_plain = None;
            loop {
                let batch = reader.poll(10, 500)?;
                if batch.is_empty() {
                    break;
                }
                for record in &batch {
                    let id = u64::from_le_bytes(record.data[..8].try_into().unwrap());
                    assert!(record.sequence.0 > last, "numbers grow");
                    last = record.sequence.0;
                    assert!(places.insert(id, (shard, last)).is_none(), "record {id} is there twice");
                    if self.sent.contains(&id) {
                        assert!(last_plain.replace(id) < Some(id), "records keep their order");
                        plain.entry(shard).or_insert((id, id)).1 = id;
                    }
                    assert!(!self.never.contains(&id), "record {id} was never committed");
                }
            }
        }
        for child in &shards {
            for parent in child.parent.iter().chain(&child.adjacent_parent) {
                let (Some((_, last)), Some((first, _))) = (plain.get(parent), plain.get(&child.shard)) else {
                    continue;
                };
                assert!(last < first, "{parent} has record {last}, its child {first}");
            }
        }
        for (&id, &(shard, sequence)) in &places {
            self.see(shard, sequence, id);
        }
        self.note_removable();
        let mut oldest: BTreeMap<ShardId, u64> = BTreeMap::new();
        for &(shard, sequence) in places.values() {
            let oldest = oldest.entry(shard).or_insert(sequence);
            *oldest = sequence.min(*oldest);
        }
        for (&(shard, sequence), id) in &self.seen {
            let may_be_gone =
                self.removable.contains(id) && oldest.get(&shard).is_none_or(|&oldest| sequence < oldest);
            let right = match places.get(id) {
                Some(&place) => place == (shard, sequence),
                None => may_be_gone,
            };
            assert!(right, "record {id} was acknowledged or read at {shard} {sequence}");
        }
        for transaction in &self.transactions {
            let there = transaction.ids.iter().filter(|id| places.contains_key(id)).count();
            let all = transaction.ids.len();
            let removed = there == 0 && transaction.ids.is_subset(&self.removable);
            let right = removed
                || match transaction.fate {
                    Fate::Committed => there == all,
                    Fate::CommitTried => there == 0 || there == all,
                    Fate::Prepared | Fate::AbortTried | Fate::Aborted => there == 0,
                };
            assert!(right, "{there} of {all} records of {transaction:?}");
        }
        Ok(())
    }

    /// Notes what retention may have taken by now: what is in the log, or may be.
    fn note_removable(&mut self) {
        if !self.retains {
            return;
        }
        self.removable.extend(&self.sent);
        let committed =
            self.transactions.iter().filter(|t| matches!(t.fate, Fate::CommitTried | Fate::Committed));
        self.removable.extend(committed.flat_map(|transaction| &transaction.ids));
    }

    fn retain(&mut self, session: &mut Session, bytes: u64) -> pelton_streams::Result<()> {
        self.settle(session)?;
        self.retains = true;
        session.writer.set_retention(Retention { bytes: Some(bytes), age_ms: None })?;
        session.writer.apply_retention()?;
        self.end_retention(&session.writer)
    }

    fn end_retention(&mut self, writer: &StreamWriter) -> pelton_streams::Result<()> {
        writer.set_retention(Retention::default())?;
        self.note_removable();
        self.retains = false;
        Ok(())
    }

    /// Opens as the job does after a failure: a new generation, what is not listed is aborted, what is
    /// listed is committed.
    fn open(&mut self, log: &ShardLog) -> pelton_streams::Result<Session> {
        let writer = log.writer("s")?;
        if self.retains {
            self.end_retention(&writer)?;
        }
        self.generation += 1;
        let sink = writer.transactional(FAMILY, "w0", self.generation)?;
        let listed = |fate| !matches!(fate, Fate::AbortTried | Fate::Aborted);
        let listed: Vec<_> =
            self.transactions.iter().filter(|t| listed(t.fate)).map(|t| t.committable.clone()).collect();
        sink.abort_unlisted(&listed)?;
        for index in 0..self.transactions.len() {
            let transaction = &mut self.transactions[index];
            match transaction.fate {
                Fate::AbortTried | Fate::Aborted => transaction.fate = Fate::Aborted,
                _ => {
                    transaction.fate =
                        if transaction.fate == Fate::Committed { Fate::Committed } else { Fate::CommitTried };
                    sink.commit(&transaction.committable)?;
                    transaction.fate = Fate::Committed;
                }
            }
        }
        assert_eq!(sink.list_open()?, [], "everything is decided");
        Ok(Session { writer, sink, pending: Vec::new(), commits: Vec::new() })
    }

    fn settle(&mut self, session: &mut Session) -> pelton_streams::Result<()> {
        for pending in session.pending.drain(..) {
            self.acknowledged(pending)?;
        }
        for (ticket, index) in session.commits.drain(..) {
            ticket.wait()?;
            self.transactions[index].fate = Fate::Committed;
        }
        Ok(())
    }

    fn append(&mut self, session: &mut Session, records: u8, wait: bool) -> pelton_streams::Result<()> {
        let ids = self.ids(records);
        self.sent.extend(&ids);
        let mut batch = session.writer.batch();
        for id in &ids {
            batch.push(&id.to_be_bytes(), &id.to_le_bytes())?;
        }
        session.pending.push((session.writer.submit(batch)?, ids));
        if wait { self.settle(session) } else { Ok(()) }
    }

    fn prepare(&mut self, session: &mut Session, records: u8) -> pelton_streams::Result<()> {
        let ids = self.ids(records);
        // Until there is a committable they must not be seen.
        self.never.extend(&ids);
        self.epoch += 1;
        session.sink.begin(self.epoch)?;
        for chunk in ids.chunks(4) {
            let mut batch = session.sink.batch();
            for id in chunk {
                batch.push(&id.to_be_bytes(), &id.to_le_bytes())?;
            }
            session.sink.write(batch)?;
        }
        let committable = session.sink.prepare(self.epoch)?;
        self.never.retain(|id| !ids.contains(id));
        self.transactions.push(Transaction {
            committable,
            ids: ids.into_iter().collect(),
            fate: Fate::Prepared,
        });
        Ok(())
    }

    fn abort_open(&mut self, session: &mut Session, records: u8) -> pelton_streams::Result<()> {
        let ids = self.ids(records);
        self.never.extend(&ids);
        self.epoch += 1;
        session.sink.begin(self.epoch)?;
        let mut batch = session.sink.batch();
        for id in ids {
            batch.push(&id.to_be_bytes(), &id.to_le_bytes())?;
        }
        session.sink.write(batch)?;
        session.sink.abort()
    }

    fn reshard(
        &mut self,
        log: &ShardLog,
        session: &Session,
        which: &prop::sample::Index,
        splits: bool,
    ) -> pelton_streams::Result<()> {
        let mut open = log.describe_stream("s")?.shards;
        open.retain(|shard| shard.closed_ms.is_none());
        open.sort_by_key(|shard| *shard.hash_keys.start());
        let at = which.index(open.len());
        let shard = open[at].shard;
        if splits {
            let (first, last) = (open[at].hash_keys.start().0, open[at].hash_keys.end().0);
            session.writer.split_shard(shard, HashKey(first + (last - first) / 2 + 1))?;
        } else if let Some(next) = open.get(at + 1) {
            session.writer.merge_shards(shard, next.shard)?;
            self.closed.insert(next.shard);
        } else {
            return Ok(());
        }
        self.closed.insert(shard);
        Ok(())
    }

    /// The older generation is refused whatever it tries; what it has prepared stays.
    fn fence(&mut self, session: &mut Session) -> pelton_streams::Result<()> {
        self.settle(session)?;
        self.generation += 1;
        let newer = session.writer.transactional(FAMILY, "w0", self.generation)?;
        let mut zombie = std::mem::replace(&mut session.sink, newer);
        let refused = |what: &str, answer| match answer {
            Err(Error::Fenced { .. }) => Ok(()),
            Err(other) => Err(other),
            Ok(()) => panic!("the older generation could {what}"),
        };
        refused("begin", zombie.begin(self.epoch + 1))?;
        let prepared = self.transactions.iter().find(|t| t.fate == Fate::Prepared);
        if let Some(transaction) = prepared {
            refused("commit", zombie.commit(&transaction.committable))?;
            refused("abort", zombie.abort_prepared(&transaction.committable))?;
        }
        Ok(())
    }

    fn run(&mut self, log: &ShardLog, session: &mut Session, step: &Step) -> pelton_streams::Result<()> {
        match step {
            Step::Append { records, wait } => self.append(session, *records, *wait)?,
            Step::Prepare { records } => self.prepare(session, *records)?,
            Step::Commit { which, wait } if !self.transactions.is_empty() => {
                let index = which.index(self.transactions.len());
                let transaction = &mut self.transactions[index];
                if !matches!(transaction.fate, Fate::AbortTried | Fate::Aborted) {
                    if transaction.fate == Fate::Prepared {
                        transaction.fate = Fate::CommitTried;
                    }
                    session.commits.push((session.sink.commit_later(&transaction.committable)?, index));
                    if *wait {
                        self.settle(session)?;
                    }
                }
            }
            Step::AbortPrepared { which } if !self.transactions.is_empty() => {
                let index = which.index(self.transactions.len());
                let transaction = &mut self.transactions[index];
                if transaction.fate == Fate::Prepared {
                    transaction.fate = Fate::AbortTried;
                    session.sink.abort_prepared(&transaction.committable)?;
                    transaction.fate = Fate::Aborted;
                }
            }
            Step::Commit { .. } | Step::AbortPrepared { .. } => {}
            Step::AbortOpen { records } => self.abort_open(session, *records)?,
            Step::Fence => self.fence(session)?,
            Step::Retain { bytes } => self.retain(session, *bytes)?,
            Step::Reshard { which, splits } => self.reshard(log, session, which, *splits)?,
            Step::Read => {
                // A commit that is published between reading two shards would look like half of it.
                self.settle(session)?;
                self.check(log)?;
            }
            Step::Roll => session.writer.roll()?,
            Step::Reopen => {
                self.settle(session)?;
                unreachable!("handled by the caller")
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Round {
    steps: Vec<Step>,
    crash_after: u64,
    survives: u64,
    power_fails: bool,
}

fn round() -> impl Strategy<Value = Round> {
    (proptest::collection::vec(step(), 1..25), 0..250_u64, any::<u64>(), prop::bool::weighted(0.8)).prop_map(
        |(steps, crash_after, survives, power_fails)| Round { steps, crash_after, survives, power_fails },
    )
}

/// Whether the disk stopped before the round was over.
fn play(bench: &Bench, model: &mut Model, round: &Round) -> bool {
    let lived = (|| {
        let mut log = bench.try_log()?;
        let mut session = model.open(&log)?;
        for step in &round.steps {
            if matches!(step, Step::Reopen) {
                model.settle(&mut session)?;
                drop(session);
                drop(log);
                log = bench.try_log()?;
                session = model.open(&log)?;
            } else {
                model.run(&log, &mut session, step)?;
            }
        }
        model.settle(&mut session)?;
        model.check(&log)
    })();
    if let Err(error) = lived {
        assert!(bench.disk.has_crashed(), "without a crash nothing fails: {error}");
        assert!(!error.is_corruption(), "{error}");
    }
    let stopped = bench.disk.has_crashed();
    if round.power_fails {
        bench.disk.restart(round.survives);
    } else {
        bench.disk.kill_process();
    }
    stopped
}

/// The disk is good from here on.
fn end(bench: &Bench, mut model: Model) {
    let log = bench.log();
    let mut session = model.open(&log).unwrap();
    model.append(&mut session, 5, true).unwrap();
    model.check(&log).unwrap();
    assert_eq!(log.verify("s").unwrap().problems, []);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]
    #[test]
    fn nothing_acknowledged_is_lost_and_nothing_is_there_twice(
        rounds in proptest::collection::vec(round(), 1..4), segment_bytes in 600..6000_u64,
    ) {
        let bench = Bench::with(|options| (options.frame_bytes, options.segment_bytes) = (200, segment_bytes));
        bench.log().create_stream("s", SHARDS).unwrap();
        let mut model = Model::default();
        for round in &rounds {
            bench.disk.plan(CrashPlan { at_operation: round.crash_after });
            play(&bench, &mut model, round);
        }
        end(&bench, model);
    }
}

/// One history, stopped at each of its operations: once by a power failure; and once by a kill, after
/// which a successor works for a while and the power fails then, for what the one who was killed had
/// not made durable nobody may take for durable.
#[test]
fn every_operation_of_a_history_may_be_the_last() {
    let histories = (proptest::collection::vec(step(), 8..20), 600..3000_u64);
    with_seeds(3, &histories, |seed, (steps, segment_bytes)| {
        let bench = || {
            let bench =
                Bench::with(|options| (options.frame_bytes, options.segment_bytes) = (200, *segment_bytes));
            bench.log().create_stream("s", SHARDS).unwrap();
            bench
        };
        let round = |at_operation, power_fails| Round {
            steps: steps.clone(),
            crash_after: at_operation,
            survives: seed.wrapping_mul(31).wrapping_add(at_operation),
            power_fails,
        };
        for at_operation in 0.. {
            let mut stopped = false;
            for power_fails in [true, false] {
                let (bench, mut model) = (bench(), Model::default());
                let first = round(at_operation, power_fails);
                bench.disk.plan(CrashPlan { at_operation });
                stopped |= play(&bench, &mut model, &first);
                if !power_fails {
                    let few = first.steps.iter().take(3).cloned().collect();
                    play(&bench, &mut model, &Round { steps: few, power_fails: true, ..first });
                }
                end(&bench, model);
            }
            if !stopped {
                return;
            }
        }
    });
}

/// Found by the history above: a process was killed between creating a segment and making its name
/// durable, its successor wrote on in that segment, and a power failure took the name.
#[test]
fn a_segment_whose_creator_was_killed_keeps_its_name_through_a_power_failure() {
    for at_operation in 0..20 {
        for survives in 0..4 {
            let bench = Bench::new();
            let (log, writer) = crate::support::stream(&bench, 1);
            crate::support::put(&writer, &["first"]);
            bench.disk.plan(CrashPlan { at_operation });
            let _ = writer.roll();
            bench.disk.kill_process();
            drop((writer, log));
            let log = bench.log();
            crate::support::put(&log.writer("s").unwrap(), &["second"]);
            bench.disk.restart(survives);
            let log = bench.log();
            let _writer = log.writer("s").unwrap();
            assert_eq!(crate::support::read(&log), ["first", "second"], "killed at {at_operation}");
        }
    }
}

/// Found by the histories above: a head without the last bytes of its padding was taken for damage.
#[test]
fn a_segment_whose_head_was_torn_was_never_begun() {
    let mut cuts = 0;
    for at_operation in 0.. {
        let bench = Bench::new();
        let (log, writer) = crate::support::stream(&bench, 1);
        crate::support::put(&writer, &["kept"]);
        bench.disk.plan(CrashPlan { at_operation });
        let _ = writer.roll();
        bench.disk.kill_process();
        drop((writer, log));
        if bench.log().describe_stream("s").unwrap().segments > 1 {
            break;
        }
        let is_second = |file: &std::path::PathBuf| file.ends_with(format!("{:020}.segment", 2));
        let Some(second) = bench.disk.files().into_iter().find(is_second) else { continue };
        let mut len = 0;
        bench.disk.tamper(&second, |bytes| len = bytes.len());
        for cut in 0..=len {
            let torn = Bench { disk: bench.disk.copy(), ..Bench::new() };
            torn.disk.tamper(&second, |bytes| bytes.truncate(cut));
            let log = torn.log();
            crate::support::put(&log.writer("s").unwrap(), &["more"]);
            assert_eq!(crate::support::read(&log), ["kept", "more"], "cut to {cut} of {len}");
            cuts += 1;
        }
    }
    assert!(cuts > 100, "no segment was half created");
}
