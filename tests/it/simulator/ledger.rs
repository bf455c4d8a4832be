//! What must hold of a world after every step: the manifest log and the sink's output are looked at as
//! anyone can see them, and held against what workers have written.

use std::collections::{BTreeMap, BTreeSet};

use pelton::dataflow::time::EventTime;
use pelton::state::checkpoint::log;
use pelton::state::checkpoint::manifest::{Entry, Manifest, SourcePart, Takeover};
use pelton::state::checkpoint::store::CheckpointStore;
use pelton::streams::ShardLog;

use super::sink::{Batch, Window, batch_of};
use super::source::{Live, records_before};
use super::worker::{Tallies, add};

#[derive(Default)]
pub struct Ledger {
    /// What workers have given to the sink.
    written: BTreeMap<Batch, Vec<(String, u64)>>,
    /// What a manifest has listed.
    listed: BTreeSet<Batch>,
    /// Records that are visible, by batch and by split.
    shown: BTreeMap<Batch, u64>,
    visible: Tallies,
    window: Window,
    /// The entries of the manifest log that have been seen.
    sequence: u64,
    newest_generation: u64,
    /// The newest checkpoint, with its sequence number.
    newest: Option<(u64, Manifest)>,
    /// The newest generation that has settled what others left: older ones show nothing more.
    fence: u64,
}

impl Ledger {
    pub fn wrote(&mut self, batch: &Batch, split: &str, number: u64) {
        self.written.entry(batch.clone()).or_default().push((split.to_owned(), number));
    }

    /// The newest generation in the log.
    pub fn newest_generation(&self) -> u64 {
        self.newest_generation
    }

    pub fn newest(&self) -> Option<&Manifest> {
        self.newest.as_ref().map(|(_, manifest)| manifest)
    }

    /// Whether the newest checkpoint holds the end of all input.
    pub fn has_final(&self) -> bool {
        self.newest().is_some_and(|manifest| manifest.is_final)
    }

    /// A recovery is through.
    pub fn took_over(&mut self, generation: u64) {
        self.fence = self.fence.max(generation);
        self.check_settled();
    }

    /// All that the newest checkpoint lists is visible.
    pub fn check_settled(&self) {
        let (waiting, _) = self.listed_by_newest();
        assert!(waiting.is_empty(), "not committed: {waiting:?}");
    }

    /// How many records of each split are before the positions in `sources`; splits without any are left out.
    pub fn positions_of(&self, sources: &[SourcePart]) -> Tallies {
        let splits = sources.iter().flat_map(|source| &source.splits);
        let read = splits
            .map(|split| (split.state.info.id.0.clone(), records_before(split.state.position.as_deref())));
        read.filter(|(_, count)| *count > 0).collect()
    }

    /// Looks at what is new in the manifest log.
    pub fn read_log(&mut self, store: &CheckpointStore) {
        while let Ok(entry) = log::read(store, self.sequence + 1) {
            self.sequence += 1;
            match entry {
                Entry::Takeover(Takeover { generation, base, .. }) => {
                    let newest = self.newest_generation;
                    assert!(generation > newest, "generation {generation} begins after {newest}");
                    assert_eq!(
                        base,
                        self.newest.as_ref().map(|(sequence, _)| *sequence),
                        "where it starts from"
                    );
                    self.newest_generation = generation;
                }
                Entry::Checkpoint(manifest) => self.check_manifest(*manifest, store),
            }
        }
    }

    fn check_manifest(&mut self, manifest: Manifest, store: &CheckpointStore) {
        let (generation, epoch) = (manifest.generation, manifest.epoch);
        assert_eq!(generation, self.newest_generation, "a zombie has appended a manifest");
        if let Some((_, newest)) = &self.newest {
            assert!(epoch > newest.epoch, "epoch {epoch} comes after {}", newest.epoch);
            // One whose answer got lost is taken again.
            assert!(manifest.is_final || !newest.is_final, "the input goes on after its end");
        }
        let has_end = manifest.operators.iter().all(|part| part.watermark == EventTime::END);
        assert!(has_end || !manifest.is_final, "the end of all input, and an operator has not seen it");
        let listed = manifest.committables.iter().flat_map(|part| &part.committables);
        let mut last = epoch;
        for batch in listed.clone().rev().map(batch_of) {
            assert!(batch.epoch <= last.0, "listed out of order");
            last.0 = batch.epoch;
        }
        self.listed.extend(listed.map(batch_of));
        let read = self.positions_of(&manifest.sources);
        let mut held = Tallies::new();
        for file in manifest.files() {
            let bytes = store.read(file).expect("a file is put before the manifest that names it");
            add(&mut held, &serde_json::from_slice(&bytes).unwrap());
        }
        assert_eq!(held, read, "the state of epoch {epoch} and its positions differ");
        self.newest = Some((self.sequence, manifest));
        let (_, shown) = self.listed_by_newest();
        assert_eq!(shown, read, "the output up to epoch {epoch} and its positions differ");
    }

    /// The batches that the newest checkpoint lists and that are not visible, and how many records of each
    /// split are visible once they are.
    fn listed_by_newest(&self) -> (Vec<Batch>, Tallies) {
        let listed = self.newest().into_iter().flat_map(|manifest| &manifest.committables);
        let listed = listed.flat_map(|part| &part.committables).map(batch_of);
        let waiting: Vec<Batch> = listed.filter(|batch| !self.shown.contains_key(batch)).collect();
        let mut tallies = self.visible.clone();
        for batch in &waiting {
            for (split, number) in &self.written[batch] {
                let next = tallies.entry(split.clone()).or_default();
                assert_eq!(*number, *next, "{batch:?} does not go on where {split} is");
                *next += 1;
            }
        }
        (waiting, tallies)
    }

    /// Looks at what has become visible by a call of generation `by`.
    pub fn read_output(&mut self, log: &ShardLog, live: &Live, by: u64) {
        let new = self.window.look(log);
        assert!(new.is_empty() || by >= self.fence, "generation {by}, which has lost the job, has committed");
        for out in &new {
            assert!(self.listed.contains(&out.batch), "visible, and no manifest lists it: {out:?}");
            let next = self.visible.entry(out.split.clone()).or_default();
            assert_eq!(out.number, *next, "lost, doubled or out of order: {out:?}");
            *next += 1;
            *self.shown.entry(out.batch.clone()).or_default() += 1;
        }
        for out in &new {
            let (shown, written) = (self.shown[&out.batch], self.written[&out.batch].len() as u64);
            assert_eq!(shown, written, "a part of {:?} is visible", out.batch);
            for (parent, length) in live.parents(&out.split) {
                let shown = self.visible.get(&parent).copied().unwrap_or(0);
                assert_eq!(shown, length, "{out:?} is visible before all of {parent}");
            }
        }
    }

    /// Everything of the input is visible.
    pub fn shows_all(&self, lengths: &BTreeMap<String, u64>) -> bool {
        let mut lengths = lengths.clone();
        lengths.retain(|_, length| *length > 0);
        self.visible == lengths
    }

    /// The newest checkpoint can be restored.
    pub fn check_files(&self, store: &CheckpointStore) {
        for file in self.newest().into_iter().flat_map(Manifest::files) {
            store.read(file).expect("the newest checkpoint has all its files");
        }
    }
}
