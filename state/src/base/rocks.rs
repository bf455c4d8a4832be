//! The RocksDB backend: sorted files that are ingested, never written to through a memtable.
//!
//! RocksDB is below the caches: it takes one file a layer and gives single rows and scans. There
//! is no log of writes, the checkpoint is the durability, and a memtable never holds anything.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_dataflow::failpoint;
use pelton_dataflow::time::Epoch;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompressionType, IngestExternalFileOptions,
    IteratorMode, LogLevel, Options, ReadOptions, SstFileWriter,
};

use super::{Base, BaseWriter, Content, NextRows, Opened, Pinned, PinnedFile, RowScan};
use crate::checkpoint::store::CheckpointStore;
use crate::error::StateError;
use crate::files::KeyedAck;
use crate::rows::{Kind, RowBuffer};

/// Compaction may use one thread: it shares the cores with the workers. At the priority of all
/// others: at the lowest it gets nothing on a busy machine, and files pile up without end.
const BACKGROUND_JOBS: i32 = 1;

/// Ingested files that wait until they are merged: each layer covers all key groups, so each lands
/// on level 0, and merging more of them at once rewrites each row fewer times.
const LEVEL_0_FILES: i32 = 8;

/// Nothing is ever put, so that no number of files may slow writes down.
const NO_SLOWDOWN: i32 = i32::MAX;

/// A memtable is allocated though none is used.
const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// Bits of a bloom filter for each row: one look in a hundred for a row that is not there reads.
const BLOOM_BITS: f64 = 10.0;

/// Larger than RocksDB's 4 KiB: fewer index entries to keep in memory, better compression.
const BLOCK_BYTES: usize = 8 << 10;

/// A part of a filter or an index.
const METADATA_BLOCK_BYTES: usize = 4 << 10;

/// The least that blocks may take of the memory.
const LEAST_BLOCK_CACHE: usize = 1 << 20;

/// For `map_err`: RocksDB failed at `action` on `path`. The text is made only then: this stands on
/// the way of every row.
fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(rocksdb::Error) -> StateError + 'a {
    move |error| StateError::Database {
        action,
        path: path.display().to_string(),
        problem: error.into_string(),
    }
}

fn options(block_bytes: usize) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_size(BLOCK_BYTES);
    blocks.set_block_cache(&Cache::new_lru_cache(block_bytes.max(LEAST_BLOCK_CACHE)));
    blocks.set_bloom_filter(BLOOM_BITS, false);
    // Filters and indexes in blocks of their own: a filter in one piece is soon larger than a part of
    // the cache, and is then read and checked as a whole for each row.
    blocks.set_partition_filters(true);
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_metadata_block_size(METADATA_BLOCK_BYTES);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_top_level_index_and_filter(true);
    blocks.set_format_version(5);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_level_zero_file_num_compaction_trigger(LEVEL_0_FILES);
    options.set_level_zero_slowdown_writes_trigger(NO_SLOWDOWN);
    options.set_level_zero_stop_writes_trigger(NO_SLOWDOWN);
    options.set_soft_pending_compaction_bytes_limit(0);
    options.set_hard_pending_compaction_bytes_limit(0);
    options.set_avoid_unnecessary_blocking_io(true);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(1);
    options
}

struct Rocks {
    db: DB,
    dir: PathBuf,
}

/// Opens the backend in `dir`, with the files of a checkpoint if there is one.
pub(crate) fn open(
    dir: &Path,
    block_bytes: usize,
    checkpoints: &CheckpointStore,
    restored: Option<&KeyedAck>,
) -> Result<Opened, StateError> {
    let db_dir = dir.join("db");
    let (ingest_dir, pin_dir) = (dir.join("ingest"), dir.join("pins"));
    for dir in [&db_dir, &ingest_dir, &pin_dir] {
        std::fs::create_dir_all(dir).map_err(StateError::local("make the directory", dir))?;
    }
    let mut known = HashMap::new();
    for file in restored.map_or(&[][..], |ack| &ack.files) {
        checkpoints.fetch(file, &db_dir.join(&file.name))?;
        if is_sorted_file(&file.name) {
            known.insert(file.name.clone(), file.clone());
        }
    }
    let options = options(block_bytes);
    let db = DB::open(&options, &db_dir).map_err(failed("open", &db_dir))?;
    let base = Arc::new(Rocks { db, dir: db_dir });
    let empty = known.is_empty();
    let writer = RocksWriter { rocks: base.clone(), options, ingest_dir, pin_dir, layers: 0 };
    Ok(Opened { base, writer: Box::new(writer), known, empty })
}

/// Opens the files of an old worker to read them, in `dir`.
pub(crate) fn open_old(
    dir: &Path,
    checkpoints: &CheckpointStore,
    ack: &KeyedAck,
) -> Result<Arc<dyn Base>, StateError> {
    std::fs::create_dir_all(dir).map_err(StateError::local("make the directory", dir))?;
    for file in &ack.files {
        checkpoints.fetch(file, &dir.join(&file.name))?;
    }
    let mut options = options(LEAST_BLOCK_CACHE);
    options.create_if_missing(false);
    let db = DB::open_for_read_only(&options, dir, false).map_err(failed("open", dir))?;
    Ok(Arc::new(Rocks { db, dir: dir.to_owned() }))
}

fn is_sorted_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "sst")
}

impl Base for Rocks {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.db.get(key).map_err(failed("read", &self.dir))
    }

    fn scan(&self, range: Range<Vec<u8>>) -> Result<RowScan<'_>, StateError> {
        let mut reads = ReadOptions::default();
        reads.set_iterate_lower_bound(range.start);
        reads.set_iterate_upper_bound(range.end);
        let rows = self.db.iterator_opt(IteratorMode::Start, reads);
        Ok(Box::new(rows.map(|row| match row {
            Ok((key, value)) => Ok((key.into_vec(), value.into_vec())),
            Err(error) => Err(failed("read", &self.dir)(error)),
        })))
    }

    fn last_key(&self, range: Range<Vec<u8>>) -> Result<Option<Vec<u8>>, StateError> {
        let mut reads = ReadOptions::default();
        reads.set_iterate_lower_bound(range.start);
        reads.set_iterate_upper_bound(range.end);
        let last = self.db.iterator_opt(IteratorMode::End, reads).next();
        let last = last.transpose().map_err(failed("read", &self.dir))?;
        Ok(last.map(|(key, _)| key.into_vec()))
    }

    fn stop(&self) {
        self.db.cancel_all_background_work(true);
    }
}

struct RocksWriter {
    rocks: Arc<Rocks>,
    options: Options,
    ingest_dir: PathBuf,
    pin_dir: PathBuf,
    /// How many layers have been written.
    layers: u64,
}

impl BaseWriter for RocksWriter {
    fn write(&mut self, buffer: &mut RowBuffer, next: NextRows<'_>) -> Result<(), StateError> {
        let path = self.ingest_dir.join(format!("{}.sst", self.layers));
        self.layers += 1;
        let mut writer = SstFileWriter::create(&self.options);
        writer.open(&path).map_err(failed("write", &path))?;
        let mut any = false;
        while next(buffer)? {
            for row in buffer.iter() {
                any = true;
                match row.kind {
                    Kind::Put => writer.put(row.key, row.value),
                    Kind::Delete => writer.delete(row.key),
                    Kind::Clear => writer.delete_range(row.key, row.value),
                }
                .map_err(failed("write", &path))?;
            }
        }
        if !any {
            drop(writer);
            return std::fs::remove_file(&path).map_err(StateError::local("delete", &path));
        }
        failpoint::at("state::write").map_err(StateError::local("write", &path))?;
        writer.finish().map_err(failed("write", &path))?;
        failpoint::at("state::ingest").map_err(StateError::local("add a file to", &self.rocks.dir))?;
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        let files = vec![&path];
        self.rocks.db.ingest_external_file_opts(&ingest, files).map_err(failed("add to", &self.rocks.dir))
    }

    fn pin(&mut self, epoch: Epoch) -> Result<Pinned, StateError> {
        let dir = self.pin_dir.join(epoch.0.to_string());
        failpoint::at("state::pin").map_err(StateError::local("pin", &self.rocks.dir))?;
        Checkpoint::new(&self.rocks.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(&dir))
            .map_err(failed("pin", &self.rocks.dir))?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(StateError::local("read", &dir))? {
            let entry = entry.map_err(StateError::local("read", &dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let sorted = is_sorted_file(&name);
            // RocksDB's options and its empty log are not needed to open the files again.
            if sorted || name == "CURRENT" || name.starts_with("MANIFEST-") {
                let content = Content::File(entry.path());
                files.push(PinnedFile { name, content, of_epoch: !sorted });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Pinned { files, dir: Some(dir) })
    }
}
