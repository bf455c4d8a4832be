//! Streams that are created, written, deleted and created again on a disk that forgets what was not
//! synced, stopped at each operation: what was created is there with all that was acknowledged, what was
//! deleted does not come back, and nothing of it is ever found in a stream that took its name.

use std::collections::{BTreeMap, BTreeSet};

use pelton_streams::storage::CrashPlan;
use pelton_streams::{Committable, Result, ShardLog, StartPosition};
use proptest::prelude::*;

use crate::support::{Bench, drain, with_seeds};

const NAMES: [&str; 2] = ["a", "b"];
const FAMILY: &str = "job/sink";

#[derive(Debug, Clone)]
enum Step {
    Create,
    Delete,
    Append(u8),
    Prepare,
    Commit,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        3 => Just(Step::Create),
        2 => Just(Step::Delete),
        4 => (1..5_u8).prop_map(Step::Append),
        2 => Just(Step::Prepare),
        2 => Just(Step::Commit),
    ];
    (0..NAMES.len(), step)
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Known {
    /// `None` if creating or deleting it was not answered.
    exists: Option<bool>,
    acknowledged: BTreeSet<u64>,
    /// Sent or committed, and not answered.
    possible: BTreeSet<u64>,
    prepared: BTreeMap<u64, Committable>,
    /// Prepared with no answer, or committed with none: they may be open or not.
    undecided: bool,
}

#[derive(Debug, Default)]
struct Model {
    next_id: u64,
    generation: u64,
    known: [Known; NAMES.len()],
}

impl Model {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn run(&mut self, log: &ShardLog, which: usize, step: &Step) -> Result<()> {
        let name = NAMES[which];
        let exists = self.known[which].exists == Some(true);
        match step {
            Step::Create if !exists => {
                self.known[which] = Known { exists: None, ..Known::default() };
                log.create_stream(name, 1)?;
                self.known[which].exists = Some(true);
            }
            Step::Delete if exists => {
                self.known[which].exists = None;
                log.delete_stream(name)?;
                self.known[which] = Known { exists: Some(false), ..Known::default() };
            }
            Step::Append(records) if exists => {
                let ids: Vec<u64> = (0..*records).map(|_| self.id()).collect();
                let known = &mut self.known[which];
                known.possible.extend(&ids);
                let writer = log.writer(name)?;
                let mut batch = writer.batch();
                for id in &ids {
                    batch.push(b"k", id.to_string().as_bytes())?;
                }
                writer.append(batch)?;
                known.acknowledged.extend(&ids);
            }
            Step::Prepare if exists => self.prepare(log, which)?,
            Step::Commit if exists => self.commit(log, which)?,
            _ => {}
        }
        Ok(())
    }

    fn prepare(&mut self, log: &ShardLog, which: usize) -> Result<()> {
        let id = self.id();
        self.generation += 1;
        let writer = log.writer(NAMES[which])?;
        let mut sink = writer.transactional(FAMILY, "w0", self.generation)?;
        self.known[which].undecided = true;
        sink.begin(1)?;
        let mut batch = sink.batch();
        batch.push(b"k", id.to_string().as_bytes())?;
        sink.write(batch)?;
        let committable = sink.prepare(1)?;
        self.known[which].prepared.insert(id, committable);
        self.known[which].undecided = false;
        Ok(())
    }

    fn commit(&mut self, log: &ShardLog, which: usize) -> Result<()> {
        let known = &mut self.known[which];
        let Some((&id, committable)) = known.prepared.first_key_value() else { return Ok(()) };
        known.possible.insert(id);
        self.generation += 1;
        known.undecided = true;
        log.writer(NAMES[which])?.transactional(FAMILY, "w0", self.generation)?.commit(committable)?;
        known.acknowledged.insert(id);
        known.prepared.remove(&id);
        known.undecided = false;
        Ok(())
    }

    /// Appends to whatever streams there are.
    fn adopt(&mut self, log: &ShardLog) -> Result<()> {
        let found = log.list_streams()?;
        for (which, name) in NAMES.iter().enumerate() {
            let exists = found.iter().any(|found| found == name);
            match self.known[which].exists {
                Some(known) => assert_eq!(known, exists, "`{name}`"),
                None if exists => self.known[which].exists = Some(true),
                // A deletion that was not answered may be undone by a power failure.
                None => {}
            }
            self.run(log, which, &Step::Append(1))?;
        }
        Ok(())
    }

    /// Looks at everything, as a process that was just started.
    fn check(&mut self, log: &ShardLog) -> Result<()> {
        let found = log.list_streams()?;
        for (name, known) in NAMES.iter().zip(&mut self.known) {
            let exists = found.iter().any(|found| found == name);
            assert!(known.exists.is_none_or(|known| known == exists), "`{name}` exists: {exists}, {known:?}");
            if known.exists.replace(exists).is_none() && !exists {
                *known = Known { exists: Some(false), ..Known::default() };
            }
            if !exists {
                continue;
            }
            self.generation += 1;
            let writer = log.writer(name)?;
            let sink = writer.transactional(FAMILY, "w0", self.generation)?;
            let open = sink.list_open()?;
            if !known.undecided {
                let prepared: Vec<u64> = known.prepared.values().map(|one| one.transaction).collect();
                let open: Vec<u64> = open.iter().map(|one| one.transaction).collect();
                assert_eq!(open, prepared, "open transactions of `{name}`");
            }
            // What is listed is committed, the rest is aborted: so each history ends decided.
            let listed: Vec<Committable> = known.prepared.values().cloned().collect();
            sink.abort_unlisted(&listed)?;
            known.undecided = !listed.is_empty();
            for (id, committable) in std::mem::take(&mut known.prepared) {
                known.possible.insert(id);
                known.prepared.insert(id, committable);
                sink.commit(&known.prepared[&id])?;
                known.acknowledged.insert(id);
            }
            known.prepared.clear();
            known.undecided = false;
            let mut reader = log.reader(name, log.shards(name)?[0], StartPosition::Oldest)?;
            let got: BTreeSet<u64> = drain(&mut reader).iter().map(|id| id.parse().unwrap()).collect();
            assert!(got.is_superset(&known.acknowledged), "`{name}` holds {got:?} of {known:?}");
            let possible = &known.possible | &known.acknowledged;
            assert!(got.is_subset(&possible), "`{name}` holds {got:?}, not only {known:?}");
            // What was seen stays.
            known.acknowledged = got;
            assert_eq!(log.verify(name)?.problems, []);
        }
        Ok(())
    }
}

fn play(bench: &Bench, model: &mut Model, steps: &[(usize, Step)]) {
    let lived = (|| {
        let log = bench.try_log()?;
        for (which, step) in steps {
            model.run(&log, *which, step)?;
        }
        Ok::<_, pelton_streams::Error>(())
    })();
    if let Err(error) = lived {
        assert!(bench.disk.has_crashed(), "without a crash nothing fails: {error}");
    }
}

#[test]
fn a_stream_is_whole_or_gone_whatever_operation_was_the_last() {
    with_seeds(4, &proptest::collection::vec(step(), 6..14), |seed, steps| {
        for at_operation in 0.. {
            let mut stopped = false;
            for power_fails in [true, false] {
                let (bench, mut model) = (Bench::new(), Model::default());
                bench.disk.plan(CrashPlan { at_operation });
                play(&bench, &mut model, steps);
                stopped |= bench.disk.has_crashed();
                if !power_fails {
                    // The successor takes what it finds for durable, and adds to it.
                    bench.disk.kill_process();
                    model.adopt(&bench.log()).unwrap();
                }
                bench.disk.restart(seed.wrapping_mul(31).wrapping_add(at_operation));
                model.check(&bench.log()).unwrap();
            }
            if !stopped {
                return;
            }
        }
    });
}
