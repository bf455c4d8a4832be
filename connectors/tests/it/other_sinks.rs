//! Sinks into memory, to the console, into functions, and nowhere.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use pelton_connectors::{Collect, Discard, ForEachBatch, Stdout};
use pelton_dataflow::record::Record;
use pelton_dataflow::sink::{Committable, Guarantee, Sink, SinkContext, WriterContext};
use pelton_dataflow::time::{Epoch, EventTime};

use crate::support::{Run, messages};

fn context(worker: usize) -> WriterContext {
    let sink = SinkContext { job: "job".to_owned(), operator: "out".to_owned() };
    WriterContext { sink, generation: 1, worker, workers: 2 }
}

fn records<T: Clone>(values: &[T]) -> Vec<Record<T>> {
    values.iter().map(|value| Record::new(EventTime(1), value.clone())).collect()
}

#[test]
fn collected_records_show_as_written_and_as_committed() {
    let (sink, handle) = Collect::new();
    let mut run = Run::start(&sink, 2);
    for step in "w0:a w1:b prepare manifest commit crash w1:c prepare manifest".split(' ') {
        run.step(step).unwrap();
    }
    assert_eq!(handle.written(), ["a", "b", "c"]);
    assert_eq!(handle.committed(), ["a", "b"]);
    assert_eq!(handle.committed_records()[0], Record::new(EventTime(7), "a".to_owned()));
    let commits = handle.commits();
    let shown = commits.iter().map(|(id, count)| (id.generation, id.epoch.0, id.worker, *count));
    assert_eq!(shown.collect::<Vec<_>>(), [(1, 0, 0, 1), (1, 0, 1, 1)]);
}

#[test]
fn a_wrong_committable_is_named() {
    let (sink, _handle) = Collect::<u64>::new();
    let mut committer = sink.committer(&context(0).sink).unwrap().unwrap();
    let wrong = Committable { epoch: Epoch(4), worker: 1, bytes: vec![1, 2] };
    let message = messages(committer.commit(&[wrong]));
    assert!(message.starts_with("the committable of epoch 4, worker 1 cannot be read"), "{message}");
}

/// Counts flushes, and can be closed.
#[derive(Default)]
struct Console {
    written: Vec<u8>,
    flushed: usize,
    is_closed: bool,
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.written.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.flushed += 1;
        Ok(())
    }
}

#[test]
fn lines_are_whole_and_flushed_when_prepared() {
    let console = Arc::new(Mutex::new(Console::default()));
    let sink = Stdout::to(console.clone());
    assert_eq!(sink.guarantee(), Guarantee::AtLeastOnce);
    assert!(sink.committer(&context(0).sink).unwrap().is_none());
    let mut one = sink.writer(&context(0)).unwrap();
    let mut other = sink.writer(&context(1)).unwrap();
    one.write(records(&[(1, "a"), (2, "b")].map(|(n, text)| (n, text.to_owned())))).unwrap();
    other.write(records(&[(3, "line\nbreak".to_owned())])).unwrap();
    let flush = one.prepare(Epoch(1)).unwrap().unwrap();
    assert_eq!(console.lock().unwrap().flushed, 0);
    assert_eq!(flush().unwrap(), None);
    let console = console.lock().unwrap();
    assert_eq!(String::from_utf8_lossy(&console.written), "[1,\"a\"]\n[2,\"b\"]\n[3,\"line\\nbreak\"]\n");
    assert_eq!(console.flushed, 1);
}

#[test]
fn a_closed_console_is_an_error() {
    let console = Arc::new(Mutex::new(Console { is_closed: true, ..Console::default() }));
    let mut writer = Stdout::to(console).writer(&context(0)).unwrap();
    let message = messages(writer.write(records(&[1])));
    assert!(message.starts_with("cannot write to standard output; has its reader gone away?: "), "{message}");
}

#[test]
fn a_function_sees_each_batch_and_may_fail() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sums, given) = (seen.clone(), records(&[1u64, 2]));
    let sink = ForEachBatch::new(move |batch: &[Record<u64>]| {
        sums.lock().unwrap().push(batch.iter().map(|record| record.value).sum::<u64>());
    });
    let mut writer = sink.writer(&context(0)).unwrap();
    writer.write(given.clone()).unwrap();
    writer.write(given[1..].to_vec()).unwrap();
    assert_eq!(writer.prepare(Epoch(1)).unwrap().map_or(Ok(None), |flush| flush()).unwrap(), None);
    assert_eq!(*seen.lock().unwrap(), [3, 2]);

    let refusing = ForEachBatch::<u64>::fallible(|batch| Err(format!("{} are too many", batch.len()).into()));
    let mut writer = refusing.writer(&context(0)).unwrap();
    assert_eq!(messages(writer.write(given)), "2 are too many");
}

#[test]
fn nothing_comes_of_what_is_discarded() {
    let sink = Discard::new();
    let mut writer = sink.writer(&context(0)).unwrap();
    writer.write(records(&["a".to_owned()])).unwrap();
    assert_eq!(writer.prepare(Epoch(1)).unwrap().map_or(Ok(None), |flush| flush()).unwrap(), None);
    assert!(sink.committer(&context(0).sink).unwrap().is_none());
}
