//! Output files in partitions: a directory for each, by what records say of themselves.
//!
//! A partition is a [`FileSink`] in a directory of its own, below that of the sink; a worker writes one file for
//! each partition and epoch. The committable of an epoch lists them: a JSON object with `v`, the format version,
//! 1, and `parts`, each with its `partition` and the `file` that `layout` describes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::fs;
use std::hash::Hash;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::{
    Committable, Committer, Guarantee, Sink, SinkContext, SinkWriter, WriterContext,
};
use pelton_dataflow::time::Epoch;
use serde::{Deserialize, Serialize};

use super::commit::FileCommitter;
use super::layout::{Layout, Prepared};
use super::sink::{FileSink, Writer, make_directories};
use crate::error::{Error, Result};

const VERSION: u32 = 1;

/// Records as JSON lines in files of partitions, exactly once; made by
/// [`FileSink::partitioned_by`].
pub struct PartitionedFiles<T, P> {
    sink: FileSink<T>,
    partition: Arc<PartitionOf<T, P>>,
}

type PartitionOf<T, P> = dyn Fn(&T) -> P + Send + Sync;

impl<T: Data> FileSink<T> {
    /// Writes each record into the partition that `partition` says: a directory below that of the
    /// sink, as the partition is shown: `dt=2015-07-15/hm=23:59`.
    ///
    /// ```
    /// use pelton_connectors::Files;
    /// let payments = Files::jsonl::<(String, u64)>("./payments").partitioned_by(|(card, _)| format!("card={card}"));
    /// ```
    pub fn partitioned_by<P: Clone + Eq + Hash + Display + Send + 'static>(
        self,
        partition: impl Fn(&T) -> P + Send + Sync + 'static,
    ) -> PartitionedFiles<T, P> {
        PartitionedFiles { sink: self, partition: Arc::new(partition) }
    }
}

impl<T: Data, P: Clone + Eq + Hash + Display + Send + 'static> Sink for PartitionedFiles<T, P> {
    type Item = T;

    fn guarantee(&self) -> Guarantee {
        self.sink.guarantee()
    }

    fn writer(&self, cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = T>>, OpError> {
        let root = self.sink.directory().to_owned();
        make_directories(&Layout::new(&root, &cx.sink)?)?;
        let (partition, cx) = (self.partition.clone(), cx.clone());
        Ok(Box::new(Partitions { root, partition, cx, opened: 0, open: HashMap::new() }))
    }

    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        let root = Layout::new(self.sink.directory(), cx)?;
        Ok(Some(Box::new(PartitionedCommitter { root, cx: cx.clone() })))
    }

    fn location(&self) -> Option<PathBuf> {
        self.sink.location()
    }

    fn describe(&self) -> String {
        format!("{}, in partitions", self.sink.describe())
    }
}

/// The partitions that a worker has written to in the epoch at hand.
struct Partitions<T, P> {
    root: PathBuf,
    partition: Arc<PartitionOf<T, P>>,
    cx: WriterContext,
    /// Writers made so far: each names the file that it has open by it.
    opened: u64,
    open: HashMap<P, (String, Writer<T>)>,
}

impl<T: Data, P: Clone + Eq + Hash + Display> Partitions<T, P> {
    fn write_run(&mut self, partition: P, records: Vec<Record<T>>) -> Result<(), OpError> {
        let writer = match self.open.get_mut(&partition) {
            Some((_, writer)) => writer,
            None => {
                let name = partition.to_string();
                let layout = layout_of(&self.root, &name, &self.cx.sink)?;
                if !layout.staging().exists() {
                    make_directories(&layout)?;
                }
                let writer = Writer::new(layout, self.cx.worker, self.cx.generation, self.opened);
                self.opened += 1;
                &mut self.open.entry(partition).or_insert((name, writer)).1
            }
        };
        writer.write(records)
    }
}

impl<T: Data, P: Clone + Eq + Hash + Display> SinkWriter for Partitions<T, P> {
    type Item = T;

    /// Records of a partition mostly come one after the other: a run of them is written at once.
    fn write(&mut self, records: Vec<Record<T>>) -> Result<(), OpError> {
        let mut run: Option<(P, Vec<Record<T>>)> = None;
        for record in records {
            let partition = (self.partition)(&record.value);
            match &mut run {
                Some((at_hand, records)) if *at_hand == partition => records.push(record),
                _ => {
                    if let Some((before, records)) = run.replace((partition, vec![record])) {
                        self.write_run(before, records)?;
                    }
                }
            }
        }
        run.map_or(Ok(()), |(partition, records)| self.write_run(partition, records))
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Deferred>, OpError> {
        let mut tasks = Vec::new();
        for (_, (name, mut writer)) in self.open.drain() {
            tasks.extend(writer.prepare(epoch)?.map(|task| (name, task)));
        }
        if tasks.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(move || {
            let mut parts = Vec::new();
            for (partition, task) in tasks {
                if let Some(bytes) = task()? {
                    parts.push(Part { partition, file: serde_json::from_slice(&bytes)? });
                }
            }
            Ok(Some(serde_json::to_vec(&Parts { v: VERSION, parts })?))
        })))
    }
}

/// A committable.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    v: u32,
    parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    partition: String,
    file: Prepared,
}

/// Commits the files of each partition as a [`FileSink`] does.
struct PartitionedCommitter {
    root: Layout,
    cx: SinkContext,
}

impl PartitionedCommitter {
    /// The committables of each partition, in the order of `committables`.
    fn by_partition(&self, committables: &[Committable]) -> Result<BTreeMap<String, Vec<Committable>>> {
        let mut found: BTreeMap<String, Vec<Committable>> = BTreeMap::new();
        for committable in committables {
            let Committable { epoch, worker, .. } = *committable;
            let wrong = |reason: String| Error::Committable { epoch: epoch.0, worker, reason };
            let Parts { v, parts } =
                serde_json::from_slice(&committable.bytes).map_err(|error| wrong(error.to_string()))?;
            if v != VERSION {
                return Err(wrong(format!("it has format version {v}, this version reads {VERSION}")));
            }
            for Part { partition, file } in parts {
                let of_file = Committable { epoch, worker, bytes: file.encode() };
                found.entry(partition).or_default().push(of_file);
            }
        }
        Ok(found)
    }

    /// The partitions that files of this sink are, or were, prepared in.
    fn on_disk(&self) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.root.directory().to_owned()];
        while let Some(directory) = open.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(Error::Io { action: "list", path: directory, source }),
            };
            let partition = directory.strip_prefix(self.root.directory()).ok().and_then(Path::to_str);
            if let Some(partition) = partition
                && layout_of(self.root.directory(), partition, &self.cx)?.staging().exists()
            {
                found.insert(partition.to_owned());
            }
            for entry in entries {
                let path = entry.map_err(Error::io("list", &directory))?.path();
                let is_hidden =
                    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                if path.is_dir() && !is_hidden {
                    open.push(path);
                }
            }
        }
        Ok(found)
    }

    /// Each partition on disk or listed, with what is listed of it.
    fn known(&self, listed: &[Committable]) -> Result<Vec<(FileCommitter, Vec<Committable>)>> {
        let mut listed = self.by_partition(listed)?;
        for partition in self.on_disk()? {
            listed.entry(partition).or_default();
        }
        let committer = |(partition, listed): (String, _)| Ok((self.of(&partition)?, listed));
        listed.into_iter().map(committer).collect()
    }

    fn of(&self, partition: &str) -> Result<FileCommitter> {
        Ok(FileCommitter::new(layout_of(self.root.directory(), partition, &self.cx)?))
    }
}

impl Committer for PartitionedCommitter {
    fn check(&self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        self.known(listed)?.iter().try_for_each(|(partition, listed)| partition.check(generation, listed))
    }

    fn recover(&mut self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        let mut known = self.known(listed)?;
        known.iter_mut().try_for_each(|(partition, listed)| partition.recover(generation, listed))
    }

    fn commit(&mut self, committables: &[Committable]) -> Result<(), OpError> {
        for (partition, committables) in self.by_partition(committables)? {
            self.of(&partition)?.commit(&committables)?;
        }
        Ok(())
    }
}

/// Where the files of a partition lie.
fn layout_of(root: &Path, partition: &str, cx: &SinkContext) -> Result<Layout> {
    let path = Path::new(partition);
    let is_below = path.components().all(|part| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    });
    if is_below {
        Layout::new(&root.join(path), cx)
    } else {
        Err(Error::Partition { partition: partition.to_owned() })
    }
}
