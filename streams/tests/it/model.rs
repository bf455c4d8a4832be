//! The whole log against plain lists: appends, transactions of several families, members and
//! generations, zombies among them, splits and merges, retention, and readers that are somewhere in the middle.
//!
//! Crashes are tried in `crash`; here the disk is good, so that every answer is known beforehand.

use std::collections::{BTreeMap, BTreeSet};

use pelton_streams::{
    Committable, Error, HashKey, Reader, Retention, SequenceNumber, ShardId, ShardLog, StartPosition,
    StreamWriter, TransactionalWriter,
};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::{Bench, START_MS};

mod steps;

use steps::{From, Step, steps};

const SHARDS: u32 = 2;
const FAMILIES: [&str; 2] = ["job/sink", "job/other"];
const MEMBERS: [&str; 2] = ["w0", "w1"];

/// Whether an order about a transaction was turned away, as it has to be if that is another family's or the writer a
/// zombie.
fn is_turned_away<T: std::fmt::Debug>(done: &Result<T, Error>, is_own: bool, is_fenced: bool) -> bool {
    if !is_own {
        assert!(matches!(done, Err(Error::ForeignCommittable { .. })), "of another family: {done:?}");
    } else if is_fenced {
        assert!(matches!(done, Err(Error::Fenced { .. })), "of a zombie: {done:?}");
    }
    !is_own || is_fenced
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Prepared,
    Committed,
    Aborted,
}

struct Transaction {
    committable: Committable,
    family: usize,
    generation: u64,
    ids: Vec<u64>,
    fate: Fate,
}

/// A record as readers see it: its id, and when it arrived.
type Seen = (u64, u64);

struct Handle {
    sink: TransactionalWriter,
    family: usize,
    generation: u64,
}

struct Watched {
    reader: Reader,
    shard: usize,
    /// The number of the next record that it is to give, or a later one.
    next: u64,
    /// It began at the oldest record and has given none: retention cannot overtake it.
    is_at_the_oldest: bool,
}

struct Run {
    bench: Bench,
    /// Taken only while the log is opened again.
    open: Option<(ShardLog, StreamWriter)>,
    handles: Vec<Handle>,
    readers: Vec<Watched>,
    /// By shard, the records from number 1 on.
    shards: Vec<Vec<Seen>>,
    /// By shard, whether it was split or merged.
    is_closed: Vec<bool>,
    ranges: Vec<std::ops::RangeInclusive<HashKey>>,
    /// The number of the oldest record that retention has left, by shard.
    oldest: Vec<u64>,
    transactions: Vec<Transaction>,
    /// The newest generation of each family.
    generations: [u64; 2],
    retention: Retention,
    next_id: u64,
    epoch: u64,
}

impl Run {
    fn new(segment_bytes: u64) -> Self {
        let bench =
            Bench::with(|options| (options.frame_bytes, options.segment_bytes) = (200, segment_bytes));
        let log = bench.log();
        log.create_stream("s", SHARDS).unwrap();
        let writer = log.writer("s").unwrap();
        let ranges =
            log.describe_stream("s").unwrap().shards.into_iter().map(|shard| shard.hash_keys).collect();
        Self {
            bench,
            open: Some((log, writer)),
            handles: Vec::new(),
            readers: Vec::new(),
            shards: vec![Vec::new(); SHARDS as usize],
            ranges,
            is_closed: vec![false; SHARDS as usize],
            oldest: vec![1; SHARDS as usize],
            transactions: Vec::new(),
            generations: [0; 2],
            retention: Retention::default(),
            next_id: 0,
            epoch: 0,
        }
    }

    fn writer(&self) -> &StreamWriter {
        &self.open.as_ref().unwrap().1
    }

    fn log(&self) -> &ShardLog {
        &self.open.as_ref().unwrap().0
    }

    fn now_ms(&self) -> u64 {
        pelton_streams::clock::Clock::now_ms(&*self.bench.clock)
    }

    fn ids(&mut self, count: u8) -> Vec<u64> {
        let first = self.next_id;
        self.next_id += u64::from(count);
        (first..self.next_id).collect()
    }

    /// The open shard of a record.
    fn shard_of(&self, id: u64) -> usize {
        let hash = HashKey::of(&id.to_be_bytes());
        self.ranges
            .iter()
            .zip(&self.is_closed)
            .position(|(range, closed)| !closed && range.contains(&hash))
            .unwrap()
    }

    /// Records become visible at the ends of their shards.
    fn show(&mut self, ids: &[u64]) {
        let now_ms = self.now_ms();
        for id in ids {
            let shard = self.shard_of(*id);
            self.shards[shard].push((*id, now_ms));
        }
    }

    /// Records of a transaction become visible, each in its open shard. Those of shards that were merged since
    /// they were staged are in any order among each other, for they are of different keys.
    fn show_committed(&mut self, ids: &[u64]) {
        let now_ms = self.now_ms();
        let mut expected: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for id in ids {
            expected.entry(self.shard_of(*id)).or_default().insert(*id);
        }
        for (shard, ids) in expected {
            let start = StartPosition::At(SequenceNumber(self.shards[shard].len() as u64 + 1));
            let mut reader = self.log().reader("s", ShardId(shard as u32), start).unwrap();
            let batch = reader.poll(1_000, 1 << 20).unwrap();
            let found: Vec<u64> =
                batch.iter().map(|record| u64::from_le_bytes(record.data[..8].try_into().unwrap())).collect();
            assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), ids, "committed to shard {shard}");
            assert_eq!(found.len(), ids.len(), "each once in shard {shard}");
            self.shards[shard].extend(found.iter().map(|id| (*id, now_ms)));
        }
    }

    fn open_shards(&self) -> Vec<usize> {
        let mut open: Vec<_> = (0..self.shards.len()).filter(|shard| !self.is_closed[*shard]).collect();
        open.sort_by_key(|shard| *self.ranges[*shard].start());
        open
    }

    fn split(&mut self, which: &Index, at: u8) {
        let open = self.open_shards();
        let shard = open[which.index(open.len())];
        let (first, last) = (self.ranges[shard].start().0, self.ranges[shard].end().0);
        let at = first + (last - first) / 256 * u128::from(at) + 1;
        let children = self.writer().split_shard(ShardId(shard as u32), HashKey(at)).unwrap();
        self.close(&[shard], vec![HashKey(first)..=HashKey(at - 1), HashKey(at)..=HashKey(last)], &children);
    }

    fn merge(&mut self, which: &Index) {
        let open = self.open_shards();
        let at = which.index(open.len());
        let Some(&[one, two]) = open.get(at..at + 2) else { return };
        let child = self.writer().merge_shards(ShardId(two as u32), ShardId(one as u32)).unwrap();
        let range = *self.ranges[one].start()..=*self.ranges[two].end();
        self.close(&[one, two], vec![range], &[child]);
    }

    fn close(
        &mut self,
        closed: &[usize],
        ranges: Vec<std::ops::RangeInclusive<HashKey>>,
        children: &[ShardId],
    ) {
        let first = self.shards.len() as u32;
        assert_eq!(children, (first..first + ranges.len() as u32).map(ShardId).collect::<Vec<_>>());
        for shard in closed {
            self.is_closed[*shard] = true;
        }
        self.shards.resize(self.shards.len() + ranges.len(), Vec::new());
        self.is_closed.resize(self.shards.len(), false);
        self.oldest.resize(self.shards.len(), 1);
        self.ranges.extend(ranges);
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append { records } => self.append(*records),
            Step::Open { family, member, takes_over } => self.open(*family, *member, *takes_over),
            Step::Prepare { with, records } => self.prepare(with, *records, false),
            Step::Discard { with, records } => self.prepare(with, *records, true),
            Step::Commit { with, which } => self.commit(with, which),
            Step::Abort { with, which } => self.abort(with, which),
            Step::AbortUnlisted { with, listed } => self.abort_unlisted(with, *listed),
            Step::Roll => self.writer().roll().unwrap(),
            Step::Pass { ms } => self.bench.clock.advance(*ms),
            Step::Retain { age_ms, bytes } => {
                self.retention = Retention { age_ms: *age_ms, bytes: *bytes };
                self.writer().set_retention(self.retention).unwrap();
                self.writer().apply_retention().unwrap();
            }
            Step::Split { which, at } => self.split(which, *at),
            Step::Merge { which } => self.merge(which),
            Step::NewReader { shard, from } => self.new_reader(shard.index(self.shards.len()), *from),
            Step::Read { which, records } if !self.readers.is_empty() => {
                let which = which.index(self.readers.len());
                self.read(which, *records);
            }
            Step::Read { .. } => {}
            Step::Reopen => self.reopen(),
        }
        self.look_at_retention();
    }

    fn append(&mut self, records: u8) {
        let ids = self.ids(records);
        let mut batch = self.writer().batch();
        ids.iter().for_each(|id| batch.push(&id.to_be_bytes(), &id.to_le_bytes()).unwrap());
        let appended = self.writer().append(batch).unwrap();
        self.show(&ids);
        let mut places: Vec<_> = appended.records().map(|(shard, at)| (shard.0 as usize, at.0)).collect();
        let mut expected: Vec<_> = ids.iter().map(|id| self.place_of(*id)).collect();
        places.sort_unstable();
        expected.sort_unstable();
        assert_eq!(places, expected, "where the records are said to be");
    }

    fn place_of(&self, id: u64) -> (usize, u64) {
        let of = |shard: &Vec<Seen>| shard.iter().position(|seen| seen.0 == id);
        let (shard, index) =
            self.shards.iter().enumerate().find_map(|(n, shard)| Some((n, of(shard)?))).unwrap();
        (shard, index as u64 + 1)
    }

    fn open(&mut self, family: usize, member: usize, takes_over: bool) {
        let generation = self.generations[family].max(1) + u64::from(takes_over);
        let sink = self.writer().transactional(FAMILIES[family], MEMBERS[member], generation).unwrap();
        self.generations[family] = generation;
        self.handles.push(Handle { sink, family, generation });
        if generation > 1 {
            let stale = self.writer().transactional(FAMILIES[family], MEMBERS[member], generation - 1);
            assert!(matches!(stale, Err(Error::Fenced { .. })), "an older generation opens: {stale:?}");
        }
    }

    /// The index of a writer, and whether a newer generation has fenced it off.
    fn pick(&self, with: &Index) -> Option<(usize, bool)> {
        if self.handles.is_empty() {
            return None;
        }
        let index = with.index(self.handles.len());
        let handle = &self.handles[index];
        Some((index, handle.generation < self.generations[handle.family]))
    }

    /// As [`Self::pick`], with the index of a transaction between the two.
    fn pick_transaction(&self, with: &Index, which: &Index) -> Option<(usize, usize, bool)> {
        let (index, is_fenced) = self.pick(with)?;
        let which = (!self.transactions.is_empty()).then(|| which.index(self.transactions.len()))?;
        Some((index, which, is_fenced))
    }

    fn prepare(&mut self, with: &Index, records: u8, discards: bool) {
        let Some((index, is_fenced)) = self.pick(with) else { return };
        let ids = self.ids(records);
        self.epoch += 1;
        let Handle { sink, family, generation } = &mut self.handles[index];
        let written = (|| {
            sink.begin(self.epoch)?;
            for chunk in ids.chunks(3) {
                let mut batch = sink.batch();
                chunk.iter().for_each(|id| batch.push(&id.to_be_bytes(), &id.to_le_bytes()).unwrap());
                sink.write(batch)?;
            }
            if discards { sink.abort().map(|()| None) } else { sink.prepare(self.epoch).map(Some) }
        })();
        match written {
            Ok(committable) => {
                assert!(!is_fenced, "a zombie has written {committable:?}");
                let (family, generation) = (*family, *generation);
                self.transactions.extend(committable.map(|committable| Transaction {
                    committable,
                    family,
                    generation,
                    ids,
                    fate: Fate::Prepared,
                }));
            }
            Err(error) => {
                assert!(is_fenced && matches!(error, Error::Fenced { .. }), "{error}");
                // What it had begun is of no use to it.
                let _ = sink.abort();
            }
        }
    }

    fn commit(&mut self, with: &Index, which: &Index) {
        let Some((index, which, is_fenced)) = self.pick_transaction(with, which) else { return };
        let (handle, transaction) = (&self.handles[index], &mut self.transactions[which]);
        let done = handle.sink.commit(&transaction.committable);
        if is_turned_away(&done, handle.family == transaction.family, is_fenced) {
            return;
        }
        if transaction.fate == Fate::Aborted {
            assert!(matches!(done, Err(Error::Aborted { .. })), "it was aborted: {done:?}");
        } else {
            done.unwrap();
            if std::mem::replace(&mut transaction.fate, Fate::Committed) == Fate::Prepared {
                let ids = transaction.ids.clone();
                self.show_committed(&ids);
            }
        }
    }

    fn abort(&mut self, with: &Index, which: &Index) {
        let Some((index, which, is_fenced)) = self.pick_transaction(with, which) else { return };
        let (handle, transaction) = (&self.handles[index], &mut self.transactions[which]);
        let done = handle.sink.abort_prepared(&transaction.committable);
        if is_turned_away(&done, handle.family == transaction.family, is_fenced) {
            return;
        }
        if transaction.fate == Fate::Committed {
            assert!(matches!(done, Err(Error::AlreadyCommitted { .. })), "it is committed: {done:?}");
        } else {
            done.unwrap();
            transaction.fate = Fate::Aborted;
        }
    }

    fn abort_unlisted(&mut self, with: &Index, listed: u64) {
        let Some((index, is_fenced)) = self.pick(with) else { return };
        let handle = &self.handles[index];
        let is_listed = |number: usize| listed >> (number % 64) & 1 == 1;
        let all = self.transactions.iter().enumerate();
        let kept: Vec<Committable> =
            all.filter(|(number, _)| is_listed(*number)).map(|(_, one)| one.committable.clone()).collect();
        let done = handle.sink.abort_unlisted(&kept);
        if is_fenced {
            assert!(matches!(done, Err(Error::Fenced { .. })), "a zombie aborts: {done:?}");
            return;
        }
        let mut expected = BTreeSet::new();
        for (number, one) in self.transactions.iter_mut().enumerate() {
            let is_old = one.family == handle.family && one.generation < handle.generation;
            if is_old && one.fate == Fate::Prepared && !is_listed(number) {
                one.fate = Fate::Aborted;
                expected.insert(one.committable.transaction);
            }
        }
        let found: BTreeSet<u64> = done.unwrap().into_iter().map(|open| open.transaction).collect();
        assert_eq!(found, expected, "what was not listed");
    }

    fn new_reader(&mut self, shard: usize, from: From) {
        let seen = &self.shards[shard];
        let end = seen.len() as u64 + 1;
        let (start, next) = match from {
            From::Oldest => (StartPosition::Oldest, self.oldest[shard]),
            From::Latest => (StartPosition::Latest, end),
            From::At(at) => (StartPosition::At(SequenceNumber(at)), at.max(1)),
            From::After(at) => (StartPosition::After(SequenceNumber(at)), at + 1),
            From::AtTime(ms) => {
                let left = seen.iter().zip(1..).skip(self.oldest[shard] as usize - 1);
                let first = left.clone().find(|((_, arrival_ms), _)| *arrival_ms >= START_MS + ms);
                (StartPosition::AtTime(START_MS + ms), first.map_or(end, |(_, number)| number))
            }
        };
        let reader = self.log().reader("s", ShardId(shard as u32), start).unwrap();
        let is_at_the_oldest = matches!(from, From::Oldest);
        self.readers.push(Watched { reader, shard, next, is_at_the_oldest });
    }

    /// Polls until `records` have come or there are no more: exactly those that are visible, in order.
    fn read(&mut self, which: usize, records: usize) {
        let watched = &mut self.readers[which];
        let (seen, oldest) = (&self.shards[watched.shard], self.oldest[watched.shard]);
        let before = watched.next;
        if watched.is_at_the_oldest {
            watched.next = watched.next.max(oldest);
        }
        for _ in 0..records {
            match watched.reader.poll(1, 1 << 20) {
                Ok(batch) => {
                    let found: Vec<_> = batch
                        .iter()
                        .map(|record| {
                            let id = u64::from_le_bytes(record.data[..8].try_into().unwrap());
                            (record.sequence.0, id, record.arrival_ms)
                        })
                        .collect();
                    // A segment that it has open it may read on in, though retention has taken that.
                    if watched.is_at_the_oldest && found.first().is_some_and(|(number, ..)| *number == before)
                    {
                        watched.next = before;
                    }
                    let expected = seen.get(watched.next as usize - 1);
                    let expected = expected.map(|(id, arrival_ms)| (watched.next, *id, *arrival_ms));
                    assert_eq!(
                        found,
                        Vec::from_iter(expected),
                        "shard {} at {}",
                        watched.shard,
                        watched.next
                    );
                    if found.is_empty() {
                        let is_at_the_end = watched.next == seen.len() as u64 + 1;
                        let is_ended = watched.reader.is_ended();
                        assert!(!is_at_the_end || is_ended == self.is_closed[watched.shard], "{is_ended}");
                        return;
                    }
                    watched.next += 1;
                    watched.is_at_the_oldest = false;
                }
                Err(Error::Trimmed { requested, oldest: left, .. }) => {
                    assert_eq!((requested.0, left.0), (watched.next, oldest), "what retention has taken");
                    assert!(watched.next < oldest && !watched.is_at_the_oldest);
                    watched.reader.seek(StartPosition::Oldest).unwrap();
                    watched.next = oldest;
                    watched.is_at_the_oldest = true;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Another process opens the log: what was begun is gone, what was prepared is there, readers go on
    /// where they were.
    fn reopen(&mut self) {
        let places: Vec<_> =
            self.readers.drain(..).map(|one| (one.shard, one.reader.position().0, one.next)).collect();
        self.handles.clear();
        self.open = None;
        let log = self.bench.log();
        let writer = log.writer("s").unwrap();
        let prepared = self.transactions.iter().filter(|one| one.fate == Fate::Prepared).count();
        assert_eq!(writer.recovery().open_transactions, prepared, "what is prepared is found");
        for (shard, position, next) in places {
            let reader =
                log.reader("s", ShardId(shard as u32), StartPosition::At(SequenceNumber(position))).unwrap();
            assert!(position <= next, "a reader at {next} says {position}");
            self.readers.push(Watched { reader, shard, next: position, is_at_the_oldest: false });
        }
        self.open = Some((log, writer));
    }

    /// Retention takes whole segments, the oldest first, and nothing that may stay.
    fn look_at_retention(&mut self) {
        let description = self.log().describe_stream("s").unwrap();
        let now_ms = self.now_ms();
        assert_eq!(description.shards.len(), self.shards.len());
        for (number, shard) in description.shards.iter().enumerate() {
            assert_eq!(
                (shard.closed_ms.is_some(), &shard.hash_keys),
                (self.is_closed[number], &self.ranges[number])
            );
            let (seen, before) = (&self.shards[number], self.oldest[number]);
            let oldest = shard.oldest.0.max(1);
            assert!(oldest >= before, "retention gives nothing back");
            assert_eq!(shard.last.0, seen.len() as u64, "the last number of shard {number}");
            assert_eq!(shard.records, shard.last.0 + 1 - oldest, "what is left of shard {number}");
            for (_, arrival_ms) in &seen[before as usize - 1..oldest as usize - 1] {
                let Retention { age_ms, bytes } = self.retention;
                let is_old = age_ms.is_some_and(|age_ms| arrival_ms + age_ms < now_ms);
                assert!(is_old || bytes.is_some(), "a record of {arrival_ms} was taken at {now_ms}");
            }
            self.oldest[number] = oldest;
        }
    }

    fn finish(mut self) {
        for shard in 0..self.shards.len() {
            self.new_reader(shard, From::Oldest);
        }
        for which in 0..self.readers.len() {
            self.read(which, 10_000);
        }
        let open: BTreeMap<u64, bool> = self
            .log()
            .open_transactions("s")
            .unwrap()
            .into_iter()
            .map(|one| (one.transaction, one.prepared))
            .collect();
        let prepared = self.transactions.iter().filter(|one| one.fate == Fate::Prepared);
        assert_eq!(
            open,
            prepared.map(|one| (one.committable.transaction, true)).collect(),
            "what is left open"
        );
        assert_eq!(self.log().verify("s").unwrap().problems, []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 4_000, ..ProptestConfig::default() })]
    #[test]
    fn the_log_agrees_with_plain_lists(steps in steps(), segment_bytes in 600..4_000u64) {
        let mut run = Run::new(segment_bytes);
        for step in &steps {
            run.apply(step);
        }
        run.finish();
    }
}
