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
    /// Layers that have been sent and not been written.
    waiting: Arc<AtomicUsize>,
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
        let waiting = Arc::new(AtomicUsize::new(0));
        let (commands, received) = mpsc::channel();
        let (put, pinned) = mpsc::channel();
        let uploader = thread::Builder::new()
            .name(format!("pelton-upload-{worker}"))
            .spawn(move || upload::run(uploads, &pinned, &*on_ack))?;
        let writer = Writer { base, partition, put, waiting: waiting.clone(), buffer: RowBuffer::default() };
        let writer = thread::Builder::new()
            .name(format!("pelton-state-{worker}"))
            .spawn(move || writer.run(&received))?;
        Ok(Self { running: RefCell::new(Some(Running { commands, writer, uploader })), waiting })
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(super) fn send(&self, order: Order) -> Result<(), StateError> {
        if matches!(order, Order::Write(_)) {
            self.waiting.fetch_add(1, Ordering::AcqRel);
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
    waiting: Arc<AtomicUsize>,
    buffer: RowBuffer,
}

impl Writer {
    fn run(mut self, commands: &Receiver<Command>) {
        // What could not be written stays readable for the worker until it hears of the failure.
        let mut unwritten = Vec::new();
        let mut failed = false;
        while let Ok(command) = commands.recv() {
            let done = match command {
                Command::Drop(trash) => {
                    drop(trash);
                    Ok(())
                }
                Command::Do(Order::Write(parts)) if failed => {
                    unwritten.push(parts);
                    Ok(())
                }
                Command::Do(Order::Write(parts)) => match StateError::or_panic(|| self.write(&parts)) {
                    Ok(()) => {
                        drop(parts);
                        self.waiting.fetch_sub(1, Ordering::AcqRel);
                        Ok(())
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
        self.base.write(&mut self.buffer, &mut |buffer| {
            buffer.clear();
            let Some(groups) = units.next() else { return Ok(false) };
            parts.iter().try_for_each(|part| part.write(&groups, buffer))?;
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
