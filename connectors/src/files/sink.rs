//! Writing and preparing output files.

use std::fs::{self, File};
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use pelton_dataflow::directories::{LocalDirectories, make_durable};
use pelton_dataflow::error::OpError;
use pelton_dataflow::failpoint;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::{Committer, Guarantee, Sink, SinkContext, SinkWriter, WriterContext};
use pelton_dataflow::time::Epoch;

use super::commit::FileCommitter;
use super::layout::{Layout, Prepared};
use crate::error::{Error, Result};
use crate::format::{Encode, Json};

/// Bytes collected before they are written to the file.
const WRITE_BYTES: usize = 256 * 1024;

/// Records as JSON lines in files, exactly once; made by [`Files::jsonl`](crate::Files::jsonl).
///
/// Each worker writes one file per epoch, under `.staging/` in the directory. It is synced when the
/// epoch ends, and renamed into the directory when the epoch's checkpoint is complete:
///
/// ```text
/// alerts/fraud.alerts.e0000000012.w0003.g000002.jsonl
/// ```
///
/// is what worker 3 wrote in epoch 12 of job `fraud`, sink `alerts`, in the job's second generation.
/// Files in the directory are complete and never change; a reader may move or delete them. An epoch in
/// which a worker wrote nothing makes no file.
pub struct FileSink<T> {
    directory: PathBuf,
    item: PhantomData<fn(T)>,
}

impl<T: Data> FileSink<T> {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, item: PhantomData }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl<T: Data> Sink for FileSink<T> {
    type Item = T;

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn writer(&self, cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = T>>, OpError> {
        let layout = Layout::new(&self.directory, &cx.sink)?;
        make_directories(&layout)?;
        Ok(Box::new(Writer::new(layout, cx.worker, cx.generation, 0)))
    }

    fn committer(&self, cx: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
        let layout = Layout::new(&self.directory, cx)?;
        Ok(Some(Box::new(FileCommitter::new(layout))))
    }

    fn describe(&self) -> String {
        format!("JSON lines in {}", self.directory.display())
    }

    fn location(&self) -> Option<PathBuf> {
        Some(self.directory.clone())
    }
}

/// Makes the directories, and tells at once if nothing can be written there.
pub(super) fn make_directories(layout: &Layout) -> Result<()> {
    let staging = layout.staging();
    let unwritable = |source| Error::Unwritable { path: layout.directory().to_owned(), source };
    make_durable(&LocalDirectories, &staging).map_err(unwritable)?;
    let probe = staging.join(".probe");
    File::create(&probe).map_err(unwritable)?;
    // Several writers probe at once, with the same file.
    match fs::remove_file(&probe) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unwritable(error)),
        _ => Ok(()),
    }
}

/// Makes the names in `directory` durable.
pub(super) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|open| open.sync_all()).map_err(Error::io("sync", directory))
}

/// The file of the epoch at hand. Its name is given when the epoch is known, at its end.
struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
    crc32c: u32,
}

pub(super) struct Writer<T> {
    layout: Layout,
    worker: usize,
    generation: u64,
    /// Files opened so far: the one before may still be syncing when the next is opened.
    opened: u64,
    open: Option<Open>,
    /// Lines that are not in the file yet.
    lines: Vec<u8>,
    item: PhantomData<fn(T)>,
}

impl<T: Data> Writer<T> {
    /// A writer that names what it has open from `opened` on.
    pub fn new(layout: Layout, worker: usize, generation: u64, opened: u64) -> Self {
        Self { layout, worker, generation, opened, open: None, lines: Vec::new(), item: PhantomData }
    }

    fn write_out(&mut self) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let path = self.layout.open_file(self.opened, self.worker, self.generation);
                self.opened += 1;
                let file = File::create(&path).map_err(Error::io("create", &path))?;
                self.open.insert(Open { path, file, bytes: 0, crc32c: 0 })
            }
        };
        open.file.write_all(&self.lines).map_err(Error::io("write to", &open.path))?;
        open.bytes += self.lines.len() as u64;
        open.crc32c = crc32c::crc32c_append(open.crc32c, &self.lines);
        self.lines.clear();
        Ok(())
    }
}

impl<T: Data> SinkWriter for Writer<T> {
    type Item = T;

    fn write(&mut self, records: Vec<Record<T>>) -> Result<(), OpError> {
        for record in &records {
            Json.encode(&record.value, &mut self.lines)?;
            self.lines.push(b'\n');
            if self.lines.len() >= WRITE_BYTES {
                self.write_out()?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Deferred>, OpError> {
        self.write_out()?;
        let Some(open) = self.open.take() else { return Ok(None) };
        let name = self.layout.file_name(epoch, self.worker, self.generation);
        let layout = self.layout.clone();
        Ok(Some(Box::new(move || {
            failpoint::at("sink::prepare")?;
            let prepared = prepare(&layout, open, name)?;
            failpoint::at("sink::prepared")?;
            Ok(Some(prepared.encode()))
        })))
    }
}

/// Makes the file durable under the name that it is committed from.
fn prepare(layout: &Layout, open: Open, name: String) -> Result<Prepared> {
    let committed = layout.directory().join(&name);
    if committed.exists() {
        return Err(Error::OutputExists { path: committed });
    }
    let Open { path, file, bytes, crc32c } = open;
    file.sync_all().map_err(Error::io("sync", &path))?;
    let staged = layout.staging().join(&name);
    fs::rename(&path, &staged).map_err(Error::io("rename", &path))?;
    sync_directory(&layout.staging())?;
    Ok(Prepared::new(name, bytes, crc32c))
}
