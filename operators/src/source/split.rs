//! A split being read: whether it is idle, and how far its event time has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pelton_dataflow::alignment::AlignedSplit;
use pelton_dataflow::error::OpError;
use pelton_dataflow::rank::Rank;
use pelton_dataflow::record::Record;
use pelton_dataflow::source::{SplitReader, SplitState};
use pelton_dataflow::time::EventTime;
use pelton_state::codec;

use super::memory::SplitMemory;
use crate::watermarks::WatermarkGenerator;

/// How long a split of a group is silent before it is told of.
const TELLING_SILENCE: Duration = Duration::from_secs(30);

/// A split being read.
pub(super) struct RunningSplit<T, G: WatermarkGenerator<T>> {
    pub state: SplitState,
    /// `None` once it is finished.
    pub reader: Option<Box<dyn SplitReader<Item = T>>>,
    /// Its name in messages.
    pub name: Arc<str>,
    /// Set by the reader's waker: there may be more.
    pub awake: Arc<AtomicBool>,
    /// It cannot tell when there is more, and has to be asked.
    pub unannounced: bool,
    /// Since when it has been found empty at every look, and the last of those looks.
    empty_us: Option<(i64, i64)>,
    /// It has told that its watermark is far ahead of the clock: once is enough.
    pub is_ahead: bool,
    /// It has told that it is silent and holds others: once is enough, until it has something.
    told_silence: bool,
    /// How many records were read of it, malformed ones included.
    pub read: u64,
    /// Event time, as far as its records tell.
    pub watermark: EventTime,
    generator: G::State,
    /// Its membership of a group, until it is finished.
    pub aligned: Option<AlignedSplit>,
    /// It is ahead of its group, and not read for that reason.
    pub is_held: bool,
}

impl<T, G: WatermarkGenerator<T>> RunningSplit<T, G> {
    /// The split of `state`, of which nothing is known but `memory`.
    pub fn new(
        state: SplitState,
        name: Arc<str>,
        generator: &G,
        memory: Option<SplitMemory>,
    ) -> Result<Self, OpError> {
        let kept = memory.as_ref().and_then(|memory| memory.generator.as_deref());
        let inner = match (kept, generator.state_at(state.max_time)) {
            (_, Some(inner)) => inner,
            (Some(bytes), None) => codec::decode(bytes).map_err(|error| {
                format!("the state of the watermark generator of {name} cannot be read: {error}")
            })?,
            (None, None) => G::State::default(),
        };
        let (read, said) = memory.map_or((0, EventTime::MIN), |memory| (memory.read, memory.watermark));
        Ok(Self {
            state,
            reader: None,
            name,
            awake: Arc::new(AtomicBool::new(true)),
            unannounced: false,
            empty_us: None,
            is_ahead: false,
            told_silence: false,
            read,
            watermark: said.max(generator.watermark(&inner)),
            generator: inner,
            aligned: None,
            is_held: false,
        })
    }

    /// Takes notice of records that were read; times beyond `cut` count as `cut`.
    pub fn note(&mut self, generator: &G, records: &[Record<T>], cut: EventTime, latest: EventTime) {
        self.state.max_time = self.state.max_time.max(latest);
        generator.on_records(&mut self.generator, records, cut, latest);
        self.watermark = self.watermark.max(generator.watermark(&self.generator));
    }

    /// As [`RunningSplit::note`], record by record: takes those out that are earlier than the watermark before them.
    pub fn note_late(
        &mut self,
        generator: &G,
        records: &mut Vec<Record<T>>,
        cut: EventTime,
    ) -> Vec<Record<T>> {
        let is_late = |record: &mut Record<T>| {
            let is_late = record.time < self.watermark;
            let time = record.time.min(cut);
            self.state.max_time = self.state.max_time.max(time);
            generator.on_record(&mut self.generator, &record.value, time);
            self.watermark = self.watermark.max(generator.watermark(&self.generator));
            is_late
        };
        records.extract_if(.., is_late).collect()
    }

    /// As [`RunningSplit::note`], record by record: the ranks of `records`, of which the first is the
    /// split's `number`-th. Those that are earlier than the watermark before them are late.
    pub fn rank(&mut self, generator: &G, records: &[Record<T>], cut: EventTime, number: u64) -> Vec<Rank> {
        let split = Rank::of(&self.name);
        let rank = |(record, number): (&Record<T>, u64)| {
            let is_late = record.time < self.watermark;
            let time = record.time.min(cut);
            self.state.max_time = self.state.max_time.max(time);
            generator.on_record(&mut self.generator, &record.value, time);
            self.watermark = self.watermark.max(generator.watermark(&self.generator));
            split.then(number).late(is_late)
        };
        records.iter().zip(number..).map(rank).collect()
    }

    /// What a checkpoint keeps of it besides its state; nothing if that tells all.
    pub fn memory(&self, generator: &G, is_ranked: bool) -> Result<Option<SplitMemory>, OpError> {
        let follows = generator.state_at(self.state.max_time).is_some();
        if follows && !is_ranked {
            return Ok(None);
        }
        let generator = if follows { None } else { Some(codec::encode(&self.generator)?) };
        Ok(Some(SplitMemory { read: self.read, watermark: self.watermark, generator }))
    }

    /// A look found nothing more; `gave` if it gave something before that.
    pub fn found_empty(&mut self, now_us: i64, gave: bool) {
        let since_us = self.empty_us.filter(|_| !gave).map_or(now_us, |(since_us, _)| since_us);
        self.empty_us = Some((since_us, now_us));
        self.told_silence &= !gave;
    }

    /// A look found something, and there may be more.
    pub fn found_more(&mut self) {
        self.empty_us = None;
        self.told_silence = false;
        self.awake.store(true, Ordering::Release);
    }

    /// Says once that others of its group wait for it, if it has been silent for long and nothing will make it idle.
    pub fn tell_silence(&mut self, now_us: i64, group: &str) {
        let holds = self.aligned.as_ref().map_or(0, AlignedSplit::holds);
        if self.told_silence || holds == 0 || self.empty_for(now_us) < TELLING_SILENCE {
            return;
        }
        self.told_silence = true;
        let name = &self.name;
        let has_had = if self.read == 0 { "has never had a record" } else { "has no more records" };
        tracing::warn!(
            "split {name} {has_had} and holds the {holds} that are ahead of it in the group `{group}`: they are not read \
             until it has one. Give the watermarks of its source `.idle_after(...)`, if it may stay silent"
        );
    }

    /// For how long it is known to be empty: a split that nobody has looked at, because its stage
    /// was paused or out of credit or it is ahead of its group, is not.
    pub fn empty_for(&self, now_us: i64) -> Duration {
        let Some((since_us, last_look_us)) = self.empty_us else { return Duration::ZERO };
        let until_us = match (self.unannounced, self.awake.load(Ordering::Acquire)) {
            (true, _) => last_look_us,
            (false, true) => since_us,
            (false, false) => now_us,
        };
        Duration::from_micros(until_us.saturating_sub(since_us).max(0).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watermarks::{Behind, Watermarks};

    fn split(unannounced: bool) -> RunningSplit<u8, Behind> {
        let state = SplitState::fresh(pelton_dataflow::source::SplitInfo::root("0"));
        let generator = Watermarks::<fn(&u8) -> EventTime>::none().generator;
        let mut split = RunningSplit::new(state, "in/0".into(), &generator, None).unwrap();
        split.awake.store(false, Ordering::Release);
        split.unannounced = unannounced;
        split
    }

    #[test]
    fn a_split_that_nobody_looks_at_is_not_idle() {
        let mut announced = split(false);
        assert_eq!(announced.empty_for(9_000), Duration::ZERO);
        announced.found_empty(1_000, true);
        assert_eq!(announced.empty_for(4_000), Duration::from_millis(3));
        announced.awake.store(true, Ordering::Release);
        assert_eq!(announced.empty_for(9_000), Duration::ZERO);

        let mut asked = split(true);
        asked.found_empty(1_000, true);
        assert_eq!(asked.empty_for(9_000), Duration::ZERO);
        asked.found_empty(5_000, false);
        assert_eq!(asked.empty_for(9_000), Duration::from_millis(4));
        asked.found_empty(6_000, true);
        assert_eq!(asked.empty_for(9_000), Duration::ZERO);
    }

    /// The ranks of a split's records, and which of them are late, do not depend on how they come in batches.
    #[test]
    fn ranks_follow_from_the_split_alone() {
        let strategy = Watermarks::bounded(Duration::from_millis(5), |at: &u8| EventTime(i64::from(*at)));
        let records: Vec<_> =
            [10u8, 20, 15, 14, 30, 25, 24, 9].map(|at| Record::new(EventTime(i64::from(at)), at)).into();
        let rank_in = |batches: usize, cut: EventTime| {
            let state = SplitState::fresh(pelton_dataflow::source::SplitInfo::root("0"));
            let mut split = RunningSplit::new(state, "in/0".into(), &strategy.generator, None).unwrap();
            let mut number = 0;
            let batches = records.chunks(batches).map(|batch| {
                number += batch.len() as u64;
                split.rank(&strategy.generator, batch, cut, number - batch.len() as u64)
            });
            batches.collect::<Vec<_>>().concat()
        };
        let whole = rank_in(8, EventTime::END);
        assert!(whole.is_sorted() && whole[0] == Rank::of("in/0").then(0));
        let late = |ranks: &[Rank]| -> Vec<u8> {
            let both = ranks.iter().zip(&records).filter(|(rank, _)| rank.is_late());
            both.map(|(_, record)| record.value).collect()
        };
        assert_eq!(late(&whole), [14, 24, 9]);
        for batches in 1..8 {
            assert_eq!(rank_in(batches, EventTime::END), whole);
        }
        assert_eq!(late(&rank_in(3, EventTime(20))), [14, 9], "the watermark is cut at 15");
    }
}
