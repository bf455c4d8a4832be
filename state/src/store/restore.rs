//! What a worker takes over of the checkpoint that its job starts from.
//!
//! A worker with the key groups of an old one takes its files as they are. Any other worker reads
//! the files of all old workers whose groups it now has, group by group, and rewrites them.

use std::ops::Range;
use std::path::Path;

use super::StoreOptions;
use crate::base::{self, Base, Opened, RowScan};
use crate::checkpoint::store::CheckpointStore;
use crate::error::StateError;
use crate::files::{Backend, KeyedAck};
use crate::rows::{self, Kind, RowBuffer};

/// Rows that are rewritten in one go.
const REWRITE_ROWS: usize = 16_384;

/// What a worker does with a checkpoint.
#[derive(Debug, PartialEq, Eq)]
enum Plan<'a> {
    /// There is none, or nothing of it is for this worker.
    Fresh,
    /// Takes all files of one old worker.
    Whole(&'a KeyedAck),
    /// Takes some key groups of some old workers, in order.
    Rewrite(Vec<(&'a KeyedAck, Range<u16>)>),
}

pub(super) fn open(options: &StoreOptions) -> Result<Opened, StateError> {
    let range = options.groups.range(options.worker, options.workers);
    let plan = plan(&range, &options.restored)?;
    for ack in &options.restored {
        if ack.backend != options.backend {
            return Err(StateError::OtherBackend { found: ack.backend, asked: options.backend });
        }
    }
    clean(&options.dir)?;
    match plan {
        Plan::Fresh => open_backend(options, None),
        Plan::Whole(ack) => open_backend(options, Some(ack)),
        Plan::Rewrite(parts) => rewrite(options, &parts),
    }
}

fn plan<'a>(range: &Range<u16>, restored: &'a [KeyedAck]) -> Result<Plan<'a>, StateError> {
    let mut parts: Vec<(&KeyedAck, Range<u16>)> = restored
        .iter()
        .map(|ack| (ack, ack.groups.start.max(range.start)..ack.groups.end.min(range.end)))
        .filter(|(_, part)| !part.is_empty())
        .collect();
    if restored.is_empty() || range.is_empty() {
        return Ok(Plan::Fresh);
    }
    parts.sort_by_key(|(_, part)| part.start);
    let mut next = range.start;
    for (_, part) in &parts {
        if part.start != next {
            break;
        }
        next = part.end;
    }
    if next != range.end {
        return Err(StateError::MissingGroups { epoch: restored[0].epoch.0, group: next });
    }
    match parts.as_slice() {
        [(ack, _)] if ack.groups == *range => Ok(Plan::Whole(ack)),
        _ => Ok(Plan::Rewrite(parts)),
    }
}

/// Makes the worker's local directory anew.
fn clean(dir: &Path) -> Result<(), StateError> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).map_err(StateError::local("delete", dir))?;
    }
    std::fs::create_dir_all(dir).map_err(StateError::local("make the directory", dir))
}

fn rewrite(options: &StoreOptions, parts: &[(&KeyedAck, Range<u16>)]) -> Result<Opened, StateError> {
    let mut opened = open_backend(options, None)?;
    let mut old = Vec::new();
    for (index, (ack, groups)) in parts.iter().enumerate() {
        let dir = options.dir.join(format!("restore-{index}"));
        old.push((open_old(options, ack, &dir)?, groups.clone()));
    }
    let mut scans = Vec::new();
    for (base, groups) in &old {
        let from = rows::group_head(groups.start).to_vec();
        let to = rows::group_head(groups.end).to_vec();
        scans.push(base.scan(from..to)?);
    }
    let mut rows: RowScan<'_> = Box::new(scans.into_iter().flatten());
    let mut any = false;
    opened.writer.write(&mut RowBuffer::default(), &mut |buffer| {
        buffer.clear();
        for row in rows.by_ref().take(REWRITE_ROWS) {
            let (key, value) = row?;
            buffer.add(Kind::Put, |out| append(&key, out), |out| append(&value, out))?;
        }
        any |= buffer.len() > 0;
        Ok(buffer.len() > 0)
    })?;
    drop(rows);
    for (index, (base, _)) in old.into_iter().enumerate() {
        drop(base);
        let dir = options.dir.join(format!("restore-{index}"));
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(StateError::local("delete", &dir))?;
        }
    }
    opened.empty = !any;
    Ok(opened)
}

fn append(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), StateError> {
    out.extend_from_slice(bytes);
    Ok(())
}

fn open_backend(options: &StoreOptions, restored: Option<&KeyedAck>) -> Result<Opened, StateError> {
    match options.backend {
        Backend::Memory => base::memory::open(fetch_runs(&options.checkpoints, restored)?),
        #[cfg(feature = "rocksdb")]
        Backend::RocksDb => {
            let blocks = super::Budget(options.memory_bytes).block_bytes();
            base::rocks::open(&options.dir, blocks, &options.checkpoints, restored)
        }
        #[cfg(not(feature = "rocksdb"))]
        Backend::RocksDb => Err(StateError::NoRocksDb),
    }
}

/// The state of an old worker, to be read.
#[cfg_attr(not(feature = "rocksdb"), expect(unused_variables, reason = "only RocksDB needs a directory"))]
fn open_old(
    options: &StoreOptions,
    ack: &KeyedAck,
    dir: &Path,
) -> Result<std::sync::Arc<dyn Base>, StateError> {
    match ack.backend {
        Backend::Memory => Ok(base::memory::open(fetch_runs(&options.checkpoints, Some(ack))?)?.base),
        #[cfg(feature = "rocksdb")]
        Backend::RocksDb => base::rocks::open_old(dir, &options.checkpoints, ack),
        #[cfg(not(feature = "rocksdb"))]
        Backend::RocksDb => Err(StateError::NoRocksDb),
    }
}

fn fetch_runs(
    checkpoints: &CheckpointStore,
    ack: Option<&KeyedAck>,
) -> Result<Vec<(crate::files::StoredFile, bytes::Bytes)>, StateError> {
    let files = ack.map_or(&[][..], |ack| &ack.files);
    files.iter().map(|file| Ok((file.clone(), checkpoints.read(file)?))).collect()
}

#[cfg(test)]
mod tests {
    use pelton_dataflow::time::Epoch;

    use super::*;

    fn ack(groups: Range<u16>) -> KeyedAck {
        let (backend, files) = (Backend::Memory, Vec::new());
        KeyedAck { epoch: Epoch(7), worker: 0, groups, backend, files, new_bytes: 0, duration_us: 0 }
    }

    #[test]
    fn a_worker_takes_what_is_now_its_own() {
        let restored = [ack(86..128), ack(0..43), ack(43..86)];
        assert_eq!(plan(&(0..64), &[]).unwrap(), Plan::Fresh);
        assert_eq!(plan(&(43..86), &restored).unwrap(), Plan::Whole(&restored[2]));
        let halves = plan(&(0..64), &restored).unwrap();
        assert_eq!(halves, Plan::Rewrite(vec![(&restored[1], 0..43), (&restored[2], 43..64)]));
        assert_eq!(plan(&(0..128), &[ack(0..128)]).unwrap(), Plan::Whole(&ack(0..128)));
        assert_eq!(plan(&(50..50), &restored).unwrap(), Plan::Fresh, "more workers than groups");
    }

    #[test]
    fn a_checkpoint_with_a_missing_part_is_refused() {
        let missing = plan(&(0..128), &[ack(0..43), ack(86..128)]).unwrap_err().to_string();
        assert!(missing.contains("epoch 7 holds nothing for key group 43"), "{missing}");
        assert!(plan(&(0..64), &[ack(64..128)]).is_err());
    }
}
