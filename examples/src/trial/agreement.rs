//! What the job says in its last checkpoint that it has read and written is what has been read and
//! written.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use pelton::dataflow::sink::Committable;
use pelton::state::checkpoint::manifest::Manifest;
use pelton::streams;

use super::{PAYMENTS, Trial};

impl Trial {
    /// Holds the last checkpoint against the log and the sinks.
    ///
    /// # Errors
    /// They do not agree, or cannot be read.
    pub fn agree(&self) -> Result<()> {
        let manifest = self.manifest()?;
        ensure!(manifest.is_final, "the job has ended without its last checkpoint");
        self.positions_agree(&manifest)?;
        self.alerts_agree(&manifest)?;
        for output in ["turnover", "late", "rejected"] {
            self.files_agree(output, manifest.committables_of(output))?;
        }
        Ok(())
    }

    /// The positions are behind the last record of each shard, and all records of the log are in
    /// front of them.
    fn positions_agree(&self, manifest: &Manifest) -> Result<()> {
        let source = manifest.sources.iter().find(|source| source.source == PAYMENTS);
        let mut read = BTreeMap::new();
        for split in &source.context("the checkpoint has no positions")?.splits {
            let position = split.state.position.as_deref().context("a shard was not read")?;
            read.insert(split.state.info.id.0.clone(), next_number(position)?);
        }
        let shards = self.shards(PAYMENTS)?;
        let held: BTreeMap<_, _> =
            shards.iter().map(|shard| (shard.shard.to_string(), shard.last.next().0)).collect();
        ensure!(read == held, "the next records to read are {read:?}, those after the last are {held:?}");
        let records: u64 = shards.iter().map(|shard| shard.records).sum();
        ensure!(records == self.lines, "the log has {records} payments, and not {}", self.lines);
        // Numbers from the first to the last, without gaps: a position says how many were read.
        let is_whole = shards.iter().all(|shard| shard.oldest.0 == 1 && shard.records == shard.last.0);
        ensure!(is_whole, "the log has gaps: {shards:?}");
        Ok(())
    }

    /// No transaction of the alerts is open, and those of the last checkpoint are visible: to commit
    /// them again adds nothing.
    fn alerts_agree(&self, manifest: &Manifest) -> Result<()> {
        let (log, stream) = (self.log()?, self.alerts());
        let open = log.open_transactions(&stream)?;
        ensure!(open.is_empty(), "left open: {open:?}");
        let records =
            || -> Result<Vec<u64>> { Ok(self.shards(&stream)?.iter().map(|shard| shard.records).collect()) };
        let held = records()?;
        let writer = log.writer(&stream)?;
        for committable in manifest.committables_of("alerts") {
            let mut envelope: serde_json::Value = serde_json::from_slice(&committable.bytes)?;
            let committable: streams::Committable = serde_json::from_value(envelope["transaction"].take())?;
            // Later than any generation that the job has had.
            let family = writer.transactional(&committable.family, "check", u64::MAX)?;
            family.commit(&committable)?;
        }
        ensure!(records()? == held, "a transaction of the last checkpoint was not visible");
        Ok(())
    }

    /// The last checkpoint's files are there in full, and none waits to be committed.
    fn files_agree(&self, output: &str, committables: &[Committable]) -> Result<()> {
        let directory = self.place("out").join(output);
        for committable in committables {
            let file: serde_json::Value = serde_json::from_slice(&committable.bytes)?;
            let path = directory.join(file["file"].as_str().context("a committable names its file")?);
            let length = std::fs::metadata(&path).with_context(|| path.display().to_string())?.len();
            ensure!(Some(length) == file["bytes"].as_u64(), "{} has {length} bytes: {file}", path.display());
        }
        for family in std::fs::read_dir(directory.join(".staging"))? {
            let left: Vec<_> = std::fs::read_dir(family?.path())?.collect();
            ensure!(left.is_empty(), "not committed, and not removed: {left:?}");
        }
        Ok(())
    }
}

/// The least number that the next record of a shard has, from the bytes of a position: a tag, a
/// version and three numbers of which this is the first.
fn next_number(position: &[u8]) -> Result<u64> {
    let [3, 2, fields @ ..] = position else {
        anyhow::bail!("not a position of version 2 in a shard: {position:?}")
    };
    let first = fields.first_chunk().context("a position has three numbers")?;
    Ok(u64::from_le_bytes(*first))
}
