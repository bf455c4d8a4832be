//! The writer thread: puts frozen layers into the backend and pins file sets for checkpoints.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use pelton_dataflow::time::Epoch;

use super::dispatch::{Order, Parts};
use super::upload::{self, Upload, Uploads};
use crate::base::BaseWriter;
use crate::error::StateError;
use crate::files::KeyedAck;
use crate::rows::RowBuffer;
use crate::shards::Partition;

enum Command {
    Do(Order),
    Drop(Box<dyn Send>),
}

/// The worker's end of the two threads.
pub(super) struct WriterHandle {
    running: RefCell<Option<Running>>,
    backlog: Arc<Backlog>,
}

/// What has been sent to the writer and not been written.
#[derive(Default)]
pub(super) struct Backlog {
    layers: AtomicUsize,
    /// How far the writer has come with the first of them, in [`PARTS_OF_A_LAYER`].
    done: AtomicUsize,
}

/// What the progress of a layer is counted in.
pub(super) const PARTS_OF_A_LAYER: usize = 1_024;

impl Backlog {
    /// Layers that have not been written whole.
    pub(super) fn layers(&self) -> usize {
        self.layers.load(Ordering::Acquire)
    }

    /// What is left of them, in [`PARTS_OF_A_LAYER`].
    pub(super) fn parts(&self) -> usize {
        (self.layers() * PARTS_OF_A_LAYER).saturating_sub(self.done.load(Ordering::Acquire))
    }
}

struct Running {
    commands: Sender<Command>,
    writer: JoinHandle<()>,
    uploader: JoinHandle<()>,
}

impl WriterHandle {
    pub(super) fn start(
        base: Box<dyn BaseWriter + Send>,
        partition: Partition,
        uploads: Uploads,
        on_ack: Box<dyn Fn(Result<KeyedAck, StateError>) + Send>,
    ) -> std::io::Result<Self> {
        let worker = uploads.worker;
        let backlog = Arc::<Backlog>::default();
        let (commands, received) = mpsc::channel();
        let (put, pinned) = mpsc::channel();
        let uploader = thread::Builder::new()
            .name(format!("pelton-upload-{worker}"))
            .spawn(move || upload::run(uploads, &pinned, &*on_ack))?;
        let writer = Writer { base, partition, put, backlog: backlog.clone(), buffer: RowBuffer::default() };
        let writer = thread::Builder::new()
            .name(format!("pelton-state-{worker}"))
            .spawn(move || writer.run(&received))?;
        Ok(Self { running: RefCell::new(Some(Running { commands, writer, uploader })), backlog })
    }

    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(super) fn send(&self, order: Order) -> Result<(), StateError> {
        if matches!(order, Order::Write(_)) {
            self.backlog.layers.fetch_add(1, Ordering::AcqRel);
        }
        let running = self.running.borrow();
        let sent = running.as_ref().map(|running| running.commands.send(Command::Do(order)).is_ok());
        let reason = match sent {
            Some(true) => return Ok(()),
            Some(false) => "its thread has ended after a failure".to_owned(),
            None => "the store is closed".to_owned(),
        };
        Err(StateError::WriterStopped { reason })
    }

    /// Has `trash` dropped on the writer thread; here, if that has ended.
    pub(super) fn trash(&self, trash: Box<dyn Send>) {
        if let Some(running) = &*self.running.borrow() {
            drop(running.commands.send(Command::Drop(trash)));
        }
    }

    /// Ends both threads when they are through with their work, and waits for them.
    pub(super) fn join(&self) -> Result<(), StateError> {
        let Some(Running { commands, writer, uploader }) = self.running.take() else { return Ok(()) };
        drop(commands);
        let ends = [writer.join(), uploader.join()];
        if ends.iter().any(Result::is_err) {
            return Err(StateError::WriterStopped { reason: "its thread panicked".to_owned() });
        }
        Ok(())
    }
}

impl Drop for WriterHandle {
    /// RocksDB still at work when the process ends corrupts the heap.
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::error!(%error, "the keyed state of a worker was not closed in good order");
        }
    }
}

struct Writer {
    base: Box<dyn BaseWriter + Send>,
    partition: Partition,
    put: Sender<Upload>,
    backlog: Arc<Backlog>,
    buffer: RowBuffer,
}

impl Writer {
    fn run(mut self, commands: &Receiver<Command>) {
        // What could not be written stays readable for the worker until it hears of the failure.
        let mut unwritten = Vec::new();
        let mut failed = false;
        while let Ok(command) = commands.recv() {
            let done = match command {
                Command::Drop(trash) => let_go(trash),
                Command::Do(Order::Write(parts)) if failed => {
                    unwritten.push(parts);
                    Ok(())
                }
                Command::Do(Order::Write(parts)) => match StateError::or_panic(|| self.write(&parts)) {
                    Ok(()) => {
                        let dropped = let_go(parts);
                        // In this order, so that no look in between finds less than there is.
                        self.backlog.done.store(0, Ordering::Release);
                        self.backlog.layers.fetch_sub(1, Ordering::AcqRel);
                        dropped
                    }
                    Err(error) => {
                        unwritten.push(parts);
                        Err(error)
                    }
                },
                Command::Do(Order::Pin { .. }) if failed => Ok(()),
                Command::Do(Order::Pin { epoch, first_frozen_ns }) => {
                    StateError::or_panic(|| self.pin(epoch, first_frozen_ns))
                }
            };
            if let Err(error) = done {
                failed = true;
                // The uploader ends only when this thread drops its sender.
                drop(self.put.send(Upload::Failed(error)));
            }
        }
    }

    fn write(&mut self, parts: &Parts) -> Result<(), StateError> {
        let mut units = self.partition.units();
        let (count, mut begun) = (self.partition.units().count().max(1), 0);
        self.base.write(&mut self.buffer, &mut |buffer| {
            buffer.clear();
            self.backlog.done.store(begun * PARTS_OF_A_LAYER / count, Ordering::Release);
            let Some(groups) = units.next() else { return Ok(false) };
            begun += 1;
            for part in parts {
                part.whose().guarded("written", || part.write(&groups, buffer))?;
            }
            buffer.sort();
            Ok(true)
        })
    }

    fn pin(&mut self, epoch: Epoch, first_frozen_ns: u64) -> Result<(), StateError> {
        let pinned = self.base.pin(epoch)?;
        // As above.
        drop(self.put.send(Upload::Put { epoch, pinned, first_frozen_ns }));
        Ok(())
    }
}

/// Drops what holds values of user code, which may panic at it.
fn let_go<T>(what: T) -> Result<(), StateError> {
    StateError::or_panic(|| {
        drop(what);
        Ok(())
    })
}
